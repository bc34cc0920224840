"""Finds a test by the id that pytest prints, and runs it without pytest: for tests about tests."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any


class NoSuchTest(LookupError):
    """An id names no test that can be run alone."""


def named_test(test_id: str) -> Callable[[], None]:
    """Give the test called `tests/golden/test_x.py::test_y[case]`, ready to be called; raises NoSuchTest."""
    path, _, rest = test_id.partition("::")
    name, _, case = rest.partition("[")
    module = import_module(path.removesuffix(".py").replace("/", "."))
    function = getattr(module, name, None)
    if function is None:
        raise NoSuchTest(f"{path} has no {name}")
    if not case:
        return partial(_call, module, function, {})
    for known, arguments in cases_of(function):
        if known == case.removesuffix("]"):
            return partial(_call, module, function, arguments)
    raise NoSuchTest(f"{name} has no case {case}")


def cases_of(function: Callable[..., Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give id and arguments of every case that a test with one `parametrize` lists."""
    for mark in getattr(function, "pytestmark", ()):
        if mark.name == "parametrize":
            names, entries = mark.args
            listed = names.split(",") if isinstance(names, str) else names
            for entry in entries:
                is_param = hasattr(entry, "marks")
                given = entry.values if is_param else entry if len(listed) > 1 else (entry,)
                named = entry.id if is_param else None
                yield named or _id(mark.kwargs.get("ids"), given), dict(zip(map(str.strip, listed), given, strict=True))


def _id(ids: Any, given: tuple[Any, ...]) -> str:
    return str(ids(given[0])) if callable(ids) else "-".join(map(str, given))


def _call(module: ModuleType, function: Callable[..., None], arguments: Mapping[str, Any]) -> None:
    # What a test file has worked out before may rest on an engine that had an error planted in it, or had none.
    for _, cached in inspect.getmembers(module, lambda one: hasattr(one, "cache_clear")):
        cached.cache_clear()
    try:
        function(**arguments)
    finally:
        for _, cached in inspect.getmembers(module, lambda one: hasattr(one, "cache_clear")):
            cached.cache_clear()
