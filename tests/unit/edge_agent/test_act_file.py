"""The file of acts when several open it."""

from __future__ import annotations

import fcntl
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from edge_agent.adapters.act_file import ActFile, ActRow

OPENERS = 6
FILES = 60
SHARED_FIRST, SHARED_OCTETS = 0x40000002, 510
"""Where SQLite holds its lock on a file that it has open (sqlite.org/fileformat2.html, the lock-byte page)."""


def test_those_who_open_a_new_file_at_once_wait_for_one_another(tmp_path: Path) -> None:
    together = Barrier(OPENERS)

    def open_all(_: int) -> int:
        acts = 0
        for number in range(FILES):
            together.wait()
            file = ActFile(tmp_path / str(number) / "acts.db")
            acts += len(file.after(0))
            file.close()
        return acts

    with ThreadPoolExecutor(OPENERS) as programs:
        assert list(programs.map(open_all, range(OPENERS))) == [0] * OPENERS


def test_a_second_opening_leaves_the_lock_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "acts.db"
    first = ActFile(path)
    first.add(ActRow(1, 0, "eng-1", "phone", "seal", "{}"))
    ActFile(path).close()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as stranger:
        assert not stranger.submit(_is_free, path).result()


def _is_free(path: Path) -> bool:
    """Say whether another program could take the file for itself."""
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_OCTETS, SHARED_FIRST)
        except OSError:
            return False
    return True
