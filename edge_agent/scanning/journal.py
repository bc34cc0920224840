"""The state file of a scan: what was asked and found, so that an interrupted one goes on where it was."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.scanning.result import Duplicate, FoundMeter, duplicate_of, found_of

FORMAT = "metertree-scan/1"


@dataclass(slots=True)
class ScanState:
    """What a scan knew. `blocks` gives how many blocks of a lane were asked, by the lane's key."""

    blocks: dict[str, int] = field(default_factory=dict)
    found: list[FoundMeter] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    elapsed_s: float = 0.0


class Journal:
    """One state file; with no path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._state = ScanState()

    def read(self) -> ScanState | None:
        """Give what an interrupted scan knew; None where there was none, or its file is no such file."""
        if self._path is None or not self._path.exists():
            return None
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                return None
            found = [found_of(each) for each in document["found"]]
            duplicates = [duplicate_of(each) for each in document["duplicates"]]
            self._state = ScanState(dict(document["blocks"]), found, duplicates, float(document["elapsed_s"]))
        except (OSError, ValueError, KeyError, TypeError):  # a scan that begins anew loses minutes, a wrong one more
            return None
        state = self._state
        earlier = ScanState(dict(state.blocks), list(state.found), list(state.duplicates), state.elapsed_s)
        state.duplicates.clear()  # they are asked once more, and noted where they are still two
        return earlier

    def note_block(self, lane: str, blocks: int, elapsed_s: float) -> None:
        """Note that so many blocks of a lane were asked."""
        self._state.blocks[lane] = blocks
        self._write(elapsed_s)

    def note_found(self, meter: FoundMeter, elapsed_s: float) -> None:
        """Note a meter."""
        self._state.found.append(meter)
        self._write(elapsed_s)

    def note_duplicate(self, duplicate: Duplicate, elapsed_s: float) -> None:
        """Note an address at which more than one meter answers."""
        self._state.duplicates.append(duplicate)
        self._write(elapsed_s)

    def remove(self) -> None:
        """The scan has ended by itself."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self, elapsed_s: float) -> None:
        if self._path is None:
            return
        state = self._state
        document = {
            "format": FORMAT,
            "blocks": state.blocks,
            "found": [each.to_document() for each in state.found],
            "duplicates": [each.to_document() for each in state.duplicates],
            "elapsed_s": round(elapsed_s, 1),
        }
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_text(json.dumps(document), encoding="utf-8")
        os.replace(beside, self._path)
