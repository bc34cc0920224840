"""`metertree-provision` at the back office, against the real service: order, package, approval, history."""

from __future__ import annotations

import hashlib
import io
import json
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.closing import Closing
from ingest.intake import IntakeCounters
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.operators import add_operator
from ingest.store.sites import import_site
from metering.clock import SystemClock
from metering.identity import MeterId
from provisioning.cli import main
from provisioning.enrolment import Claim
from provisioning.grant import open_grant
from provisioning.installation import Decommission, Exchange
from provisioning.order_file import open_order_file
from provisioning.package import write_package
from tests.doubles.installation_centre import ADMIN, CENTRE
from tests.doubles.installer import NOW, PARK, Installer, binding, later, park, showed
from tests.doubles.park_books import read_park
from tests.doubles.web import serving

Command = Callable[..., str]
A101 = MeterId("m-u-a101")


@pytest.fixture
def service(database: Database) -> Iterator[httpx.Client]:
    site, rules, _, catalogue = read_park()
    with database.transaction() as connection:
        import_site(connection, site, rules.document, imported_at=NOW)
    metrics = Metrics()
    metrics.follow(IntakeCounters())
    parts = WebParts(
        database=database,
        closing=Closing(Settlement(database, catalogue), CENTRE, bytes(32)),
        clock=SystemClock(),
        centre_key=CENTRE.public_key,
        admin_token="t0ken",
        checks={},
        metrics=metrics,
    )
    with serving(create_app(parts)) as client:
        yield client


