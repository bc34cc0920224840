"""docs/meters.md says what the shipped profiles say, and notices when it does not."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Evidence

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def meters() -> ModuleType:
    """scripts/meters.py, which is no package."""
    spec = importlib.util.spec_from_file_location("meters", ROOT / "scripts/meters.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_the_profiles_say(
    meters: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert meters.main(["--check"]) == 0
    page = tmp_path / "meters.md"
    monkeypatch.setattr(meters, "PAGE", page)
    assert meters.main(["--check"]) == 1
    assert "run python scripts/meters.py" in capsys.readouterr().err
    assert meters.main([]) == 0
    assert meters.main(["--check"]) == 0
    page.write_text(page.read_text(encoding="utf-8").replace("from manual", "frame-tested"), encoding="utf-8")
    assert meters.main(["--check"]) == 1


def test_each_model_stands_on_the_page_once_with_its_proof_and_disputes(meters: ModuleType) -> None:
    text = meters.page(Catalogue.shipped().profiles)
    for profile in Catalogue.shipped().profiles:
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{profile.id}` "))
        assert meters.EVIDENCE[profile.evidence] in row
        assert all(name in row for name in profile.names.values())
        for dispute in profile.disputes:
            assert all(told in text for told in dispute.told.values())


def test_a_stronger_claim_in_a_profile_changes_the_page(meters: ModuleType) -> None:
    profiles = Catalogue.shipped().profiles
    weaker = next(profile for profile in profiles if profile.evidence is Evidence.REGISTERS)
    claimed = [replace(each, evidence=Evidence.CAPTURES) if each is weaker else each for each in profiles]
    assert meters.page(claimed) != meters.page(profiles)
