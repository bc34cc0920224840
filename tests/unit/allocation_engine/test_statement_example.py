"""The example of docs/statement.md is what it says: whoever writes a third checker tries it on this file."""

from __future__ import annotations

from allocation_engine.verification import verify_bundle
from provisioning.keys import public_verifier, raw_verifier
from tests.doubles.browser_verifier import vectors_of
from tests.doubles.statement_example import FILE, PAGE, PARTS, PLACES, example, told, turned

VECTORS = vectors_of("statement.md")


def test_the_file_is_what_the_case_gives() -> None:
    assert FILE.read_bytes() == example()


def test_the_page_says_what_the_file_does() -> None:
    assert f"```json\n{told()}\n```" in PAGE.read_text(encoding="utf-8")


def test_the_file_holds_with_the_published_key_and_each_turned_octet_breaks_its_link() -> None:
    key = raw_verifier(bytes.fromhex(VECTORS["centre_public_key"]))
    trusted = {key.key_id: key}
    assert verify_bundle(FILE.read_bytes(), trusted, public_verifier).holds
    assert len(VECTORS["refused"]) >= len(PARTS) * PLACES
    for one in VECTORS["refused"]:
        broken = verify_bundle(turned(FILE.read_bytes(), one["part"], one["octet"]), trusted, public_verifier).broken
        assert broken[0].link.startswith(one["link"]), one
