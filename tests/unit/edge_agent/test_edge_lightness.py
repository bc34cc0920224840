"""What a gateway loads when it starts."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("numpy", "numba", "psycopg", "fastapi", "ingest", "allocation_engine")


def test_the_gateway_loads_nothing_heavy() -> None:
    script = f"import sys, edge_agent.cli; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout.strip() == "[]"
