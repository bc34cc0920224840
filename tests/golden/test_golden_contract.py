"""The contract of the API as programs out there were written against it: what changes of it is seen, and is meant.

After a change that is meant: METERTREE_WRITE_CONTRACT=1 .venv/bin/python -m pytest -q tests/golden -k contract, then
read the difference as a caller would, and say in CHANGELOG.md what he has to do.
"""

from __future__ import annotations

import difflib
import json
import os
from itertools import islice
from pathlib import Path
from typing import Any

from tests.doubles.memory_centre import MemoryCentre

CONTRACT = Path(__file__).parent / "contract-of-the-api" / "openapi.json"
SHOWN = 60


def told(document: Any) -> str:
    """The contract as it is kept: a line for each thing said, in an order that does not depend on the program's."""
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def test_the_contract_is_the_one_that_callers_know() -> None:
    now = told(MemoryCentre().app.openapi())
    if os.environ.get("METERTREE_WRITE_CONTRACT"):
        CONTRACT.write_text(now, encoding="utf-8")
    kept = CONTRACT.read_text(encoding="utf-8")
    if now != kept:
        changes = difflib.unified_diff(kept.splitlines(), now.splitlines(), "kept", "now", lineterm="", n=2)
        raise AssertionError("the contract of the API has changed:\n" + "\n".join(islice(changes, SHOWN)))


def test_no_call_of_the_contract_is_without_its_refusals() -> None:
    document = json.loads(CONTRACT.read_text(encoding="utf-8"))
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            assert call.get("description") or call.get("summary"), f"{method} {path} says nothing"
            assert any(code.startswith("4") for code in call["responses"]), f"{method} {path} refuses nothing"
