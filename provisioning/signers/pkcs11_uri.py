"""The name of a key in a token: a PKCS#11 URI (RFC 7512) of the few attributes that are needed here.

    pkcs11:token=metertree;object=signing?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/metertree/pin

`token` and `object` are the labels of the token and of the key; `module-path` is the library that speaks for the token;
`pin-source` is a file, for its owner alone, with the PIN. A PIN itself (`pin-value`) is refused: it would be read in
copies of the file, and by whoever may read configurations.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from provisioning.keys import KeyFileInvalid

SCHEME = "pkcs11:"
_FORM = "pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=file:FILE"
_PATH_KEYS = frozenset({"token", "object"})
_QUERY_KEYS = frozenset({"module-path", "pin-source"})


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Where a key lives. `named_in`: the key file that says so, for messages."""

    token: str
    label: str
    module: Path
    pin_file: Path
    named_in: Path

    @classmethod
    def parse(cls, text: str, named_in: Path) -> TokenPlace:
        """Read a URI; raises KeyFileInvalid without repeating it, since it may hold a PIN."""
        path, _, query = text.strip().removeprefix(SCHEME).partition("?")
        if not text.startswith(SCHEME) or "\n" in text.strip():
            raise KeyFileInvalid(named_in, "names no key in a token", f"write one line: {_FORM}")
        found = _attributes(path, ";", _PATH_KEYS, named_in) | _attributes(query, "&", _QUERY_KEYS, named_in)
        pin_source = found["pin-source"]
        if not pin_source.startswith("file:"):
            raise KeyFileInvalid(named_in, "pin-source names no file", "write pin-source=file:/path/of/the/pin")
        pin_file = Path(pin_source.removeprefix("file:").removeprefix("//"))
        return cls(found["token"], found["object"], Path(found["module-path"]), pin_file, named_in)

    def text(self) -> str:
        """Give the URI."""
        path = f"token={quote(self.token, safe='')};object={quote(self.label, safe='')}"
        return f"{SCHEME}{path}?module-path={quote(str(self.module))}&pin-source=file:{quote(str(self.pin_file))}"


def _attributes(text: str, separator: str, wanted: frozenset[str], named_in: Path) -> dict[str, str]:
    pairs = [one.partition("=") for one in text.split(separator) if one]
    found = {key: unquote(content) for key, _, content in pairs}
    odd = sorted(found.keys() - wanted - {"type"})
    if odd:
        raise KeyFileInvalid(named_in, f"{', '.join(odd)} is not in use here", f"write {_FORM}")
    for key in sorted(wanted):
        if not found.get(key):
            raise KeyFileInvalid(named_in, f"{key} is missing", f"write {_FORM}")
    if len(found) != len(pairs):
        raise KeyFileInvalid(named_in, "an attribute stands there twice", f"write {_FORM}")
    return found
