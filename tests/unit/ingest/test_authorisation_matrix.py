"""Every route x role x field, through the real door over the real table: only the handlers are played.

A played handler answers with one document that has a field for each rule of its resource, so that each field of each
route is asked for by each role. What is expected is worked out here from the bare TOML, not by the policy's code.
"""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from httpx import Response
from starlette.responses import JSONResponse
from starlette.responses import Response as Answer
from starlette.types import Message, Receive, Scope, Send

from ingest.access.policy import Policy, PolicyIncomplete
from ingest.access.policy_file import read_policy, shipped_policy
from ingest.access.principal import Kind, Principal, open_reader, site_scope, stranger
from ingest.api.admission import Admission
from ingest.api.door import Door, House, Routes
from ingest.caller import Caller
from metering.toml_source import TomlSource
from tests.doubles.memory_centre import MemoryCentre
from tests.doubles.memory_database import MemoryDatabase

ROLE, SITES = "Role", "Sites"
CALLER = Caller("eng-1", "127.0.0.1", "a test")
MARK = "here"
SEGMENT = "park"
"""What stands for each parameter of a path; a site's name, so that sites in paths are one."""


def table() -> dict[str, dict[str, Any]]:
    """The shipped table as bare TOML: sections with the rows of all files."""
    rows: dict[str, dict[str, Any]] = {}
    for file in resources.files("ingest.access").joinpath("policy").iterdir():
        for section, content in tomllib.loads(file.read_text(encoding="utf-8")).items():
            rows.setdefault(section, {}).update(content)
    return rows


TABLE = table()
_LOOP = asyncio.Runner()
ROLES = sorted(TABLE["roles"])
ROWS = sorted(TABLE["routes"])


def places(path: str) -> list[str]:
    """The keys that lead to one field of a rule; [] stands for the only element of a list."""
    keys: list[str] = []
    for part in path.split("."):
        name = part.rstrip("[]")
        keys += [{"*": "any", "**": "whatever"}.get(name, name)] if name else []
        keys += ["[]"] * part.count("[]")
    return keys


def plant(document: Any, keys: list[str], leaf: Any) -> Any:
    """Put one field into a document."""
    if not keys:
        # Where a rule of a table or list also has rules below, the deeper document shows both.
        return leaf if document is None else document
    first, *rest = keys
    if first == "[]":
        known = document[0] if isinstance(document, list) and document else None
        return [plant(known, rest, leaf)]
    table = document if isinstance(document, dict) else {}
    return {**table, first: plant(table.get(first), rest, leaf)}


def document_of(resource: str, site: str = SEGMENT) -> Any:
    """A document with every field that has a rule."""
    document: Any = None
    rules = TABLE["fields"][resource]
    for path in sorted(rules, key=len, reverse=True):
        document = plant(document, places(path), site if rules[path] == "site" else MARK)
    return document


def has(document: Any, keys: list[str]) -> bool:
    """Say whether a field stands in a document."""
    for key in keys:
        if key == "[]":
            if not isinstance(document, list) or not document:
                return False
            document = document[0]
        elif isinstance(document, dict) and key in document:
            document = document[key]
        else:
            return False
    return True


def played(scope: Scope) -> Answer:
    """Answer as the handler of a route would, with every field there can be."""
    rule = scope["state"]["rule"]
    if not rule.resource:
        return Answer(status_code=204)
    return JSONResponse(document_of(rule.resource, scope["state"].get("at_site", SEGMENT)))


def role_of(request: Request) -> Principal | None:
    """A way to know who asks that believes what it is told."""
    role = request.headers.get(ROLE)
    if role is None:
        return None
    sites = request.headers.get(SITES)
    scope = site_scope(None if sites is None else [one for one in sites.split(",") if one])
    kind = Kind.CLIENT if role == "billing" else Kind.OPERATOR
    return Principal(f"the-{role}", frozenset({role}), scope, kind, CALLER)


