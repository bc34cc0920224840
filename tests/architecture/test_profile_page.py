"""docs/profiles.md: its example passes the check, and it names every key that the checker reads."""

from __future__ import annotations

import re
from pathlib import Path

from device_profiles.profile_file import profile_from_toml
from device_profiles.profile_vectors import check_vector
from metering.toml_source import TomlSource

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
READERS = (
    "profile_file.py",
    "profile_channels.py",
    "profile_vectors.py",
    "families/modbus.py",
    "families/modbus_source.py",
    "families/mbus.py",
    "families/iec62056_21.py",
    "families/pulse.py",
)
READ = re.compile(r"(?:table|root|entry)\.(?:text|integers?|boolean|choice|hexadecimals?|tables?)\(\s*\"(\w+)\"")


def test_the_example_is_a_profile_and_its_vector_decodes() -> None:
    example = PAGE.split("```toml\n")[1].split("```")[0]
    profile = profile_from_toml(TomlSource.parse(example, "docs/profiles.md"))
    assert profile.id == "newmaker/pm7"
    for vector in profile.vectors:
        check_vector(profile, vector)


def test_every_key_is_explained() -> None:
    keys = {
        key for name in READERS for key in READ.findall((ROOT / "device_profiles" / name).read_text(encoding="utf-8"))
    }
    assert len(keys) > 30
    heads = {"links", "groups", "sources", "identify", "exchanges"}  # tables, which the page heads its rows with
    assert {key for key in keys - heads if f"`{key}`" not in PAGE} == set()
    assert all(f"[{head}" in PAGE or f".{head}]" in PAGE for head in heads)


def test_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
