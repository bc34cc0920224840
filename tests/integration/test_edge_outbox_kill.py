"""The outbox under kill -9: what was committed is there, nothing is doubled, the chain goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from tests.doubles.edge import GATEWAY, entry

WRITER = """
import sys
from pathlib import Path
from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from tests.doubles.edge import GATEWAY, entry
outbox = SqliteOutbox(Path(sys.argv[1]), GATEWAY, lambda stone: b"stone of %d" % stone.last_seq, octets_max=200_000)
while True:
    seq = outbox.head(1).seq
    outbox.append([entry(seq + 1), entry(seq + 2)])
    outbox.acknowledge(1, seq)
    print(seq + 2, flush=True)
"""


def write_until_killed(path: Path, seconds: float) -> int:
    """Let a process append to the outbox and kill it; give the last seq it reported as committed."""
    command = [sys.executable, "-c", WRITER, str(path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as writer:
        assert writer.stdout is not None
        reported = writer.stdout.readline()
        threading.Timer(seconds, writer.kill).start()
        lines = [reported, *writer.stdout]
    return int([line for line in lines if line.endswith("\n")][-1])


@pytest.mark.parametrize("seed", range(4))
def test_every_reported_commit_survives_and_a_sweep_is_whole(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "outbox.db"
    chance = random.Random(seed)
    for _ in range(3):
        reported = write_until_killed(path, chance.uniform(0.0, 0.2))
        outbox = SqliteOutbox(path, GATEWAY, lambda stone: b"stone of %d" % stone.last_seq)
        head = outbox.head(1)
        assert head.seq >= reported
        assert head.seq % 2 == 0
        kept = outbox.after(1, 0, 100_000)
        assert [each.seq for each in kept] == list(range(kept[0].seq, head.seq + 1))
        assert [each.octets for each in kept] == [entry(each.seq).octets for each in kept]
        outbox.close()