class NoBooks(MemoryDatabase):
    """Books in which nothing is of any site."""

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Lend a connection on which nothing is found."""
        yield SimpleNamespace(execute=lambda *_: SimpleNamespace(fetchone=lambda: None))


class Believing(Admission):
    """An admission that believes the header."""

    def principal(self, request: Request) -> Principal:
        """Give who he says he is."""
        if request.headers.get(ROLE) == "reader":
            return open_reader(CALLER)
        return role_of(request) or stranger(CALLER)


class Hall:
    """The door over played handlers."""

    def __init__(self, policy: Policy, routes: Routes) -> None:
        self.reached: list[str] = []
        self.at_site = SEGMENT

        async def handlers(scope: Scope, receive: Receive, send: Send) -> None:
            self.reached.append(scope["state"]["rule"].key)
            scope["state"]["at_site"] = self.at_site
            await played(scope)(scope, receive, send)

        self.rows = [row for row in ROWS if is_there(routes, row)]
        house = House(policy, routes, Believing("t0ken"), NoBooks(), check_fields=True)
        self.door = Door(handlers, house)

    def call(self, row: str, role: str | None, **headers: str) -> Response:
        """Call the route of a row."""
        method, _, path = row.partition(" ")
        return self.ask(method, address(path), {} if role is None else {ROLE: role, **headers})

    def ask(self, method: str, path: str, headers: dict[str, str]) -> Response:
        """Call the door as a server does, without one: there are thousands of calls."""
        path, _, query = path.partition("?")
        named = [(b"host", b"127.0.0.1"), *((name.lower().encode(), text.encode()) for name, text in headers.items())]
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": named}
        scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "root_path": ""}
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        _LOOP.run(self.door(scope, _nothing, send))
        body = b"".join(one.get("body", b"") for one in sent[1:])
        return Response(sent[0]["status"], headers=sent[0]["headers"], content=body)


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def is_there(routes: Routes, row: str) -> bool:
    """Say whether the application has the route of a row; that all are there is a test of its own."""
    method, _, path = row.partition(" ")
    found = routes.find(method, address(path))
    return found is not None and found[0].key == row


def address(path: str) -> str:
    """Fill the parameters of a path."""
    return re.sub(r"\{[^}]*\}", SEGMENT, path)


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[None]:
    """The loop that all calls run on, closed at the end."""
    yield
    _LOOP.close()


@pytest.fixture(scope="module")
def hall() -> Hall:
    """The door with the routes of the whole application."""
    routes = Routes(shipped_policy())
    routes.learn(MemoryCentre().app)
    return Hall(routes.policy, routes)


def test_every_row_is_of_a_route_and_every_route_has_a_row(hall: Hall) -> None:
    for row in ROWS:
        method, _, path = row.partition(" ")
        found = hall.door._house.routes.find(method, address(path))
        assert found is not None, f"{row} is of no route"
        assert found[0].key == row, f"{row} is taken by {found[0].key}"


def test_a_route_without_a_row_keeps_the_application_from_starting() -> None:
    app = MemoryCentre().app
    app.add_api_route("/v1/forgotten", table, methods=["GET"])
    with pytest.raises(PolicyIncomplete, match="GET /v1/forgotten"):
        Routes(shipped_policy()).learn(app)


@pytest.mark.parametrize("role", [*ROLES, None])
def test_each_role_gets_through_where_its_permissions_lead_and_nowhere_else(hall: Hall, role: str | None) -> None:
    for row in hall.rows:
        wanted = TABLE["routes"][row]
        needed = wanted.get("permission")
        may = needed is None or (role is not None and role in TABLE["permissions"][needed])
        rules = TABLE["fields"].get(wanted.get("resource", ""), {})
        is_whole = list(rules) == ["**"] and wanted.get("masks", "door") == "door"
        sees = role is not None and classes(rules.get("**")) <= set(TABLE["roles"][role]["sees"])
        hall.reached.clear()
        answer = hall.call(row, role)
        if not may:
            is_nobody = role in (None, "reader")
            assert answer.status_code == (401 if is_nobody else 403), (row, role)
            assert hall.reached == [], f"{row}: the handler ran for {role}"
        elif is_whole and needed is not None and not sees:
            assert (answer.status_code, answer.json()["reason"], hall.reached) == (403, "sight", []), (row, role)
        else:
            assert answer.status_code < 300, (row, role, answer.text)
            assert len(hall.reached) == 1, (row, role)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_the_fields_of_its_classes_and_no_others(hall: Hall, role: str) -> None:
    sees = set(TABLE["roles"][role]["sees"])
    for row in hall.rows:
        wanted = TABLE["routes"][row]
        resource = wanted.get("resource", "")
        if not resource or wanted.get("masks", "door") != "door":
            continue
        answer = hall.call(row, role)
        if answer.status_code >= 300:
            continue
        document = answer.json() if answer.status_code == 200 else None
        for path, told in TABLE["fields"][resource].items():
            assert has(document, places(path)) == (classes(told) <= sees), (row, role, path, document)


@pytest.mark.parametrize("role", ROLES)
def test_what_is_hidden_cannot_be_chosen_or_sorted_by(hall: Hall, role: str) -> None:
    sees = set(TABLE["roles"][role]["sees"])
    for row in hall.rows:
        wanted = TABLE["routes"][row]
        if hall.call(row, role).status_code >= 300:
            continue
        for name, path in wanted.get("filters", {}).items():
            answer = hall.call(f"{row}?{name}=x", role)
            rules = TABLE["fields"][wanted["resource"]]
            told = [rule for known, rule in rules.items() if covers(known, path)]
            assert told, f"{row}: {name} filters by {path}, which has no rule"
            assert (answer.status_code < 300) == any(classes(one) <= sees for one in told), (row, role, name)
        if "sorts" in wanted:
            prefix = wanted["sorts"]
            for path, told in TABLE["fields"][wanted["resource"]].items():
                if path.startswith(f"{prefix}.") and "." not in (column := path[len(prefix) + 1 :]):
                    for sign in ("", "-"):
                        answer = hall.call(f"{row}?sort={sign}{column}", role)
                        assert (answer.status_code < 300) == (classes(told) <= sees), (row, role, column)
            assert hall.call(f"{row}?sort=never_heard_of", role).status_code == 403


@pytest.mark.parametrize("role", [one for one in ROLES if one not in ("tenant", "reader")])
def test_who_has_no_site_gets_nothing_of_any(hall: Hall, role: str) -> None:
    for row in hall.rows:
        wanted = TABLE["routes"][row]
        if "permission" not in wanted or wanted.get("site") == "none":
            continue
        hall.reached.clear()
        answer = hall.call(row, role, **{SITES: ""})
        if wanted.get("site") == "rows" and answer.status_code < 300 and wanted.get("masks", "door") == "door":
            rules = TABLE["fields"][wanted["resource"]]
            for path, told in rules.items():
                if told == "site":
                    assert not has(answer.json(), places(path)), (row, path)
        elif wanted.get("masks", "door") == "door" or wanted.get("site") != "rows":
            assert answer.status_code in (403, 404), (row, role, answer.text)
            assert hall.reached == [], row


@pytest.mark.parametrize("sites", ["park", "other"])
def test_rows_of_other_sites_are_not_there_for_who_has_one_site(hall: Hall, sites: str) -> None:
    for row in hall.rows:
        wanted = TABLE["routes"][row]
        if wanted.get("site") != "rows" or wanted.get("masks", "door") != "door":
            continue
        hall.at_site = "park"
        answer = hall.call(row, "administrator", **{SITES: sites})
        rows = [path for path, told in TABLE["fields"][wanted["resource"]].items() if told == "site"]
        assert rows, f"{row} leaves out rows by site, and nothing in them says of which site they are"
        for path in rows:
            there = answer.status_code == 200 and has(answer.json(), places(path))
            assert there == (sites == "park"), (row, path)


def test_a_person_at_a_page_is_led_to_sign_in_and_a_program_is_told(hall: Hall) -> None:
    page = hall.call("GET /fleet", None)
    assert page.status_code == 401
    browser = hall.ask("GET", "/fleet?state=silent", {"Accept": "text/html"})
    if hall.door._house.routes.has("/sign-in"):
        assert browser.status_code == 303
        assert browser.headers["Location"] == "/sign-in?next=%2Ffleet%3Fstate%3Dsilent"
    api = hall.ask("GET", "/v1/gateways", {"Accept": "text/html"})
    assert api.status_code == 401
    assert api.headers["Content-Type"] == "application/problem+json"


# What the door does with an answer that should not be


TRIAL = """
[roles.guest]
zh = "访客"
en = "guest"
sees = ["public", "site"]
[roles.boss]
zh = "主管"
en = "boss"
sees = ["public", "money", "site"]
[permissions]
"read" = ["guest", "boss"]
[routes."GET /trial"]
permission = "read"
resource = "trial"
site = "none"
filters = { most = "owed", name = "open" }
sorts = "rows[]"
[fields.trial]
"open" = "public"
"owed" = "money"
"rows[].open" = "public"
"rows[].owed" = "money"
"""


def trial_of(
    answer: Answer, role: str, *, check_fields: bool = True, masked: bool = False, query: str = ""
) -> Response:
    """Let a played answer through the door of a small table."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route("/trial", table, methods=["GET"])
    routes = Routes(read_policy([TomlSource.parse(TRIAL, "trial.toml")]))
    routes.learn(app)

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["masked"] = masked
        await answer(scope, receive, send)

    hall = Hall(routes.policy, routes)
    hall.door = Door(handler, House(routes.policy, routes, Believing("t0ken"), NoBooks(), check_fields))
    return hall.call(f"GET /trial{query}", role)


