"""The command line: every command explains itself, every mistake in a site's files is shown with its line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ingest.cli import build_parser, main
from ingest.commands import command_modules

PARK = Path(__file__).parents[3] / "examples" / "park"


@pytest.fixture
def park(tmp_path: Path) -> Path:
    """A copy of the example park to spoil."""
    return Path(shutil.copytree(PARK, tmp_path / "park"))


def spoil(file: Path, old: str, new: str) -> int:
    """Replace the first `old` by `new`; give the line it stands on."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def test_every_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for name in ("close", "demo", "doctor", "migrate", "run", "serve", "simulate", "site", "verify"):
        assert f"  {name} " in printed


def test_every_command_has_a_help_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for module in command_modules():
        name = module.__name__.rpartition(".")[2].replace("_", "-")  # type: ignore[attr-defined]
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args([name, "--help"])
        assert ended.value.code == 0
        assert f"metertree {name}" in capsys.readouterr().out


def test_a_call_without_a_command_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_a_sound_site_is_said_to_be_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "check", str(PARK)]) == 0
    assert "site park is sound" in capsys.readouterr().out


def test_a_site_is_shown_as_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "show", str(PARK)]) == 0
    printed = capsys.readouterr().out
    assert "└ main" in printed
    assert "unit a101 126.40 m2" in printed


def test_mistakes_of_the_site_and_of_its_rules_are_shown_at_once_with_their_lines(
    park: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site_line = spoil(park / "site.toml", 'parent = "main"', 'parent = "nowhere"')
    pools_line = spoil(park / "pools.toml", "main_delta * (floor_area / total_area) * (tmax - 26)", "main_delta * tmin")
    assert main(["site", "check", str(park)]) == 1
    shown = capsys.readouterr().err.splitlines()
    assert any(line.startswith(f"{park}/site.toml:{site_line}: ") and "nowhere" in line for line in shown)
    assert any(line.startswith(f"{park}/pools.toml:{pools_line}: ") and "tmin" in line for line in shown)
    assert all(line.endswith(")") for line in shown), "every fault ends with its mend"


def test_the_rules_are_not_blamed_for_a_mistake_of_the_site(park: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(park / "site.toml", 'area_m2 = "126.40"', 'area_m2 = "much"')
    assert main(["site", "check", str(park)]) == 1
    shown = capsys.readouterr().err
    assert "site.toml" in shown
    assert "pools.toml" not in shown


@pytest.mark.parametrize("name", ["site.toml", "gateways.toml", "leases.toml", "tariff.toml", "pools.toml"])
def test_a_missing_file_is_named(park: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (park / name).unlink()
    assert main(["site", "check", str(park)]) == 1
    assert f"{name}:1: cannot be read" in capsys.readouterr().err


def test_a_statement_that_is_none_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, file = tmp_path / "centre.pub", tmp_path / "statement.json"
    key.write_text("00" * 31 + "01", encoding="ascii")
    assert main(["verify", str(file), "--key", str(key)]) == 1
    assert "cannot be read" in capsys.readouterr().err
    for octets in (b"", b"{}", b"\xff\xfe", b"[1, 2"):
        file.write_bytes(octets)
        assert main(["verify", str(file), "--key", str(key)]) == 1
        assert "✗ bundle" in capsys.readouterr().out
