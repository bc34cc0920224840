"""A pytest plugin that runs property tests with many times their examples, from a seed, and counts what really ran.

    python -m pytest -p tests.long.more_examples --times 20 --hypothesis-seed 7 --tally out.json tests/property/...

Counted are the examples that reached a test's body and the whole periods that were closed in them, by whatever process.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from allocation_engine import close_period

COUNTS: Counter[str] = Counter()
_TOGETHER: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", type=int, default=1, help="how many times its own number of examples a test takes")
    parser.addoption("--tally", help="file to write the counts to, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    # Before any test file takes the name into its own module.
    close_period.close_period = _counted("periods", close_period.close_period)  # type: ignore[assignment]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    times = config.getoption("--times")
    for test in {getattr(item, "obj", None) for item in items}:
        if getattr(test, "is_hypothesis_test", False):
            # Hypothesis lets a test's own number win over any profile, and has no other way to raise it.
            known = test._hypothesis_internal_use_settings
            more = settings(known, max_examples=known.max_examples * times, derandomize=False, database=None)
            test._hypothesis_internal_use_settings = more
            test.hypothesis.inner_test = _counted("examples", test.hypothesis.inner_test)


def pytest_sessionfinish(session: pytest.Session) -> None:
    counts = {"tests": session.testscollected - session.testsfailed, "failed": session.testsfailed, **COUNTS}
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tally"] = dict(COUNTS)
    elif session.config.getoption("--tally"):
        told = json.dumps(counts | dict(Counter(COUNTS) + _TOGETHER))
        Path(session.config.getoption("--tally")).write_text(told, encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    _TOGETHER.update(getattr(node, "workeroutput", {}).get("tally", {}))


def _counted(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def counted(*given: Any, **named: Any) -> Any:
        COUNTS[what] += 1
        return function(*given, **named)

    return counted
