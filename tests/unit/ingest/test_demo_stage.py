"""The demo's stage without its programs: the play step by step, restarts, premises, lines that are cut, played time."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import stat
import sys
import urllib.error
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from rich.console import Console

from ingest.console.words import Language
from ingest.demo import centre as centre_module
from ingest.demo import play as play_module
from ingest.demo import premises as premises_module
from ingest.demo import programs, supervisor
from ingest.demo.centre import Arrival, Centre, CentreAway, CentreRefused
from ingest.demo.cutter import Cutter
from ingest.demo.loads_file import read_play
from ingest.demo.play import CALLS_MAX, TOOL_RUNS_MAX, Demo
from ingest.demo.premises import (
    LOCK_FILE,
    STATE_FILE,
    Playbill,
    Premises,
    PremisesUnfit,
    choose_ports,
    clear,
    open_premises,
    reopen_premises,
    sole_use_of,
)
from ingest.demo.progress import Show
from ingest.demo.supervisor import Program, ProgramFailed, Supervisor
from ingest.demo.time_server import PlayedTime, TimeServer
from ingest.demo.words import say
from ingest.demo.world import PlayedRegisters
from metering.identity import GatewayId
from tests.doubles.park_books import PARK, read_park

GW_A, GW_B = GatewayId("gw-a"), GatewayId("gw-b")


# Premises


@pytest.fixture
def premises(tmp_path: Path) -> Premises:
    """A folder for the park."""
    site, _, play, _ = read_park()
    names = programs.port_names(site, play)
    ports = {name: 20_000 + number for number, name in enumerate(names)}
    return open_premises(tmp_path, Playbill(str(PARK), str(PARK / "loads.toml"), None, 2, ports))


def test_what_is_played_is_read_again_as_it_was_written(premises: Premises) -> None:
    assert reopen_premises(premises.directory) == premises
    assert not (premises.directory / STATE_FILE).with_suffix(".fresh").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"site": "x"}', '{"site": 1, "more": 2}'])
def test_a_state_that_cannot_be_read_is_no_demo(tmp_path: Path, text: str) -> None:
    (tmp_path / STATE_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(PremisesUnfit, match="no demo to resume"):
        reopen_premises(tmp_path)


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    def enter_again() -> None:
        with sole_use_of(tmp_path):
            pytest.fail("both are in")

    with sole_use_of(tmp_path), pytest.raises(PremisesUnfit, match="another demo runs"):
        enter_again()
    with sole_use_of(tmp_path):
        assert (tmp_path / LOCK_FILE).exists()


def test_furnishing_twice_keeps_keys_and_passwords(premises: Premises) -> None:
    site, _, _, _ = read_park()
    users = programs.users_of(site)

    def secrets() -> dict[str, bytes]:
        files = [path for path in premises.directory.rglob("*") if path.is_file() and path.name != STATE_FILE]
        return {str(path): path.read_bytes() for path in files}

    premises.furnish(site, users)
    first = secrets()
    premises.furnish(site, users)
    assert secrets() == first
    for path in (premises.centre_key, premises.token_file, *map(premises.password_file, users)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len({premises.password(user) for user in users}) == len(users)
    assert (premises.directory / "broker" / "port").read_text().strip() == str(premises.port("broker"))


def test_two_demos_sign_with_the_same_keys_and_log_in_with_others(tmp_path: Path) -> None:
    site, _, _, _ = read_park()
    ports = {"postgres": 1, "broker": 2}
    first, second = (Premises(tmp_path / name, Playbill("s", "l", None, None, ports)) for name in "ab")
    for one in (first, second):
        one.directory.mkdir()
        one.furnish(site, ["centre"])
    assert first.centre_public_key.read_bytes() == second.centre_public_key.read_bytes()
    signing = [one.gateway(GW_A) / "signing.key" for one in (first, second)]
    assert signing[0].read_bytes() == signing[1].read_bytes()
    assert first.password("centre") != second.password("centre")
    assert first.token_file.read_text() != second.token_file.read_text()


def test_an_earlier_demo_is_cleared_whole(premises: Premises) -> None:
    premises.furnish(read_park()[0], ["centre"])
    (premises.directory / "lines" / "line-a").symlink_to("/dev/null")
    (premises.directory / "dangling").symlink_to(premises.directory / "nowhere")
    clear(premises.directory)
    assert list(premises.directory.iterdir()) == []
    clear(premises.directory)


def test_a_removal_that_was_cut_short_can_be_done_again(premises: Premises, monkeypatch: pytest.MonkeyPatch) -> None:
    premises.furnish(read_park()[0], ["centre"])

    def cut(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(premises_module.shutil, "rmtree", cut)
        with pytest.raises(KeyboardInterrupt):
            clear(premises.directory)
    assert (premises.directory / STATE_FILE).exists(), "the state file goes last"
    clear(premises.directory)
    assert list(premises.directory.iterdir()) == []


def test_ports_are_free_different_and_kept_where_given() -> None:
    chosen = choose_ports(["a", "b", "c", "api"], {"api": 8081})
    assert chosen["api"] == 8081
    assert len(set(chosen.values())) == 4
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert not premises_module._is_free(taken.getsockname()[1])


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(premises_module, "_is_free", lambda _: False)
    with pytest.raises(PremisesUnfit, match="no free TCP port"):
        choose_ports(["a"], {})


# Command lines


def test_no_secret_stands_on_a_command_line(premises: Premises) -> None:
    site, _, play, _ = read_park()
    premises.furnish(site, programs.users_of(site))
    secrets = [premises.password(user) for user in programs.users_of(site)]
    secrets.append(premises.token_file.read_text().strip())
    started = [
        programs.world_program(premises, site, play),
        programs.serve_program(premises),
        programs.gateway_program(premises, GW_A),
    ]
    for program in started:
        assert not any(secret in word for secret in secrets for word in program.argv)
    assert [program.name for program in started] == ["world", "serve", "gw-a"]


def test_a_tool_that_complains_is_told_with_its_complaint() -> None:
    for program, told in (("raise SystemExit('no such site')", "no such site"), ("print('out'); exit(3)", "out")):
        with pytest.raises(programs.ToolFailed, match=told):
            programs._run(sys.executable, "-c", program)
    assert programs._run(sys.executable, "-c", "print(input())", typed="claim\n") == "claim\n"


def test_an_enrolled_gateway_is_not_enrolled_again(premises: Premises, monkeypatch: pytest.MonkeyPatch) -> None:
    site, _, play, _ = read_park()
    premises.furnish(site, programs.users_of(site))
    calls: list[tuple[str, ...]] = []

    def run(*argv: str, typed: str = "") -> str:
        calls.append((argv[1], typed))
        if argv[1] == "enrol":
            (premises.gateway(GW_A) / programs.ENROLMENT_FILE).write_text('{"epoch": 1}', encoding="utf-8")
        return json.dumps({"claim": "AAAA"})

    monkeypatch.setattr(programs, "_run", run)
    programs.enrol(premises, site, GW_A)
    programs.enrol(premises, site, GW_A)
    assert calls == [("order", ""), ("enrol", "AAAA\n")]
    programs.configure(premises, site, play, GW_A)
    written = premises.gateway(GW_A) / programs.CONFIG_FILE
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert 'gateway = "gw-a"' in written.read_text(encoding="utf-8") or "gw-a" in written.read_text(encoding="utf-8")


def test_a_claim_survives_an_enrolment_that_was_lost(premises: Premises, monkeypatch: pytest.MonkeyPatch) -> None:
    site, _, _, _ = read_park()
    premises.furnish(site, programs.users_of(site))
    calls: list[str] = []

    def run(*argv: str, typed: str = "") -> str:
        calls.append(argv[1])
        if argv[1] == "enrol" and len(calls) == 2:
            raise programs.ToolFailed("the answer was lost")
        return json.dumps({"claim": "AAAA"})

    monkeypatch.setattr(programs, "_run", run)
    with pytest.raises(programs.ToolFailed):
        programs.enrol(premises, site, GW_A)
    programs.enrol(premises, site, GW_A)
    assert calls == ["order", "enrol", "enrol"], "one order is enough"


# Supervisor


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor that stops what it started."""
    built = Supervisor(tmp_path)
    yield built
    built.stop()


