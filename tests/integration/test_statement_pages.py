"""The page of a statement over HTTP: what it shows, what it never shows, what a press does, and who has to wait."""

from __future__ import annotations

import inspect
import io
import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

import ingest.app
from allocation_engine.verification import verify_bundle
from ingest.statement_desk import Answer
from ingest.statement_states import DisputeState, StatementState
from provisioning.keys import public_verifier
from tests.doubles.issued_park import BY, TENANT, IssuedPark
from tests.doubles.park_books import CENTRE
from tests.doubles.web import serving

EN = {"Accept-Language": "en"}


@pytest.fixture
def client(issued_park: IssuedPark) -> Iterator[httpx.Client]:
    """A caller of the park's pages."""
    with serving(issued_park.app) as client:
        yield client


def page_of(client: httpx.Client, park: IssuedPark, language: str = "en") -> str:
    """The tenant's page."""
    answer = client.get(f"/s/{park.token}", headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    return answer.text


def photo() -> bytes:
    """A small picture with a place written into it."""
    octets = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "the maker of the telephone"
    Image.new("RGB", (32, 24), (90, 120, 60)).save(octets, "JPEG", exif=exif)
    return octets.getvalue()


def test_the_page_says_what_is_due_and_why(client: httpx.Client, issued_park: IssuedPark) -> None:
    text = page_of(client, issued_park)
    for told in ("¥107.90", "Qinghe Tea", "Unit A101", TENANT, "71,776.310", "71,875.870", "99.560 kWh", "¥90.26"):
        assert told in text, told
    assert "signed by gateway gw-a" in text
    assert "Resolution of the park assembly 2025-11, item 4" in text
    assert "you pay this" in text


def test_the_page_speaks_chinese(client: httpx.Client, issued_park: IssuedPark) -> None:
    text = page_of(client, issued_park, "zh-CN")
    for told in ("青禾茶业", "本期应付", "为什么要付这些钱", "您自己的表量到了 99.560 kWh", "大家共用", "两次相减"):
        assert told in text, told


def test_the_page_shows_places_that_share_and_nobody_elses_name_or_amount(
    client: httpx.Client, issued_park: IssuedPark
) -> None:
    text = page_of(client, issued_park)
    assert "Unit A102" in text
    others = ("Yuanfan", "Hengguang", "Mushi", "Yunti", "Mingche", "Baiwei", "Ruijin")
    assert [name for name in others if name in text] == []
    with issued_park.database.transaction() as connection:
        rows = connection.execute("SELECT amount_minor FROM run_lines WHERE party NOT IN ('t-01')").fetchall()
    mine = {line.amount_minor for line in issued_park.view().content.lines}
    amounts = {f"¥{one // 100:,}.{one % 100:02d}" for (one,) in rows if one not in mine}
    assert [one for one in sorted(amounts) if f">{one}<" in text] == []


def test_headers_keep_the_page_to_its_reader(client: httpx.Client, issued_park: IssuedPark) -> None:
    answer = client.get(f"/s/{issued_park.token}")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    assert answer.headers["Cache-Control"] == "private, no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert re.search(r"\sstyle=|<style|<script(?![^>]*src=)|\son\w+=", answer.text) is None


def test_opening_the_page_is_noted_once(client: httpx.Client, issued_park: IssuedPark) -> None:
    for _ in range(2):
        page_of(client, issued_park)
    assert [one.state for one in issued_park.view().steps] == ["issued", "seen"]


def test_the_file_verifies_as_a_stranger_would(client: httpx.Client, issued_park: IssuedPark) -> None:
    octets = client.get(f"/s/{issued_park.token}/statement.json").content
    key = public_verifier(CENTRE.algorithm, CENTRE.public_key)
    report = verify_bundle(octets, {CENTRE.key_id: key}, public_verifier)
    assert report.broken == ()
    assert "publication" in json.loads(octets)
    assert f'data-keys="{CENTRE.public_key.hex()}"' in page_of(client, issued_park)


def test_confirm_pressed_again_and_by_fifty_at_once_makes_one_charge(
    client: httpx.Client, issued_park: IssuedPark
) -> None:
    path = f"/s/{issued_park.token}/confirm"

    def press(_: int) -> int:
        with httpx.Client(base_url=client.base_url, timeout=60, trust_env=False) as own:
            return own.post(path).status_code

    with ThreadPoolExecutor(25) as pool:
        found = list(pool.map(press, range(50)))
    assert set(found) == {303}
    assert issued_park.kinds().count("charge.created") == 1
    text = page_of(client, issued_park)
    assert f"{TENANT}-c1" in text
    assert "/confirm" not in text


def test_a_dispute_freezes_its_line_and_is_answered_on_the_page(client: httpx.Client, issued_park: IssuedPark) -> None:
    line = issued_park.view().content.lines[0].id
    told = {"line": line, "reason": "my meter <b>shows</b> 71,800\nI can prove it"}
    answer = client.post(
        f"/s/{issued_park.token}/dispute", data=told, files={"photo": ("a.jpg", photo(), "image/jpeg")}
    )
    assert answer.status_code == 303, answer.text
    text = page_of(client, issued_park)
    assert "my meter &lt;b&gt;shows" in text
    assert "the other ¥17.64 becomes due" in text
    (dispute,) = issued_park.view().disputes
    assert dispute.photo is not None
    kept = client.get(f"/s/{issued_park.token}/photos/{dispute.photo.hex()}")
    assert kept.headers["Content-Type"] == "image/jpeg"
    assert b"maker of the telephone" not in kept.content
    assert client.post(f"/s/{issued_park.token}/confirm").status_code == 303
    issued_park.desk.answer(dispute.dispute, Answer(DisputeState.UPHELD, "it was read <twice>"), BY)
    text = page_of(client, issued_park)
    assert "it was read &lt;twice&gt;" in text
    assert f"{TENANT}-c2" in text


@pytest.mark.parametrize(
    ("told", "file"),
    [
        ({"line": "all", "reason": "  "}, None),
        ({"line": "", "reason": "kept words"}, None),
        ({"line": "all", "reason": "kept words"}, b"no picture"),
        ({"line": "own-use/a102/t-02", "reason": "kept words"}, None),
    ],
)
def test_a_dispute_that_cannot_be_taken_keeps_what_was_typed(
    client: httpx.Client, issued_park: IssuedPark, told: dict[str, str], file: bytes | None
) -> None:
    files = None if file is None else {"photo": ("a.jpg", file, "image/jpeg")}
    answer = client.post(f"/s/{issued_park.token}/dispute", data=told, files=files, headers=EN)
    assert answer.status_code == 422
    assert told["reason"].strip() in answer.text
    assert issued_park.view().disputes == ()


def test_all_of_a_statement_can_be_disputed(client: httpx.Client, issued_park: IssuedPark) -> None:
    told = {"line": "all", "reason": "not my rooms"}
    assert client.post(f"/s/{issued_park.token}/dispute", data=told).status_code == 303
    text = page_of(client, issued_park)
    assert "/confirm" not in text
    assert "All of the statement" in text


def test_only_photos_of_the_page_are_given(client: httpx.Client, issued_park: IssuedPark) -> None:
    told = {"line": "all", "reason": "see there"}
    other = issued_park.desk.link(TENANT.replace("t-01", "t-02"), BY).token
    client.post(f"/s/{other}/dispute", data=told, files={"photo": ("a.jpg", photo(), "image/jpeg")})
    (theirs,) = issued_park.desk.open_token(other).disputes
    assert theirs.photo is not None
    assert client.get(f"/s/{other}/photos/{theirs.photo.hex()}").status_code == 200
    assert client.get(f"/s/{issued_park.token}/photos/{theirs.photo.hex()}").status_code == 404
    assert client.get(f"/s/{issued_park.token}/photos/nothing").status_code == 404


def test_a_link_that_does_not_open_says_why_in_words(client: httpx.Client, issued_park: IssuedPark) -> None:
    token = issued_park.token
    unknown = client.get("/s/0000", headers=EN)
    assert unknown.status_code == 404
    assert "This link opens nothing" in unknown.text
    issued_park.clock.sleep(401 * 86400)
    expired = client.get(f"/s/{token}", headers=EN)
    assert expired.status_code == 410
    assert "This link has expired" in expired.text
    assert "Qinghe" not in expired.text
    assert client.post(f"/s/{token}/confirm").status_code == 410


def test_who_guesses_waits_and_his_neighbours_do_not(client: httpx.Client, issued_park: IssuedPark) -> None:
    for _ in range(20):
        assert client.get("/s/0000").status_code == 404
    answer = client.get("/s/0000", headers=EN)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Please wait" in answer.text
    issued_park.clock.sleep(300)
    assert client.get("/s/0000").status_code == 404


def test_a_link_that_is_opened_too_often_waits(client: httpx.Client, issued_park: IssuedPark) -> None:
    path = f"/s/{issued_park.token}/qr.svg"
    found = [client.get(path).status_code for _ in range(92)]
    assert found[:90] == [200] * 90
    assert found[-1] == 429


def test_the_code_holds_the_link_and_no_name(client: httpx.Client, issued_park: IssuedPark) -> None:
    picture = client.get(f"/s/{issued_park.token}/qr.svg")
    assert picture.headers["Content-Type"] == "image/svg+xml"
    assert "Qinghe" not in picture.text
    assert "<text" not in picture.text


def test_the_token_is_in_no_log_and_no_metric(
    client: httpx.Client, issued_park: IssuedPark, caplog: pytest.LogCaptureFixture
) -> None:
    token = issued_park.token
    with caplog.at_level(logging.DEBUG):
        page_of(client, issued_park)
        client.post(f"/s/{token}/dispute", data={"line": "all", "reason": ""})
        client.post(f"/s/{token}/confirm", content=b"x" * 10, headers={"Content-Type": "text/plain"})
        client.get(f"/s/{token}/nothing-here")
    # The server's own log of calls is switched off where the service runs.
    assert "access_log=False" in inspect.getsource(ingest.app)
    apart = ("httpx", "httpcore", "uvicorn.access")
    server = [one for one in caplog.records if not one.name.startswith(apart)]
    assert [one for one in server if token in repr(one.__dict__)] == []
    assert token not in client.get("/metrics").text


def test_a_superseded_statement_is_shown_and_takes_no_more(client: httpx.Client, issued_park: IssuedPark) -> None:
    with issued_park.database.transaction() as connection:
        connection.execute(
            "INSERT INTO statement_states (statement, step, from_state, to_state, actor, acted_at) "
            "VALUES (%s, 2, 'issued', 'superseded', 'cy', now())",
            [TENANT],
        )
    text = page_of(client, issued_park)
    assert "counts no more" in text
    assert "/confirm" not in text
    client.post(f"/s/{issued_park.token}/confirm")
    assert issued_park.view().charges == ()
    assert issued_park.view().state is StatementState.SUPERSEDED


def test_few_periods_are_told_and_many_are_drawn(client: httpx.Client, issued_park: IssuedPark) -> None:
    text = page_of(client, issued_park)
    assert "There are 1 periods so far" in text
    add_periods(issued_park, 13)
    text = page_of(client, issued_park)
    assert "periods so far" not in text
    assert text.count('class="before"') == 13
    assert "than the period before" in text


def add_periods(park: IssuedPark, count: int) -> None:
    """Publish earlier months with the same lines: rows alone, as a year of closings would leave them."""
    steps = ((None, "computed"), ("computed", "checked"), ("checked", "approved"), ("approved", "published"))
    with park.database.transaction() as connection:
        for place in range(1, count + 1):
            month = f"{2026 - (place + 5) // 12}-{12 - (place + 5) % 12:02d}"
            run = f"{place:064x}"
            connection.execute(
                "INSERT INTO allocation_runs (run, site, period, state, booked_at, site_version, inputs_hash, "
                "engine_version, document, created_at, steps, computed_by, checked_by, approved_by) "
                "SELECT %s, site, %s, state, booked_at, site_version, inputs_hash, engine_version, "
                "jsonb_build_object('period', jsonb_build_object('start', %s::text)), created_at, 4, 'an', 'bo', 'cy' "
                "FROM allocation_runs WHERE run = %s",
                [run, month, f"{month}-01T00:00:00+08:00", park.run],
            )
            for number, (before, after) in enumerate(steps, 1):
                connection.execute(
                    "INSERT INTO run_transitions "
                    "(run, step, from_state, to_state, actor, reason, acted_at, recorded_at)"
                    " VALUES (%s, %s, %s, %s, 'an', '', now(), now())",
                    [run, number, before, after],
                )
            connection.execute(
                "INSERT INTO run_lines SELECT %s, line, pool, party, unit, energy, amount_minor - %s, trace, kind "
                "FROM run_lines WHERE run = %s",
                [run, place, park.run],
            )
