"""The back office at its terminal: what orders, bindings, decisions, meters and history tell, in both languages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from provisioning.binding_words import binding_word
from provisioning.centre_client import CentreRefused
from provisioning.cli import main
from provisioning.commands import bindings as binding_commands
from provisioning.commands import order as order_commands
from provisioning.commands.order import ExpectedInvalid, qr_lines, read_expected
from provisioning.document import to_document
from provisioning.installation import Bind, Decommission, Exchange, Finding, RatioChange, Reparent, Replace, Severity
from provisioning.order_file import ExpectedMeter
from provisioning.site import Names
from provisioning.site_file import read_site
from tests.doubles.installer import NOW, PARK, Installer, binding, later, park, showed

Answers = dict[str, Any]
Run = Callable[..., str]
METER = park().meter(park().meters_at(park().unit(park().units[0].id).node)[0].id)


class ScriptedCentre:
    """Answers each call from a table, and keeps what it was asked."""

    answers: ClassVar[Answers] = {}
    asked: ClassVar[list[tuple[str, Mapping[str, Any]]]] = []

    def __init__(self, url: str, token: str | None = None) -> None:
        assert (url, token) == ("http://centre", "secret-token")

    def _answer(self, name: str, **asked: Any) -> Any:
        self.asked.append((name, asked))
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def order(self, **asked: Any) -> Any:
        """Open an order."""
        return self._answer("order", **asked)

    def orders(self, site: str | None, gateway: str | None) -> Any:
        """List orders."""
        return self._answer("orders", site=site, gateway=gateway)

    def bindings(self, **asked: Any) -> Any:
        """List bindings."""
        return self._answer("bindings", **asked)

    def decide(self, binding: str, decision: str, reason: str) -> Any:
        """Decide."""
        return self._answer("decide", binding=binding, decision=decision, reason=reason)

    def history(self, **asked: Any) -> Any:
        """Tell."""
        return self._answer("history", **asked)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command against the scripted centre; give what it printed."""
    for module in (binding_commands, order_commands):
        monkeypatch.setattr(module, "CentreClient", ScriptedCentre)
    monkeypatch.setattr(ScriptedCentre, "asked", [])
    monkeypatch.setattr(ScriptedCentre, "answers", {})
    token = tmp_path / "token"
    token.write_text("secret-token\n")

    def call(*words: object, code: int = 0, **answers: Any) -> str:
        ScriptedCentre.answers |= answers
        assert main([*map(str, words), "--centre", "http://centre", "--token-file", str(token)]) == code
        said = capsys.readouterr()
        assert "secret-token" not in said.out + said.err
        return said.err if code else said.out

    return call


def shown(body: Any, **parts: Any) -> dict[str, Any]:
    """A binding as the centre tells it."""
    whole = {
        "binding": "gw-a-1-3", "site": "park", "gateway": "gw-a", "kind": str(body.kind), "meter": METER.id,
        "serial": METER.serial, "node": METER.node, "unit": "a101", "begins_at": NOW.isoformat(), "ends_at": None,
        "state": "pending", "done_by": "eng-1", "decided_by": None, "decided_at": None, "decision": "",
        "held_because": "", "expected": None, "differences": [], "findings": [], "needs_reason": False,
        "event": to_document(body),
    }  # fmt: skip
    return {**whole, **parts}


BOUND = shown(Bind(binding=binding(METER, NOW, unit="a101")))
ORDER = {"order": "order-1", "claim": "AAAA-BBBB", "expires_at": "2026-07-15T00:00:00+00:00", "fingerprint": "ab cd"}


