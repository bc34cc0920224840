"""The style guide's gates, measured on the source itself (docs/style.md, chapter "Gates")."""

from __future__ import annotations

import ast
import io
import re
import statistics
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("metering", "device_profiles", "provisioning", "allocation_engine", "edge_agent", "ingest")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
CASES = sorted(path for path in (ROOT / "tests" / "golden").rglob("*") if path.suffix in {".toml", ".csv", ".json"})

FUNCTION_LINES_MAX = 60
FUNCTION_LINES_MEDIAN_MAX = 10
MODULE_SLOC_MAX = 400
REPEATED_WINDOW = 12
REPEATED_SHARE_MAX = 0.03
TEST_TO_CODE_MIN = 1.3

# The loops of the two programs: one bad message or one broken port must not stop the rest, so they alone may catch all.
BROAD_EXCEPT_ALLOWED = {"edge_agent/app.py", "ingest/app.py"}
PRINT_ALLOWED = re.compile(r"(cli\.py|(edge_agent|ingest)/commands/\w+\.py|ingest/demo/report\.py)\Z")
WALL_CLOCK_ALLOWED = {"metering/clock.py"}
ENVIRON_ALLOWED = re.compile(r"config\.py\Z")


def relative(path: Path) -> str:
    """Give `path` as it stands in messages."""
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    """Parse one module."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def code_lines(path: Path) -> list[int]:
    """Line numbers that hold code: no blank lines, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sorted(lines)


type_of_function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> Iterator[type_of_function]:
    """Give every function and method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length_without_docstring(function: type_of_function) -> int:
    """Lines of a function from its first statement that is no docstring to its end."""
    body = function.body[1:] if ast.get_docstring(function) is not None and len(function.body) > 1 else function.body
    return (function.end_lineno or function.lineno) - body[0].lineno + 1


def calls(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Give the dotted name and line of every call and attribute access with a plain root."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            yield ast.unparse(node), node.lineno


def test_functions_are_short() -> None:
    lengths: list[int] = []
    too_long: list[str] = []
    for path in MODULES:
        for function in functions(tree_of(path)):
            length = length_without_docstring(function)
            lengths.append(length)
            if length > FUNCTION_LINES_MAX:
                too_long.append(f"{relative(path)}:{function.lineno} {function.name}: {length}")
    assert not too_long
    assert statistics.median(lengths) <= FUNCTION_LINES_MEDIAN_MAX


def test_modules_are_small() -> None:
    sizes = {relative(path): len(code_lines(path)) for path in MODULES}
    assert {name: size for name, size in sizes.items() if size > MODULE_SLOC_MAX} == {}


def test_public_names_have_docstrings() -> None:
    bare: list[str] = []
    for path in MODULES:
        tree = tree_of(path)
        if ast.get_docstring(tree) is None and path.name != "__main__.py":
            bare.append(f"{relative(path)}: module")
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            bare.extend(undocumented(path, [node, *node.body]))
        bare.extend(undocumented(path, tree.body))
    assert bare == []


def undocumented(path: Path, nodes: list[ast.stmt] | list[ast.AST]) -> Iterator[str]:
    """Name the public classes and functions among `nodes` that have no docstring."""
    for node in nodes:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not node.name.startswith("_") and ast.get_docstring(node) is None:
            yield f"{relative(path)}:{node.lineno} {node.name}"


def test_broad_excepts_stand_only_in_the_two_loops() -> None:
    broad: list[str] = []
    for path in MODULES:
        if relative(path) in BROAD_EXCEPT_ALLOWED:
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
            ):
                broad.append(f"{relative(path)}:{node.lineno}")
    assert broad == []


SQL = re.compile(
    r"^\s*(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+TABLE|WITH\s+\w+\s+AS)\s", re.S
)


def test_sql_stands_in_sql_files() -> None:
    # The gateway's own SQLite files, outbox and journal; their few statements live beside their only user.
    allowed = {"edge_agent/adapters/sqlite_outbox.py", "edge_agent/adapters/act_file.py"}
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in MODULES
        if relative(path) not in allowed
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
    assert found == []


def test_print_stands_only_in_command_lines() -> None:
    found = [
        f"{relative(path)}:{line}"
        for path in MODULES
        if not PRINT_ALLOWED.search(relative(path))
        for name, line in calls(tree_of(path))
        if name == "print"
    ]
    assert found == []


def test_the_environment_is_read_only_by_configuration() -> None:
    found = [
        f"{relative(path)}:{line}"
        for path in MODULES
        if not ENVIRON_ALLOWED.search(relative(path))
        for name, line in calls(tree_of(path))
        if name in {"os.environ", "os.getenv", "environ"}
    ]
    assert found == []


def test_only_the_clock_reads_time_and_sleeps() -> None:
    banned = {
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "time.time",
        "time.sleep",
        "time.time_ns",
    }
    found = [
        f"{relative(path)}:{line} {name}"
        for path in MODULES
        if relative(path) not in WALL_CLOCK_ALLOWED
        for name, line in calls(tree_of(path))
        if name in banned or name.removeprefix("datetime.") in banned
    ]
    assert found == []


def test_no_float_touches_money_or_energy() -> None:
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in MODULES
        if relative(path).startswith("allocation_engine/")
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Attribute) and node.attr in {"float64", "float32"})
    ]
    assert found == []


def test_code_is_not_repeated() -> None:
    windows: Counter[tuple[str, ...]] = Counter()
    texts: dict[str, list[str]] = {}
    for path in MODULES:
        source = path.read_text(encoding="utf-8").splitlines()
        texts[relative(path)] = [source[line - 1].strip() for line in code_lines(path)]
        lines = texts[relative(path)]
        windows.update(tuple(lines[i : i + REPEATED_WINDOW]) for i in range(len(lines) - REPEATED_WINDOW + 1))
    repeated = 0
    total = 0
    places: list[str] = []
    for name, lines in texts.items():
        marked: set[int] = set()
        for i in range(len(lines) - REPEATED_WINDOW + 1):
            if windows[tuple(lines[i : i + REPEATED_WINDOW])] > 1:
                marked.update(range(i, i + REPEATED_WINDOW))
        repeated += len(marked)
        total += len(lines)
        if marked:
            places.append(f"{name}: {len(marked)} lines")
    assert repeated <= REPEATED_SHARE_MAX * total, places


def case_lines(path: Path) -> int:
    """Lines of a golden case that say something: a case is a test written as data."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return sum(1 for line in lines if line and not line.startswith("#"))


def test_tests_outweigh_the_code() -> None:
    code = sum(len(code_lines(path)) for path in MODULES)
    tests = sum(len(code_lines(path)) for path in TESTS) + sum(case_lines(path) for path in CASES)
    assert tests >= TEST_TO_CODE_MIN * code, f"{tests} lines of tests for {code} lines of code"


FORBIDDEN_WORDS = re.compile(r"\b(TODO|FIXME|XXX)\b")


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=relative)
def test_no_open_end_is_left_in_the_source(path: Path) -> None:
    if path == Path(__file__):
        return
    assert FORBIDDEN_WORDS.search(path.read_text(encoding="utf-8")) is None
