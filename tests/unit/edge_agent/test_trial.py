"""What settings on trial have to show."""

from __future__ import annotations

from edge_agent.trial import Proof, lively_ports
from edge_agent.vitals import PortVitals
from metering.identity import PortId

A, B = PortId("line-a"), PortId("tcp-b")
ANSWERING, SILENT = PortVitals(answered=3, silent=1), PortVitals(answered=0, silent=4)


def missing(
    *,
    heard: bool = True,
    seen: dict[PortId, PortVitals],
    lively: tuple[PortId, ...] = (),
    ports: tuple[PortId, ...] = (A, B),
) -> str | None:
    """What is missing."""
    return Proof(600, frozenset(ports), frozenset(lively)).missing(is_heard=heard, seen=seen)


def test_settings_are_proven_when_the_centre_was_heard_and_meters_answered() -> None:
    assert missing(seen={A: ANSWERING}) is None
    assert missing(seen={A: ANSWERING, B: SILENT}) is None


def test_without_a_receipt_nothing_is_proven() -> None:
    assert "no broker" in (missing(heard=False, seen={A: ANSWERING, B: ANSWERING}) or "")


def test_without_an_answer_nothing_is_proven() -> None:
    assert missing(seen={}) == "no meter answered on any port"
    assert missing(seen={A: SILENT, B: SILENT}) == "no meter answered on any port"


def test_a_port_whose_meters_answered_before_has_to_answer_again() -> None:
    assert "tcp-b" in (missing(seen={A: ANSWERING, B: SILENT}, lively=(B,)) or "")
    assert missing(seen={A: SILENT, B: ANSWERING}, lively=(B,)) is None


def test_a_port_that_is_gone_owes_nothing() -> None:
    assert missing(seen={A: ANSWERING}, lively=(A, B), ports=(A,)) is None


def test_lively_are_ports_whose_meters_answered() -> None:
    assert lively_ports({A: ANSWERING, B: SILENT}) == {A}