def test_an_order_tells_its_claim_once_and_what_comes_next(run: Run, tmp_path: Path) -> None:
    answer = {**ORDER, "order_file": "b3JkZXI="}
    words = ("order", "--site", "park", "--gateway", "gw-a", "--engineer", "eng-1", "--out", tmp_path / "papers")
    said = run(*words, "--lang", "zh", order=answer)
    assert "领取码（仅显示一次）: AAAA-BBBB" in said
    assert "metertree-gateway install begin gw-a.metertree-order" in said
    assert (tmp_path / "papers" / "gw-a.metertree-order").read_bytes() == b"order"
    ((_, asked),) = ScriptedCentre.asked
    assert (asked["site"], asked["engineer"], asked["expected"]) == ("park", "eng-1", ())


def test_an_order_at_an_older_centre_goes_the_old_way(run: Run, tmp_path: Path) -> None:
    said = run("order", "--site", "park", "--gateway", "gw-a", "--engineer", "e", "--out", tmp_path, order=ORDER)
    assert "metertree-provision enrol --centre http://centre --gateway gw-a" in said
    assert not list(tmp_path.glob("*.metertree-order"))


def test_an_order_file_that_cannot_be_written_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    words = ("order", "--site", "park", "--gateway", "gw-a", "--engineer", "e", "--out", tmp_path / "taken")
    assert "cannot be written" in run(*words, code=1, order={**ORDER, "order_file": "AA=="})


def test_a_claim_is_drawn_as_a_code_that_a_terminal_can_show(run: Run) -> None:
    pytest.importorskip("segno")
    plain = run("order", "--site", "park", "--gateway", "gw-a", "--engineer", "e", order=ORDER)
    drawn = run("order", "--site", "park", "--gateway", "gw-a", "--engineer", "e", "--qr", order=ORDER)
    lines = drawn[len(plain) :].splitlines()
    assert len({len(line) for line in lines}) == 1
    assert set("".join(lines)) <= set(" ▄▀█")
    assert lines == list(qr_lines("AAAA-BBBB"))
    assert lines[0] == lines[-1] == "█" * len(lines[0]), "the quiet zone is light"


def test_orders_are_listed_with_what_became_of_them(run: Run) -> None:
    one = {"order": "order-1", "site": "park", "gateway": "gw-a", "engineer": "eng-1", "expires_at": "2026-07-15"}
    listed = {"orders": [{**one, "state": state} for state in ("open", "used", "lapsed")]}
    said = run("orders", "--site", "park", "--lang", "zh", orders=listed)
    assert [line.split()[-1] for line in said.splitlines()] == ["未使用", "已使用", "已过期"]
    assert "nothing is recorded" in run("orders", orders={"orders": []})


def test_a_binding_is_shown_with_what_was_planned_and_what_differs(run: Run) -> None:
    expected = to_document(ExpectedMeter(METER.id, METER.node, park().units[0].id, "777", METER.profile, 1, 1))
    differs = {
        "code": "serial-elsewhere", "severity": "wrong", "expected": "a201", "found": "a101",
        "zh": "可能绑错租户", "en": "the wrong tenant?",
    }  # fmt: skip
    finding = Finding("ct-reversed", Severity.DOUBTFUL, "m", Names("互感器反接", "reversed"), "seen by two")
    one = {**BOUND, "expected": expected, "differences": [differs], "findings": [to_document(finding)]}
    zh = run("bindings", "--site", "park", "--lang", "zh", bindings={"bindings": [one]})
    for text in (
        "错误: 可能绑错租户",
        "计划: 节点",
        "表号 777",
        "存疑: 互感器反接",
        "安装人说明: seen by two",
        "待批准",
    ):
        assert text in zh
    assert "metertree-provision approve" in zh
    en = run("bindings", "--state", "pending", bindings={"bindings": [one]})
    for text in ("WRONG: the wrong tenant?", "doubtful: reversed", "waits for approval"):
        assert text in en
    assert ScriptedCentre.asked[-1] == ("bindings", {"site": None, "state": "pending", "meter": None})


def test_a_held_binding_says_why(run: Run) -> None:
    one = {**BOUND, "state": "held", "held_because": "node lift has meter m-x already: exchange it"}
    said = run("bindings", bindings={"bindings": [one]})
    assert "because: node lift has meter m-x already: exchange it" in said
    assert "approve:" not in said