def python(name: str, program: str) -> Program:
    """A program in Python."""
    return Program(name, (sys.executable, "-I", "-c", program))


def test_a_program_that_keeps_dying_is_given_up_with_its_last_lines(
    supervised: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "YOUNG_DEATHS_MAX", 1)
    monkeypatch.setattr(supervisor, "PAUSE_S_FIRST", 0.001)
    supervised.start(python("worker", "print('\\n'.join(f'line {n}' for n in range(99))); exit('broken')"))
    with pytest.raises(ProgramFailed, match="worker keeps dying") as caught:
        supervised.wait_until(lambda: False, name="worker", timeout_s=60)
    assert "line 98" in str(caught.value) or "broken" in str(caught.value)
    assert "line 50" not in str(caught.value)


def test_a_program_that_does_not_get_ready_is_named(supervised: Supervisor) -> None:
    supervised.start(python("worker", "import signal; signal.pause()"))
    with pytest.raises(ProgramFailed, match="worker is not ready after 0 s"):
        supervised.wait_until(lambda: False, name="worker", timeout_s=0.05)


def test_a_program_that_died_is_started_again_under_another_id(
    supervised: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_S_FIRST", 0.001)
    supervised.start(python("worker", "import signal; print('up', flush=True); signal.pause()"))

    def ups() -> int:
        log = supervised.log_path("worker")
        return log.read_text().count("up") if log.exists() else 0

    supervised.wait_until(lambda: ups() == 1, name="worker", timeout_s=60)
    first = json.loads((tmp_path / "pids.json").read_text())["worker"]
    os.kill(first, signal.SIGKILL)
    supervised.wait_until(lambda: ups() == 2, name="worker", timeout_s=60)
    second = json.loads((tmp_path / "pids.json").read_text())["worker"]
    assert second != first
    supervised.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_a_failure_without_a_log_says_so(supervised: Supervisor) -> None:
    assert "(nothing)" in str(supervised.failure("ghost", "never was"))


def test_a_command_is_tied_to_its_parent() -> None:
    plain = Program("x", ("/bin/true", "a"), account=(5, 6))
    assert plain.tethered_to(42)[-4:] == ("42", "5:6", "/bin/true", "a")
    assert Program("x", ("/bin/true",)).tethered_to(42)[-3:] == ("42", "-", "/bin/true")


# The centre as the demo sees it


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[Any]]:
    """Lets every call end in what the test gives; collects the requests."""

    def answer(outcome: Any) -> list[Any]:
        asked: list[Any] = []

        def urlopen(request: Any, timeout: float) -> Any:
            asked.append(request)
            if isinstance(outcome, int):
                raise refusal(outcome)
            if isinstance(outcome, Exception):
                raise outcome
            return io.BytesIO(outcome)

        monkeypatch.setattr(centre_module.urllib.request, "urlopen", urlopen)
        return asked

    return answer


