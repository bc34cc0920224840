"""The gateway's speed and size, beside what the wire allows and a plain pymodbus client. Seven minutes

    python -m tests.bench.edge.run

Writes docs/performance-edge.md. The wires are pseudo-terminals on which octets take their time (paced_line.py).
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.edge import gateway, lines, outbox_speed
from tests.bench.edge.paced_line import MODEL, TURNAROUND_S

PAGE = Path(__file__).parents[3] / "docs" / "performance-edge.md"


def main() -> None:
    """Measure everything and write the page."""
    load = os.getloadavg()[0]
    say = sys.stderr.write
    is_ahead = set_ahead(ahead=True)
    paces = []
    for baud, count in ((9600, 10), (19_200, 20), (115_200, 40)):
        paces.append(lines.pace(baud, count))
        say(f"{paces[-1]}\n")
    dead = lines.dead(9600, 32, 60)
    say(f"{dead} costs {dead.cost:.1%}\n")
    ports = [lines.ports(count, 9600, 8) for count in (1, 4, 8)]
    say(f"{ports}\n")
    starts = [gateway.first_batch_s() for _ in range(3)]
    probes = [gateway.first_reading_s() for _ in range(3)]
    set_ahead(ahead=False)
    say(f"first batch {starts}, first reading {probes}\n")
    size = gateway.size(100)
    say(f"{size}\n")
    minute = gateway.minute(5, 200)
    say(f"{minute}\n")
    with tempfile.TemporaryDirectory() as folder:
        drained, octets = outbox_speed.drain(Path(folder))
    written = outbox_speed.written("100 meters on 1 port, every 15 min", 100, 1, 15)
    say(f"{drained:,.0f} envelopes/s, {written}\n")
    speeds = (statistics.median(starts), statistics.median(probes))
    PAGE.write_text(
        page(load, is_ahead, paces, dead, ports, speeds, size, minute, (drained, octets, written)), encoding="utf-8"
    )


def set_ahead(*, ahead: bool) -> bool:
    """Have this process and those it starts go before others, if that is allowed here; says whether it is."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO if ahead else os.SCHED_OTHER, os.sched_param(10 if ahead else 0))
    except OSError:
        return False
    return True


def page(
    load: float,
    is_ahead: bool,
    paces: list[lines.Pace],
    dead: lines.Dead,
    ports: list[lines.Ports],
    speeds: tuple[float, float],
    size: gateway.Size,
    minute: gateway.Minute,
    outbox: tuple[float, int, outbox_speed.Budget],
) -> str:
    """Give docs/performance-edge.md."""
    drained, octets, written = outbox
    rows = [
        f"| {one.baud:,} | {one.allowed:.2f} | {one.ours:.2f} | **{one.ours / one.allowed:.1%}** | {one.plain:.2f} |"
        for one in paces
    ]
    per_line = ports[0].rate
    lined = [
        f"| {one.lines} | {one.rate:.1f} | {one.rate / one.lines / per_line:.0%} | {one.core:.1%} |" for one in ports
    ]
    return "\n".join(
        [
            "# What a gateway can do",
            "",
            f"Written by `make bench-edge` on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python "
            f"{platform.python_version()}; load of the machine when it began: {load:.1f}, so these are floors. "
            "Serial lines are pseudo-terminals whose far end, another process, answers when the octets of request and "
            f"answer and the meter's turnaround of {1000 * TURNAROUND_S:.0f} ms would have passed; no real RS-485 was "
            "at hand."
            + (" Lines and starts were measured ahead of the machine's other work (SCHED_FIFO)." if is_ahead else ""),
            "",
            "## A line, against what the wire allows",
            "",
            f"`{MODEL}`, group `{lines.GROUP}`, meters a second on one line over {lines.SWEEPS} sweeps. Allowed: "
            "(octets x 11 bits / speed) + turnaround + 3.5 characters of silence, for each block. The plain client is "
            "pymodbus' own, synchronous, with the same blocks; it leaves no silence between frames. What the far end "
            "itself was late with its answers is taken off both.",
            "",
            "| bit/s | the wire allows | Metertree | share | plain pymodbus |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"**One dead meter of {dead.count}** at 9,600 bit/s, polled without a pause for {dead.seconds:.0f} s, its "
            f"discovery included: the others are read {dead.beside_dead:.2f} times a second, "
            f"{dead.alive * (dead.count - 1) / dead.count:.2f} with everybody alive. It costs {dead.cost:.1%}.",
            "",
            "## Lines at once, in one process",
            "",
            "| lines at 9,600 bit/s | meters a second | of one line times their number | share of a core |",
            "|---|---|---|---|",
            *lined,
            "",
            "## The whole gateway",
            "",
            "| | measured |",
            "|---|---|",
            f"| {minute.meters:,} meters on Modbus TCP ({minute.ports} ports), each read, sealed and stored once a "
            f"minute | {minute.core:.1%} of a core |",
            f"| memory with {size.meters} meters read each second and an outbox of {size.outbox / 2**20:.0f} MiB, its "
            f"bound | {size.rss / 2**20:.0f} MiB |",
            "| from the program's start to the first batch on disk, with a mark each second (median of 3) | "
            f"{speeds[0]:.1f} s |",
            f"| from the start of `probe` to its end, one meter (median of 3) | {speeds[1]:.1f} s |",
            f"| outbox drained, envelopes of {octets} octets | {drained:,.0f} envelopes/s |",
            f"| written to the card in a day, {written.what} | {written.written_octets / 1e6:.1f} MB, "
            f"{written.syncs:,} syncs |",
            "",
        ]
    )


if __name__ == "__main__":
    main()
