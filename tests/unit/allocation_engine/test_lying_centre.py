"""A statement that its own centre signed and that makes no sense is refused in words: the check never raises."""

from __future__ import annotations

import random
from typing import Any

import pytest

from allocation_engine.verification import VerificationReport, verify_bundle
from metering.identity import PartyId
from provisioning.keys import public_verifier
from tests.doubles.changed_files import Change, content_of, lied, nonsense, places_in, to
from tests.doubles.sealed_cases import CENTRE, PROFILE, sealed_case

CASE, PARTY = "ratio-changed-on-the-same-meter", PartyId("t-01")


def verify(change: Change, case: str = CASE, party: PartyId = PARTY) -> VerificationReport:
    """Check a statement whose content was changed before its centre signed it."""
    file = lied(sealed_case(case).file_of(party), change)
    return verify_bundle(file, {CENTRE.key_id: CENTRE.verifier()}, public_verifier)


def test_what_is_not_changed_holds() -> None:
    assert verify(to("park", "site")).holds


@pytest.mark.parametrize(
    ("change", "link"),
    [
        (to("ZZZ", "currency"), "statement"),
        (to(-1, "band_runs", 0, 1), "statement"),
        (to(1, "band_runs", 0, 1), "statement"),
        (to([1000, 0], "bands", 0, 5), "statement"),
        (to([1000, -2], "bands", 0, 5), "statement"),
        (to(1, "band_runs", 0, 0), "line own-use/a/t-01"),
        (to([3, 1], "lines", 0, "trace", "spans", 0), "line own-use/a/t-01"),
        (to(2**70, "lines", 0, "trace", "spans", 0, 1), "line own-use/a/t-01"),
        (to("impor", "lines", 0, "trace", "measure"), "line own-use/a/t-01"),
        (to("x", "points", 0, "installations", 0, "power_max_w"), "line own-use/a/t-01"),
        (to("t-02", "party"), "line own-use/a/t-01"),
    ],
)
def test_nonsense_is_a_broken_link_and_no_crash(change: Change, link: str) -> None:
    report = verify(change)
    assert report.broken[0].link == link
    assert report.broken[0].result


@pytest.mark.parametrize(
    "case",
    ["tiers-by-month", "loss-down-the-tree", "standing-minimum-and-tax", "services-reciprocal", "lobby-in-chinese"],
)
def test_whatever_a_centre_signs_the_check_never_raises(case: str) -> None:
    chance = random.Random(case)
    file = sealed_case(case).file_of(sealed_case(case).run.parties[-1])
    places = list(places_in(content_of(file)))
    broken = 0
    for _ in range(40):
        path = chance.choice(places)
        said = nonsense(chance, value_at(content_of(file), path))
        report = verify_bundle(lied(file, to(said, *path)), {CENTRE.key_id: CENTRE.verifier()}, public_verifier)
        assert all(check.result for check in report.broken), (path, said)
        broken += not report.holds
    assert broken > 15


def value_at(content: Any, path: tuple[str | int, ...]) -> Any:
    """What is said at a place."""
    for key in path:
        content = content[key]
    return content


def test_losses_that_are_not_one_for_each_band_break_their_line() -> None:
    def change(content: dict[str, Any]) -> None:
        lossy = next(line for line in content["lines"] if "no_load" in line["trace"])
        lossy["trace"]["no_load"].append(0)

    broken = [check.link for check in verify(change, "loss-down-the-tree", PartyId("t-01")).broken]
    assert [link for link in broken if link.startswith("line loss/")]


def meters_one_after_the_other(
    content: dict[str, Any], *, modulus_wh: int | None = None, overlap: bool = False
) -> None:
    """Say that the same meter hung there twice, with another ratio from later on."""
    (first,) = content["points"][0]["installations"]
    end = content["period"][1]
    later = {**first, "start": end if not overlap else content["period"][0], "initial_wh": None}
    content["points"][0]["installations"] = [{**first, "end": end + 900, "modulus_wh": modulus_wh}, later]
    if not overlap:
        content["points"][0]["installations"][1]["start"] = end + 900


def test_meters_of_one_node_follow_one_another() -> None:
    assert verify(meters_one_after_the_other).holds
    broken = verify(lambda content: meters_one_after_the_other(content, overlap=True)).broken
    assert [check.link for check in broken] == ["line own-use/a/t-01"]
    assert "two meters are said to hang at u-a at one time" in broken[0].result


def test_every_stay_of_a_meter_has_the_modulus_of_its_profile() -> None:
    """A smaller one would make a rollover of a register that fell; the last stay alone was looked at once."""
    assert PROFILE.groups[0].channels[0].modulus is None
    (broken,) = verify(lambda content: meters_one_after_the_other(content, modulus_wh=5000)).broken
    assert broken.link.startswith("reading m-u-a ")
    assert "rolls over at 5000 Wh" in broken.result
