"""What each command prints and ends with, over the database in memory: 0 done, 1 no, 2 wrong call, 130 stopped."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ingest import app, cli
from ingest.cli import build_parser, main
from ingest.commands import command_modules, doctor
from ingest.commands.run import LISTED, RunUnknown
from ingest.config import PREFIX, SERVE_SETTINGS
from ingest.log_lines import LogFormat
from ingest.store.database import DatabaseUnreachable
from ingest.store.layout import Layout, Parts, Step
from metering.errors import DocumentError, Fault, MeteringError
from provisioning.keys import FileSigner, write_signing_key
from tests.doubles.memory_centre import BOOKED_AT, PERIOD, MemoryCentre, closed_tables
from tests.doubles.memory_database import MemoryDatabase
from tests.doubles.park_books import CENTRE, PARK

DSN = ["--dsn", "postgresql://nobody@nowhere/none"]
CLOSE = ["close", "park", PERIOD, "--booked-at", BOOKED_AT]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for setting in SERVE_SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> MemoryDatabase:
    """The database every command opens."""
    memory = MemoryDatabase()
    monkeypatch.setattr("ingest.store.database.Database", lambda *_, **__: memory)
    return memory


@pytest.fixture
def closed_books(database: MemoryDatabase) -> MemoryDatabase:
    """A database with one closed day."""
    database.tables = closed_tables().copied()
    return database


@pytest.fixture
def keys(tmp_path: Path) -> list[str]:
    """The centre's key in a file."""
    path = tmp_path / "centre.key"
    write_signing_key(path, b"\x07" * 32)
    return ["--centre-key", str(path)]


def run_id(database: MemoryDatabase) -> str:
    """The id of the only run."""
    (run,) = database.tables.runs
    return run


# The program


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (MeteringError("the reason"), 1, "metertree: the reason\n"),
        (DocumentError((Fault(path="a.toml", line=3, problem="p", mend="m"),)), 1, "a.toml:3: p (m)\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_ending_has_its_exit_code(
    error: BaseException, code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Any) -> int:
        raise error

    parser = build_parser()
    parser.set_defaults(run=fails)
    stub = SimpleNamespace(parse_args=lambda _: SimpleNamespace(run=fails, verbose=False))
    monkeypatch.setattr(cli, "build_parser", lambda: stub)
    assert main(["anything"]) == code
    assert capsys.readouterr().err == told


def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Any) -> int:
        raise ZeroDivisionError

    stub = SimpleNamespace(parse_args=lambda _: SimpleNamespace(run=fails, verbose=False))
    monkeypatch.setattr(cli, "build_parser", lambda: stub)
    with pytest.raises(ZeroDivisionError):
        main([])


@pytest.mark.parametrize(
    "argv", [["nothing"], ["close"], ["close", "park"], ["site"], ["site", "paint", "x"], ["run", "a", "b"]]
)
def test_a_wrong_call_ends_with_2_and_shows_the_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert "usage: metertree" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["close", "migrate", "run", "serve"])
def test_a_command_without_its_settings_names_flag_and_variable(
    command: str, capsys: pytest.CaptureFixture[str], keys: list[str]
) -> None:
    words = {"close": [*CLOSE, *keys]}.get(command, [command])
    assert main(words) == 1
    assert "--dsn or set METERTREE_DSN" in capsys.readouterr().err


def test_talkative_libraries_are_kept_quiet() -> None:
    cli.set_up_logging(LogFormat.TEXT, verbose=True)
    assert {logging.getLogger(name).level for name in ("httpx", "psycopg.pool", "numba")} == {logging.WARNING}


def test_every_command_registers_what_it_runs() -> None:
    names = [module.__name__.rpartition(".")[2] for module in command_modules()]  # type: ignore[attr-defined]
    assert names == sorted(names)
    assert {"close", "doctor", "migrate", "run", "serve", "site", "verify"} <= set(names)
    for module in command_modules():
        assert callable(module.register)


# close and run


