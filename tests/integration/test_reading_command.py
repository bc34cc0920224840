"""`metertree reading` against a centre over HTTP: typed, by photo, listed, decided, in both languages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from httpx import Client

from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.caller import SERVICE
from ingest.cli import main
from ingest.closing import Closing
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.operators import add_operator
from metering.clock import ManualClock
from tests.doubles.hand_park import NOW, HandCentre, drawn
from tests.doubles.park_books import CENTRE
from tests.doubles.web import serving

AT = "2026-07-31T16:20+08:00"
METER = ["park", "m-u-b301"]


@pytest.fixture
def served(database: Database) -> Iterator[Client]:
    """A centre with the park of hand readings, behind HTTP."""
    centre = HandCentre(database)
    centre.books.enrol_all()
    parts = WebParts(
        database=database,
        closing=Closing(Settlement(database, centre.catalogue), CENTRE, bytes(32)),
        clock=ManualClock(NOW),
        centre_key=CENTRE.public_key,
        admin_token="t0ken",
        checks={},
        metrics=Metrics(),
    )
    with serving(create_app(parts)) as client:
        yield client


class Desk:
    """The command, as people with their own tokens call it."""

    def __init__(self, served: Client, folder: Path, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
        self._served, self._folder, self._capsys = served, folder, capsys
        for name in ("an", "bo"):
            with database.transaction() as connection:
                (folder / name).write_text(add_operator(connection, name, SERVICE, datetime(2026, 7, 1, tzinfo=UTC)))

    def call(self, who: str, verb: str, *words: str) -> tuple[int, str]:
        """Call it; give exit code and what it printed."""
        there = ["--centre", str(self._served.base_url), "--token-file", str(self._folder / who)]
        code = main(["reading", verb, *words, *there])
        out, err = self._capsys.readouterr()
        return code, out + err

    def numbers(self) -> list[str]:
        """Give the numbers of all readings, the oldest first."""
        _, told = self.call("an", "list", "--json")
        return [str(one["number"]) for one in reversed(json.loads(told)["readings"])]


@pytest.fixture
def desk(served: Client, tmp_path: Path, database: Database, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(served, tmp_path, database, capsys)


def test_a_reading_is_entered_listed_and_what_does_not_fit_is_decided_by_another(desk: Desk) -> None:
    code, told = desk.call("an", "add", *METER, "012345.67", "--at", AT, "--reader", "eng-1")
    assert code == 0
    assert "m-u-b301 1-0:1.8.0" in told
    assert "counts, read by eng-1" in told
    code, told = desk.call("an", "add", *METER, "002345.67", "--at", "2026-08-01T08:00+08:00", "--lang", "zh")
    assert code == 1
    assert "待复核" in told
    assert "低于之前的读数" in told
    first, second = desk.numbers()
    assert f"metertree reading accept {second}" in told
    code, told = desk.call("an", "accept", second, "--reason", "it is so")
    assert code == 1
    assert "somebody else has to decide" in told
    code, told = desk.call("bo", "refuse", second, "--reason", "wrong meter", "--json")
    assert code == 0
    assert json.loads(told)["state"] == "refused"
    code, told = desk.call("bo", "withdraw", first, "--reason", "of another house")
    assert "withdrawn" in told
    assert "decided by bo: of another house" in told
    code, told = desk.call("bo", "list", "--site", "park", "--json")
    assert [one["state"] for one in json.loads(told)["readings"]] == ["refused", "withdrawn"]
    assert desk.call("bo", "list", "--state", "counted", "--lang", "zh") == (0, "没有人工读数。\n")


def test_what_is_wrong_is_told_with_its_mend(desk: Desk) -> None:
    for words, told in (
        (("12345.6", "--at", AT), "the display has 2"),
        (("012345.67", "--at", "2026-07-31T16:20"), "has no zone"),
        (("012345.67", "--at", "yesterday"), "is no instant"),
        (("012345.67", "--at", AT, "--photo", "nowhere.jpg"), "cannot be read"),
        (("012345.67", "--at", AT, "--obis", "8-0:1.0.0"), "no register 8-0:1.0.0"),
    ):
        code, said = desk.call("an", "add", *METER, *words)
        assert code == 1
        assert told in said


def test_a_photo_comes_without_metadata_and_is_there_for_who_may_see_it(
    desk: Desk, served: Client, tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(drawn("1"))
    code, told = desk.call(
        "an", "add", *METER, "012345.67", "--at", AT, "--photo", str(tmp_path / "photo.png"), "--json"
    )
    assert code == 0
    entered = json.loads(told)
    assert (entered["source"], entered["sealed"]["seq"]) == ("photo", 1)
    path = f"/v1/photos/{entered['photo']}"
    token = {"Authorization": f"Bearer {(tmp_path / 'bo').read_text()}"}
    answer = served.get(path, headers=token)
    assert (answer.content, answer.headers["Content-Type"]) == (drawn("1"), "image/png")
    assert "private" in answer.headers["Cache-Control"]
    assert served.get(path).status_code == 401
    assert served.get(path[:-1], headers=token).status_code == 422
    assert served.get(path[:-2] + "zz", headers=token).status_code == 422
    assert served.get("/v1/photos/" + "0" * 64, headers=token).status_code == 404
    assert served.put("/v1/photos/" + "0" * 64, content=drawn("1"), headers=token).json()["reason"] == "photo-misnamed"
    assert served.put(path, content=bytes(13 << 20), headers=token).status_code == 413
    neither = {"site": "park", "meter": "m-u-b301", "read_at": AT}
    assert served.post("/v1/readings/manual", json=neither, headers=token).status_code == 422
    there = served.post("/v1/readings/manual", json=neither | {"photo": "0" * 64}, headers=token)
    assert there.status_code == 404
    assert "PUT /v1/photos" in there.json()["mend"]
    assert served.post(f"/v1/readings/{2**62}/accept", json={"reason": "x"}, headers=token).status_code == 404


def test_a_photo_is_read_where_a_reader_is_installed(desk: Desk, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("PIL")
    from provisioning.photo_reading.reader import installed_reader
    from tests.doubles.meter_pictures import draw

    if installed_reader() is None:
        pytest.skip("the models are not installed: scripts/install_ocr.sh")
    (tmp_path / "photo.jpg").write_bytes(draw("01234567", "drums", "plain", seed=1).octets)
    photo = str(tmp_path / "photo.jpg")
    code, told = desk.call("an", "photo", *METER, photo, "--at", AT)
    assert code == 0
    assert told.startswith("the photo shows 012345.67, 9")
    code, told = desk.call("an", "photo", *METER, photo, "--at", AT, "--enter", "--lang", "zh")
    assert code == 0
    assert "已计入" in told
    assert "照片识别 01234567" in told
    (tmp_path / "photo.jpg").write_bytes(draw("123", "drums", "plain", seed=1).octets)
    code, told = desk.call("an", "photo", *METER, photo, "--at", AT)
    assert code == 1
    assert "type it" in told
