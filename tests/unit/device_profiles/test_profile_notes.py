"""What a profile tells beside its map, and models that show no energy."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.catalogue import SHIPPED_DIR, Catalogue
from device_profiles.profile import BILLING, NotInProfile
from device_profiles.profile_file import profile_from_canonical, profile_from_toml
from metering.envelope import EnvelopeMalformed, decode_canonical, encode
from metering.errors import DocumentError
from metering.toml_source import TomlSource

SDM630 = (SHIPPED_DIR / "eastron" / "sdm630.toml").read_text(encoding="utf-8")
DTSU6606 = (SHIPPED_DIR / "delixi" / "dtsu6606.toml").read_text(encoding="utf-8")
TOLD = '[[disputes]]\npoint = "side"\nzh = "两说"\nen = "Two say two things."\n\n'


def test_what_is_told_of_the_sources_does_not_change_what_a_reading_means() -> None:
    told = SDM630.replace("[links.modbus-rtu]", TOLD + "[links.modbus-rtu]")
    more = profile_from_toml(TomlSource.parse(told, "model.toml"))
    shipped = Catalogue.shipped().by_id("eastron/sdm630")
    assert more.disputes[-1].told == {"zh": "两说", "en": "Two say two things."}
    assert len(more.disputes) == len(shipped.disputes) + 1
    assert more.hash == shipped.hash


def test_a_canonical_profile_carries_no_disputes() -> None:
    shipped = Catalogue.shipped().by_id("eastron/sdm630")
    assert shipped.disputes
    assert profile_from_canonical(shipped.canonical) == shipped
    assert profile_from_canonical(shipped.canonical).disputes == ()
    content = decode_canonical(shipped.canonical)
    assert isinstance(content, dict)
    with pytest.raises(EnvelopeMalformed, match="without vectors, disputes and commissioning"):
        profile_from_canonical(encode({**content, "disputes": []}))


def test_a_dispute_is_told_in_both_languages() -> None:
    text = SDM630.replace("[links.modbus-rtu]", TOLD.replace("zh", "de") + "[links.modbus-rtu]")
    with pytest.raises(DocumentError) as caught:
        profile_from_toml(TomlSource.parse(text, "model.toml"))
    line = text[: text.index(TOLD.replace("zh", "de"))].count("\n") + 1
    assert {fault.line for fault in caught.value.faults} <= {line, line + 1, line + 2}
    assert "'zh' is missing" in " ".join(fault.problem for fault in caught.value.faults)


def test_a_model_that_counts_nothing_has_no_group_to_bill_by() -> None:
    profile = Catalogue.shipped().by_id("delixi/dtsu6606")
    assert [group.name for group in profile.groups] == ["status"]
    with pytest.raises(NotInProfile, match="no group 'billing'"):
        profile.group(BILLING)


def test_a_group_to_bill_by_that_counts_nothing_is_a_mistake_with_its_line() -> None:
    text = DTSU6606.replace('name = "status"', 'name = "billing"')
    with pytest.raises(DocumentError) as caught:
        profile_from_toml(TomlSource.parse(text, "model.toml"))
    (fault,) = caught.value.faults
    assert fault.problem == "nothing in group `billing` counts"
    assert fault.line == text[: text.index('name = "billing"')].count("\n") + 1


def test_a_model_is_one_more_file_outside_the_package_and_no_code(tmp_path: Path) -> None:
    """A meter that nobody here has heard of, read from a folder of the user's own."""
    own = DTSU6606.replace("delixi/dtsu6606", "own/model").replace("0x0316", "0x0320")
    own = own[: own.index("[[vectors]]")]
    (tmp_path / "model.toml").write_text(own, encoding="utf-8")
    profile = Catalogue.load(tmp_path).by_id("own/model")
    assert profile.groups[0].channels[-1] != Catalogue.shipped().by_id("delixi/dtsu6606").groups[0].channels[-1]
