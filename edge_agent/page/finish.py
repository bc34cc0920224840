"""The end of an installation: look at everything, accept, seal, the way to the centre, report and signed acts."""

from __future__ import annotations

from typing import Any

from edge_agent.installation.reporting import report_file
from edge_agent.page.call import Call, FormWrong, sent
from edge_agent.page.jobs import Job, JobState
from provisioning.package import package_name
from provisioning.report.seal import ReportKind

CHECK = "check"
WINDOWS_S = (0, 60, 300, 900)
MEDIA = {ReportKind.HTML: "text/html; charset=utf-8", ReportKind.PDF: "application/pdf"}

REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""A report is one file with everything in it, and no script."""


class Finish:
    """Pages of the whole."""

    def check_form(self, call: Call) -> str:
        """Show what the newest look found."""
        return call.page("check.html", windows=WINDOWS_S, is_running=_is_running(call))

    def check_live(self, call: Call) -> Any:
        """Say whether the look still goes on."""
        is_running = _is_running(call)
        answer = sent(call.words("check.running").encode(), "text/html; charset=utf-8")
        answer.set_header("Metertree-Running", "yes" if is_running else "no")
        return answer

    def check(self, call: Call) -> str:
        """Look at everything."""
        desk, who, window_s = call.desk, call.who, call.number("window") or 0
        if window_s not in WINDOWS_S:
            raise FormWrong(call.words("page.bad-choice", text=window_s))

        def work(_: Job) -> Any:
            return desk.check(who, window_s=window_s)

        call.house.jobs.start(CHECK, work)
        job = call.house.jobs.wait(CHECK, 1.0)
        if job is not None and job.problem is not None:
            raise job.problem
        return "/check"

    def accept(self, call: Call) -> None:
        """Go on in spite of a finding."""
        call.desk.accept(call.text("code") or "", call.text("subject") or "", call.text("reason") or "", call.who)

    def seal_form(self, call: Call) -> str:
        """Show what is about to be signed."""
        state = call.desk.state()
        bound = {one.meter.id for one in state.bindings}
        unbound = [] if state.plan is None else [one for one in state.plan.expected if one.meter not in bound]
        wrong = [one for one in state.open_findings if one.severity.value == "wrong"]
        return call.page("seal.html", unbound=unbound, wrong=wrong)

    def seal(self, call: Call) -> str:
        """Sign."""
        claim = call.text("claim")
        if claim is not None:
            call.desk.claim(claim, call.who)
        call.desk.seal(call.who)
        return "/deliver"

    def deliver_form(self, call: Call) -> str:
        """Show how far the way to the centre is."""
        return call.page("deliver.html")

    def deliver(self, call: Call) -> None:
        """Try the network."""
        delivery = call.desk.deliver()
        if delivery.problem is not None:
            call.flash(delivery.problem)

    def package(self, call: Call) -> Any:
        """Give the package to the telephone."""
        order = call.desk.state().order
        gateway = "gateway" if order is None else order.gateway
        return sent(call.desk.package(), "application/zip", package_name(gateway, call.house.clock.now()))

    def grant(self, call: Call) -> None:
        """Take the grant that the telephone brought."""
        octets = call.file("grant")
        if octets is None:
            raise FormWrong(call.words("order.no-file"))
        call.desk.take_grant(octets)
        call.flash(call.words("deliver.granted"), "good")

    def report(self, call: Call, kind: str) -> Any:
        """Give the commissioning report."""
        form = ReportKind(kind)
        octets = report_file(call.desk, form, call.session.language, call.house.clock.now())
        order = call.desk.state().order
        name = None if form is ReportKind.HTML else f"{order.gateway if order else 'gateway'}-report.pdf"
        answer = sent(octets, MEDIA[form], name)
        answer.set_header("Content-Security-Policy", REPORT_POLICY)
        return answer

    def acts(self, call: Call) -> str:
        """Show what was signed."""
        return call.page("acts.html")


def _is_running(call: Call) -> bool:
    job = call.house.jobs.find(CHECK)
    return job is not None and job.state is JobState.RUNNING
