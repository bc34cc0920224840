"""Programs with keys and tokens, and operators with roles and sites, over a real database and a real socket."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.access.policy_file import shipped_policy
from ingest.audit_log import chain_faults
from ingest.caller import Caller
from ingest.cli import main
from ingest.store.audit import entries
from ingest.store.clients import (
    TOKEN_S,
    ClientRefused,
    add_client,
    client_of_key,
    end_keys,
    keys,
    make_key,
    remove_client,
    rotate_key,
)
from ingest.store.database import Database
from ingest.store.operators import OperatorRefused, Post, add_operator, change_operator
from metering.clock import ManualClock
from tests.doubles.installing import NOW, InstallingCentre
from tests.integration.test_api_service import ADMIN, Centre, closed_centre

BY = Caller("local/root", "here", "a test")
TOKEN = "/v1/oauth/token"
RUNS = "/v1/allocation-runs"
NUMBER = "park-2026-07-01--2026-07-01-t-01-v1"


@pytest.fixture(scope="module")
def closed(postgres_dsn: str, migrated_template: str) -> Iterator[Centre]:
    """A service with one closed day."""
    with closed_centre(postgres_dsn, migrated_template) as built:
        yield built


@pytest.fixture
def centre(database: Database) -> Iterator[InstallingCentre]:
    """A service without books, whose clock the test moves."""
    with InstallingCentre(database).open() as built:
        yield built


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def operator(database: Database, name: str, *roles: str, sites: tuple[str, ...] | None = None) -> dict[str, str]:
    """Add an operator; give his header."""
    with database.transaction() as connection:
        return bearer(add_operator(connection, name, BY, NOW, Post(roles, sites)))


def client(database: Database, name: str, role: str = "billing", **parts: Any) -> str:
    """Add a client with a key; give the key."""
    with database.transaction() as connection:
        add_client(connection, name, [role], parts.pop("sites", None), BY, NOW)
        return make_key(connection, name, BY, NOW, **parts)


def ask(centre: Any, key: str, **form: str) -> Any:
    """Ask for a token."""
    given = {"grant_type": "client_credentials", "client_id": "billing", "client_secret": key} | form
    return centre.client.post(TOKEN, data=given)


# Keys


def test_a_key_opens_what_its_client_may_and_is_kept_as_a_hash_only(
    centre: InstallingCentre, database: Database
) -> None:
    key = client(database, "billing")
    assert centre.client.get(RUNS, headers=bearer(key)).status_code == 200
    refused = centre.client.get("/v1/gateways", headers=bearer(key))
    assert (refused.status_code, refused.json()["reason"]) == (403, "permission")
    with database.transaction() as connection:
        for (row,) in connection.execute("SELECT client_keys::text FROM client_keys"):
            assert key not in row
            assert key.rpartition("_")[2] not in row


def test_a_key_that_is_wrong_ended_or_of_a_removed_client_counts_no_more(
    centre: InstallingCentre, database: Database
) -> None:
    key = client(database, "billing", ends_at=NOW + timedelta(days=1))
    lasting = client(database, "other")
    assert isinstance(centre.clock, ManualClock)
    for wrong in (key[:-1] + ("a" if key[-1] != "a" else "b"), key + "a", key.upper(), "mtk_", "mta_" + key[4:]):
        assert centre.client.get(RUNS, headers=bearer(wrong)).status_code == 401
    assert centre.client.get(RUNS, headers=bearer(key)).status_code == 200
    centre.clock.sleep(86_401)
    assert centre.client.get(RUNS, headers=bearer(key)).status_code == 401
    with database.transaction() as connection:
        remove_client(connection, "other", BY, NOW)
    assert centre.client.get(RUNS, headers=bearer(lasting)).status_code == 401


def test_a_rotated_key_counts_until_the_overlap_is_over_and_hands_its_scopes_on(database: Database) -> None:
    first = client(database, "billing", scopes=["runs.read"])
    with database.transaction() as connection:
        second = rotate_key(connection, "billing", timedelta(hours=24), BY, NOW)
        later = NOW + timedelta(hours=23)
        old, new = client_of_key(connection, first, later), client_of_key(connection, second, later)
        assert old is not None
        assert new is not None
        assert new.scopes == old.scopes == frozenset({"runs.read"})
        after = NOW + timedelta(hours=24)
        assert client_of_key(connection, first, after) is None
        assert client_of_key(connection, second, after) is not None
        rotate_key(connection, "billing", timedelta(days=30), BY, NOW + timedelta(hours=1))
        assert client_of_key(connection, first, after) is None, "no rotation lengthens the life of a key"


def test_a_key_is_limited_to_its_scopes_and_scopes_to_the_role(centre: InstallingCentre, database: Database) -> None:
    key = client(database, "billing", scopes=["statements.read"])
    assert centre.client.get(RUNS, headers=bearer(key)).status_code == 403
    assert centre.client.get("/v1/statements/none", headers=bearer(key)).status_code == 404
    with database.transaction() as connection, pytest.raises(ClientRefused, match=r"may not 'runs\.approve'"):
        make_key(connection, "billing", BY, NOW, scopes=["runs.approve"])


def test_what_a_client_may_not_be(database: Database) -> None:
    with database.transaction() as connection:
        for role in ("administrator", "approver", "reader", "tenant", "nobody"):
            with pytest.raises(ClientRefused, match="no role of a program"):
                add_client(connection, "x", [role], None, BY, NOW)
        with pytest.raises(ClientRefused, match="no role"):
            add_client(connection, "x", [], None, BY, NOW)
        add_client(connection, "x", ["billing"], None, BY, NOW)
        remove_client(connection, "x", BY, NOW)
        with pytest.raises(ClientRefused, match="names are never given again"):
            add_client(connection, "x", ["billing"], None, BY, NOW)
        with pytest.raises(ClientRefused, match="was removed"):
            make_key(connection, "x", BY, NOW)
        with pytest.raises(ClientRefused, match="no client 'y'"):
            end_keys(connection, "y", None, NOW, BY, NOW)
        add_client(connection, "z", ["billing"], None, BY, NOW)
        with pytest.raises(ClientRefused, match="ended already"):
            make_key(connection, "z", BY, NOW, ends_at=NOW)


def test_a_use_is_noted_to_the_hour(database: Database) -> None:
    key = client(database, "billing")
    used = []
    for minutes in (0, 59, 60, 61):
        with database.transaction() as connection:
            assert client_of_key(connection, key, NOW + timedelta(minutes=minutes)) is not None
            used.append(keys(connection, "billing")[0].used_at)
    assert used == [NOW, NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=1)]


# Tokens


def test_a_key_is_changed_for_a_token_of_a_quarter_of_an_hour(centre: InstallingCentre, database: Database) -> None:
    key = client(database, "billing")
    answer = ask(centre, key)
    given = answer.json()
    assert (answer.status_code, given["token_type"], given["expires_in"]) == (200, "Bearer", TOKEN_S)
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    assert set(given["scope"].split()) == shipped_policy().roles["billing"].permissions
    token = bearer(given["access_token"])
    assert centre.client.get(RUNS, headers=token).status_code == 200
    assert isinstance(centre.clock, ManualClock)
    centre.clock.sleep(TOKEN_S)
    assert centre.client.get(RUNS, headers=token).status_code == 401


def test_a_token_ends_with_its_key_and_has_no_more_than_was_asked_for(
    centre: InstallingCentre, database: Database
) -> None:
    key = client(database, "billing")
    narrow = bearer(ask(centre, key, scope="statements.read").json()["access_token"])
    assert centre.client.get(RUNS, headers=narrow).status_code == 403
    assert centre.client.get("/v1/statements/none", headers=narrow).status_code == 404
    wide = bearer(ask(centre, key).json()["access_token"])
    assert centre.client.get(RUNS, headers=wide).status_code == 200
    with database.transaction() as connection:
        assert end_keys(connection, "billing", None, centre.clock.now(), BY, NOW) == 1
    assert centre.client.get(RUNS, headers=wide).status_code == 401


def test_a_key_goes_by_http_basic_too(centre: InstallingCentre, database: Database) -> None:
    key = client(database, "billing")
    basic = {"Authorization": "Basic " + base64.b64encode(f"billing:{key}".encode()).decode()}
    form = {"grant_type": "client_credentials"}
    assert centre.client.post(TOKEN, data=form, headers=basic).status_code == 200
    twice = centre.client.post(TOKEN, data=form | {"client_secret": key}, headers=basic)
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    broken = centre.client.post(TOKEN, data=form, headers={"Authorization": "Basic %%%"})
    assert (broken.status_code, broken.json()["error"]) == (401, "invalid_client")
    assert broken.headers["WWW-Authenticate"] == 'Basic realm="metertree"'


def test_errors_have_the_form_that_oauth_libraries_read(centre: InstallingCentre, database: Database) -> None:
    key = client(database, "billing")
    client(database, "other")
    for form, status, error in (
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "unsupported_grant_type"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"scope": "runs.approve"}, 400, "invalid_scope"),
    ):
        answer = ask(centre, key, **form)
        assert (answer.status_code, answer.json()["error"]) == (status, error), form
        assert answer.json()["error_description"]
        assert answer.headers["Cache-Control"] == "no-store"
    missing = centre.client.post(TOKEN, data={"client_id": "billing"})
    assert missing.json()["error"] == "invalid_request"
    twice = centre.client.post(TOKEN, content="grant_type=client_credentials&scope=a&scope=b")
    assert twice.json()["error"] == "invalid_request"
    assert centre.client.post(TOKEN, content=b"x" * 9000).json()["error"] == "invalid_request"
    assert centre.client.post(TOKEN, content=b"\xff\xfe=\x00").json()["error"] == "invalid_request"


def test_who_guesses_secrets_waits(centre: InstallingCentre, database: Database) -> None:
    key = client(database, "billing")
    for _ in range(10):
        assert ask(centre, "mtk_guess").status_code == 401
    held = ask(centre, key)
    assert (held.status_code, held.headers["Retry-After"]) == (429, "6")
    assert isinstance(centre.clock, ManualClock)
    centre.clock.sleep(6)
    assert ask(centre, key).status_code == 200


# Roles and sites, on real books


def test_leasing_sees_the_lines_and_no_amount_finance_the_amounts(closed: Centre) -> None:
    database = closed.books.database
    leasing = operator(database, "leasing-1", "leasing")
    finance = operator(database, "finance-1", "finance")
    run = closed.close()["run"]
    for path in ("lines", "correction", ""):
        href = f"{RUNS}/{run}/{path}".rstrip("/")
        whole = closed.client.get(href, headers=ADMIN)
        seen = closed.client.get(href, headers=leasing)
        assert "_minor" in whole.text or path == "correction"
        assert seen.status_code == 200
        assert "_minor" not in seen.text
        assert "cost_nano" not in seen.text
        assert closed.client.get(href, headers=finance).json() == whole.json()
    lines = closed.client.get(f"{RUNS}/{run}/lines", headers=leasing).json()["lines"]
    assert {"pool", "party", "unit", "band_energy_wh"} <= lines[0].keys()
    for path in ("/v1/statements/park-2026-07-01--2026-07-01-t-01-v1", f"{RUNS}/{run}/posting", f"/runs/{run}"):
        assert closed.client.get(path, headers=leasing).status_code == 403
    log = closed.client.get(f"{RUNS}/{run}/log", headers=finance).json()
    assert log["steps"][0]["to"] == "computed"
    assert "by" not in log["steps"][0], "names of people are the house's"


def test_who_has_another_site_finds_nothing_of_this_one(closed: Centre) -> None:
    database = closed.books.database
    here = operator(database, "here-1", "energy-manager", sites=("park",))
    there = operator(database, "there-1", "energy-manager", sites=("campus",))
    run = closed.close()["run"]
    number = "park-2026-07-01--2026-07-01-t-01-v1"
    for path in (f"{RUNS}/{run}", f"/v1/statements/{number}", "/v1/gateways/gw-a", "/series/park/main"):
        assert closed.client.get(path, headers=here, follow_redirects=True).status_code == 200, path
        assert closed.client.get(path, headers=there).status_code == 404, path
    assert [one["run"] for one in closed.client.get(RUNS, headers=here).json()["runs"]] == [run]
    assert closed.client.get(RUNS, headers=there).json() == {"runs": []}
    assert closed.client.get("/v1/gateways", headers=there).json()["gateways"] == []
    request = {"site": "park", "period": "2026-07-01--2026-07-01", "booked_at": "2026-08-01T09:00:00+08:00"}
    assert closed.client.post(RUNS, json=request, headers=there).status_code == 404
    assert closed.client.post(RUNS, json=request, headers=here).status_code == 200
    nameless = closed.client.post(RUNS, json={"period": "2026-07"}, headers=here)
    assert (nameless.status_code, nameless.json()["reason"]) == (403, "site")
    assert closed.client.get(f"{RUNS}/none", headers=here).status_code == 404


def test_nothing_that_any_get_answers_tells_of_a_site_that_is_not_his(closed: Centre) -> None:
    """Every route, page and file that reads, as it really answers: no id of the park for who has the campus."""
    database = closed.books.database
    for role in ("administrator", "finance"):
        there = operator(database, f"campus-{role}", role, sites=("campus",))
        assert telling(closed, there) == [], role
    here = operator(database, "park-boss", "administrator", sites=("park",))
    assert len(telling(closed, here)) > 20, "the same look finds what there is"


def telling(closed: Centre, header: dict[str, str]) -> list[tuple[str, list[str]]]:
    """Ask every route that reads; give those whose answers hold an id of the park."""
    run = closed.close()["run"]
    real = {"run": run, "other": run, "site": "park", "node": "main", "gateway": "gw-a", "number": NUMBER}
    tell_tales = (run, "gw-a", "t-01", "u-a101", "bldg-a", "lobby-ac", closed.books.site.names.en)
    told = []
    for rule in shipped_policy().routes.values():
        path = re.sub(r"\{([^}:]*)[^}]*\}", lambda found: real.get(found[1], "1"), rule.path)
        if rule.method != "GET" or rule.permission is None or path.endswith("/events"):
            continue
        answer = closed.client.get(path, headers=header)
        assert answer.status_code < 500 or answer.status_code == 501, (rule.key, answer.text[:300])
        found = [one for one in tell_tales if one in answer.text and one not in path]
        if answer.status_code < 300 and found:
            told.append((rule.key, found))
    return told


def test_roles_change_from_the_next_call_on_and_the_change_is_recorded(closed: Centre) -> None:
    database = closed.books.database
    token = operator(database, "mover", "finance")
    run = closed.close()["run"]
    assert closed.client.get("/v1/statements/park-2026-07-01--2026-07-01-t-01-v1", headers=token).status_code == 200
    with database.transaction() as connection:
        change_operator(connection, "mover", Post(("field-engineer",), ("park",)), BY, NOW, "moved")
    assert closed.client.get(f"{RUNS}/{run}", headers=token).status_code == 403
    with database.transaction() as connection:
        log = list(entries(connection))
    assert list(chain_faults(log)) == []
    told = next(one.told for one in log if one.verb == "operator-changed")
    assert told["before"] == {"roles": ["finance"]}
    assert told["after"] == {"standing": "in force", "roles": ["field-engineer"], "sites": ["park"]}


def test_an_administrator_looks_through_other_eyes_changes_nothing_and_it_is_recorded(closed: Centre) -> None:
    database = closed.books.database
    boss = operator(database, "boss", "administrator")
    run = closed.close()["run"]
    eyes = {"Metertree-View-As": "leasing"}
    seen = closed.client.get(f"{RUNS}/{run}/lines", headers=boss | eyes)
    assert seen.headers["Metertree-Viewing-As"] == "leasing"
    assert "_minor" not in seen.text
    assert "_minor" in closed.client.get(f"{RUNS}/{run}/lines", headers=boss).text
    step = closed.client.post(f"{RUNS}/{run}/check", json={"at": "2026-08-01T10:00:00+08:00"}, headers=boss | eyes)
    assert (step.status_code, "changes nothing" in step.json()["detail"]) == (403, True)
    elsewhere = closed.client.get(f"{RUNS}/{run}", headers=boss | {"Metertree-View-As": "finance@campus"})
    assert elsewhere.status_code == 404
    for wanted, status in (("administrator", 422), ("king", 422), ("", 422)):
        answer = closed.client.get(RUNS, headers=boss | {"Metertree-View-As": wanted})
        assert answer.status_code == status
    finance = operator(database, "finance-2", "finance")
    assert closed.client.get(RUNS, headers=finance | eyes).status_code == 403
    with database.transaction() as connection:
        told = [one.told["after"] for one in entries(connection) if one.verb == "viewed-as" and one.who == "boss"]
    assert told == [{"role": "leasing"}, {"role": "finance@campus"}], "once an hour each"


def test_a_post_of_no_role_cannot_be_given() -> None:
    for roles in ((), ("reader",), ("tenant",), ("billing",), ("king",)):
        with pytest.raises(OperatorRefused):
            Post(roles)


def test_reads_are_open_to_this_machine_only_and_to_no_proxy_on_it(closed: Centre) -> None:
    for header in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"):
        assert closed.client.get(RUNS, headers={header: "10.0.0.1"}).status_code == 401
    assert closed.client.get(RUNS, headers={"Host": "attacker.example"}).status_code == 401
    assert closed.client.get(RUNS).status_code == 200


# The commands


def test_clients_at_the_command_line(
    database: Database, migrated_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = ("--dsn", migrated_dsn)
    file = tmp_path / "key"
    assert main(("client", "list", *dsn)) == 0
    assert "no clients yet" in capsys.readouterr().out
    added = ("client", "add", "billing", "--role", "billing", "--site", "park", "--days", "90", "--out", str(file))
    assert main((*added, *dsn)) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    first = file.read_text().strip()
    assert first not in capsys.readouterr().out
    assert main(("client", "rotate", "billing", "--overlap-hours", "1", *dsn)) == 0
    told = capsys.readouterr().out
    second = next(word for word in told.split() if word.startswith("mtk_"))
    assert "1 h more" in told
    assert main(("client", "end", "billing", first.rpartition("_")[0], *dsn)) == 0
    assert main(("client", "end", "billing", first.rpartition("_")[0], *dsn)) == 1
    assert main(("client", "key", "billing", "--scope", "statements.read", "--lang", "zh", *dsn)) == 0
    assert "仅显示一次" in capsys.readouterr().out
    assert main(("client", "list", *dsn)) == 0
    listed = capsys.readouterr().out
    assert "billing  in force  billing (park)" in listed
    assert second not in listed
    assert second.rpartition("_")[0] in listed
    assert main(("client", "remove", "billing", "--reason", "replaced", *dsn)) == 0
    assert main(("client", "add", "billing", "--role", "billing", *dsn)) == 1
    assert "never given again" in capsys.readouterr().err
    with database.transaction() as connection:
        verbs = [one.verb for one in entries(connection)]
    assert verbs == [
        *("client-added", "key-made", "key-ended", "key-made", "key-ended", "key-made"),
        "client-removed",
    ]


def test_operators_at_the_command_line(
    database: Database, migrated_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = ("--dsn", migrated_dsn)
    assert main(("operator", "add", "anna-f", "--role", "finance", "--site", "park", *dsn)) == 0
    assert main(("operator", "add", "usual", *dsn)) == 0
    assert main(("operator", "change", "anna-f", "--role", "auditor", "--reason", "moved", *dsn)) == 0
    capsys.readouterr()
    assert main(("operator", "list", *dsn)) == 0
    told = capsys.readouterr().out
    assert "auditor (all sites)" in told
    assert "approver, energy-manager, field-engineer (all sites)" in told
    assert main(("operator", "add", "wrong", "--role", "king", *dsn)) == 1
    assert "no role of a person" in capsys.readouterr().err
