"""Who is told of which event: by what he may read, and at which sites."""

from __future__ import annotations

import pytest

from ingest.access.policy_file import shipped_policy
from ingest.api.events import _wanted
from ingest.event_kinds import KINDS, EventKind, Resource
from ingest.webhooks.owners import PERMISSIONS, kinds_heard, may_hear, owner_name
from metering.identity import SiteId
from tests.doubles.hooked import ADMINISTRATOR, operator

POLICY = shipped_policy()
PARK, CAMPUS = SiteId("park"), SiteId("campus")


def test_an_administrator_is_told_of_everything() -> None:
    assert kinds_heard(POLICY, ADMINISTRATOR) == tuple(EventKind)
    assert all(may_hear(POLICY, ADMINISTRATOR, kind, site) for kind in EventKind for site in (PARK, None))


@pytest.mark.parametrize("kind", EventKind)
@pytest.mark.parametrize("role", sorted(set(POLICY.roles) - {"tenant"}))
def test_a_role_is_told_of_what_it_may_read_and_of_nothing_else(role: str, kind: EventKind) -> None:
    may_read = role in POLICY.permissions[PERMISSIONS[KINDS[kind].resource]]
    assert may_hear(POLICY, operator("ann", role), kind, PARK) is may_read
    assert (kind in kinds_heard(POLICY, operator("ann", role))) is may_read


def test_leasing_hears_of_no_charge_and_finance_of_no_alert() -> None:
    heard = {role: {KINDS[kind].resource for kind in kinds_heard(POLICY, operator("x", role))} for role in POLICY.roles}
    assert Resource.CHARGE not in heard["leasing"]
    assert Resource.ALERT not in heard["finance"]
    assert heard["tenant"] == set()


def test_who_has_some_sites_hears_of_these_and_not_of_the_centre() -> None:
    ann = operator("ann", "energy-manager", sites=("park",))
    told = {site: may_hear(POLICY, ann, EventKind.ALERT_OPENED, site) for site in (PARK, CAMPUS, None)}
    assert told == {PARK: True, CAMPUS: False, None: False}
    assert may_hear(POLICY, ann, EventKind.WEBHOOK_TEST, None), "a test of his own endpoint"


def test_a_pull_asks_for_no_site_and_no_kind_beyond() -> None:
    ann = operator("ann", "finance", sites=("park",))
    assert _wanted(ann, None, None).sites == (PARK,)
    assert _wanted(ann, None, "campus").sites == ()
    assert _wanted(ann, [EventKind.ALERT_OPENED, EventKind.RUN_PUBLISHED], "park").kinds == (EventKind.RUN_PUBLISHED,)
    assert _wanted(ADMINISTRATOR, None, None).sites is None


def test_an_owner_is_named_by_his_kind_so_that_a_client_is_no_operator_of_its_name() -> None:
    assert owner_name(operator("ann", "billing")) == "operator/ann"
    assert owner_name(ADMINISTRATOR) == "admin/admin"