@pytest.fixture
def call(service: httpx.Client, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command as `by`; give what it printed, or what it complained of."""
    tokens = {"admin": "t0ken"}
    with database.transaction() as connection:
        for name in ("office-2", "eng-1"):
            tokens[name] = add_operator(connection, name, ADMIN, NOW)

    def run(*words: object, by: str = "admin", fails: bool = False) -> str:
        token = tmp_path / by
        token.write_text(tokens[by])
        options = ["--centre", str(service.base_url).rstrip("/"), "--token-file", str(token)]
        assert main([*map(str, words), *options]) == int(fails)
        said = capsys.readouterr()
        return said.err if fails else said.out

    return run


def install(call: Command, service: httpx.Client, tmp_path: Path) -> tuple[Installer, Any]:
    """Order, install three meters, send the package from a telephone."""
    made = json.loads(
        call("order", "--site", "park", "--gateway", "gw-a", "--engineer", "eng-1", "--out", tmp_path, "--json")
    )
    opened = open_order_file(Path(made["written"]).read_bytes(), CENTRE.verifier())
    installer = Installer()
    installer.voucher = opened.voucher.digest
    other = park().meter(MeterId("m-u-a201"))
    installer.bind("m-u-a101", unit="a101", serial=other.serial, address=other.address)
    installer.bind("m-u-a301", unit="a301")
    answer = service.post("/v1/installation-packages", content=package_of(installer, made["claim"]))
    assert answer.status_code == 200, answer.text
    return installer, answer.json()


def package_of(installer: Installer, claim: str, photos: Mapping[bytes, Path] = MappingProxyType({})) -> bytes:
    """Give what an engineer's telephone carries away."""
    stream = io.BytesIO()
    bundle = installer.bundle(Claim.parse(claim))
    write_package(stream, order=None, bundle=bundle, events=installer.sealed, photos=photos)
    return stream.getvalue()


def test_from_order_to_approval_and_back_through_history(call: Command, service: httpx.Client, tmp_path: Path) -> None:
    installer, answer = install(call, service, tmp_path)
    grant = open_grant(b64decode(answer["enrolment"]["grant"]), CENTRE.verifier())
    assert grant.key_id == installer.signer.key_id
    assert "已使用" in call("orders", "--site", "park", "--lang", "zh")
    told = call("bindings", "--site", "park", "--lang", "zh", by="office-2")
    assert "计划中此表号属于 a201，现绑定到 a101" in told
    assert "待批准" in told
    assert "wrong tenant" in call("bindings", "--site", "park", "--state", "pending", by="office-2")
    assert "approved all the same" in call("approve", "gw-a-1-1", by="office-2", fails=True)
    assert "somebody else" in call("approve", "gw-a-1-2", by="eng-1", fails=True)
    assert "takes a named operator" in call("approve", "gw-a-1-2", by="admin", fails=True)
    assert "approved" in call("approve", "gw-a-1-2", "--reason", "photo seen", by="office-2")
    call("refuse", "gw-a-1-1", "--reason", "the plate is that of a201", by="office-2")
    history = call("history", "--site", "park", "--lang", "zh", by="office-2")
    assert "gw-a-1-1  绑定  m-u-a101 @ u-a101  eng-1  已拒绝，待更正" in history
    assert "the plate is that of a201" in history
    assert "批准绑定  binding/gw-a-1-2  office-2: photo seen" in history
    assert "没有记录" in call("history", "--meter", "m-none", "--lang", "zh")


def test_later_events_come_one_by_one_and_bound_meters_are_written_for_the_files(
    call: Command, service: httpx.Client, tmp_path: Path
) -> None:
    installer, _ = install(call, service, tmp_path)
    old = park().meter(MeterId("m-u-a301"))
    new = binding(replace(old, id=MeterId("m-a301-n"), serial="9", address="000000000009"), later(1), unit="a301")
    both = tuple(replace(showed(1), obis=one.obis) for one in (showed(1),))
    export = replace(showed(0), obis=type(both[0].obis).parse("1-0:2.8.0"))
    installer.act(Exchange(old=old.id, closing=(*both, export), new=new, opening=(showed(0), export)), later(1))
    answer = service.post("/v1/installation-events", content=installer.sealed[-1])
    assert answer.json() == {
        "event": "gw-a-1-3", "kind": "exchange", "state": "applied", "reason": "", "again": False,
    }  # fmt: skip
    written = call("meters", "--site", "park", by="office-2")
    assert 'id = "m-a301-n"' in written
    assert 'final = "1.00 kWh"' in written
    installer.act(Decommission(meter=MeterId("m-none"), at=later(2), closing=()))
    held = service.post("/v1/installation-events", content=installer.sealed[-1]).json()
    assert held["state"] == "held"
    assert "m-none" in held["reason"]
    assert "与台账不符" in call("bindings", "--state", "held", "--lang", "zh", by="office-2")
    garbage = service.post("/v1/installation-events", content=b"x")
    assert (garbage.status_code, garbage.json()["reason"]) == (422, "malformed")


def test_expected_meters_are_told_by_a_file(call: Command, service: httpx.Client, tmp_path: Path) -> None:
    listed = tmp_path / "expected.csv"
    listed.write_text("meter,node,unit,serial,ct\nm-new,u-b202,b202,4711,\n", encoding="utf-8")
    order = ("order", "--site", "park", "--gateway", "gw-b", "--engineer", "eng-1", "--json", "--expected", listed)
    made = json.loads(call(*order))
    plan = open_order_file(b64decode(made["order_file"]), None).plan
    assert {one.serial for one in plan.expected if one.meter == "m-new"} == {"4711"}
    listed.write_text("meter,node,ct\nm-new,u-b202,x\n", encoding="utf-8")
    assert "expected.csv:2: ct" in call(*order, fails=True)
    listed.write_text("meter,node\nm-new,moon\n", encoding="utf-8")
    assert "no node of the site" in call(*order, fails=True)
    listed.write_text("meter,node,colour\nm-new,u-b202,red\n", encoding="utf-8")
    assert "colour" in call(*order, fails=True)


def send(service: httpx.Client, capsys: pytest.CaptureFixture[str], *words: object, fails: bool = False) -> str:
    """Send a package without any token; give what was printed, or complained of."""
    assert main(["send", *map(str, words), "--centre", str(service.base_url).rstrip("/")]) == int(fails)
    said = capsys.readouterr()
    return said.err if fails else said.out


def test_a_package_is_sent_by_whoever_has_a_network_and_the_grant_comes_back_as_a_file(
    call: Command, service: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = json.loads(call("order", "--site", "park", "--gateway", "gw-a", "--engineer", "eng-1", "--json"))
    installer = Installer()
    installer.voucher = open_order_file(b64decode(made["order_file"]), CENTRE.verifier()).voucher.digest
    installer.bind("m-u-a301", unit="a301")
    stray = tmp_path / "stray.jpg"
    stray.write_bytes(b"no picture at all")
    path = tmp_path / "a.metertree-package"
    path.write_bytes(package_of(installer, made["claim"], {hashlib.sha256(stray.read_bytes()).digest(): stray}))

    told = send(service, capsys, path, "--lang", "zh")
    assert "gw-a：中心已收到 1 项安装操作" in told
    assert "gw-a-1-1  绑定  已入账" in told
    assert "照片 1 张，已保存 0 张" in told
    grant = tmp_path / "gw-a-grant.cose"
    assert open_grant(grant.read_bytes(), CENTRE.verifier()).key_id == installer.signer.key_id

    first, out = grant.read_bytes(), tmp_path / "elsewhere"
    assert "metertree-gateway install grant gw-a-grant.cose" in send(service, capsys, path, "--out", out)
    assert (out / grant.name).read_bytes() == first

    path.write_bytes(b"no package")
    assert "package" in send(service, capsys, path, fails=True)
    assert "cannot be read" in send(service, capsys, tmp_path / "none", fails=True)


def test_an_order_is_shown_with_the_fingerprint_to_compare(call: Command) -> None:
    told = call("order", "--site", "park", "--gateway", "gw-a", "--engineer", "eng-1", "--lang", "zh")
    assert "领取码（仅显示一次）" in told
    assert "中心密钥指纹" in told
    assert PARK.exists()
