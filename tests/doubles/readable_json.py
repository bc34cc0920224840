"""JSON for people to read and compare: what fits on a line stands on one."""

from __future__ import annotations

import json
from typing import Any

WIDTH = 118


def readable(content: Any, depth: int = 0) -> str:
    """Give JSON whose lines are at most WIDTH long where its texts allow that."""
    whole = json.dumps(content, ensure_ascii=False)
    if len(whole) + depth <= WIDTH or not isinstance(content, dict | list) or not content:
        return whole
    inner, outer = " " * (depth + 1), " " * depth
    if isinstance(content, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {readable(part, depth + 1)}" for key, part in content.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{outer}}}"
    return "[\n" + ",\n".join(inner + readable(part, depth + 1) for part in content) + f"\n{outer}]"
