"""After a warm-up no kernel of intake is compiled any more: the next process takes all of them from disk."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COUNT = """
from ingest import sweep_kernels, tree_kernels
from ingest.series import kernels as series_kernels
from ingest.store import reading_rows, wire_kernels
{work}
modules = sweep_kernels, tree_kernels, reading_rows, wire_kernels, series_kernels
kernels = {{name: one for module in modules for name, one in vars(module).items() if hasattr(one, "stats")}}
print({{name: sum(one.stats.cache_misses.values()) for name, one in kernels.items()}})
"""
WARM_UP = "from ingest.warm_up import warm_up; warm_up()"
INTAKE = """
from ingest.store.reading_rows import reading_rows
from ingest.sweeps import frame_of, open_sweeps, sweep_of
from metering.envelope import open_sealed, parse_sign1, read_head, seal
from tests.conftest import SeededSigner, build_envelope
signer = SeededSigner("metertree test gateway")
messages = [seal(build_envelope(seq), signer) for seq in (1, 2)]
frames = [frame_of(one) for one in messages]
heads = [read_head(parse_sign1(one.sealed_head).payload) for one in frames]
assert len(reading_rows(open_sweeps(list(zip(messages, frames, heads))))) > 0
reading_rows([sweep_of(open_sealed(messages[0], signer.verifier))])
"""


def misses(folder: Path, work: str) -> dict[str, int]:
    """How often each kernel was compiled in a process of its own that does `work`."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "NUMBA_DISABLE_JIT": "0"}
    command = [sys.executable, "-c", COUNT.format(work=work)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, int] = ast.literal_eval(done.stdout)
    return found


def test_the_warm_up_compiles_every_kernel_of_intake_once_and_for_all(tmp_path: Path) -> None:
    first = misses(tmp_path, WARM_UP)
    assert min(first.values()) >= 1, first
    assert not any(misses(tmp_path, INTAKE + WARM_UP).values())