def refusal(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://x", status, "no", {}, io.BytesIO(b'{"detail": "because"}'))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (409, CentreRefused),
        (401, CentreRefused),
        (503, CentreAway),
        (500, CentreAway),
        (ConnectionRefusedError("no"), CentreAway),
        (TimeoutError("no"), CentreAway),
        (urllib.error.URLError("no"), CentreAway),
    ],
)
def test_a_centre_that_is_away_is_told_from_one_that_says_no(
    answering: Callable[[Any], list[Any]], outcome: int | Exception, told: type[Exception]
) -> None:
    answering(outcome)
    with pytest.raises(told, match=r"GET /x"):
        Centre("http://c", "t").get("/x")
    answering(outcome)
    assert Centre("http://c", "t").is_ready() is False


def test_a_run_is_asked_for_with_the_token(answering: Callable[[Any], list[Any]]) -> None:
    asked = answering(b'{"run": "r"}')
    assert Centre("http://c", "t0ken").close(read_park()[0].id, "2026-07", "2026-08-01T09:00:00+08:00", "clerk") == "r"
    (request,) = asked
    assert (request.method, request.full_url) == ("POST", "http://c/v1/allocation-runs")
    assert request.get_header("Authorization") == "Bearer t0ken"
    assert json.loads(request.data)["period"] == "2026-07"


