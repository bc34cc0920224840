"""Threads, compiler, time zone, locale, hash seed, asserts and folder change no octet of runs and signed statements."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OTHERWISE: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "two threads": ((), {"NUMBA_NUM_THREADS": "2", "PYTHONHASHSEED": "1"}, "2"),
    "sixteen threads": ((), {"NUMBA_NUM_THREADS": "16", "PYTHONHASHSEED": "4242"}, "16"),
    "not compiled": ((), {"NUMBA_DISABLE_JIT": "1"}, "3"),
    "a half-hour zone over the date line": ((), {"TZ": "Pacific/Chatham", "PYTHONHASHSEED": "2"}, "1"),
    "a zone far west, in plain ASCII": (
        (),
        {"TZ": "America/St_Johns", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        "1",
    ),
    "without asserts": (("-O",), {"TZ": "UTC", "LC_ALL": "C.UTF-8"}, "1"),
}


def witness(flags: tuple[str, ...], settings: dict[str, str], asked: str, folder: Path) -> dict[str, object]:
    """What a process with these settings makes of the same facts."""
    plain = {name: kept for name in ("HOME", "PATH", "LD_LIBRARY_PATH") if (kept := os.environ.get(name)) is not None}
    done = subprocess.run(
        [sys.executable, *flags, "-m", "tests.doubles.byte_witness", *asked.split()],
        cwd=folder,
        env=plain | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"} | settings,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, object] = json.loads(done.stdout)
    return found


@cache
def here() -> dict[str, object]:
    """What a process makes of them as delivered, on one thread, in Shanghai."""
    return witness((), {"TZ": "Asia/Shanghai", "LC_ALL": "C.UTF-8", "NUMBA_NUM_THREADS": "1"}, "1", ROOT)


@pytest.mark.parametrize("name", OTHERWISE)
def test_the_same_facts_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    assert witness(*OTHERWISE[name], tmp_path) == here()


def test_the_witness_looks_at_runs_and_signed_statements() -> None:
    found = here()
    assert isinstance(found["runs"], dict)
    assert len(found["runs"]) >= 50
    assert len({run[0] for run in found["runs"].values()}) == len(found["runs"])
    assert isinstance(found["bundles"], dict)
    assert len(set(found["bundles"].values())) == 3


def test_the_witness_sees_an_octet_that_depends_on_the_settings(tmp_path: Path) -> None:
    """A run id mixed with the hash seed: what would be seen if a set's order came through."""
    spoilt = tmp_path / "sitecustomize.py"
    spoilt.write_text(
        "from allocation_engine import run\n"
        "told = run.Run.to_document\n"
        "run.Run.to_document = lambda self: told(self) | {'order': list({'a', 'b', 'c', 'd', 'e', 'f'})}\n",
        encoding="utf-8",
    )
    seeds = ({"PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTHONHASHSEED": seed} for seed in ("1", "2"))
    one, other = (witness((), seed, "1 few", ROOT)["runs"] for seed in seeds)
    assert one != other
