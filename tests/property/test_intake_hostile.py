"""Messages made to break a receiver are refused within bounded memory, and what comes with them is not held up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GROWN_MB_MAX = 96
"""A message has at most 256 KiB; as many small objects take some 10 MB, and are made twice or three times."""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_hostile_messages_are_refused_in_bounded_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.doubles.hostile"], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=120
    )
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["refused"] == told["sent"] > 300
    assert told["grown_mb"] < GROWN_MB_MAX
    assert told["entered"] == 3
