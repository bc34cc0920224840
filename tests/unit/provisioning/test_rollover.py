"""Changing a signing key: both keys sign, and each holds for its own part of the chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metering.envelope import Algorithm, EnvelopeMalformed, SignatureInvalid
from metering.errors import SenderError
from metering.identity import GatewayId
from provisioning.keys import FileSigner
from provisioning.rollover import (
    Handover,
    KeyState,
    NotRolledOver,
    RolledOver,
    decide_rollover,
    handover_to,
    read_rollover,
    seal_rollover,
)
from provisioning.signers.token import TokenSigner
from tests.doubles.soft_token import find_module, fresh_place

A = GatewayId("gw-a")
OLD, NEW, OTHER = (FileSigner.from_seed(bytes([n]) * 32) for n in (1, 2, 3))
HANDOVER = handover_to(A, epoch=3, last_seq=77, last_digest=bytes([9]) * 32, key=NEW)
ROLLOVER = read_rollover(seal_rollover(HANDOVER, OLD, NEW))
STATE = KeyState(newest=True, highest_seq=77, rolled_by=None)


def test_a_statement_of_both_keys_is_read() -> None:
    assert ROLLOVER.handover == HANDOVER
    assert ROLLOVER.handover.new_epoch == 4
    assert ROLLOVER.new_key.public_key == NEW.public_key
    ROLLOVER.message.require(OLD.verifier())


def test_without_the_new_key_nobody_can_claim_it() -> None:
    with pytest.raises(SignatureInvalid):
        read_rollover(seal_rollover(HANDOVER, OLD, OTHER))


def test_without_the_old_key_nobody_can_hand_over() -> None:
    with pytest.raises(SignatureInvalid):
        read_rollover(seal_rollover(HANDOVER, OTHER, NEW)).message.require(OLD.verifier())


def test_every_flipped_bit_is_refused() -> None:
    octets = seal_rollover(HANDOVER, OLD, NEW)
    for place in range(len(octets)):
        changed = octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :]
        with pytest.raises(SenderError):
            read_rollover(changed).message.require(OLD.verifier())


@pytest.mark.parametrize(
    "change",
    [{"epoch": 0}, {"epoch": 2**31 - 1}, {"last_seq": -1}, {"last_digest": b""}, {"level": "pocket"}],
)
def test_a_handover_that_says_nonsense_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(EnvelopeMalformed):
        replace(HANDOVER, **change)  # type: ignore[arg-type]


def test_a_new_key_that_is_none_is_refused() -> None:
    for change in ({"public_key": b"short"}, {"algorithm": 5}):
        wrong: Handover = replace(HANDOVER, **change)  # type: ignore[arg-type]
        with pytest.raises(EnvelopeMalformed, match="the new key"):
            read_rollover(seal_rollover(wrong, OLD, NEW))


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (STATE, RolledOver(again=False)),
        (replace(STATE, highest_seq=5), RolledOver(again=False)),
        (replace(STATE, newest=False, rolled_by=ROLLOVER.digest), RolledOver(again=True)),
    ],
)
def test_a_key_hands_over_while_its_outbox_is_still_on_the_way(state: KeyState, outcome: RolledOver) -> None:
    assert decide_rollover(ROLLOVER, state, OLD.verifier()) == outcome


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (replace(STATE, rolled_by=bytes(32)), "rolled-over"),
        (replace(STATE, newest=False), "epoch-over"),
        (replace(STATE, highest_seq=78), "seq-behind"),
    ],
)
def test_what_a_copy_of_the_card_would_say_is_refused_with_the_mend(state: KeyState, reason: str) -> None:
    outcome = decide_rollover(ROLLOVER, state, OLD.verifier())
    assert isinstance(outcome, NotRolledOver)
    assert outcome.reason == reason
    assert outcome.mend


def test_a_key_does_not_hand_over_to_itself() -> None:
    same = read_rollover(seal_rollover(replace(HANDOVER, public_key=OLD.public_key), OLD, OLD))
    outcome = decide_rollover(same, STATE, OLD.verifier())
    assert isinstance(outcome, NotRolledOver)
    assert outcome.reason == "same-key"


@pytest.mark.skipif(find_module() is None, reason="no SoftHSM2 or python-pkcs11")
def test_a_key_in_a_file_hands_over_to_one_in_a_token(tmp_path: Path) -> None:
    new = TokenSigner.make(fresh_place(tmp_path), Algorithm.ES256)
    handover = handover_to(A, epoch=1, last_seq=5, last_digest=bytes(32), key=new)
    read = read_rollover(seal_rollover(handover, OLD, new))
    assert (read.new_key.public_key, read.handover.level) == (new.public_key, "token")
