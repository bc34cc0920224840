"""The catalogue: shipped and own profiles, by model and by content."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.catalogue import SHIPPED_DIR, Catalogue, ProfileUnknown
from device_profiles.profile import BILLING, ChannelKind, Protocol
from metering.errors import DocumentError
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT

SHIPPED = sorted(path.relative_to(SHIPPED_DIR).with_suffix("").as_posix() for path in SHIPPED_DIR.rglob("*.toml"))
SDM630 = (SHIPPED_DIR / "eastron" / "sdm630.toml").read_text(encoding="utf-8")


def test_shipped_profiles_stand_where_their_id_says_and_are_found_by_id_and_hash() -> None:
    catalogue = Catalogue.shipped()
    assert [profile.id for profile in catalogue.profiles] == SHIPPED
    for profile in catalogue.profiles:
        assert catalogue.by_id(profile.id) is profile
        assert catalogue.by_hash(profile.hash) is profile


def test_a_profile_of_electricity_bills_import_and_then_export_where_the_model_has_it() -> None:
    for profile in Catalogue.shipped().profiles:
        counted = {each.obis for group in profile.groups for each in group.channels if each.kind is ChannelKind.COUNTER}
        if profile.medium == "electricity" and ENERGY_IMPORT in counted:
            billed = [channel.obis for channel in profile.group(BILLING).channels]
            assert billed in ([ENERGY_IMPORT], [ENERGY_IMPORT, ENERGY_EXPORT]), profile.id


def test_the_three_modbus_meters_also_speak_tcp() -> None:
    for profile_id in ("eastron/sdm630", "chint/dtsu666", "acrel/adl400"):
        assert set(Catalogue.shipped().by_id(profile_id).links) == {Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}


def test_an_unknown_id_or_hash_is_refused() -> None:
    with pytest.raises(ProfileUnknown, match="known: abb/b21, abb/b23"):
        Catalogue.shipped().by_id("eastron/sdm999")
    with pytest.raises(ProfileUnknown, match="0000"):
        Catalogue.shipped().by_hash(bytes(32))


def test_own_profiles_join_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SDM630.replace("eastron/sdm630", "own/meter"), encoding="utf-8")
    catalogue = Catalogue.load(tmp_path)
    assert catalogue.by_id("own/meter").groups == catalogue.by_id("eastron/sdm630").groups
    assert len(catalogue.profiles) == len(SHIPPED) + 1


def test_the_newest_revision_is_given_by_id_and_every_one_by_hash(tmp_path: Path) -> None:
    (tmp_path / "newer.toml").write_text(SDM630.replace("rev = 1", "rev = 2"), encoding="utf-8")
    catalogue = Catalogue.load(tmp_path)
    first = Catalogue.shipped().by_id("eastron/sdm630")
    assert catalogue.by_id("eastron/sdm630").rev == 2
    assert catalogue.by_hash(first.hash).rev == 1


def test_a_published_revision_may_not_change(tmp_path: Path) -> None:
    (tmp_path / "changed.toml").write_text(SDM630.replace("0x0048", "0x004C"), encoding="utf-8")
    with pytest.raises(DocumentError, match="raise rev with each change"):
        Catalogue.load(tmp_path)


def test_the_same_file_twice_is_no_conflict(tmp_path: Path) -> None:
    (tmp_path / "copy.toml").write_text("# a copy\n" + SDM630, encoding="utf-8")
    assert len(Catalogue.load(tmp_path).profiles) == len(SHIPPED)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Else a slip in --profiles shows only as a model that nobody knows."""
    (tmp_path / "one.toml").write_text(SDM630, encoding="utf-8")
    for wrong in ("profils", "one.toml"):
        with pytest.raises(DocumentError, match=f"{wrong}:1: no folder of profiles"):
            Catalogue.load(tmp_path, tmp_path / wrong)


def test_faults_of_several_files_are_named_together(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text(SDM630.replace("rev = 1", "rev = 0"), encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        Catalogue.load(tmp_path)
    assert [Path(fault.path).name for fault in caught.value.faults] == ["a.toml", "b.toml"]