def test_json_is_what_the_centre_said(run: Run) -> None:
    answer = {"bindings": [BOUND]}
    assert json.loads(run("bindings", "--json", bindings=answer)) == answer


@pytest.mark.parametrize("verb", ["approve", "refuse"])
def test_decisions_are_taken_one_by_one_with_one_reason(run: Run, verb: str) -> None:
    decided = {**BOUND, "state": f"{verb}d", "decided_by": "office-2", "decision": "seen"}
    said = run(verb, "gw-a-1-3", "gw-a-1-4", "--reason", "seen", decide=decided)
    assert said.count("decided by office-2: seen") == 2
    assert [asked["binding"] for _, asked in ScriptedCentre.asked] == ["gw-a-1-3", "gw-a-1-4"]
    assert {asked["decision"] for _, asked in ScriptedCentre.asked} == {verb}


def test_a_refusal_of_the_centre_is_told_and_ends_it(run: Run) -> None:
    refusal = CentreRefused(409, "eng-1 did this; somebody else has to decide about it", "", None)
    assert "somebody else" in run("approve", "gw-a-1-3", "gw-a-1-4", code=1, decide=refusal)
    assert len(ScriptedCentre.asked) == 1


def test_bound_meters_are_written_as_the_files_want_them(run: Run, tmp_path: Path) -> None:
    """They are put into the park's own files, and these are read."""
    new = binding(METER, later(1), unit="a101", id="m-new", serial="000000000009", address="000000000009")
    export = type(showed(0).obis).parse("1-0:2.8.0")
    both = [showed(12), showed(0)]
    both[1] = type(both[1])(export, both[1].shown, both[1].source)
    act = Exchange(old=METER.id, closing=tuple(both), new=new, opening=tuple(both))
    exchanged = shown(act, binding="gw-a-1-4", meter="m-new", begins_at=later(1).isoformat())
    gone = {**BOUND, "ends_at": later(1).isoformat()}
    refused = {**BOUND, "state": "refused"}
    said = run("meters", "--site", "park", bindings={"bindings": [gone, exchanged, refused]})
    text = (PARK / "gateways.toml").read_text(encoding="utf-8")
    tables = text.split("[[meters]]")
    kept = [one for one in tables if f'id = "{METER.id}"\n' not in one]
    assert len(kept) == len(tables) - 1
    for name in ("site.toml", "leases.toml"):
        (tmp_path / name).write_bytes((PARK / name).read_bytes())
    (tmp_path / "gateways.toml").write_text("[[meters]]".join(kept) + "\n" + said, encoding="utf-8")
    site = read_site(tmp_path)
    assert [meter.id for meter in site.meters_at(METER.node)] == [METER.id, "m-new"]
    assert {one.final.to_base() for one in site.exchanges if one.new == "m-new"} == {12_000, 0}


def test_nothing_bound_writes_nothing(run: Run) -> None:
    moved = shown(Reparent(node=METER.node, parent=METER.node, at=NOW), meter=None, serial=None)
    assert "nothing is recorded" in run("meters", "--site", "park", bindings={"bindings": [moved]})


BODIES: list[tuple[Any, str, str]] = [
    (Bind(binding=binding(METER, NOW)), f"{METER.id} @ {METER.node}", "绑定"),
    (
        Exchange(old=METER.id, closing=(), new=binding(METER, NOW, id="m-new"), opening=()),
        f"{METER.id} -> m-new @ {METER.node}",
        "换表",
    ),
    (Reparent(node=METER.node, parent=park().nodes[0].id, at=NOW), f"{METER.node} -> ", "改接上级"),
    (
        RatioChange(meter=METER.id, new="m-r", ct=20, pt=1, at=NOW, registers=()),  # type: ignore[arg-type]
        f"{METER.id} -> m-r (20 x 1)",
        "换变比",
    ),
    (Decommission(meter=METER.id, at=NOW, closing=()), METER.id, "拆表"),
    (Replace(old_epoch=1, reason="flooded"), "flooded", "更换网关"),
]


