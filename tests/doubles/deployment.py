"""What deploy/ says, read as its programs read it."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ingest.config import Setting

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
VARIABLE = re.compile(r"\bMETERTREE_[A-Z_]+")
NOT_SETTINGS = {"METERTREE_VERSION", "METERTREE_TEST_DSN", "METERTREE_TEST_MOSQUITTO"}


def settings() -> dict[str, Setting]:
    """Every setting of the central service, by the name of its variable, wherever it is defined."""
    sources = [path for path in (ROOT / "ingest").rglob("*.py") if " = Setting(" in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources]
    found = [one for name in names for one in vars(importlib.import_module(name)).values() if isinstance(one, Setting)]
    return {one.variable: one for one in found}


def compose() -> dict[str, Any]:
    """compose.yaml, anchors resolved."""
    with (DEPLOY / "compose.yaml").open(encoding="utf-8") as file:
        read: dict[str, Any] = yaml.safe_load(file)
    return read


def unit(path: Path) -> dict[str, list[str]]:
    """The settings of a unit by name, in order; sections do not matter, since no name stands in two of them."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith(("#", ";")):
            name, _, content = line.partition("=")
            found.setdefault(name, []).append(content)
    return found


def command_of(path: Path) -> list[str]:
    """What a unit runs, with the specifier of its instance filled in."""
    (line,) = unit(path)["ExecStart"]
    return shlex.split(line.replace("%I", "1/2"))


def expressions(content: Any) -> Iterator[str]:
    """Every PromQL expression in a dashboard or a file of rules."""
    if isinstance(content, dict):
        for name, part in content.items():
            if name == "expr" and isinstance(part, str):
                yield part
            else:
                yield from expressions(part)
    elif isinstance(content, list):
        for part in content:
            yield from expressions(part)
