"""`metertree-gateway install` as an engineer types it: prompts, words in both languages, JSON, no secret anywhere."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli import main
from metering.obis import ENERGY_IMPORT
from provisioning.package import read_package
from tests.doubles.desk import CLAIM, FINGERPRINT, Cabinet, cabinet, desk_at, grant_for, order_file, request
from tests.doubles.surveyed_park import picture


@pytest.fixture(scope="module")
def meters() -> Iterator[Cabinet]:
    """The meters of gw-b."""
    with cabinet() as found:
        yield found


class Terminal:
    """One engineer at one home."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.home = folder / "home"
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.all = ""

    def types(self, *arguments: str, answers: str = "") -> tuple[int, str]:
        """Type a command and answer its questions; gives the exit code and all that was shown."""
        self._monkeypatch.setattr("sys.stdin", io.StringIO(answers))
        code = main(["install", arguments[0], "--home", str(self.home), *arguments[1:]])
        shown = self._capsys.readouterr()
        self.all += shown.out + shown.err
        return code, shown.out + shown.err

    def json(self, *arguments: str) -> Any:
        """Type a command for a program."""
        code, shown = self.types(*arguments, "--json")
        return code, json.loads(shown.splitlines()[-1])

    def file(self, name: str, content: bytes) -> str:
        """Bring a file."""
        path = self.folder / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A terminal before a fresh machine."""
    return Terminal(tmp_path, monkeypatch, capsys)


def by_hand(meter: str) -> list[str]:
    """What is typed of a meter that was not scanned."""
    one = request(meter)
    said = {"serial": one.serial, "port": one.port, "protocol": one.protocol, "address": one.address}
    return [one.node, *(part for name, text in said.items() for part in (f"--{name}", str(text)))]


def test_an_engineer_goes_from_the_order_to_the_grant(terminal: Terminal, meters: Cabinet) -> None:
    order = terminal.file("gw-b.metertree-order", order_file())
    code, shown = terminal.types("status")
    assert (code, shown) == (0, "next: take the order: install begin FILE\n")

    code, shown = terminal.types("begin", order, answers="no\n")
    assert code == 2
    assert FINGERPRINT in shown
    assert "compare it with the back" in shown
    code, shown = terminal.types("begin", order, answers=f"yes\neng-1\n{CLAIM.lower()}\n")
    assert code == 0
    assert "find the meters" in shown

    assert terminal.types("port", "tcp-b", meters.place)[0] == 0
    code, shown = terminal.types("bind", *by_hand("m-u-b101"), "--place", "31.2989500,120.5853000,3", "--seal", "S-1")
    assert code == 0
    assert "m-u-b101" in shown
    code, shown = terminal.types("compare", "m-u-b101", answers=f"{meters.shows('m-u-b101')}\n")
    assert code == 0
    assert "equal" in shown
    code, shown = terminal.types("compare", "m-u-b101", meters.shows("m-u-b101"))
    assert code == 0
    assert f"{ENERGY_IMPORT}  {meters.shows('m-u-b101')}" in shown
    code, shown = terminal.types("read", "m-u-b101")
    assert str(ENERGY_IMPORT) in shown
    assert terminal.types("photo", "m-u-b101", "meter", terminal.file("p.png", picture(2)))[0] == 0
    assert terminal.types("wiring", "m-u-b101", "--rotation", "right")[0] == 0

    code, shown = terminal.types("check")
    assert code == 1
    assert "expected-missing" in shown
    assert "install accept CODE SUBJECT" in shown
    assert "install accept 代码 对象" in terminal.types("status", "--lang", "zh")[1]
    code, shown = terminal.types("seal")
    assert code == 2
    assert "findings are wrong and open" in shown
    for one in terminal.json("status")[1]["findings"]:
        assert terminal.types("accept", one["code"], one["subject"], "--reason", "built later")[0] == 0
    code, shown = terminal.types("seal")
    assert code == 0
    assert "bring it to the centre" in shown
    assert terminal.types("deliver")[0] == 0
    told = terminal.types("status")[1]
    assert "no centre answers at" in told
    assert "Connection refused" in told
    assert "urlopen" not in told

    code, shown = terminal.types("package", str(terminal.folder))
    assert code == 0
    (path,) = terminal.folder.glob("*.metertree-package")
    bundle = read_package(io.BytesIO(path.read_bytes())).bundle
    assert bundle is not None
    code, shown = terminal.types("grant", terminal.file("gw-b.grant", grant_for(bundle)))
    assert code == 0
    assert "the centre has granted it" in shown
    code, shown = terminal.types("report", str(terminal.folder / "report.html"))
    assert code == 0
    assert b"m-u-b101" in (terminal.folder / "report.html").read_bytes()
    code, document = terminal.json("events")
    assert [one["kind"] for one in document["events"]] == ["port-change", "bind"]
    assert document["events"][1]["by"] == "eng-1"
    assert CLAIM not in terminal.all


def test_it_speaks_chinese(terminal: Terminal, meters: Cabinet) -> None:
    order = terminal.file("gw-b.metertree-order", order_file())
    code, shown = terminal.types("begin", order, "--lang", "zh", answers="是\neng-1\n\n")
    assert code == 0
    assert "请与后台核对上面的指纹" in shown
    assert "尚缺领取码" in shown
    assert "下一步: 扫描线路" in shown
    code, shown = terminal.types("bind", "u-b999", "--lang", "zh")
    assert code == 2
    assert "园区模型中没有计量点 u-b999" in shown


def test_a_program_is_answered_in_json_and_never_asked(terminal: Terminal, meters: Cabinet) -> None:
    order = terminal.file("gw-b.metertree-order", order_file())
    code, document = terminal.json("begin", order)
    assert (code, document["refused"]) == (2, "unconfirmed")
    code, document = terminal.json("begin", order, "--confirm", FINGERPRINT)
    assert (code, document["refused"]) == (2, "no-name")
    claim = terminal.file("claim", CLAIM.encode())
    code, document = terminal.json("begin", order, "--confirm", FINGERPRINT, "--by", "eng-1", "--claim-file", claim)
    assert code == 0
    assert (document["step"], document["has_claim"]) == ("scan", True)
    code, document = terminal.json("bind", *by_hand("m-u-b101"))
    assert [one["meter"]["id"] for one in document["bindings"]] == ["m-u-b101"]
    code, document = terminal.json("read", "m-u-b101")
    assert document["refused"] == "meter-silent"
    assert CLAIM not in terminal.all


def test_planned_meters_are_gone_through_one_by_one(terminal: Terminal, meters: Cabinet) -> None:
    with desk_at(terminal.home):
        pass
    terminal.types("begin", terminal.file("o", order_file()), answers="yes\neng-1\n\n")
    terminal.types("port", "tcp-b", meters.place)
    code, shown = terminal.types("bind", answers="4711\n")
    assert code == 0
    assert "the scan found no 4711" in shown
    assert shown.count("which meter is it?") == 9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("begin", "/nowhere/order"), "cannot be read"),
        (("compare", "m-x", "1.8.0"), "such as 1-0:1.8.0=1234.56"),
        (("bind", "u-b101", "--place", "31,1e9,x"), "write degrees"),
        (("reparent", "a", "b", "--at", "tomorrow"), "2026-07-01T08:00+08:00"),
        (("reparent", "a", "b", "--at", "2026-07-01T08:00"), "has no zone"),
    ],
)
def test_mistakes_are_told_with_the_mend(
    terminal: Terminal, meters: Cabinet, arguments: tuple[str, ...], said: str
) -> None:
    terminal.types("begin", terminal.file("o", order_file()), answers="yes\neng-1\n\n")
    code, shown = terminal.types(*arguments)
    assert code == 2
    assert said in shown


def test_a_reader_who_has_enough_is_no_fault() -> None:
    words = [sys.executable, "-m", "edge_agent.cli", "profile", "list"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
