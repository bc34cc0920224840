"""The example of docs/statement.md: a statement file, and octets of it that may not be others.

To write both anew: `.venv/bin/python -m tests.doubles.statement_example`
"""

from __future__ import annotations

import json
from typing import Any

from allocation_engine.bundle import unpack_bundle, with_publication
from allocation_engine.verification import VerificationReport, verify_bundle
from metering.identity import PartyId
from provisioning.keys import public_verifier
from tests.doubles.browser import ROOT
from tests.doubles.changed_files import flipped, with_parts
from tests.doubles.sealed_cases import CENTRE, sealed_case

CASE, PARTY = "vacancy", PartyId("t-02")
FILE = ROOT / "docs" / "statement-example.json"
PAGE = ROOT / "docs" / "statement.md"
LISTS = ("evidence", "profiles")
PARTS = ("statement", "proof", *LISTS, "publication")
PLACES = 6


def example() -> bytes:
    """Give the file."""
    case = sealed_case(CASE)
    return with_publication(case.file_of(PARTY), case.publication())


def verify(file: bytes) -> VerificationReport:
    """Check a file as its reader does."""
    return verify_bundle(file, {CENTRE.key_id: CENTRE.verifier()}, public_verifier)


def turned(file: bytes, part: str, octet: int) -> bytes:
    """Turn the lowest bit of one octet of a part; of the first one, where there are several."""
    held: Any = getattr(unpack_bundle(file), part)
    if part == "publication":
        content = json.loads(file)
        del content["publication"]
        return with_publication(json.dumps(content).encode(), flipped(held, octet))
    changed = [flipped(held[0], octet), *held[1:]] if part in LISTS else flipped(held, octet)
    return with_parts(file, **{part: changed})


def vectors() -> dict[str, Any]:
    """Give the key, the amounts, and the octets that break something, each with the link that breaks first."""
    file = example()
    content = verify(file).content
    assert content is not None
    refused = []
    for part in PARTS:
        held: Any = getattr(unpack_bundle(file), part)
        length = len(held[0] if part in LISTS else held)
        for octet in range(length // PLACES // 2, length, length // PLACES):
            link = verify(turned(file, part, octet)).broken[0].link
            refused.append({"part": part, "octet": octet, "link": link.partition(" 20")[0]})
    return {
        "centre_public_key": CENTRE.public_key.hex(),
        "lines": {line.id: line.amount_minor for line in content.lines},
        "refused": refused,
    }


def told() -> str:
    """Give the vectors as the page shows them."""
    shown = vectors()
    rows = ",\n".join(f"  {json.dumps(one)}" for one in shown.pop("refused"))
    return f'{json.dumps(shown, indent=1)[:-2]},\n "refused": [\n{rows}\n ]\n}}'


if __name__ == "__main__":
    FILE.write_bytes(example())
    before, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- vectors -->\n```json\n")
    _, _, after = rest.partition("\n```")
    PAGE.write_text(f"{before}<!-- vectors -->\n```json\n{told()}\n```{after}", encoding="utf-8")
