"""docs/billing-api.md as a programmer reads it: every example is asked of a real centre, and its answer compared."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from ingest.api.problem_types import TYPES
from ingest.billing.columns import NATIVE
from ingest.billing.focus import FOCUS
from tests.doubles import billing_client
from tests.doubles.billing_service import add_billing_client, billing_service
from tests.doubles.issued_park import PHONE, IssuedPark

PAGE = (Path(__file__).parents[2] / "docs" / "billing-api.md").read_text(encoding="utf-8")
LEFT_OUT = "…"


@dataclass(frozen=True)
class Message:
    """A request or an answer of the page."""

    first: str
    headers: dict[str, str]
    body: str

    @classmethod
    def parse(cls, block: str) -> Message:
        """Read one."""
        head, _, body = block.partition("\n\n")
        first, *rest = head.splitlines()
        return cls(first, dict(one.split(": ", 1) for one in rest), body.rstrip("\n"))


def examples() -> Iterator[tuple[Message, Message]]:
    """Every request with its answer, in the order of the page."""
    blocks = [Message.parse(one) for one in re.findall(r"^```http\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)]
    requests, answers = blocks[::2], blocks[1::2]
    assert all(one.first.split()[0] in ("GET", "POST") for one in requests)
    assert all(one.first.startswith("HTTP/1.1 ") for one in answers)
    yield from zip(requests, answers, strict=True)


def differs(told: Any, given: Any, place: str = "") -> str | None:
    """Say where an answer is not as the page tells; what the page leaves out may be anything."""
    if told == LEFT_OUT:
        return None
    if isinstance(told, dict) and isinstance(given, dict):
        lacking = told.keys() - given.keys() - {LEFT_OUT}
        beyond = given.keys() - told.keys() if LEFT_OUT not in told else set()
        if lacking or beyond:
            return f"{place}: {sorted(lacking)} are not given, {sorted(beyond)} are not told"
        return next(
            filter(None, (differs(told[key], given[key], f"{place}.{key}") for key in told if key in given)), None
        )
    if isinstance(told, list) and isinstance(given, list):
        is_open = bool(told) and told[-1] == LEFT_OUT
        shown = told[:-1] if is_open else told
        if len(given) < len(shown) or (len(given) > len(shown) and not is_open):
            return f"{place}: {len(given)} in place of {len(shown)}"
        return next(filter(None, (differs(*pair, f"{place}[]") for pair in zip(shown, given, strict=False))), None)
    is_same = matches(told, given) if isinstance(told, str) and isinstance(given, str) else told == given
    return None if is_same else f"{place}: {given!r} in place of {told!r}"


def matches(told: str, given: str) -> bool:
    """Compare texts; an ellipsis stands for anything."""
    escaped = re.sub(r"([*?\[])", r"[\1]", told)
    return fnmatchcase(given, escaped.replace(LEFT_OUT, "*"))


def test_every_example_is_answered_as_the_page_tells(issued_park: IssuedPark) -> None:
    issued_park.desk.confirm(issued_park.token, PHONE)
    key, count = add_billing_client(issued_park), 0
    with billing_service(issued_park) as client:
        for asked, told in examples():
            method, path = asked.first.split()
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **asked.headers}
            given = client.request(method, path, headers=headers, content=asked.body or None)
            assert told.first == f"HTTP/1.1 {given.status_code} {given.reason_phrase}", (asked.first, given.text)
            for name, text in told.headers.items():
                assert matches(text, given.headers[name]), (asked.first, name, given.headers[name])
            if told.body.startswith("{"):
                assert differs(json.loads(told.body), given.json()) is None, (asked.first, given.text)
            else:
                assert matches(told.body, given.text.replace("\r\n", "\n").rstrip("\n") + "\n" * ("…" in told.body)), (
                    given.text
                )
            count += 1
        program, output = re.findall(r"^```(?:python)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[-2:]
        base, shown = str(client.base_url), io.StringIO()
        assert billing_client.metertree_billing
        with contextlib.redirect_stdout(shown):
            exec(program.replace("https://metering.example.com", base).replace("mtk_…", key), {})
        assert shown.getvalue() == output
    assert count == 13


def test_the_page_tells_every_field_and_every_column() -> None:
    native, focus = PAGE[PAGE.index("| field | |") :], PAGE[PAGE.index("| FOCUS column |") :]
    assert cells(native) == {one.name for one in NATIVE}
    assert cells(focus) == {one.name for one in FOCUS}


def cells(text: str) -> set[str]:
    """The names in the first cells of the table with which a text begins."""
    rows = text.partition("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_the_page_tells_every_type_of_problem(name: str) -> None:
    one = TYPES[name]
    assert f"| `{name}` | {int(one.status)} | {one.meaning} | {one.mend} |" in PAGE


def test_a_page_that_tells_something_else_is_found_out() -> None:
    assert differs({"a": 1}, {"a": 2}) is not None
    assert differs({"a": 1}, {"a": 1, "b": 2}) is not None
    assert differs({"a": 1, "…": "…"}, {"a": 1, "b": 2}) is None
    assert differs({"a": 1, "…": "…"}, {"b": 2}) is not None
    assert differs([1], [1, 2]) is not None
    assert differs([1, "…"], [1, 2]) is None
    assert differs("W/…", "V/x") is not None
    assert differs("a*", "ab") is not None
