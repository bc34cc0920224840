"""After a warm-up no kernel is compiled any more: the next process takes all of them from disk."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

from allocation_engine import kernels

COUNT = """
from allocation_engine import kernels
from allocation_engine.warm_up import warm_up
warm_up()
print({name: sum(one.stats.cache_misses.values()) for name, one in vars(kernels).items() if hasattr(one, "stats")})
"""


def misses(folder: Path) -> dict[str, int]:
    """How often each kernel was compiled in a process of its own."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "NUMBA_DISABLE_JIT": "0"}
    done = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True)
    found: dict[str, int] = ast.literal_eval(done.stdout)
    return found


def test_the_warm_up_compiles_every_kernel_once_and_for_all(tmp_path: Path) -> None:
    tree = ast.parse(Path(kernels.__file__).read_text(encoding="utf-8"))
    written = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    first = misses(tmp_path)
    assert first == dict.fromkeys(written, 1)
    assert misses(tmp_path) == dict.fromkeys(written, 0)
