"""The installation desk killed at every commit and every file of an installation: `python -m tests.long.desk_kills`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.doubles.desk import cabinet
from tests.unit.edge_agent.test_desk import killed_everywhere


def main() -> None:
    """Kill it everywhere, and say how often."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, cabinet() as meters:
        killed = killed_everywhere(Path(folder), meters, 1)
    sys.stdout.write(
        f"killed at {killed} places, resumed from each to the same end ({time.monotonic() - began_s:.0f} s)\n"
    )


if __name__ == "__main__":
    main()