def test_arrivals_are_read_by_gateway(answering: Callable[[Any], list[Any]]) -> None:
    answering(b'{"gateways": [{"gateway": "gw-a", "contiguous_seq": 7, "quarantined": 2, "more": 1}]}')
    assert Centre("http://c", "t").arrivals() == {GW_A: Arrival(7, 2)}


# The play


class Watcher:
    """A supervisor that starts nothing."""

    def __init__(self) -> None:
        self.watched = 0

    def watch(self, _: float) -> None:
        """Count."""
        self.watched += 1

    def failure(self, name: str, problem: str) -> ProgramFailed:
        """Say it."""
        return ProgramFailed(f"{name} {problem}")


class PlayedCentre:
    """A centre whose arrivals follow a script."""

    def __init__(self, script: list[Any]) -> None:
        self._script = script

    def arrivals(self) -> Any:
        """Give the next state; the last one again and again."""
        state = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(state, Exception):
            raise state
        return {gateway: Arrival(count, 0) for gateway, count in state.items()}


@pytest.fixture
def demo(premises: Premises) -> Demo:
    """A demo of two days whose programs nobody starts."""
    site, _, _, _ = read_park()
    play = read_play(PARK / "loads.toml", site, csv=None, days=2)
    show = Show(Console(file=io.StringIO(), width=100))
    watcher: Any = Watcher()
    return Demo(premises, site, play, supervisor=watcher, show=show, language=Language.EN)


def test_a_play_ends_when_every_envelope_is_receipted_though_the_centre_was_away(demo: Demo) -> None:
    whole = {GW_A: 193, GW_B: 193}
    script: list[Any] = [{}, {GW_A: 10}, CentreAway("killed"), {GW_A: 193, GW_B: 7}, whole]
    demo._centre = PlayedCentre(script)  # type: ignore[assignment]
    demo._play_days()
    assert demo._supervisor.watched >= 4  # type: ignore[attr-defined]


def test_a_play_that_stands_still_names_the_gateway(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_module, "STANDSTILL_S_MAX", 0.0)
    demo._centre = PlayedCentre([{GW_A: 193, GW_B: 7}])  # type: ignore[assignment]
    with pytest.raises(ProgramFailed, match="gw-b has sent nothing new"):
        demo._play_days()


