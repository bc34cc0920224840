"""What fuzzing gave, as a section of docs/reliability.md, between two marks: a run replaces the last one."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metering.clock import SystemClock

if TYPE_CHECKING:
    from tests.fuzz.run import Found

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- make fuzz: begin -->", "<!-- make fuzz: end -->"


def table(results: Sequence[Found], seed: int, seconds: float, commit: str, load: str) -> str:
    """Give the section."""
    day = SystemClock().now().date().isoformat()
    rows = [
        f"| {found.name} | {found.cases:,} | {found.kept:,} | {found.endings['accepted']:,} | {len(found.finds)} |"
        for found in sorted(results, key=lambda one: one.name)
    ]
    head = (
        f"{day}, commit {commit}, seed {seed}, {seconds:g} s for each target, two beside one another; 2 processors "
        f"(AMD EPYC), Python {platform.python_version()}, load {load}."
    )
    title = "| target | cases | kept as new | accepted | finds |"
    return "\n".join([head, "", title, "|---|---|---|---|---|", *rows])


def write(results: Sequence[Found], seed: int, seconds: float) -> None:
    """Replace the section of the page."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False).stdout.strip() or "unknown"
    load = Path("/proc/loadavg").read_text(encoding="ascii").split()[2]
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table(results, seed, seconds, commit, load)}\n{END}{after}", encoding="utf-8")
