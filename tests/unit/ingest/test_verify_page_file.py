"""verify.html as a file: one script, one style, both named by hash, and nothing that could go out."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from ingest import verify_page as building
from ingest.api.verify_page import verify_page_router
from ingest.verify_page import ModuleUnfit, verify_page
from tests.doubles.browser_verifier import module_texts

KEYS = [bytes(range(32)), b"\x04" + bytes(64)]
PAGE = verify_page(KEYS).decode()
_MESSAGES = re.compile(r'new (?:Malformed|NotSigned|NotCovered)\("([^"]+)"|NotProven\([^,]+, "([^"]+)"|held: "([^"]+)"')


def between(opening: str, closing: str) -> str:
    """What stands between two tags that stand once."""
    assert PAGE.count(opening) == 1
    return PAGE.split(opening, 1)[1].split(closing, 1)[0]


def hash_of(text: str) -> str:
    """A text's hash as a content security policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_names_the_one_script_and_the_one_style_and_nothing_else() -> None:
    policy = between('http-equiv="Content-Security-Policy" content="', '"')
    script, style = between('<script type="module">', "</script>"), between("<style>", "</style>")
    sources = f"script-src {hash_of(script)}; style-src {hash_of(style)}"
    assert policy == f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    assert len(script) > 50_000


def test_it_names_no_place_to_go_to() -> None:
    assert re.findall(r"https?://|//[a-z]+\.|\b(?:fetch|XMLHttpRequest|WebSocket|sendBeacon|EventSource)\b", PAGE) == []
    assert "import(" not in PAGE
    assert not re.search(r"^(?:import|export)\b", PAGE, re.M)


def test_the_keys_stand_in_it() -> None:
    assert between('<main data-keys="', '"') == " ".join(key.hex() for key in KEYS)
    assert 'data-keys=""' in verify_page([]).decode()


def test_the_same_keys_give_the_same_octets() -> None:
    assert verify_page(KEYS) == verify_page(list(KEYS))


def test_each_module_is_in_it_once_and_after_those_it_needs() -> None:
    order = re.findall(r"^const in_(\w+) = \(\(\) => \{", PAGE, re.M)
    assert len(order) == len(set(order))
    assert order[-1] == "verify_page"
    assert {"cbor", "curves", "hashes", "lines", "registers", "seals", "sums", "verifier"} <= set(order)
    assert "steps" not in order
    for place, name in enumerate(order):
        needed = set(re.findall(r"= in_(\w+);", PAGE.split(f"const in_{name} = ", 1)[1].split("\n})();\n", 1)[0]))
        assert needed <= set(order[:place]), name


@pytest.mark.parametrize(
    "text",
    [
        'import * as all from "./octets.js";\n',
        'import { hex } from "https://example.org/hex.js";\n',
        "export default 1;\n",
        "export { one };\n",
        'export const mark = "</script>";\n',
    ],
)
def test_a_module_that_does_not_fit_one_script_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_text", lambda name: text if name == "odd.js" else module_texts()[name])
    with pytest.raises(ModuleUnfit, match=r"odd\.js"):
        building._wrapped("odd.js")


def test_the_centre_hands_it_out_as_a_file_to_keep() -> None:
    (route,) = verify_page_router(KEYS).routes
    answer = route.endpoint()  # type: ignore[attr-defined]
    assert answer.body == verify_page(KEYS)
    assert answer.headers["content-disposition"] == 'attachment; filename="verify.html"'


def test_every_reason_is_told_in_chinese_as_well() -> None:
    modules = module_texts()
    said = {next(filter(None, found)) for text in modules.values() for found in _MESSAGES.findall(text)}
    assert len(said) > 50
    assert sorted(reason for reason in said if f'"{reason}": ' not in modules["words.js"].replace('":\n', '": ')) == []


def test_both_languages_say_the_same_things() -> None:
    words = module_texts()["words.js"]
    for table in (words.split("const LINKS", 1)[1].split("const REASONS")[0], words.split("const PAGE", 1)[1]):
        english, chinese = table.split("  zh: {", 1)
        names = [re.findall(r'(?:^|[{,])\s*(?:"([\w ]+)"|(\w+)):', part, re.M) for part in (english, chinese)]
        spoken = [{one or other for one, other in part} - {"en", "zh"} for part in names]
        assert spoken[0] <= spoken[1] | {"residual"}, spoken[0] - spoken[1]


def test_no_float_comes_near_an_amount() -> None:
    """Everything that counts is a BigInt; numbers are places in lists, milliseconds and pixels."""
    for name in ("numbers.js", "lines.js", "registers.js", "sums.js", "statement.js", "profiles.js"):
        text = re.sub(r"//[^\n]*|/\*.*?\*/|\"[^\"]*\"|`[^`]*`", "", module_texts()[name], flags=re.S)
        assert re.findall(r"\d\.\d|parseFloat|Math\.", text) == [], name
