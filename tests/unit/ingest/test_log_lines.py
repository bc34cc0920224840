"""One event a line: the JSON of a log call says what its text says, whatever is logged."""

from __future__ import annotations

import ast
import contextvars
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.cli import main
from ingest.log_lines import JsonLines, LogFormat, ids_put, parted, put_ids, set_up_logging

ROOT = Path(__file__).parents[3]


def record(message: str, *arguments: object, fault: BaseException | None = None) -> logging.LogRecord:
    """A record as a logger makes it."""
    exc_info = None if fault is None else (type(fault), fault, fault.__traceback__)
    return logging.LogRecord("ingest.somewhere", logging.WARNING, __file__, 1, message, arguments, exc_info)


def line(message: str, *arguments: object, fault: BaseException | None = None, **fields: str) -> dict[str, Any]:
    """The JSON line of a log call."""
    written = JsonLines(**fields).format(record(message, *arguments, fault=fault))
    assert "\n" not in written
    return dict(json.loads(written))


def test_event_fields_and_remark_are_apart() -> None:
    found = line("intake.store_unreachable wait_s=%s: %s", 0.25, OSError("gone"))
    assert (found["event"], found["wait_s"], found["text"]) == ("intake.store_unreachable", 0.25, "gone")
    assert (found["level"], found["logger"]) == ("warning", "ingest.somewhere")
    assert found["at"].endswith("+00:00")


def test_a_field_of_two_places_is_one_text() -> None:
    assert line("serve.started address=http://%s:%s", "::1", 8080)["address"] == "http://::1:8080"


def test_numbers_stay_numbers_and_texts_stay_texts() -> None:
    found = line("a.b count=%s share=%s name=%r", 3, "3", "x")
    assert (found["count"], found["share"], found["name"]) == (3, "3", "'x'")


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("Uvicorn running on %s", ("x",)),
        ("a.b with words", ()),
        ("nothing", ()),
        ("", ()),
    ],
)
def test_what_is_no_event_is_told_as_text(message: str, arguments: tuple[object, ...]) -> None:
    assert parted(record(message, *arguments))[:2] == ("log", [])


def test_a_fault_is_one_line_with_its_trace() -> None:
    try:
        raise KeyError("two\nlines")
    except KeyError as fault:
        found = line("settlement.failed", fault=fault)
    assert found["fault"].startswith("Traceback")
    assert "KeyError" in found["fault"]


def test_no_field_can_pass_itself_off_as_another() -> None:
    found = line("a.b level=%s event=%s program=%s pid=%s", "debug", "c.d", "other", 1, program="intake")
    assert (found["level"], found["event"], found["program"]) == ("warning", "a.b", "intake")
    assert found["pid"] != 1


def test_ids_of_a_call_stand_on_its_lines_and_on_no_others() -> None:
    def within() -> dict[str, Any]:
        put_ids(request="first")
        put_ids(request="second")
        return line("a.b")

    assert contextvars.copy_context().run(within)["request"] == "second"
    assert "request" not in line("a.b")
    assert dict(ids_put()) == {}


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_logged_gives_one_line_of_json(detail: str, topic: str) -> None:
    found = line("intake.not_storable topic=%s: %s", topic, detail)
    assert found["topic"] == topic
    assert found.get("text", "") == detail
    assert line("a.b", program=topic).get("program", "") == topic


def log_calls() -> Iterator[tuple[str, int, ast.Call]]:
    """Every call of a module's logger."""
    for path in sorted((ROOT / "ingest").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and ast.unparse(node.func.value) == "_log"
                and node.func.attr in ("debug", "info", "warning", "error", "exception", "critical")
            ):
                yield f"{path.relative_to(ROOT)}", node.lineno, node


def test_every_log_call_of_ours_is_an_event_with_fields() -> None:
    calls = list(log_calls())
    assert len(calls) > 15
    wrong = []
    for path, number, call in calls:
        message = call.args[0]
        if not isinstance(message, ast.Constant) or not isinstance(message.value, str):
            wrong.append(f"{path}:{number}: the message is made up at run time")
            continue
        arguments = tuple(1 for _ in call.args[1:])
        if parted(record(message.value, *arguments))[0] == "log":
            wrong.append(f"{path}:{number}: {message.value!r}")
    assert wrong == []


@contextmanager
def bare_root() -> Iterator[None]:
    """A root logger that writes nowhere yet, and is left as it was: pytest puts its own there for the test."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def test_json_is_what_reaches_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_root():
        set_up_logging(LogFormat.JSON, verbose=False, program="intake")
        logging.getLogger("ingest.intake").warning("intake.store_unreachable wait_s=%s: %s", 1, "away")
        logging.getLogger("ingest.intake").debug("a.b")
    (written,) = capsys.readouterr().err.splitlines()
    assert json.loads(written)["program"] == "intake"


def test_text_is_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_root():
        set_up_logging(LogFormat.TEXT, verbose=True)
        logging.getLogger("ingest.intake").debug("a.b c=%s", 1)
    assert capsys.readouterr().err.endswith("DEBUG ingest.intake a.b c=1\n")


def test_a_command_that_fails_says_so_in_the_same_form(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METERTREE_DSN", raising=False)
    with bare_root():
        assert main(["--log-format", "json", "migrate"]) == 1
    (written,) = capsys.readouterr().err.splitlines()
    found = json.loads(written)
    assert (found["event"], found["program"]) == ("command.failed", "migrate")
    assert "METERTREE_DSN" in found["text"]


def test_an_unknown_form_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERTREE_LOG_FORMAT", "xml")
    assert main(["migrate", "--dsn", "x"]) == 1
    assert "neither text nor json" in capsys.readouterr().err