@pytest.mark.parametrize("failures", [0, 1, TOOL_RUNS_MAX - 1, TOOL_RUNS_MAX])
def test_a_tool_is_run_again_so_often_and_no_more(demo: Demo, failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    monkeypatch.setattr(demo, "_await", lambda *_: None)

    def tool() -> None:
        runs.append(1)
        if len(runs) <= failures:
            raise programs.ToolFailed("killed under it")

    if failures < TOOL_RUNS_MAX:
        demo._run_tool(tool, "postgres", lambda: True)
        assert len(runs) == failures + 1
    else:
        with pytest.raises(programs.ToolFailed):
            demo._run_tool(tool, "postgres", lambda: True)
        assert len(runs) == TOOL_RUNS_MAX


@pytest.mark.parametrize("failures", [0, 3, CALLS_MAX])
def test_a_call_is_made_again_while_the_service_is_away(demo: Demo, failures: int) -> None:
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        if len(calls) <= failures:
            raise CentreAway("restarting")
        return "answer"

    if failures < CALLS_MAX:
        assert demo._insist(call) == "answer"
    else:
        with pytest.raises(CentreAway):
            demo._insist(call)
        assert len(calls) == CALLS_MAX


def test_a_refusal_is_not_asked_again(demo: Demo) -> None:
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        raise CentreRefused("no")

    with pytest.raises(CentreRefused):
        demo._insist(call)
    assert len(calls) == 1


def test_a_part_of_the_month_is_named_by_its_days_and_the_month_by_its_own_name(demo: Demo) -> None:
    assert demo._period_label() == "2026-07-01--2026-07-02"
    demo._play = read_park()[2]
    assert demo._period_label() == "2026-07"


# Lines and time


@pytest.fixture
def line() -> Iterator[tuple[Cutter, socket.socket]]:
    """A line to an echo."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def echo(connection: socket.socket) -> None:
            with connection:
                while octets := connection.recv(100):
                    connection.sendall(octets)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                Thread(target=echo, args=(connection,), daemon=True).start()

        Thread(target=serve, daemon=True).start()
        cutter = Cutter(0, listener.getsockname()[1])
        cutter.start()
        yield cutter, listener
        cutter.close()
        listener.shutdown(socket.SHUT_RDWR)


def connected(cutter: Cutter) -> socket.socket:
    """A client of the line."""
    return socket.create_connection(("127.0.0.1", cutter.port), timeout=10)


def test_a_line_carries_until_it_is_cut_and_again_when_it_is_mended(line: tuple[Cutter, socket.socket]) -> None:
    cutter, _ = line
    with connected(cutter) as client:
        client.sendall(b"ping")
        assert client.recv(4) == b"ping"
        cutter.set_cut(True)
        cutter.set_cut(True)
        assert client.recv(4) == b""
    with connected(cutter) as refused:
        assert refused.recv(4) == b"", "a new connection is closed at once"
    cutter.set_cut(False)
    with connected(cutter) as client:
        client.sendall(b"pong")
        assert client.recv(4) == b"pong"


def test_a_line_to_nobody_is_closed() -> None:
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        target = gone.getsockname()[1]
    cutter = Cutter(0, target)
    cutter.start()
    try:
        with connected(cutter) as client:
            assert client.recv(1) == b""
    finally:
        cutter.close()


@pytest.fixture
def time_server() -> Iterator[tuple[TimeServer, list[Any]]]:
    """Played time of the park's gateways, and every advance that was told."""
    site, _, play, catalogue = read_park()
    told: list[Any] = []
    registers = {gateway.id: PlayedRegisters(play, site, gateway.id, catalogue) for gateway in site.gateways}
    server = TimeServer(PlayedTime(registers, lambda *advance: told.append(advance)), 0)
    server.start()
    yield server, told
    server.close()


def ask(server: TimeServer, *lines: bytes) -> list[bytes]:
    """Send lines; give the answers until the server closes or has answered all."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        file = connection.makefile("rwb")
        answers = []
        for line in lines:
            file.write(line)
            file.flush()
            answers.append(file.readline())
        return answers


def test_time_is_asked_and_advanced_by_gateway(time_server: tuple[TimeServer, list[Any]]) -> None:
    server, told = time_server
    start = read_park()[2].played.start
    request = json.dumps({"gateway": "gw-a", "advance_to": start.isoformat()}).encode() + b"\n"
    answers = [json.loads(one) for one in ask(server, b'{"gateway": "gw-a"}\n', request, b'{"gateway": "gw-b"}\n')]
    before = (start - timedelta(seconds=60)).isoformat()
    assert [one["now"] for one in answers] == [before, start.isoformat(), before]
    assert told == [(GW_A, start)]


@pytest.mark.parametrize(
    "line",
    [
        *(b"\n", b"[]\n", b"7\n", b"{\n", b"{}\n", b'{"gateway": "gw-z"}\n', b'{"gateway": []}\n', b"\xff\n"),
        *(
            b'{"gateway": "gw-a", "advance_to": "soon"}\n',
            b'{"gateway": "gw-a", "advance_to": "2026-07-01T00:00:00"}\n',
        ),
        b'{"gateway": "' + b"x" * 2000 + b'"}\n',
    ],
)
def test_a_mistake_closes_the_conversation(time_server: tuple[TimeServer, list[Any]], line: bytes) -> None:
    server, told = time_server
    assert ask(server, line) == [b""]
    assert told == []
    assert ask(server, b'{"gateway": "gw-b"}\n') != [b""], "others are still answered"


def test_time_stands_still_at_the_end(time_server: tuple[TimeServer, list[Any]]) -> None:
    server, told = time_server
    beyond = (read_park()[2].played.end + timedelta(seconds=1)).isoformat()
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.1) as connection:
        connection.sendall(json.dumps({"gateway": "gw-a", "advance_to": beyond}).encode() + b"\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert told == []


def test_every_step_can_be_said_in_both_languages() -> None:
    for language in Language:
        assert say(language, "play", meters=1, marks=2, first="a", last="b")
    with pytest.raises(KeyError):
        say(Language.EN, "never")
    assert Event().is_set() is False
