"""docs/events.md says of events what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from ingest.access.policy_file import shipped_policy
from ingest.event_kinds import KINDS, EventKind
from ingest.webhooks.ladder import LADDER
from ingest.webhooks.owners import PERMISSIONS
from ingest.webhooks.post import DEADLINE_S

PAGE = (Path(__file__).parents[3] / "docs/events.md").read_text(encoding="utf-8")


def test_each_kind_stands_once_beside_what_it_is_about_and_the_permission_it_takes() -> None:
    rows = {
        about: (kinds, permission) for about, kinds, permission in re.findall(r"\| (\w+) \| (.+) \| `(.+)` \|", PAGE)
    }
    told = {kind: about for about, (kinds, _) in rows.items() for kind in re.findall(r"`([a-z.]+)`", kinds)}
    assert told == {str(kind): str(KINDS[kind].resource) for kind in EventKind}
    assert {about: permission for about, (_, permission) in rows.items()} == {
        str(resource): permission for resource, permission in PERMISSIONS.items()
    }


def test_every_permission_it_takes_is_one_of_the_policy() -> None:
    assert set(PERMISSIONS.values()) <= set(shipped_policy().permissions)


def test_the_ladder_and_the_deadline_are_those_of_the_page() -> None:
    hours = ", ".join(str(int(one.total_seconds() // 3600)) for one in LADDER[4:-1])
    assert f"after 5 s, 5 min, 30 min, {hours} and 24 h" in PAGE
    assert f"Answer 2xx within {DEADLINE_S:g} s" in PAGE
