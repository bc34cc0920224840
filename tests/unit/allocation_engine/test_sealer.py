"""What all statements of a run have in common is found once, and each says what it would say if sealed alone."""

from __future__ import annotations

import gc
from dataclasses import asdict, fields, replace
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import pytest

from allocation_engine.caps import CheckKind, ComplianceCheck
from allocation_engine.close_period import close_period
from allocation_engine.collector import collector_paused
from allocation_engine.commitment import commit_run
from allocation_engine.errors import PeriodNotReady
from allocation_engine.inputs import PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.metered import MarkFinder, evidence_needed, price_changes, span_marks
from allocation_engine.plain import plain
from allocation_engine.rules import Rules
from allocation_engine.run import Line, MeteredTrace, Run
from allocation_engine.run_document import head_document, line_documents
from allocation_engine.statement import Sealer, Statement, StatementFrame, seal_statement
from allocation_engine.statement_content import GatewayKey, StatementContent
from allocation_engine.taxes import TaxShown
from metering.envelope import Algorithm, decode_canonical, encode, parse_sign1
from metering.identity import GatewayId, KeyId, NodeId, PartyId
from tests.doubles.loss_site import TWO_BANDS, Centre, proven, site_inputs, site_rules

BOOKED_AT = datetime(2026, 8, 1, tzinfo=UTC)
KEYS = tuple(
    GatewayKey(GatewayId(gateway), epoch, KeyId(bytes([number] * 8)), Algorithm.EDDSA, bytes([number] * 32))
    for number, (gateway, epoch) in enumerate([("other", 1), ("gw", 1), ("gw", 2), ("gw", 1)])
)


def estimated(inputs: PeriodInputs) -> PeriodInputs:
    """The meter of u-a2 was not read in the middle of either tenant's time."""
    quality = inputs.quality.copy()
    quality[inputs.row(NodeId("a2")), [1, 2, 6]] = SlotQuality.ESTIMATED
    return replace(inputs, quality=quality)


def closed() -> tuple[Run, PeriodInputs, Rules]:
    """A run with a handover, a vacancy, estimates, losses, taxes of some parties, and checks of some and of all."""
    bare = estimated(site_inputs())
    rules = site_rules(bare, prices=TWO_BANDS)
    inputs = proven(bare, rules)
    run = close_period(inputs, rules)
    taxes = tuple(TaxShown("vat", (), PartyId(party), (13, 1), 113, 13) for party in ("t-1", "t-3"))
    told: tuple[PartyId | None, ...] = (PartyId("t-2"), None, PartyId("t-1"), PartyId("t-2"), None)
    checks = tuple(ComplianceCheck("cap", CheckKind.PRICE, one, place, 0, 0, "") for place, one in enumerate(told))
    return replace(run, taxes=taxes, checks=checks), inputs, rules


RUN, INPUTS, RULES = closed()
GIVEN: dict[str, Any] = {
    "booked_at": BOOKED_AT,
    "version": 3,
    "gateway_keys": KEYS,
    "commitment": commit_run(RUN, bytes(32)),
    "signer": Centre(),
}


def sealer() -> Sealer:
    """Seals the statements of the run."""
    return sealer_of(INPUTS)


def sealer_of(inputs: PeriodInputs) -> Sealer:
    """Seals them from other inputs."""
    frame = StatementFrame(BOOKED_AT, GIVEN["version"], KEYS)
    return Sealer(RUN, inputs, RULES, frame, GIVEN["commitment"], GIVEN["signer"])


def read(statement: Statement) -> StatementContent:
    """What a statement says."""
    return StatementContent.from_wire(decode_canonical(parse_sign1(statement.octets).payload))


def test_a_statement_is_the_same_sealed_alone_or_among_others_in_any_order() -> None:
    together = sealer()
    first = {party: together.seal(party) for party in RUN.parties}
    again = {party: together.seal(party) for party in reversed(RUN.parties)}
    alone = {party: seal_statement(RUN, INPUTS, RULES, party, **GIVEN) for party in RUN.parties}
    assert first == again == alone
    assert len({one.octets for one in first.values()}) == len(RUN.parties) == 5


@pytest.mark.parametrize("party", RUN.parties)
def test_octets_put_together_are_those_of_the_whole_content(party: PartyId) -> None:
    statement = sealer().seal(party)
    content = read(statement)
    assert parse_sign1(statement.octets).payload == encode(content.to_wire())
    assert content.number == statement.number == f"park-2026-07-{party}-v3"
    assert content.total_minor == statement.total_minor == sum(line.amount_minor for line in content.lines)


@pytest.mark.parametrize("party", RUN.parties)
def test_each_party_is_told_its_own_and_what_is_everybodys(party: PartyId) -> None:
    content = read(sealer().seal(party))
    assert [(line.id, line.amount_minor) for line in content.lines] == [
        (line.id, line.amount_minor) for line in RUN.lines if line.party == party
    ]
    assert [pool.id for pool in content.pools] == [
        pool.id for pool in RUN.pools if pool.id in {line.pool for line in content.lines}
    ]
    assert content.taxes == tuple(tax for tax in RUN.taxes if tax.party == party)
    assert content.checks == tuple(check for check in RUN.checks if check.party in (None, party))
    assert [key.key_id[0] for key in content.keys] == ([1, 3] if content.evidence else [])