def test_closing_prints_a_new_run_once(
    database: MemoryDatabase, keys: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    centre = MemoryCentre()
    centre.books.database = database
    centre.books.enrol_all()
    centre.books.write(mark for mark in centre.books.site.calendar.period(PERIOD).marks())
    assert main([*CLOSE, *DSN, *keys]) == 0
    first = capsys.readouterr().out.splitlines()
    assert main([*CLOSE, *DSN, *keys]) == 0
    second = capsys.readouterr().out.splitlines()
    assert (first[0], second[0]) == ("new run", "this run was stored before; nothing was added")
    assert first[1:] == second[1:]
    assert first[1] == f"run      {run_id(database)}"


def test_what_is_printed_of_a_run_adds_up(closed_books: MemoryDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "show", run_id(closed_books)[:9], *DSN]) == 0
    printed = capsys.readouterr().out.splitlines()
    pools = [line.split(": ", 1)[1].split() for line in printed if line.startswith("pool ")]
    assert len(pools) == 4
    for _, lines, _, _, residual, _, cost, currency in pools:
        assert round(float(lines) + float(residual), 2) == float(cost)
        assert currency == "CNY"
    stated = [float(line.split(": ")[1].split()[0]) for line in printed if line.startswith("stated ")]
    assert round(sum(stated), 2) == round(sum(float(pool[6]) for pool in pools), 2)


def test_a_refused_period_ends_with_1_and_every_reason(
    database: MemoryDatabase, keys: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    centre = MemoryCentre()
    centre.books.database = database
    centre.books.enrol_all()
    assert main([*CLOSE, *DSN, *keys]) == 1
    assert "main" in capsys.readouterr().err
    assert database.tables.runs == {}


def test_a_booking_time_without_a_zone_is_refused(
    closed_books: MemoryDatabase, keys: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["close", "park", PERIOD, "--booked-at", "2026-08-01T09:00:00", *DSN, *keys]) == 1
    assert "no time zone" in capsys.readouterr().err


def test_a_booking_time_that_is_none_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["close", "park", PERIOD, "--booked-at", "soon", *DSN])
    assert ended.value.code == 2
    assert "--booked-at" in capsys.readouterr().err


def test_a_key_that_is_not_there_is_named(
    database: MemoryDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*CLOSE, *DSN, "--centre-key", str(tmp_path / "absent.key")]) == 1
    assert "absent.key" in capsys.readouterr().err


