"""docs/field-guide.md as a new user follows it: its commands in their order, a real centre, meters on a line."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_agent import installed
from edge_agent.cli import main as gateway_main
from edge_agent.installation.home import Home
from edge_agent.installed import run_at_home
from ingest.alert_words import KINDS
from ingest.cli import main as centre_main
from ingest.demo.cutter import Cutter
from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.server import free_port, running
from metering.clock import SystemClock
from provisioning.cli import main as provision_main
from provisioning.finding_words import finding_codes
from provisioning.keys import write_signing_key
from tests.doubles.programs import PASSWORD, TOKEN, Running, wait_until
from tests.doubles.surveyed_park import picture

ROOT = Path(__file__).parents[2]
PAGES = {"en": ROOT / "docs" / "field-guide.md", "zh": ROOT / "docs" / "field-guide.zh.md"}
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "metertree": centre_main,
    "metertree-provision": provision_main,
    "metertree-gateway": gateway_main,
}
DEVICE, CENTRE = "/dev/ttyUSB0", "https://centre.example"
SERIALS = ("202607000101", "202607000102", "20260001")
"""As on the plates, in the order in which `install bind` asks."""
SPARE = "202607000204"
"""The meter that is put in the place of the second."""
PATIENCE_S = 120


def blocks(page: str) -> list[list[list[str]]]:
    """The commands of a page, block by block, each as its words."""
    found = re.findall(r"^```\n(.*?)^```$", PAGES[page].read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [[shlex.split(line, comments=True) for line in block.splitlines() if line] for block in found]


def said_words(language: str) -> set[str]:
    """Everything that the gateway's page can say."""
    tables = tomllib.loads((ROOT / "edge_agent" / "page" / "words.toml").read_text(encoding="utf-8"))
    return {words[language] for table in tables.values() for words in table.values()}


@dataclass
class Yard:
    """A folder with the papers, a centre, a gateway that is cut off, and a line."""

    folder: Path
    api: str
    cutter: Cutter
    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    stack: ExitStack
    line: subprocess.Popen[bytes] | None = None
    claim: str = ""
    told: dict[str, str] = field(default_factory=dict)

    def wire(self, *serials: str) -> None:
        """Hang the main meter and others on the line, in the place of those that hung there."""
        if self.line is not None:
            self.line.terminate()
            self.line.communicate(timeout=PATIENCE_S)
        words = [sys.executable, "-m", "edge_agent.cli", "simulate", "--line", str(self.folder / "line")]
        words += ["--parity", "E", "--turnaround-ms", "5", "--meter", "eastron/sdm630@1"]
        words += [word for serial in serials for word in ("--meter", f"dlt645/three-phase@{serial}")]
        self.line = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
        self.stack.callback(self.line.communicate, timeout=PATIENCE_S)
        self.stack.callback(self.line.kill)
        assert self.line.stdout is not None
        while b"ready" not in self.line.stdout.readline():
            assert self.line.poll() is None

    def run(self, words: list[str], answers: str = "", code: int = 0) -> str:
        """Run one command of the page here; give what it told. It must end with `code`."""
        program, *rest = (word.replace(CENTRE, self.api).replace(DEVICE, str(self.folder / "line")) for word in words)
        if rest[0] == "install":
            rest += ["--home", str(self.folder / "gw")]
        if rest[0] == "order":
            rest += ["--centre-url", f"http://127.0.0.1:{self.cutter.port}"]
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        ended = COMMANDS[program](rest)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        said = self.capture.readouterr()
        assert ended == code, f"{words}: {said.err}{said.out}"
        self.told[" ".join(words[:3])] = said.out
        return said.out

    def read(self, meter: str) -> dict[str, str]:
        """Read a meter, to know what its display shows."""
        shown = json.loads(self.run(["metertree-gateway", "install", "read", meter, "--json"]))
        return {obis: text.split()[0] for obis, text in shown["registers"].items() if text is not None}


