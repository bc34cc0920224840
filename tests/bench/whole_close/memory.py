"""The memory of a process and all below it: proportional set size, in which shared pages count once."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

EVERY_S = 0.25


class MemoryWatch:
    """Samples the tree of processes below each of `roots`; `peaks` [MiB] are in the order of the roots."""

    def __init__(self, *roots: int) -> None:
        self._roots = roots
        self.peaks = [0] * len(roots)
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            for index, root in enumerate(self._roots):
                self.peaks[index] = max(self.peaks[index], sum(map(_pss_mib, _tree(root))))


def _tree(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found, open_ones = [], [root]
    while open_ones:
        one = open_ones.pop()
        found.append(one)
        open_ones += parents.get(one, [])
    return found


def _pss_mib(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) // 1024
