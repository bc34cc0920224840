"""The gateway's lines: where they are, and a scan with what it finds as it finds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge_agent.page.call import Call, sent
from edge_agent.page.jobs import Job, JobState
from edge_agent.scanning.result import FoundMeter, line_text
from metering.identity import PortId
from provisioning.site import Port, PulsePort, SerialPort


class Lines:
    """Pages of lines and scans."""

    def list(self, call: Call) -> str:
        """Show every line."""
        return call.page("lines.html", lines=list(shown_lines(call)))

    def line(self, call: Call, port: str) -> str:
        """Show one line, with a scan that runs or what the newest found."""
        return call.page("line.html", line=_shown(call, PortId(port)), **_scan_parts(call, PortId(port)))

    def live(self, call: Call, port: str) -> Any:
        """Give the moving part of a line's page; the script asks for it until it says that the scan has ended."""
        parts = _scan_parts(call, PortId(port))
        page = call.house.render("scan.html", call=call, w=call.words, line=_shown(call, PortId(port)), **parts)
        answer = sent(page.encode(), "text/html; charset=utf-8")
        answer.set_header("Metertree-Running", "yes" if parts["is_running"] else "no")
        return answer

    def set_place(self, call: Call, port: str) -> None:
        """Note where a port really is."""
        call.desk.set_port(PortId(port), call.text("place") or "", call.who)

    def scan(self, call: Call, port: str) -> str:
        """Begin a scan."""
        desk, who, thorough = call.desk, call.who, call.text("thorough") is not None

        def work(job: Job) -> Any:
            return desk.scan(PortId(port), who, job.tell, job.stop, is_thorough=thorough)

        call.house.jobs.start(_key(PortId(port)), work)
        return f"/lines/{port}"

    def stop(self, call: Call, port: str) -> str:
        """Stop a scan; what it found is kept, and it can go on later."""
        job = call.house.jobs.find(_key(PortId(port)))
        if job is not None:
            job.stop.set()
        return f"/lines/{port}"


def shown_lines(call: Call) -> Iterator[dict[str, Any]]:
    """Give each line with how many meters were found there."""
    return (_shown(call, port.id) for port in call.desk.state().ports)


def _shown(call: Call, port: PortId) -> dict[str, Any]:
    state = call.desk.state()
    found = next((one for one in state.ports if one.id == port), None)
    scan = state.scans.get(port)
    job = call.house.jobs.find(_key(port))
    return {
        "id": port,
        "place": None if found is None else place_of(found),
        "settings": line_text(found.line) if isinstance(found, SerialPort) else "",
        "can_scan": found is not None and not isinstance(found, PulsePort),
        "scan": scan,
        "is_running": job is not None and job.state is JobState.RUNNING,
    }


def place_of(port: Port) -> str:
    """Write where a port is, as it is typed."""
    device = getattr(port, "device", None)
    return str(device) if device is not None else f"{getattr(port, 'host', '')}:{getattr(port, 'port', '')}"


def _scan_parts(call: Call, port: PortId) -> dict[str, Any]:
    job = call.house.jobs.find(_key(port))
    is_running = job is not None and job.state is JobState.RUNNING
    problem = None if job is None or job.state is not JobState.FAILED else job.problem
    told = call.words("page.failed") if problem is None else call.words.of(problem)
    result = call.desk.state().scans.get(port)
    progress = job.progress if job is not None and is_running else None
    found: tuple[FoundMeter, ...] = ()
    if progress is not None:
        found = progress.found
    elif result is not None and not is_running:
        found = result.found
    return {
        "is_running": is_running,
        "progress": progress,
        "problem": told if job is not None and job.state is JobState.FAILED else None,
        "result": None if is_running else result,
        "found": found,
        "line_text": line_text,
    }


def _key(port: PortId) -> str:
    return f"scan {port}"
