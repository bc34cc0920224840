"""What single meters want to hear and profiles never hold: passwords and keys in the gateway's key folder.

`<folder of the signing key>/meters/<meter id>.toml`, readable by its owner alone:

    password = "00000000"
    encryption = "000102030405060708090a0b0c0d0e0f"        # hex, as are the next two
    authentication = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
    title = "4d4d4d0000000001"                             # our system title, as the meter knows it
    count_from = 5000                                      # where another reader with these keys has left off

Theory of operation of the counter. Two messages under one key and counter would give the key away, so a counter must
never come twice, not even after a power cut. The file `<state>/counts/<meter id>` holds a ceiling; counters below it
may have been used. Before the first counter of a block is given, the ceiling is raised by a block and synced; a start
goes on at the ceiling. Where the ceiling cannot be written, no counter is given.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from device_profiles.checked_table import CheckedTable, Faults
from device_profiles.framing.conversation import NO_SECRETS, MeterSecrets, SecretMissing
from device_profiles.framing.dlms_security import COUNTER_MAX
from metering.identity import MeterId
from metering.toml_source import TomlSource

FOLDER = "meters"
"""Folder of the meters' secrets, beside the gateway's signing key."""
COUNTS = "counts"
"""Folder of the counters, in the state directory."""
BLOCK = 1024
"""Counters given for one sync: two days of quarter hours; so many a start leaves out at most."""
_HEX = ("encryption", "authentication", "title")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class MeterKeyFolder:
    """The secrets of one gateway's meters."""

    def __init__(self, keys: Path, state: Path) -> None:
        self._keys = keys / FOLDER
        self._counts = state / COUNTS

    def of(self, meter: MeterId) -> MeterSecrets:
        """Give the secrets of `meter`, none when it has no file; raises DocumentError for a wrong one."""
        path = self._keys / f"{meter}.toml"
        if not path.exists():
            return NO_SECRETS
        source = TomlSource.read(path)
        faults = Faults(source)
        table = CheckedTable(source.content, (), faults)
        if path.stat().st_mode & _OTHERS:
            table.fault("", "others than the owner may read the file", f"chmod 600 {path}")
        secrets = {name: table.hexadecimal(name) for name in _HEX if name in table}
        if "password" in table:
            secrets["password"] = table.text("password").encode()
        count_from = table.integer("count_from", 0, COUNTER_MAX, 0)
        table.done()
        faults.raise_if_any()
        return FileSecrets(secrets, self._counts / meter, count_from)


class FileSecrets:
    """The secrets of one meter, and its counter on disk."""

    def __init__(self, secrets: dict[str, bytes], ceiling: Path, count_from: int) -> None:
        self._secrets = secrets
        self._path = ceiling
        self._count_from = count_from
        self._lock = threading.Lock()
        self._next = self._ceiling = -1

    def secret(self, name: str) -> bytes:
        """Give a secret; raises SecretMissing."""
        if name not in self._secrets:
            raise SecretMissing(f"the meter wants its {name}: write it into the meter's file in the key folder")
        return self._secrets[name]

    def next_count(self) -> int:
        """Give a counter that was never given before; raises SecretMissing when that cannot be written down."""
        with self._lock:
            try:
                if self._next >= self._ceiling:
                    self._reserve()
            except (OSError, ValueError) as error:
                raise SecretMissing(f"{self._path}: no counter that was surely never used: {error}") from error
            self._next += 1
            return self._next - 1

    def _reserve(self) -> None:
        """Raise the ceiling by a block, synced before its first counter is given."""
        kept = int(self._path.read_text(encoding="ascii")) if self._path.exists() else 0
        begin = max(kept, self._count_from, self._next)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.draft")
        with draft.open("w", encoding="ascii") as stream:
            stream.write(f"{begin + BLOCK}\n")
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._next, self._ceiling = begin, begin + BLOCK
