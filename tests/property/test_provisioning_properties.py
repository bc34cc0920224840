"""What must hold for any input: site files, claims, bundles, spans, documents."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.envelope import EnvelopeMalformed, SignatureInvalid, encode, sign1
from metering.errors import DocumentError, Fault
from metering.identity import GatewayId
from metering.quantity import Shown, Unit
from provisioning.document import from_document, to_document
from provisioning.enrolment import CLAIM_BITS, Claim, ClaimInvalid, open_bundle, seal_bundle
from provisioning.keys import FileSigner
from provisioning.site import Site, Span
from provisioning.site_file import read_site

PARK = Path(__file__).parents[2] / "examples" / "park"
NAMES = ("site.toml", "gateways.toml", "leases.toml")
TEXTS = {name: (PARK / name).read_text(encoding="utf-8") for name in NAMES}
STARTED_AT = datetime(2026, 7, 1, tzinfo=UTC)
SIGNER = FileSigner.from_seed(bytes(32))

hours = st.none() | st.integers(0, 12).map(lambda hour: STARTED_AT + timedelta(hours=hour))
spans = st.tuples(hours, hours).filter(lambda ends: None in ends or ends[0] < ends[1]).map(lambda ends: Span(*ends))
words = st.sampled_from(
    ['""', '"-"',
     '"main"', '"bldg-a"', '"m-main"', '"a101"', "0", "-1", "1.5", "true", "nan", "[]", "[[]]", "{}", "[{}]",
     "2026-07-17", "2026-07-17T14:00:00", "14:00:00", "0001-01-01",
     "9999-12-31T23:59:59", "2026-07-17T14:00:00Z", '"1e9999 kWh"', '"9 kWh"', '"1e400"',
     '"０"', '"１２"', '"sNaN"', '{ zh = "", en = "" }', "[1, 2]", "9" * 30],
)  # fmt: skip


@st.composite
def changed_park(draw: st.DrawFn) -> dict[str, str]:
    """The park's files with up to four lines removed, doubled, moved or given another content."""
    texts = {name: text.splitlines() for name, text in TEXTS.items()}
    for _ in range(draw(st.integers(1, 4))):
        lines = texts[draw(st.sampled_from(NAMES))]
        index = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 3)):
            case 0:
                del lines[index]
            case 1:
                lines.insert(index, lines[index])
            case 2:
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(index))
            case _ if "=" in lines[index]:
                lines[index] = lines[index].partition("=")[0] + "= " + draw(words)
    return {name: "\n".join(lines) for name, lines in texts.items()}


@given(changed_park())
@settings(max_examples=150, deadline=None)
def test_a_changed_site_is_read_or_every_fault_names_a_line_of_it(texts: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        for file, text in texts.items():
            (Path(name) / file).write_text(text, encoding="utf-8")
        faults: tuple[Fault, ...] = ()
        try:
            site = read_site(Path(name))
        except DocumentError as error:
            faults = error.faults or (Fault(path="", line=0, problem="", mend=""),)
        for fault in faults:
            assert 1 <= fault.line <= texts[Path(fault.path).name].count("\n") + 1
            assert fault.problem
            assert fault.mend
        if not faults:
            assert Site.from_document(json.loads(json.dumps(site.to_document()))).hash == site.hash


@given(spans, spans)
def test_spans_overlap_when_an_instant_lies_in_both(first: Span, second: Span) -> None:
    instants = [STARTED_AT + timedelta(minutes=30 * step - 30) for step in range(28)]
    assert first.overlaps(second) == any(instant in first and instant in second for instant in instants)


@given(st.integers(0, 2**CLAIM_BITS - 1))
def test_a_claim_reads_back_in_any_case(number: int) -> None:
    claim = Claim.of_number(number)
    assert Claim.parse(claim.text.lower()) == claim


@given(st.text(max_size=60))
def test_a_text_is_a_claim_or_refused(text: str) -> None:
    try:
        claim = Claim.parse(text)
    except ClaimInvalid:
        return
    assert Claim.parse(claim.text) == claim


@given(st.binary(max_size=200))
def test_octets_that_are_no_bundle_are_refused_by_one_family(octets: bytes) -> None:
    with pytest.raises((EnvelopeMalformed, SignatureInvalid)):
        open_bundle(octets)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.text(max_size=8) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=9,
)


@given(st.lists(plain, min_size=5, max_size=5))
def test_a_signed_payload_that_is_no_bundle_is_refused_by_one_family(fields: list[object]) -> None:
    with pytest.raises((EnvelopeMalformed, SignatureInvalid)):
        open_bundle(sign1(encode(["metertree-enrolment/1", *fields]), SIGNER))


@given(st.integers(1, 2**31 - 1), st.integers(0, 2**CLAIM_BITS - 1))
def test_a_bundle_opens_as_what_was_sealed(epoch: int, number: int) -> None:
    claim = Claim.of_number(number)
    octets = seal_bundle(GatewayId("gw-a"), epoch=epoch, claim=claim, public_key=SIGNER.public_key, signer=SIGNER)
    bundle = open_bundle(octets)
    assert (bundle.gateway, bundle.epoch, bundle.claim_hash) == ("gw-a", epoch, claim.hash)


@given(st.integers(), st.integers(-12, 12), st.sampled_from(Unit))
def test_what_a_register_showed_survives_its_document(mantissa: int, exponent: int, unit: Unit) -> None:
    shown = Shown(mantissa, exponent, unit)
    assert from_document(Shown, json.loads(json.dumps(to_document(shown)))) == shown
