"""docs/operate.md: what it tells to type can be typed, what it tells to set is a setting, what it names is there."""

from __future__ import annotations

import re
import shlex

import pytest

from ingest.cli import build_parser
from provisioning import cli as provision_cli
from tests.doubles.deployment import NOT_SETTINGS, ROOT, VARIABLE, settings

PAGES = ("operate.md", "operate.zh.md", "scale.md")
MANUAL = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES[:2])
TYPED = [
    line.split("  #")[0].rstrip()
    for block in re.findall(r"```\n(.*?)```", MANUAL, re.S)
    for line in block.replace("\\\n", "").splitlines()
]
SPOKEN = re.findall(r"`(metertree(?:-provision)? [^`]+)`", MANUAL)
COMMANDS = sorted({line for line in (*TYPED, *SPOKEN) if re.match(r"metertree(-provision)? ", line)})
NOT_WHOLE = re.compile(r"^metertree (alerts|erase|fleet|gateway-config|quarantine replay|restore)\b")
"""Named, not typed: their arguments are left to --help."""


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_can_be_typed(line: str) -> None:
    program, *words = shlex.split(line)
    if NOT_WHOLE.match(line) or (program == "metertree-provision" and len(words) == 1):
        words = [*words[: 2 if words[0] == "quarantine" else 1], "--help"]
    parser = provision_cli._parser() if program == "metertree-provision" else build_parser()
    if words[-1] != "--help":
        parser.parse_args(words)
        return
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words)
    assert ended.value.code == 0


def test_every_variable_is_a_setting() -> None:
    assert set(VARIABLE.findall(MANUAL)) <= settings().keys() | NOT_SETTINGS


def test_every_file_that_is_named_is_there() -> None:
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        named = {one.rstrip("/.") for one in re.findall(r"`((?:deploy|tests|scripts|docs)/[\w./-]+)`", text)}
        assert [one for one in named if not (ROOT / one).exists()] == []
        linked = set(re.findall(r"\]\(([\w./-]+)\)", text))
        assert [one for one in linked if not (ROOT / "docs" / one).exists()] == []
