"""What `metertree demo` and `metertree simulate` refuse before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.cli import build_parser, main
from ingest.commands.simulate import WordInvalid
from ingest.demo.loads_file import read_play
from ingest.demo.simulation import PlaceMissing, Wiring, simulated_world

EXAMPLES = Path(__file__).parents[3] / "examples"
PARK = EXAMPLES / "park"
SIMULATE = ["simulate", "--site", str(PARK), "--loads", str(PARK / "loads.toml"), "--time-port", "0"]


@pytest.mark.parametrize("days", ["0", "-3", "many"])
def test_a_play_has_at_least_one_day(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(["demo", "--days", days])
    assert caught.value.code == 2
    assert "--days" in capsys.readouterr().err


def test_a_site_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--dir", str(tmp_path / "d"), "--site", str(tmp_path / "nowhere")]) == 1
    assert "there is no site folder" in capsys.readouterr().err


def test_nothing_to_resume_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--dir", str(tmp_path / "d"), "--resume"]) == 1
    assert "there is no demo to resume" in capsys.readouterr().err


def test_a_wrong_csv_is_refused_with_its_line_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "loads.csv"
    csv.write_text("local_time,east_campus_kw\n2019-07-01 00:00,1\n", encoding="utf-8")
    assert main(["demo", "--dir", str(tmp_path / "d"), "--loads", str(csv)]) == 1
    assert f"{csv}:1: there is no column 'geisel_library_kw'" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["demo", "--dir", str(tmp_path)]) == 1
    assert "not a demo's" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--place", "line-a"], "'line-a' is not of the form NAME=PLACE"),
        (["--line", "gw-b=1883"], "'1883' is not of the form PORT:BROKER_PORT"),
        (["--line", "gw-b=a:b"], "'a:b' is not of the form PORT:BROKER_PORT"),
    ],
)
def test_a_word_of_the_world_in_the_wrong_form_is_refused(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    args = build_parser().parse_args([*SIMULATE, *words])
    with pytest.raises(WordInvalid, match=told):
        args.run(args)


def test_a_port_without_a_place_is_named() -> None:
    from device_profiles.catalogue import Catalogue
    from provisioning.site_file import read_site

    site = read_site(PARK)
    play = read_play(PARK / "loads.toml", site, csv=None, days=1)
    world = simulated_world(site, play, Catalogue.shipped(), Wiring(0, {}, {}))
    with pytest.raises(PlaceMissing, match="port line-a has no place"), world:
        pass


@pytest.mark.parametrize("name", ["park", "campus"])
def test_the_example_sites_are_sound(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "check", str(EXAMPLES / name)]) == 0
    assert f"site {name} is sound" in capsys.readouterr().out
