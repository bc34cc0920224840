"""The topic grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.identity import GatewayId, IdentifierInvalid, check_identifier
from metering.topics import (
    PARTITIONS,
    TopicInvalid,
    envelope_topic,
    gateway_of,
    intake_filter,
    partition_of,
    receipt_topic,
)

identifiers = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(identifiers)
def test_the_gateway_is_found_again_in_its_topic(gateway: str) -> None:
    topic = envelope_topic(GatewayId(gateway))
    assert gateway_of(topic) == gateway
    assert 0 <= partition_of(GatewayId(gateway)) < PARTITIONS
    assert receipt_topic(GatewayId(gateway)).rsplit("/", 2)[0] == topic.rsplit("/", 2)[0]


def test_the_partition_of_a_known_gateway_never_changes() -> None:
    assert partition_of(GatewayId("gw-a")) == 59


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "m/59/gw-a/up",
        "m/3/gw-a/up/envelope",
        "m/59/gw-a/down/envelope",
        "x/2/gw-a/up/envelope",
        "m/59/gw-a/up/envelope/more",
    ],
)
def test_a_topic_outside_the_grammar_is_refused(topic: str) -> None:
    with pytest.raises(TopicInvalid):
        gateway_of(topic)


@pytest.mark.parametrize("gateway", ["+", "#", "a/b", "GW", "-a", "a-", "", "a" * 65, "a b", "a\n"])
def test_an_identifier_that_could_bend_a_topic_is_refused(gateway: str) -> None:
    with pytest.raises(IdentifierInvalid):
        check_identifier(gateway)


def test_an_intake_worker_listens_to_one_partition_or_all() -> None:
    assert intake_filter() == "m/+/+/up/envelope"
    assert intake_filter(7) == "m/7/+/up/envelope"
