"""The audit log's chain: what was recorded verifies, and no single change of any field stays unseen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.audit_log import FIRST, Act, ActInvalid, Entry, Verb, chain_faults, chained
from ingest.caller import ADMIN, Caller, NotInPerson

NOW = datetime(2026, 8, 1, 1, 2, 3, 456789, tzinfo=UTC)
EVA = Caller("eng-1", "192.0.2.7", "phone", in_person=True)


def log_of(length: int) -> list[Entry]:
    """A log of so many acts."""
    entries: list[Entry] = []
    for number in range(1, length + 1):
        act = EVA.act(
            NOW + timedelta(minutes=number),
            Verb.SITE_PUT,
            "site/park",
            before={"version": number - 1} if number > 1 else None,
            after={"version": number, "names": ["园区", "park"]},
            touches=("gateway/gw-a",),
        )
        entries.append(chained(act, number, entries[-1].digest if entries else FIRST, bytes([number % 256]) * 16))
    return entries


def test_a_log_as_recorded_has_no_fault() -> None:
    assert list(chain_faults(log_of(7))) == []
    assert list(chain_faults([])) == []


CHANGES: dict[str, Any] = {
    "number": 9,
    "at": NOW,
    "who": "eng-2",
    "verb": "run-approved",
    "subject": "site/other",
    "touches": (),
    "content_hash": bytes(32),
    "previous": bytes(31) + b"\1",
    "digest": bytes(31) + b"\2",
    "content": "{}",
    "salt": bytes(16),
}


@pytest.mark.parametrize("field", sorted(CHANGES))
@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_changed_field_of_an_entry_is_found(field: str, place: int) -> None:
    log = log_of(7)
    log[place] = replace(log[place], **{field: CHANGES[field]})
    faults = list(chain_faults(log))
    assert faults
    assert any(str(place + 1) in fault for fault in faults)


@given(st.data())
def test_entries_taken_out_or_moved_are_found(data: st.DataObject) -> None:
    log = log_of(6)
    chosen = data.draw(st.lists(st.sampled_from(range(6)), unique=True))
    changed = [log[index] for index in chosen]
    # A shorter log is a beginning of the true one: only a checkpoint finds that its end is gone.
    assert (not list(chain_faults(changed))) == (chosen == list(range(len(chosen))))


def test_a_withdrawn_content_leaves_the_chain_whole_and_needs_an_act_that_says_so() -> None:
    log = log_of(3)
    log[1] = replace(log[1], content=None, salt=None)
    assert list(chain_faults(log)) == ["entry 2: its content is gone, and no later entry says who withdrew it"]
    act = EVA.act(NOW, Verb.CONTENT_WITHDRAWN, "audit/content", after={"entries": [2]})
    log.append(chained(act, 4, log[2].digest, bytes(16)))
    assert list(chain_faults(log)) == []


def test_what_json_would_not_give_back_is_refused() -> None:
    for part, place in (({"a": 1.5}, "/a"), ({"a": [b"x"]}, "/a/0"), ({1: "x"}, "key 1")):
        act: Act = EVA.act(NOW, Verb.SITE_PUT, "site/park", after=part)  # type: ignore[arg-type]
        with pytest.raises(ActInvalid, match=place):
            chained(act, 1, FIRST, bytes(16))


def test_an_entry_keeps_what_was_told() -> None:
    entry = log_of(2)[1]
    assert entry.at == NOW.replace(microsecond=456000) + timedelta(minutes=2)
    assert entry.told["after"] == {"version": 2, "names": ["园区", "park"]}
    assert (entry.told["where"], entry.told["device"]) == ("192.0.2.7", "phone")
    assert replace(entry, content=None, salt=None).told == {}


def test_a_long_reason_is_cut_and_a_nul_is_none() -> None:
    act = EVA.act(NOW, Verb.SITE_PUT, "site/park", reason="x\0" * 5000)
    entry = chained(act, 1, FIRST, bytes(16))
    assert len(entry.told["reason"]) == 2000
    assert "\\u0000" not in (entry.content or "")


def test_an_operator_acts_under_his_own_name_only_and_admin_is_nobody_in_person() -> None:
    admin = Caller(ADMIN, "192.0.2.7", "")
    assert EVA.named(None) == EVA.named("eng-1") == EVA.named(" ") == "eng-1"
    assert admin.named("accountant") == "accountant"
    assert admin.named(None) == "admin"
    with pytest.raises(NotInPerson, match="eng-1"):
        EVA.named("eng-2")
    EVA.require_in_person("approving a binding")
    with pytest.raises(NotInPerson, match="approving a binding takes a named operator"):
        admin.require_in_person("approving a binding")


@pytest.mark.parametrize("place", [0, 3, 5])
def test_an_entry_written_anew_with_a_hash_that_fits_it_is_found_by_the_one_behind_it(place: int) -> None:
    log = log_of(7)
    act = EVA.act(NOW, Verb.SITE_PUT, "site/park", after={"version": 99})
    log[place] = chained(act, place + 1, log[place].previous, bytes(16))
    (fault,) = chain_faults(log)
    assert fault.startswith(f"entry {place + 2} does not follow")


def test_the_first_entry_follows_nothing() -> None:
    log = [chained(EVA.act(NOW, Verb.SITE_PUT, "site/park"), 1, bytes(31) + b"\1", bytes(16))]
    assert list(chain_faults(log))
