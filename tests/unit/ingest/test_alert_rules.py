"""When an alert opens, stays and closes: one for each cause, none for a tremble, one for what many share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from ingest.alert_rules import (
    FOLD_MANY,
    NAMED_MAX,
    QUIET_MAX,
    Alert,
    AlertKind,
    Changes,
    Finding,
    Scope,
    Severity,
    decide,
    fold,
    quiet_needed,
)
from tests.doubles.fleet import MINUTE, NOW, alert, cause, finding

NOTHING = Changes((), (), (), ())
CLEAR_MIN = 10


def look(*findings: Finding, is_open: tuple[Alert, ...] = (), closed: tuple[Alert, ...] = ()) -> Changes:
    """What a look decides."""
    return decide(findings, is_open, closed, NOW, CLEAR_MIN)


# One cause, one alert


def test_a_firm_finding_opens_an_alert_once() -> None:
    assert look(finding()) == Changes((finding(),), (), (), ())
    assert look(finding(), finding()).opened == (finding(),)
    assert look(finding(), is_open=(alert(),)) == Changes((), (), ((alert(), finding()),), ())


def test_a_lingering_finding_opens_nothing_and_keeps_what_is_open() -> None:
    lingering = finding(firm=False)
    assert look(lingering) == NOTHING
    old = alert(seen_at=NOW - timedelta(days=3))
    assert look(lingering, is_open=(old,)) == Changes((), (), ((old, lingering),), ())


def test_another_cause_is_another_alert() -> None:
    other = finding("gw-b")
    assert look(other, is_open=(alert(),)).opened == (other,)


@pytest.mark.parametrize(("minutes", "closes"), [(0, False), (9, False), (10, True), (600, True)])
def test_an_alert_closes_when_its_cause_has_been_gone_for_a_while(minutes: int, closes: bool) -> None:
    known = alert(seen_at=NOW - minutes * MINUTE)
    assert look(is_open=(known,)).closed == ((known,) if closes else ())


def test_what_comes_back_within_the_hour_opens_the_same_alert_again() -> None:
    closed = alert(closed_at=NOW - 30 * MINUTE)
    assert look(finding(), closed=(closed,)) == Changes((), ((closed, finding()),), (), ())
    assert look(finding(firm=False), closed=(closed,)) == NOTHING


@pytest.mark.parametrize(
    ("times", "minutes"), [(1, 10), (2, 20), (3, 40), (7, 640), (8, 1280), (9, 1440), (10**6, 1440)]
)
def test_what_flaps_closes_ever_more_slowly(times: int, minutes: int) -> None:
    assert quiet_needed(times, CLEAR_MIN) == minutes * MINUTE <= QUIET_MAX
    known = alert(times=times, seen_at=NOW - (minutes - 1) * MINUTE)
    assert look(is_open=(known,)).closed == ()


def test_an_equivocation_stays_until_somebody_has_closed_it() -> None:
    held = alert(cause=cause(kind=AlertKind.EQUIVOCATION), seen_at=NOW - timedelta(days=99))
    assert look(is_open=(held,)) == NOTHING


def test_an_equivocation_after_the_acknowledged_one_is_a_new_alert() -> None:
    found = finding(cause=cause(kind=AlertKind.EQUIVOCATION))
    closed = alert(cause=found.cause, closed_at=NOW - MINUTE)
    assert look(found, closed=(closed,)).opened == (found,)


# What many share


def fleet(**sites: int) -> dict[str, str]:
    """Gateways by site: `park=3` makes park-0, park-1, park-2."""
    return {f"{site}-{number}": site for site, count in sites.items() for number in range(count)}


def folded(
    sites: Mapping[str, str], *subjects: str, is_open: tuple[Alert, ...] = (), firm: bool = True
) -> list[tuple[str, str, bool]]:
    """Fold silent gateways; give scope, subject and firmness of what is told."""
    found = (finding(one, firm=firm) for one in subjects)
    told = fold(found, sites, {one.cause for one in is_open})
    return [(str(one.cause.scope), one.cause.subject, one.firm) for one in told]


def test_a_few_are_told_one_by_one() -> None:
    assert folded(fleet(park=10), "park-0", "park-1") == [("gateway", "park-0", True), ("gateway", "park-1", True)]
    assert folded(fleet(park=2), "park-0", "park-1") == [("gateway", "park-0", True), ("gateway", "park-1", True)]
    assert folded(fleet(park=10), *[f"park-{n}" for n in range(4)]) == [
        ("gateway", f"park-{n}", True) for n in range(4)
    ]


def test_half_of_a_site_is_told_as_one() -> None:
    assert folded(fleet(park=10), *[f"park-{n}" for n in range(5)]) == [("site", "park", True)]
    assert folded(fleet(park=3), "park-0", "park-1", "park-2") == [("site", "park", True)]


def test_one_site_of_many_is_not_the_fleet() -> None:
    sites = fleet(park=30, yard=5)
    assert folded(sites, *[f"park-{n}" for n in range(30)]) == [("site", "park", True)]


def test_most_sites_are_told_as_the_fleet() -> None:
    sites = fleet(park=2, yard=2, tower=2)
    assert folded(sites, *sites) == [("fleet", "", True)]
    assert folded(sites, "park-0", "yard-0", "yard-1") == [("fleet", "", True)]
    assert folded(sites, "park-0", "park-1", "yard-0", "yard-1")[0][0] == "fleet"
    assert {scope for scope, _, _ in folded(sites, "park-0", "yard-0")} == {"gateway"}


def test_a_finding_that_is_not_firm_does_not_make_a_fold() -> None:
    assert folded(fleet(park=4), *fleet(park=4), firm=False) == [("gateway", f"park-{n}", False) for n in range(4)]


def test_what_is_told_as_one_stays_so_down_to_a_quarter() -> None:
    told = (alert(cause=cause("park", scope=Scope.SITE)),)
    sites = fleet(park=8)
    assert folded(sites, "park-0", "park-1", is_open=told) == [("site", "park", False)]
    assert folded(sites, "park-0", "park-1", is_open=told, firm=False) == [("site", "park", False)]
    assert folded(sites, "park-0", is_open=told) == [("gateway", "park-0", True)]


def test_many_at_once_are_told_as_one_however_large_the_site() -> None:
    sites = fleet(park=1000)
    assert folded(sites, *[f"park-{n}" for n in range(FOLD_MANY - 1)])[0][0] == "gateway"
    assert folded(sites, *[f"park-{n}" for n in range(FOLD_MANY)]) == [("site", "park", True)]
    told = (alert(cause=cause("park", scope=Scope.SITE)),)
    assert folded(sites, *[f"park-{n}" for n in range(FOLD_MANY // 2)], is_open=told) == [("site", "park", False)]
    assert len(folded(sites, *[f"park-{n}" for n in range(FOLD_MANY // 2 - 1)], is_open=told)) == FOLD_MANY // 2 - 1


def test_a_few_in_each_of_many_sites_are_told_as_the_fleet() -> None:
    sites = fleet(**{f"s{number}": 10 for number in range(100)})
    hit = [f"s{number}-{one}" for number in range(10) for one in range(2)]
    assert folded(sites, *hit) == [("fleet", "", True)]
    assert len(folded(sites, *hit[:-1])) == FOLD_MANY - 1
    whole_sites = [f"s{number}-{one}" for number in range(FOLD_MANY) for one in range(10)]
    assert folded(sites, *whole_sites) == [("fleet", "", True)]
    assert {scope for scope, _, _ in folded(sites, *whole_sites[:50])} == {"site"}


def test_what_is_told_one_by_one_stays_so_when_the_rest_follows() -> None:
    told = (alert(cause=cause("park-0")),)
    assert folded(fleet(park=5), *fleet(park=5), is_open=told) == [("gateway", "park-0", True), ("site", "park", True)]


def test_what_falls_one_after_the_other_folds_too() -> None:
    sites = fleet(park=6)
    told = tuple(alert(cause=cause(f"park-{n}")) for n in range(2))
    fresh = {one.cause for one in told}
    found = [finding(f"park-{n}") for n in range(3)]
    *one_by_one, site = fold(found, sites, fresh, fresh)
    assert [one.cause.subject for one in one_by_one] == ["park-0", "park-1"]
    assert (site.cause.scope, site.detail["count"], site.detail["of"]) == (Scope.SITE, 3, 6)
    assert [one.cause.scope for one in fold(found, sites, fresh, ())] == [Scope.GATEWAY] * 3, "told long ago: known"


def test_many_within_the_hour_are_told_as_one() -> None:
    sites = fleet(park=1000)
    fresh = {cause(f"park-{n}") for n in range(FOLD_MANY - 1)}
    found = [finding(one.subject) for one in sorted(fresh)]
    *_, last = fold([*found, finding("park-999")], sites, fresh, fresh)
    assert (last.cause.scope, last.detail["count"]) == (Scope.SITE, FOLD_MANY)
    assert {one.cause.scope for one in fold(found, sites, fresh, fresh)} == {Scope.GATEWAY}, (
        "nothing new is nothing new"
    )


def test_one_site_after_the_other_becomes_the_fleet() -> None:
    sites = fleet(**{f"s{number}": 3 for number in range(100)})
    told = {cause(f"s{number}", scope=Scope.SITE) for number in range(FOLD_MANY - 1)}
    found = [finding(f"s{number}-{one}") for number in range(FOLD_MANY) for one in range(3)]
    assert [one.cause.scope for one in fold(found, sites, told, told)] == [Scope.FLEET]
    assert {one.cause.scope for one in fold(found[:-3], sites, told, told)} == {Scope.SITE}


def test_a_fold_is_critical_and_names_no_more_than_a_reader_takes() -> None:
    sites = fleet(park=200)
    (one,) = fold((finding(gateway) for gateway in sites), sites, ())
    assert one.severity is Severity.CRITICAL
    assert (one.detail["count"], one.detail["of"], len(one.detail["gateways"])) == (200, 200, NAMED_MAX)


def test_kinds_are_not_mixed() -> None:
    sites = fleet(park=4)
    clock = [finding(one, cause=cause(one, AlertKind.CLOCK_OFF)) for one in ("park-2", "park-3")]
    told = list(fold([finding("park-0"), finding("park-1"), *clock], sites, ()))
    assert {one.cause.scope for one in told} == {Scope.GATEWAY}
    assert len(told) == 4


def test_a_fold_of_nothing_is_nothing() -> None:
    assert list(fold((), fleet(park=3), ())) == []


def test_an_alert_knows_whether_it_is_open() -> None:
    assert alert().is_open
    assert not replace(alert(), closed_at=NOW).is_open
