"""Who has shown his password alone, over HTTP."""

from __future__ import annotations

from ingest.caller import Caller
from ingest.passwords import new_secret
from ingest.store.database import Database
from ingest.store.sign_ins import set_code
from tests.doubles.console_centre import NOW, console_centre


def test_the_cookie_of_who_has_shown_his_password_alone_opens_nothing(
    database: Database, cheap_passwords: None
) -> None:
    with console_centre(database) as centre:
        centre.add("manager", "energy-manager")
        with database.transaction() as connection:
            set_code(connection, "manager", new_secret(), 0, Caller("manager", "", "", True), NOW)
        half = centre.sign_in("manager", next="/fleet")
        assert half.headers["Location"] == "/sign-in/code?next=%2Ffleet"
        for path in ("/account", "/fleet"):
            assert centre.client.get(path, headers={"Accept": "text/html"}).status_code == 303
        assert centre.client.get("/v1/gateways").status_code == 401
        assert centre.send("/sign-in/code", code="000000").status_code == 401
