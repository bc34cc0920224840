"""verify.html: one file that checks statements offline. The modules of `console/static/verify` in one script.

The file allows itself no connection at all: its content security policy names the hash of its one script and its one
style and nothing else. So whoever opens it can see that no statement leaves his device.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

from metering.errors import MeteringError

ENTRY = "verify_page.js"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z0-9_]+\.js)";\n', re.M)
_EXPORT = re.compile(r"^export (?:(?:async )?function|class|const) ([A-Za-z_$][\w$]*)", re.M)
_LEFT = re.compile(r"^(?:import|export)\b", re.M)


class ModuleUnfit(MeteringError):
    """A module has an import or export that cannot be put into one script."""


def verify_page(keys: Iterable[bytes]) -> bytes:
    """Give the page with the raw public `keys` of a centre in it; without any, its reader pastes them."""
    script, style = f"\n{_script(ENTRY)}", f"\n{_text('alone.css')}{_text('verify.css')}"
    parts = {
        "script-hash": _hash(script),
        "style-hash": _hash(style),
        "keys": " ".join(key.hex() for key in keys),
        "style": style,
        "script": script,
    }
    return re.sub(r"\{([a-z-]+)\}", lambda found: parts[found.group(1)], _text("frame.html")).encode()


@cache
def _script(entry: str) -> str:
    """Put a module and all that it imports into one script: each in a scope of its own, needed ones first."""
    order: list[str] = []
    _visit(entry, order)
    return "".join(_wrapped(name) for name in order)


def _visit(name: str, order: list[str]) -> None:
    if name in order:
        return
    for _, imported in _IMPORT.findall(_text(name)):
        _visit(imported, order)
    order.append(name)


def _wrapped(name: str) -> str:
    text = _text(name)
    exported = ", ".join(_EXPORT.findall(text))
    body = _IMPORT.sub(lambda found: f"const {{{found.group(1)}}} = {_scope(found.group(2))};\n", text)
    body = _EXPORT.sub(lambda found: found.group(0).removeprefix("export "), body)
    if _LEFT.search(body) or "</script" in body:
        raise ModuleUnfit(
            f'{name}: only `import {{ a }} from "./b.js"` and `export function|class|const` fit one script'
        )
    return f"const {_scope(name)} = (() => {{\n{body}return {{ {exported} }};\n}})();\n"


def _scope(name: str) -> str:
    return f"in_{name.removesuffix('.js')}"


def _text(name: str) -> str:
    return resources.files("ingest.console").joinpath("static", "verify", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