@pytest.fixture
def yard(
    empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Yard]:
    """What a new user has: the example's files, a centre that runs, a gateway without a network."""
    for name, text in (("admin.token", TOKEN), ("password", PASSWORD)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    write_signing_key(tmp_path / "centre.key", bytes(32))
    shutil.copytree(ROOT / "examples" / "yard", tmp_path / "yard")
    (tmp_path / "photo.jpg").write_bytes(picture(3))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METERTREE_DSN", empty_dsn)
    monkeypatch.setattr(installed, "DELIVERY_S", (0.2, 0.5))
    monkeypatch.setattr(installed, "NOTHING_S", 0.1)
    assert centre_main(["migrate"]) == 0
    with ExitStack() as stack:
        broker = EmbeddedBroker(tmp_path / "broker", [Login.of_centre("centre", PASSWORD)])
        stack.enter_context(running(broker, SystemClock()))
        centre = stack.enter_context(serving(empty_dsn, tmp_path, broker.port))
        cutter = Cutter(0, centre.port)
        cutter.set_cut(True)
        cutter.start()
        stack.callback(cutter.close)
        yield Yard(tmp_path, f"http://127.0.0.1:{centre.port}", cutter, capsys, monkeypatch, stack)


@contextmanager
def serving(dsn: str, folder: Path, broker: int) -> Iterator[Running]:
    """Run `metertree serve`."""
    port, log = free_port(), folder / "serve.log"
    words = [sys.executable, "-m", "ingest.cli", "serve", "--dsn", dsn, "--port", str(port), "--probe-port", "0"]
    words += ["--centre-key", "centre.key", "--admin-token-file", "admin.token", "--broker-user", "centre"]
    words += ["--broker-password-file", "password", "--broker-port", str(broker), "--settle-every-s", "1"]
    words += ["--open-reads", "on"]
    with log.open("wb") as output:
        process = subprocess.Popen(words, cwd=folder, stdout=output, stderr=output, env=None)
    try:
        yield Running(process, port, log).wait_ready()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@contextmanager
def agent(home: Path) -> Iterator[None]:
    """The gateway, as its service runs it."""
    stop = threading.Event()
    thread = threading.Thread(target=run_at_home, args=(Home(home), [], stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_commands_lead_a_new_user_from_the_order_to_approval_and_an_exchange(yard: Yard) -> None:
    office, cabinet, after, later = blocks("en")
    yard.wire(*SERIALS[:2])
    with agent(yard.folder / "gw"):
        for words in office:
            claim = re.search(r"claim, shown this once: (\S+)", yard.run(words))
        assert claim is not None
        for words in cabinet:
            at_the_cabinet(yard, words, claim[1])
        for words in after:
            yard.run(words)
        assert "gw-1-1-4" in yard.told["metertree-provision bindings --centre"]
        assert yard.told["metertree-provision history --centre"].count("approved") >= 3

        yard.cutter.set_cut(False)
        for words in later:
            if words[2] == "scan":
                yard.wire(SERIALS[0], SPARE)
            yard.run(words)
        again = next(words for words in after if words[1] == "bindings")
        wait_until(lambda: SPARE in yard.run(again), "the exchange at the centre")
        wait_until(lambda: arrived(yard) > 0, "readings at the centre")


def at_the_cabinet(yard: Yard, words: list[str], claim: str) -> None:
    """Do one step, with what is in front of the engineer in the place of what the page has as examples."""
    step, answers = words[2], ""
    if step == "begin":
        answers = f"yes\neng-1\n{claim}\n"
    if step == "bind" and len(words) == 3:
        answers = "".join(f"{serial}\n" for serial in SERIALS)
    if step == "compare":
        words = [*words[:4], yard.read(words[3])["1-0:1.8.0"]]
    if step == "wiring":
        amperes = yard.read(words[3])["1-0:31.7.0"]
        words = [f"L1={amperes}" if word.startswith("L1=") else word for word in words]
    told = yard.run(words, answers)
    for expected in TOLD.get(step, ()):
        assert expected in told, f"{step}: {told}"


TOLD: dict[str, tuple[str, ...]] = {
    "begin": ("signed by the key", "find the meters"),
    "scan": (*SERIALS, "all that were expected are found"),
    "bind": (*SERIALS, "check everything"),
    "compare": ("equal",),
    "check": ("place-missing m-102", "sign and measure"),
    "seal": ("sealed", "bring it to the centre"),
    "grant": ("the centre has granted it",),
    "status": ("measuring", "the centre has granted it"),
}
"""What a step must tell."""


def arrived(yard: Yard) -> int:
    """Number of the newest envelope that the centre has without a gap."""
    shown = json.loads(yard.run(["metertree-provision", "show", "--centre", CENTRE, "--gateway", "gw-1", "--json"]))
    return int(shown["contiguous_seq"] or 0)


def test_both_languages_have_the_same_commands_and_fit_on_a_page() -> None:
    assert blocks("en") == blocks("zh")
    for page in PAGES.values():
        lines = page.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 94, page
        assert sum(line.startswith("| ") and line[2:4].strip().isdecimal() for line in lines) <= 12, page


@pytest.mark.parametrize("language", list(PAGES))
def test_every_button_that_is_named_is_on_the_page(language: str) -> None:
    text = PAGES[language].read_text(encoding="utf-8")
    steps = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    named = {name for line in steps for name in re.findall(r"\*\*(.+?)\*\*", line)}
    assert len(named) >= 12
    assert named - said_words(language) == set()


@pytest.mark.parametrize("language", list(PAGES))
def test_every_alarm_that_is_named_exists(language: str) -> None:
    text = PAGES[language].read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ") and not re.match(r"\| \d", line)]
    codes = {code for row in rows for code in re.findall(r"`(.+?)`", row)}
    assert len(codes) >= 8
    assert codes - set(finding_codes()) == set()
    titles = {title for row in rows for title in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", row)}
    alerts = {pair[("zh", "en").index(language)] for pair in KINDS.values()}
    assert len(titles) == 3
    assert titles - alerts - said_words(language) == set()
