"""`metertree-gateway profile`: every mistake with its line, and every model that is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device_profiles.catalogue import SHIPPED_DIR, Catalogue
from edge_agent.cli import main

SDM630 = SHIPPED_DIR / "eastron" / "sdm630.toml"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of a shipped profile, to be spoilt."""
    path = tmp_path / "model.toml"
    path.write_text(SDM630.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def spoil(path: Path, *changes: tuple[str, str]) -> None:
    """Change the text, each change once."""
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")


def line_of(path: Path, text: str) -> int:
    """Give the line that holds `text`."""
    return next(at for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1) if text in line)


@pytest.mark.parametrize(("language", "word"), [("en", "good. eastron/sdm630"), ("zh", "正确。eastron/sdm630")])
def test_a_good_profile_is_called_good(language: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "check", str(SDM630), "--lang", language]) == 0
    told = capsys.readouterr().out
    assert word in told
    assert "1-0:1.8.0" in told  # it states no modulus, and the fitter is told what that means


def test_every_mistake_is_explained_with_its_line(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(copy, ("rev = 1", "rev = 0"), ('unit = "V"', 'unit = "volt"'))
    assert main(["profile", "check", str(copy)]) == 2
    told = capsys.readouterr().out
    assert f"{copy}:{line_of(copy, 'rev = 0')}: 0 is not within 1 to 9999" in told
    where = line_of(copy, 'unit = "volt"')
    assert f"{copy}:{where}: unknown unit 'volt'" in told


def test_a_vector_that_does_not_fit_is_a_mistake(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(copy, ("address = 0x0048", "address = 0x004A"))
    assert main(["profile", "check", str(copy)]) == 2
    told = capsys.readouterr().out
    assert "this vector fails" in told
    heads = [
        at for at, line in enumerate(copy.read_text(encoding="utf-8").splitlines(), start=1) if line == "[[vectors]]"
    ]
    assert any(told.startswith(f"{copy}:{line}: ") for line in heads)


def test_frame_tested_is_claimed_only_with_a_captured_frame(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy.write_text((SHIPPED_DIR / "sunspec" / "three-phase.toml").read_text(encoding="utf-8"), encoding="utf-8")
    spoil(copy, ('evidence = "documents"', 'evidence = "captures"'))
    assert main(["profile", "check", str(copy)]) == 2
    assert f"{copy}:{line_of(copy, 'evidence =')}: evidence is `captures`" in capsys.readouterr().out


def test_a_profile_without_vectors_is_told_so(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = copy.read_text(encoding="utf-8")
    copy.write_text(text[: text.index("[[vectors]]")], encoding="utf-8")
    assert main(["profile", "check", str(copy)]) == 0
    assert "no vectors, so no reading was ever tried" in capsys.readouterr().out


def test_a_folder_is_checked_file_by_file(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "check", str(copy.parent), "--json"]) == 0
    (outcome,) = json.loads(capsys.readouterr().out)
    assert (outcome["profile"]["id"], outcome["faults"]) == ("eastron/sdm630", [])
    spoil(copy, ("rev = 1", "rev = 0"))
    assert main(["profile", "check", str(copy.parent), "--json"]) == 2
    (outcome,) = json.loads(capsys.readouterr().out)
    assert outcome["profile"] is None
    assert outcome["faults"][0]["line"] == line_of(copy, "rev = 0")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('unit = "kWh"', 'unit = "m3"', "1-0:1.8.0 is no register in m3"),
        ('obis = "1-0:1.8.0"', 'obis = "8-0:1.0.0"', "8-0:1.0.0 is a register of water, this file is of electricity"),
    ],
)
def test_a_counter_of_another_medium_is_a_mistake(
    copy: Path, old: str, new: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = copy.read_text(encoding="utf-8").split("[[vectors]]")[0]
    copy.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert main(["profile", "check", str(copy)]) == 2
    assert f"{copy}:{line_of(copy, new)}: {problem}" in capsys.readouterr().out


def test_two_files_of_one_revision_must_be_equal(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else each is good alone, and the gateway that loads the folder refuses both."""
    other = copy.with_name("other.toml")
    other.write_text("# a copy\n" + copy.read_text(encoding="utf-8"), encoding="utf-8")
    assert main(["profile", "check", str(copy.parent)]) == 0
    spoil(other, ("reply_ms_max = ", "reply_ms_max = 1"))
    capsys.readouterr()
    assert main(["profile", "check", str(copy.parent)]) == 2
    assert "stands with other content in" in capsys.readouterr().out


def test_a_folder_without_profiles_or_a_missing_file_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "check", str(tmp_path)]) == 2
    assert "no profile file" in capsys.readouterr().err
    assert main(["profile", "check", str(tmp_path / "none.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().out


def test_every_shipped_profile_passes_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "check", str(SHIPPED_DIR)]) == 0, capsys.readouterr().out


def test_the_list_has_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(Catalogue.shipped().profiles)
    assert any(line.startswith("eastron/sdm630 ") and "from manual" in line for line in lines)
    assert main(["profile", "list", "--lang", "zh"]) == 0
    assert "依据说明书" in capsys.readouterr().out
    assert main(["profile", "list", "--json"]) == 0
    assert {entry["id"] for entry in json.loads(capsys.readouterr().out)} >= {"eastron/sdm630"}


def test_a_model_is_shown_with_its_sources_and_disputes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", "sunspec/three-phase"]) == 0
    told = capsys.readouterr().out
    assert "1-0:1.8.0" in told
    assert "model=203" in told
    assert "sources disagree on" in told
    assert main(["profile", "show", "nobody/nothing"]) == 2
    assert "no profile 'nobody/nothing'" in capsys.readouterr().err