@pytest.mark.parametrize("party", RUN.parties)
def test_the_evidence_is_that_of_every_mark_its_lines_need(party: PartyId) -> None:
    statement = sealer().seal(party)
    content = read(statement)
    changes = price_changes(RULES.tariff, INPUTS)
    marks: dict[NodeId, set[int]] = {}
    for line in content.lines:
        if isinstance(line.trace, MeteredTrace):
            for span in line.trace.spans:
                marks.setdefault(line.trace.nodes[0], set()).update(
                    span_marks(INPUTS, line.trace.nodes[0], changes, *span)
                )
    found = {point.node: [one.mark for one in point.readings] for point in content.points}
    assert found == {node: [INPUTS.mark(index) for index in sorted(wanted)] for node, wanted in marks.items()}
    assert set(content.evidence) == {one.envelope for point in content.points for one in point.readings}
    assert list(content.evidence) == sorted(content.evidence) == list(statement.evidence)


def test_missing_evidence_is_named_and_no_other_statement_suffers() -> None:
    kept = tuple(point for point in INPUTS.evidence if point.node != "a1")
    partly = sealer_of(replace(INPUTS, evidence=kept))
    with pytest.raises(PeriodNotReady, match=r"no evidence for 1-0:1\.8\.0 of a1"):
        partly.seal(PartyId("t-1"))
    assert partly.seal(PartyId("t-2")) == sealer().seal(PartyId("t-2"))
    assert gc.isenabled()


def test_readings_without_their_envelopes_are_refused() -> None:
    bare = tuple(
        replace(point, readings=tuple(replace(one, envelope=None) for one in point.readings))
        for point in INPUTS.evidence
    )
    with pytest.raises(PeriodNotReady, match="readings of a1 are given without the envelopes"):
        sealer_of(replace(INPUTS, evidence=bare)).seal(PartyId("t-1"))


@pytest.mark.parametrize("seed", range(30))
def test_marks_found_for_many_nodes_are_those_found_one_by_one(seed: int) -> None:
    draw = Random(seed)
    inputs = INPUTS
    if draw.random() < 0.7:
        quality = inputs.quality.copy()
        for _ in range(draw.randint(1, 5)):
            quality[draw.randrange(len(quality)), draw.randrange(8)] = draw.randint(0, 3)
        inputs = replace(inputs, quality=quality)
    finder, changes = MarkFinder(inputs, RULES), price_changes(RULES.tariff, inputs)
    for _ in range(20):
        node = draw.choice(inputs.nodes).id
        cuts = sorted(draw.sample(range(9), 4))
        spans = ((cuts[0], cuts[1]), (cuts[2], cuts[3]))[: draw.randint(1, 2)]
        wanted = set().union(*(span_marks(inputs, node, changes, *span) for span in spans))
        marks = finder.find(node, "main", spans)
        assert marks == wanted
        assert finder.instants(marks) == tuple(inputs.mark(index) for index in sorted(wanted))


def test_units_with_the_same_marks_share_them() -> None:
    """Those of 40,000 units would take gigabytes."""
    needed = evidence_needed(replace(INPUTS, quality=INPUTS.quality * 0), RULES)
    whole = [marks for (node, _), marks in needed.items() if node == "a1"]
    assert len({id(marks) for (node, _), marks in needed.items() if len(marks) == len(whole[0])}) == 1


def test_the_document_of_a_run_holds_every_field_of_it() -> None:
    document = RUN.to_document()
    by_hand = asdict(RUN)
    del by_hand["_by_party"]
    assert document == {
        **plain(by_hand),
        "lines": [{**plain(asdict(line)), "id": line.id} for line in RUN.lines],
        "approvable": RUN.approvable,
    }
    assert {**head_document(RUN), "lines": list(line_documents(RUN))} == document
    assert document.keys() == {field.name for field in fields(Run) if field.init} | {"approvable"}


def test_everything_becomes_plain() -> None:
    content = {"a": (1, None, True), "b": [b"\x0f", date(2026, 7, 1), CheckKind.SUM], "c": NodeId("n")}
    assert plain(content) == {"a": [1, None, True], "b": ["0f", "2026-07-01", "sum"], "c": "n"}


def test_lines_are_sorted_out_by_party() -> None:
    for party in (*RUN.parties, PartyId("nobody")):
        lines: tuple[Line, ...] = tuple(line for line in RUN.lines if line.party == party)
        assert (RUN.lines_of(party), RUN.total_minor(party)) == (lines, sum(line.amount_minor for line in lines))
    fewer = replace(RUN, lines=RUN.lines[:1])
    assert fewer.parties == (RUN.lines[0].party,)
    assert fewer != RUN


def test_the_collector_is_paused_and_goes_on_even_after_an_error() -> None:
    assert gc.isenabled()
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    with pytest.raises(ValueError, match="no"), collector_paused():
        raise ValueError("no")
    assert gc.isenabled()