def test_runs_are_listed_with_their_beginnings(
    closed_books: MemoryDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_id(closed_books)
    assert main(["run", *DSN]) == 0
    assert capsys.readouterr().out.split() == [run[:16], "park", PERIOD, "computed", "2026-08-01T01:00:00+00:00"]


def test_a_list_of_runs_has_an_end(closed_books: MemoryDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    ((_, row),) = closed_books.tables.runs.items()
    closed_books.tables.runs = {f"{n:064x}": (f"{n:064x}", *row[1:]) for n in range(LISTED + 5)}
    assert main(["run", *DSN]) == 0
    assert len(capsys.readouterr().out.splitlines()) == LISTED


def test_no_runs_are_no_lines(database: MemoryDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *DSN]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("given", "found"), [("zz", 0), ("", 2)])
def test_an_id_that_is_not_one_run_is_refused(
    closed_books: MemoryDatabase, given: str, found: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = closed_books.tables.runs.values()
    closed_books.tables.runs["f" * 64] = ("f" * 64, *row[1:])
    assert main(["run", "show", given, *DSN]) == 1
    assert f"{found} runs begin with {given!r}" in capsys.readouterr().err
    assert issubclass(RunUnknown, MeteringError)


def test_a_run_is_printed_as_it_is_stored(closed_books: MemoryDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_id(closed_books)
    assert main(["run", "show", run, "--json", *DSN]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert sum(line["amount_minor"] for line in printed.pop("lines")) == printed["reconciliation"]["pooled_minor"]
    assert printed == closed_books.tables.runs[run][6]


def test_cases_are_printed(closed_books: MemoryDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_id(closed_books)
    document = dict(closed_books.tables.runs[run][6])
    document["cases"] = [{"node": "main", "loss_wh": 1, "band_wh": 0, "text": "look for a wrong ratio"}]
    closed_books.tables.runs[run] = (*closed_books.tables.runs[run][:6], document)
    assert main(["run", "show", run, *DSN]) == 0
    assert "case     main: look for a wrong ratio" in capsys.readouterr().out


# site


def test_a_site_is_imported_once(
    database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ingest.store.layout.arrange_aggregates", lambda *_: ())
    monkeypatch.setattr("ingest.store.aggregates.fill_new_aggregates", lambda *_: [])
    assert main(["site", "import", str(PARK), *DSN]) == 0
    assert main(["site", "import", str(PARK), *DSN]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("site park imported as version 1 (")
    assert second.startswith("site park is unchanged since version 1 (")
    assert len(database.tables.sites) == 1


def test_a_faulty_site_is_not_imported(database: MemoryDatabase, tmp_path: Path) -> None:
    assert main(["site", "import", str(tmp_path), *DSN]) == 1
    assert database.executed == []


def test_a_profile_folder_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.toml").write_text("id = 7\n", encoding="utf-8")
    assert main(["site", "check", str(PARK), "--profiles", str(tmp_path)]) == 1
    assert "bad.toml:" in capsys.readouterr().err


# migrate


@pytest.mark.parametrize(
    ("applied", "printed"),
    [
        (("0001_pre_a.sql", "0002_post_b.sql"), "applied 0001_pre_a.sql\napplied 0002_post_b.sql\n"),
        ((), "the database is up to date\n"),
    ],
)
def test_migrating_says_what_was_applied(
    database: MemoryDatabase,
    applied: tuple[str, ...],
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("ingest.store.migrate.migrate_schema", lambda opened: applied if opened is database else None)
    monkeypatch.setattr("ingest.store.layout.arrange", lambda *_: iter(()))
    assert main(["migrate", *DSN]) == 0
    assert capsys.readouterr().out == printed


def test_migrating_tells_each_step_of_the_layout(
    database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ingest.store.migrate.migrate_schema", lambda _: ())
    monkeypatch.setattr("ingest.store.layout.convert", lambda *_: iter(["readings becomes a hypertable"]))
    monkeypatch.setattr("ingest.store.layout.arrange", lambda *_: iter(["readings are compressed"]))
    assert main(["migrate", "--to-hypertables", *DSN]) == 0
    assert capsys.readouterr().out == "readings becomes a hypertable\nreadings are compressed\n"


@pytest.mark.parametrize(
    ("told", "printed"), [(["readings of 2020-01 are dropped"] * 2, None), ([], "nothing to do\n")]
)
def test_maintaining_tells_what_it_did(
    told: list[str],
    printed: str | None,
    database: MemoryDatabase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("ingest.store.retention.maintain", lambda *_: iter(told))
    assert main(["maintain", *DSN]) == 0
    assert capsys.readouterr().out == (printed or "".join(f"{what}\n" for what in told))


@pytest.mark.parametrize("argv", [["run"], CLOSE, ["site", "import", str(PARK)]])
def test_a_database_that_is_away_ends_with_1(
    argv: list[str], database: MemoryDatabase, keys: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    database.refusal = DatabaseUnreachable("no connection to the database: refused")
    assert main([*argv, *DSN, *(keys if argv is CLOSE else [])]) == 1
    assert capsys.readouterr().err == "metertree: no connection to the database: refused\n"


# doctor


class Broker:
    """A paho client whose broker gives one verdict, or none."""

    verdict: str | None = "Success"
    refusal: Exception | None = None
    dropped = b"0"
    calls: list[str]

    def __init__(self, *_: Any, **__: Any) -> None:
        Broker.calls = []
        self.on_message: Callable[..., None] = lambda *_: None
        self.on_connect: Callable[..., None] = lambda *_: None

    def username_pw_set(self, user: str | None, password: str | None) -> None:
        """Keep the login."""
        Broker.calls.append(f"{user}:{password}")

    def connect(self, host: str, port: int) -> None:
        """Reach the broker, or not."""
        if Broker.refusal is not None:
            raise Broker.refusal

    def loop_start(self) -> None:
        """Answer."""
        if Broker.verdict is not None:
            self.on_connect(self, None, None, Broker.verdict, None)

    def subscribe(self, topic: str) -> None:
        """Mosquitto tells at once what it dropped."""
        self.on_message(self, None, SimpleNamespace(topic=topic, payload=Broker.dropped))

    def loop_stop(self) -> None:
        """End."""
        Broker.calls.append("stopped")

    def disconnect(self) -> None:
        """Leave."""
        Broker.calls.append("left")


@pytest.fixture
def healthy(
    database: MemoryDatabase, keys: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """A call of the doctor where all is well."""
    monkeypatch.setattr("paho.mqtt.client.Client", Broker)
    monkeypatch.setattr("ingest.store.migrate.is_migrated", lambda _: True)
    july, august = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)
    parts = (Parts("envelopes", 1, 0, None, None, 0), Parts("readings", 2, 1, july, august, 3_250_000))
    monkeypatch.setattr("ingest.store.layout.find_layout", lambda _: Layout.HYPERTABLES)
    monkeypatch.setattr("ingest.store.layout.missing_steps", lambda *_: ())
    monkeypatch.setattr("ingest.store.layout.list_parts", lambda _: parts)
    monkeypatch.setattr("ingest.store.layout.list_policies", lambda _: ("readings retention 3 years",))
    monkeypatch.setattr("ingest.store.layout.remark_on_chunks", lambda *_: None)
    monkeypatch.setattr(Broker, "verdict", "Success")
    monkeypatch.setattr(Broker, "refusal", None)
    monkeypatch.setattr(doctor, "BROKER_WAIT_S", 0.01)
    token = tmp_path / "token"
    token.write_text("t" * 20, encoding="ascii")
    yield ["doctor", *DSN, *keys, "--admin-token-file", str(token)]
    assert Broker.calls[-2:] == ["stopped", "left"], "the doctor leaves no session behind"


def failed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the doctor found wrong."""
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗")]


def test_a_sound_service_ends_with_0(healthy: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(healthy) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed if line.startswith("✓")] == [
        "✓ profiles",
        "✓ centre key",
        "✓ admin token",
        "✓ database",
        "✓ storage",
        "✓ broker",
    ]
    assert "20 signs" in printed[2]
    assert "anyone" in printed[-1]
    assert printed[4:8] == [
        "✓ storage: hypertables",
        "  envelopes: 1 parts, 0 compressed, 0.0 MB",
        "  readings: 2 parts, 1 compressed, 3.2 MB, 2026-07-01 to 2026-08-01",
        "  readings retention 3 years",
    ]


def test_chunks_too_large_for_the_memory_are_remarked_on_and_not_unwell(
    healthy: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ingest.store.layout.remark_on_chunks", lambda *_: "set METERTREE_CHUNK_DAYS=2")
    assert main(healthy) == 0
    assert "  ! set METERTREE_CHUNK_DAYS=2" in capsys.readouterr().out.splitlines()


def test_a_partition_to_come_that_is_missing_is_unwell(
    healthy: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = (Step("readings of 2027-03 get a partition", ""),) * 2
    monkeypatch.setattr("ingest.store.layout.missing_steps", lambda *_: missing)
    assert main(healthy) == 1
    assert failed(capsys) == [
        "✗ storage: 2 steps are missing (readings of 2027-03 get a partition ...); run: metertree maintain"
    ]


def test_a_database_without_tables_is_unwell(
    healthy: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ingest.store.layout.find_layout", lambda _: Layout.ABSENT)
    assert main(healthy) == 1
    assert failed(capsys) == ["✗ storage: there are no tables yet; run: metertree migrate"]


def test_a_short_token_is_unwell(healthy: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(healthy[-1]).write_text("t" * 19, encoding="ascii")
    assert main(healthy) == 1
    assert failed(capsys) == ["✗ admin token: 19 signs are easily guessed; write at least 20 random ones into the file"]


def test_a_database_behind_is_unwell(
    healthy: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ingest.store.migrate.is_migrated", lambda _: False)
    assert main(healthy) == 1
    assert failed(capsys) == ["✗ database: it answers, but is not up to date; run: metertree migrate"]


@pytest.mark.parametrize(
    ("verdict", "refusal", "told"),
    [
        ("Not authorized", None, "refuses an anonymous login: Not authorized"),
        (None, None, "does not answer: no CONNACK"),
        ("Success", ConnectionRefusedError("refused"), "does not answer: refused"),
    ],
)
def test_a_broker_that_says_no_is_unwell(
    healthy: list[str],
    verdict: str | None,
    refusal: Exception | None,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Broker, "verdict", verdict)
    monkeypatch.setattr(Broker, "refusal", refusal)
    assert main(healthy) == 1
    (line,) = failed(capsys)
    assert told in line


def test_the_doctor_logs_in_as_the_service_does(healthy: list[str], tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n", encoding="ascii")
    assert main([*healthy, "--broker-user", "centre", "--broker-password-file", str(secret)]) == 0
    assert Broker.calls[0] == "centre:s3cret"


def test_the_doctor_tells_what_was_dropped(
    healthy: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Broker, "dropped", b"7")
    assert main(healthy) == 0
    assert "! it has dropped 7 messages" in capsys.readouterr().out


def test_one_fault_does_not_hide_the_next(
    healthy: list[str], tmp_path: Path, database: MemoryDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "meter.toml").write_text("id = 7\n", encoding="utf-8")
    (tmp_path / "centre.key").unlink()
    database.refusal = DatabaseUnreachable("gone")
    Path(healthy[-1]).unlink()
    # The migration check is real again only in so far as it asks the database.
    assert main([*healthy, "--profiles", str(tmp_path / "bad")]) == 1
    names = [line.split(":")[0] for line in failed(capsys)]
    assert names[:3] == ["✗ profiles", "✗ centre key", "✗ admin token"]


# serve


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configurations with which the service was started."""
    started: list[Any] = []
    monkeypatch.setattr(app, "serve", started.append)
    return started


def test_serving_reads_flags_before_the_environment(
    served: list[Any], keys: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("t0ken\n", encoding="ascii")
    monkeypatch.setenv(PREFIX + "PORT", "1")
    monkeypatch.setenv(PREFIX + "ADMIN_TOKEN_FILE", str(token))
    monkeypatch.setenv(PREFIX + "BROKER_HOST", "mq.example")
    assert main(["serve", *DSN, *keys, "--port", "8081"]) == 0
    (config,) = served
    assert (config.web.port, config.web.admin_token, config.core.broker.host) == (8081, "t0ken", "mq.example")
    assert config.core.centre_key == Path(keys[1])


def test_a_service_on_an_old_schema_does_not_start(
    database: MemoryDatabase, keys: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    token = tmp_path / "token"
    token.write_text("t0ken", encoding="ascii")
    monkeypatch.setattr(app, "Database", lambda *_, **__: database)
    monkeypatch.setattr(app, "is_migrated", lambda _: False)
    monkeypatch.setattr(app, "consumer_of", lambda *_: pytest.fail("the broker was asked"))
    assert main(["serve", *DSN, *keys, "--admin-token-file", str(token)]) == 1
    assert "run: metertree migrate" in capsys.readouterr().err


def test_the_salts_stay_beside_the_key(
    database: MemoryDatabase, keys: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*CLOSE, *DSN, *keys])
    salt = tmp_path / "salt.key"
    made = salt.read_bytes()
    assert salt.stat().st_mode & 0o077 == 0
    main([*CLOSE, *DSN, *keys])
    assert salt.read_bytes() == made
    assert FileSigner.read(Path(keys[1])).public_key == CENTRE.public_key