def test_a_field_without_a_rule_is_an_error_in_tests_and_hidden_in_service() -> None:
    answer = JSONResponse({"open": 1, "owed": 2, "new": 3})
    checked = trial_of(answer, "boss", check_fields=True)
    assert checked.status_code == 500
    assert "[fields.trial]" in checked.json()["detail"]
    assert "new" in checked.json()["detail"]
    assert trial_of(answer, "guest", check_fields=False).json() == {"open": 1}


def test_what_the_door_cannot_look_through_does_not_pass_it() -> None:
    file = Answer(b"owed\r\n2\r\n", media_type="text/csv")
    assert trial_of(file, "boss", check_fields=True).content == b"owed\r\n2\r\n"
    refused = trial_of(file, "guest", check_fields=True)
    assert refused.status_code == 500
    assert b"2" not in refused.content.replace(b"request", b"").split(b'"detail"')[0]
    assert "cannot mask" in refused.json()["detail"]
    assert trial_of(file, "guest", check_fields=True, masked=True).content == b"owed\r\n2\r\n"


def test_a_masked_answer_has_the_length_that_is_left() -> None:
    seen = trial_of(JSONResponse({"open": "价", "owed": 2}, headers={"X-Kept": "yes"}), "guest", check_fields=False)
    assert json.loads(seen.content) == {"open": "价"}
    assert (int(seen.headers["Content-Length"]), seen.headers["X-Kept"]) == (len(seen.content), "yes")


