"""The policy: who may, who sees; what no row names is refused, and what no rule names is hidden."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ingest.access
from ingest.access.fields import HIDDEN, Eyes, classes_at, field_tree, without_rule
from ingest.access.policy import Policy, PolicyIncomplete
from ingest.access.policy_file import read_policy, shipped_policy
from ingest.access.principal import Kind, Principal, admin_principal, open_reader, site_scope, stranger
from ingest.caller import Caller
from metering.errors import DocumentError
from metering.toml_source import TomlSource

CALLER = Caller("eng-1", "10.0.0.1", "a browser")
SMALL = """
[roles.boss]
zh = "主管"
en = "boss"
sees = ["public", "money", "site"]
[roles.guest]
zh = "访客"
en = "guest"
sees = ["public", "site"]
[permissions]
"bills.read" = ["boss", "guest"]
"bills.write" = ["boss"]
[routes]
"GET /bills" = { permission = "bills.read", resource = "bills", site = "rows" }
"POST /bills" = { permission = "bills.write", resource = "bills", site = "body:site" }
"GET /up" = { open = "probes carry no token" }
[fields.bills]
"bills[].number" = "public"
"bills[].site" = "site"
"bills[].owed" = "money"
"bills[].notes.**" = ["money", "public"]
"bills[].notes.title" = "public"
"totals.*" = "money"
"next" = "public"
"""
DOCUMENT: dict[str, Any] = {
    "bills": [
        {"number": 1, "site": "north", "owed": 5, "notes": {"title": "t", "more": {"deep": [1]}}, "unheard": "x"},
        {"number": 2, "site": "south", "owed": 7, "notes": {}, "unheard": {"owed": 7}},
    ],
    "totals": {"north": 5, "south": 7},
    "next": None,
    "surprise": [1, 2],
}


def policy_of(*texts: str) -> Policy:
    """Read a table."""
    return read_policy([TomlSource.parse(text, f"{place}.toml") for place, text in enumerate(texts)])


def somebody(*roles: str, sites: tuple[str, ...] | None = None) -> Principal:
    """An operator."""
    return Principal("eng-1", frozenset(roles), site_scope(sites), Kind.OPERATOR, CALLER)


def test_who_sees_everything_sees_what_has_a_rule_and_nothing_else() -> None:
    seen = policy_of(SMALL).mask(somebody("boss"), "bills", DOCUMENT)
    assert seen["bills"][0] == {
        "number": 1,
        "site": "north",
        "owed": 5,
        "notes": {"title": "t", "more": {"deep": [1]}},
    }
    assert seen["totals"] == {"north": 5, "south": 7}
    assert seen["next"] is None
    assert set(seen) == {"bills", "totals", "next"}


def test_what_is_of_a_class_one_does_not_see_is_not_there_at_all() -> None:
    seen = policy_of(SMALL).mask(somebody("guest"), "bills", DOCUMENT)
    assert seen == {
        "bills": [{"number": 1, "site": "north", "notes": {"title": "t"}}, {"number": 2, "site": "south", "notes": {}}],
        "next": None,
    }


def test_rows_of_other_sites_are_left_out_whole() -> None:
    policy = policy_of(SMALL)
    seen = policy.mask(somebody("boss", sites=("south",)), "bills", DOCUMENT)
    assert [one["number"] for one in seen["bills"]] == [2]
    nowhere = {"number": 3, "site": None, "owed": 1}
    assert policy.mask(somebody("boss", sites=("south",)), "bills", {"bills": [nowhere]}) == {"bills": []}
    assert policy.mask(somebody("boss", sites=()), "bills", DOCUMENT)["bills"] == []


def test_somebody_without_a_role_sees_and_may_nothing() -> None:
    policy = policy_of(SMALL)
    for who in (somebody(), somebody("no-such-role"), stranger(CALLER)):
        assert policy.mask(who, "bills", DOCUMENT) is None
        assert not policy.may(who, "bills.read")


def test_a_permission_holds_at_ones_own_sites_only_and_no_further_than_the_key() -> None:
    policy, boss = policy_of(SMALL), somebody("boss", sites=("north",))
    assert policy.may(boss, "bills.write", "north")
    assert not policy.may(boss, "bills.write", "south")
    assert not policy.may(somebody("guest"), "bills.write")
    limited = replace(boss, scopes=frozenset({"bills.read", "not.granted"}))
    assert policy.permissions_of(limited) == {"bills.read"}


def test_seeing_is_asked_for_by_path() -> None:
    policy = policy_of(SMALL)
    boss, guest = somebody("boss"), somebody("guest")
    assert policy.sees(boss, "bills", "bills[].owed")
    assert not policy.sees(guest, "bills", "bills[].owed")
    assert policy.sees(guest, "bills", "bills[]"), "something in it"
    assert not policy.sees(boss, "bills", "bills[].unheard")
    assert not policy.sees(boss, "nothing", "bills")
    assert policy.visible(guest, "bills", "bills[]", ("owed", "number", "site", "else")) == ("number", "site")
    assert policy.is_plain(boss, "bills")
    assert not policy.is_plain(guest, "bills")
    assert not policy.is_plain(somebody("boss", sites=("north",)), "bills")


def test_a_resource_that_nobody_described_is_refused_not_shown() -> None:
    with pytest.raises(PolicyIncomplete, match=r"fields\.nothing"):
        policy_of(SMALL).mask(somebody("boss"), "nothing", {})


def test_fields_without_a_rule_are_named_with_their_place() -> None:
    faults = policy_of(SMALL).without_rule("bills", DOCUMENT)
    assert set(faults) == {"bills[].unheard", "surprise"}
    assert policy_of(SMALL).without_rule("bills", {"bills": [], "next": [1]}) == ("next[]",)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('[roles.x]\nzh = "x"\nen = "x"\nsees = ["everything"]', "'everything' is no class"),
        ('[permissions]\n"p" = ["nobody"]', "'nobody' is no role"),
        ('[routes]\n"GET /x" = { permission = "none.such" }', "'none.such' is no permission"),
        ('[routes]\n"GET /x" = { permission = "bills.read", open = "why" }', "neither or both"),
        ('[routes]\n"GET /x" = { resource = "bills" }', "neither or both"),
        ('[routes]\n"GET /x" = { permission = "bills.read", resource = "none" }', "'none' is no resource"),
        ('[routes]\n"GET /x" = { permission = "bills.read", site = "guess:x" }', "site is 'guess:x'"),
        ('[routes]\n"GET /x" = { permission = "bills.read", site = "path" }', "site is 'path'"),
        ('[routes]\n"GET /x" = { permission = "bills.read", masks = "no" }', "masks is 'no'"),
        ('[routes]\n"GET /x" = { permission = "bills.read", public = true }', "'public' is no setting"),
        ('[routes]\n"GET /up" = { open = "again" }', "stands twice"),
        ('[fields.more]\n"a" = "top-secret"', "'top-secret' is no class"),
        ('[field.more]\n"a" = "public"', "no part of the table"),
    ],
)
def test_a_table_that_does_not_fit_together_is_refused_with_its_line(line: str, problem: str) -> None:
    with pytest.raises(DocumentError) as refused:
        policy_of(SMALL, line)
    assert [fault.path for fault in refused.value.faults] == ["1.toml"] * len(refused.value.faults)
    assert problem in " ".join(fault.problem for fault in refused.value.faults)


# The table that is shipped


def test_the_four_sentences_of_the_sandbox_hold_on_every_resource() -> None:
    policy = shipped_policy()
    finance, leasing = policy.roles["finance"].sees, policy.roles["leasing"].sees
    assert "money" in finance
    assert "tenant-trade" not in finance
    assert "tenant-trade" in leasing
    assert "money" not in leasing
    for name, rules in policy.fields.items():
        for path, classes in rules.items():
            if path.rpartition(".")[2].rstrip("[]").endswith(("_minor", "_nano", "owed", "debt", "arrears")):
                assert "money" in classes, f"{name}: {path} tells money, and its rule does not say so"


def test_nobody_has_both_hands_of_a_run_but_those_of_the_house() -> None:
    policy = shipped_policy()
    for role in ("finance", "leasing", "billing", "auditor", "reader", "tenant", "field-engineer"):
        assert not {"runs.close", "runs.check", "runs.approve", "runs.publish"} & policy.roles[role].permissions
    assert "runs.approve" not in policy.roles["energy-manager"].permissions
    assert "runs.close" not in policy.roles["approver"].permissions


def test_roles_that_only_look_have_no_permission_of_a_route_that_changes() -> None:
    policy = shipped_policy()
    changing = {rule.permission for rule in policy.routes.values() if rule.method not in ("GET", "HEAD")}
    reading = {rule.permission for rule in policy.routes.values() if rule.method == "GET"}
    for role in ("reader", "auditor", "tenant"):
        assert not policy.roles[role].permissions & (changing - reading), role


def test_a_secret_is_shown_by_routes_that_make_one_only() -> None:
    policy = shipped_policy()
    for rule in policy.routes.values():
        if rule.method == "GET" and rule.resource:
            classes = frozenset[str]().union(*policy.fields[rule.resource].values())
            assert "secret" not in classes, f"{rule.key} would show a secret whenever it is asked"


def test_an_open_route_says_why() -> None:
    for rule in shipped_policy().routes.values():
        assert rule.permission is not None or len(rule.open_because) > 10, rule.key


def test_every_resource_and_permission_is_used() -> None:
    policy = shipped_policy()
    named = {rule.permission for rule in policy.routes.values()}
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(ingest.__file__).parent.rglob("*.py"))
    assert [one for one in policy.permissions if one not in named and f'"{one}"' not in source] == []


def test_the_bearer_of_the_admin_token_may_all_and_is_nobody_in_person() -> None:
    admin, policy = admin_principal(CALLER), shipped_policy()
    assert policy.permissions_of(admin) == policy.permissions_of(somebody("administrator"))
    assert admin.is_known
    assert not open_reader(CALLER).is_known


# Whatever the rules and the document are

_KEYS = st.sampled_from("abc")
_DOCUMENTS = st.recursive(
    st.none() | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)
_PARTS = st.sampled_from(["a", "b", "c", "a[]", "b[]", "*", "[]"])
_RULES = st.dictionaries(
    st.lists(_PARTS, min_size=1, max_size=3).map(".".join) | st.sampled_from(["**", "a.**", "a[].**"]),
    st.sets(st.sampled_from(["public", "money"]), min_size=1).map(frozenset),
    max_size=6,
)


def leaves(document: Any, place: str = "") -> dict[str, Any]:
    """Every plain content by its place."""
    if isinstance(document, dict):
        found: dict[str, Any] = {}
        for key, content in document.items():
            found |= leaves(content, f"{place}.{key}" if place else key)
        return found
    if isinstance(document, list):
        found = {}
        for number, content in enumerate(document):
            found |= {f"{where}#{number}": one for where, one in leaves(content, place + "[]").items()}
        return found
    return {} if document is None else {place: document}


@given(_RULES, _DOCUMENTS)
def test_nothing_is_shown_whose_rule_asks_for_more(rules: dict[str, frozenset[str]], document: Any) -> None:
    tree = field_tree(rules)
    seen = Eyes(frozenset({"public"}), None).look(document, tree)
    for place in leaves(None if seen is HIDDEN else seen):
        classes = classes_at(tree, place.partition("#")[0])
        assert classes is not None, place
        assert classes <= {"public"}, place


@given(_RULES, _DOCUMENTS)
def test_who_sees_all_classes_misses_what_has_no_rule_only(rules: dict[str, frozenset[str]], document: Any) -> None:
    tree = field_tree(rules)
    seen = Eyes(frozenset({"public", "money"}), None).look(document, tree)
    shown = leaves(None if seen is HIDDEN else seen)
    unruled = set(without_rule(document, tree))
    if not unruled:
        assert len(shown) == len(leaves(document))