@pytest.mark.parametrize(("body", "subject", "word"), BODIES, ids=[str(one[0].kind) for one in BODIES])
def test_history_tells_each_act_in_a_line(run: Run, body: Any, subject: str, word: str) -> None:
    event = Installer().event(body)
    told = {
        "event": event.id, "site": "park", "gateway": "gw-a", "kind": str(body.kind), "done_at": event.at.isoformat(),
        "done_by": "eng-1", "device": "phone", "received_at": later(9).isoformat(), "state": "applied", "reason": "",
        "site_version": 3, "binding": "refused", "decided_by": "office-2", "decision": "wrong flat",
        "body": to_document(body),
    }  # fmt: skip
    (line,) = run("history", "--site", "park", "--lang", "zh", history={"events": [told], "acts": []}).splitlines()
    assert f"{word}  {subject}" in line
    assert line.endswith("已拒绝，待更正  决定人 office-2: wrong flat")


def test_history_is_one_order_of_time_and_leaves_out_arrivals(run: Run) -> None:
    event = {
        "event": "gw-a-1-1", "kind": "replace", "done_at": "2026-07-02T00:00:00+00:00", "done_by": "e", "binding": None,
        "state": "held", "reason": "does not fit", "decided_by": None, "decision": "", "body": {"reason": "x"},
    }  # fmt: skip
    acts = [
        {"at": f"2026-07-0{day}T00:00:00+00:00", "who": "admin", "verb": verb, "subject": "s", "reason": why}
        for day, verb, why in ((3, "enrolled", ""), (1, "install-ordered", "new"), (2, "event-taken", ""))
    ]
    said = run("history", "--gateway", "gw-a", history={"events": [event], "acts": acts})
    told = [line.split("  ")[1] for line in said.splitlines()]
    assert told == ["install order made", "gw-a-1-1", "gateway enrolled"]
    assert "held: does not fit the site: does not fit" in said
    assert "admin: new" in said


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("meter,node,ct\nm-1,n-1,two\n", ":2: ct is 'two'"),
        ("meter,node\nm-1,n-1\n\nm-2,n-2,\n", ""),
        ('meter,node\n"m-1,n-1\n', "cannot be read"),
    ],
)
def test_a_list_of_expected_meters_is_read_as_it_stands_or_told(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "expected.csv"
    path.write_text(content, encoding="utf-8")
    if not told:
        assert [one["meter"] for one in read_expected(path)] == ["m-1", "m-2"]
        return
    with pytest.raises(ExpectedInvalid, match=told):
        read_expected(path)


def test_a_list_from_a_spreadsheet_may_have_a_mark_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "expected.csv"
    path.write_bytes(b"\xef\xbb\xbfmeter,node,serial,ct,pt\r\nm-1,n-1,,40,\r\n")
    assert read_expected(path) == ({"meter": "m-1", "node": "n-1", "ct": 40},)


@pytest.mark.parametrize("content", ["{}", "[1]", "[", '"text"'])
def test_expected_meters_in_json_are_a_list_of_objects(tmp_path: Path, content: str) -> None:
    path = tmp_path / "expected.json"
    path.write_text(content)
    with pytest.raises(ExpectedInvalid):
        read_expected(path)
    path.write_text('[{"meter": "m-1", "node": "n-1"}]')
    assert read_expected(path) == ({"meter": "m-1", "node": "n-1"},)


def test_a_list_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExpectedInvalid, match="cannot be read"):
        read_expected(tmp_path / "none.csv")


def test_every_word_is_there_in_chinese() -> None:
    from provisioning.binding_words import _WORDS

    for key, (zh, en) in _WORDS.items():
        assert not zh.isascii(), key
        assert en.isascii(), key
        assert (binding_word(key, "zh"), binding_word(key, "en")) == (zh, en)
