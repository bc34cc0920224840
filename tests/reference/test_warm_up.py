"""After a warm-up no kernel is compiled any more: the next process takes all of them from disk."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

from allocation_engine import kernels

ROOT = Path(__file__).parents[2]
COUNT = """
from allocation_engine import kernels
from allocation_engine.warm_up import warm_up
warm_up()
{then}
print({{name: sum(one.stats.cache_misses.values()) for name, one in vars(kernels).items() if hasattr(one, "stats")}})
"""


CLOSE = """
from dataclasses import replace
import numpy as np
from tests.doubles.loss_site import close_site, site_inputs
inputs = site_inputs(export={"c": 7})
for width in (np.int32, np.int64):
    close_site(replace(inputs, import_wh=inputs.import_wh.astype(width)))
"""
WIDTHS = 2


def misses(folder: Path, then: str = "") -> dict[str, int]:
    """How often each kernel was compiled in a process of its own, that warms up and does something else `then`."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "NUMBA_DISABLE_JIT": "0"}
    command = [sys.executable, "-c", COUNT.format(then=then)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, int] = ast.literal_eval(done.stdout)
    return found


def test_the_warm_up_compiles_every_kernel_once_and_for_all(tmp_path: Path) -> None:
    tree = ast.parse(Path(kernels.__file__).read_text(encoding="utf-8"))
    written = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    first = misses(tmp_path)
    assert first.keys() == written
    assert set(first.values()) <= {1, WIDTHS}
    assert misses(tmp_path, CLOSE) == dict.fromkeys(written, 0)