@pytest.mark.parametrize(
    ("query", "guest"),
    [
        ("?name=x", 200),
        ("?most=5", 403),
        ("?name=x&most=", 403),
        ("?sort=open", 200),
        ("?sort=owed", 403),
        ("?sort=-owed", 403),
        ("?sort=open,-owed", 403),
        ("?sort=owed&sort=open", 403),
        ("?sort=open&sort=owed", 403),
        ("?other=owed", 200),
    ],
)
def test_who_does_not_see_amounts_finds_none_by_choosing_and_sorting(query: str, guest: int) -> None:
    answer = JSONResponse({"open": 1})
    refused = trial_of(answer, "guest", query=query)
    assert refused.status_code == guest
    assert "owed" not in refused.text.replace("/trial", "")
    assert trial_of(answer, "boss", query=query).status_code == 200
    assert trial_of(answer, "boss", query="?sort=never_heard_of").status_code == 403


def test_problems_pass_as_they_are() -> None:
    problem = JSONResponse({"detail": "no"}, 409, media_type="application/problem+json")
    assert trial_of(problem, "guest", check_fields=True).json() == {"detail": "no"}


def classes(told: str | list[str] | None) -> set[str]:
    """The classes of a rule."""
    if told is None:
        return {"nobody sees this"}
    return {told} if isinstance(told, str) else set(told)


def covers(rule: str, path: str) -> bool:
    """Say whether a rule speaks of a field, or of something in it."""
    wide = rule.removesuffix("**").removesuffix(".")
    return rule == path or (rule.endswith("**") and path.startswith(wide)) or rule.startswith((f"{path}.", f"{path}["))
