"""What a person reads of a scan, in both languages, and what a program reads."""

from __future__ import annotations

import json

import pytest

from device_profiles.profile import Protocol
from edge_agent.cli import main
from edge_agent.commands.scan import expected
from edge_agent.scanning import words
from edge_agent.scanning.result import (
    Candidate,
    Duplicate,
    ExpectedMeter,
    Foreign,
    FoundMeter,
    ScanEnd,
    ScanProgress,
    ScanResult,
    SerialSource,
    duplicate_of,
    found_of,
    line_text,
)
from edge_agent.status_words import Language
from metering.errors import MeteringError
from metering.obis import Obis
from metering.quantity import Shown, Unit
from provisioning.site import LineSettings, Parity
from tests.doubles.scanned_line import CATALOGUE

LINE = LineSettings(2400, Parity.EVEN, 1)
METER = FoundMeter(
    protocol=Protocol.DLT645_2007,
    address="000012345678",
    line=LINE,
    candidates=(Candidate("dlt645/three-phase", 105, 6, 6), Candidate("acrel/dtsd1352-645", 105, 6, 6)),
    serial="000012345678",
    serial_source=SerialSource.REGISTER,
    registers=((Obis.parse("1-0:1.8.0"), Shown(1234567, -2, Unit.KWH)),),
    turnaround_ms=40,
)
SURE = FoundMeter(Protocol.MODBUS_RTU, "5", LINE, (Candidate("chint/dtsu666", 105, 6, 6),))
RESULT = ScanResult(
    found=(METER, SURE),
    duplicates=(
        Duplicate(Protocol.MODBUS_RTU, "7", LINE, octets=b"\x07\x83"),
        Duplicate(Protocol.MBUS, "81FFFFFF", LINE),
    ),
    foreign=(Foreign(Protocol.MODBUS_RTU, "9", LINE, "XYZ5"),),
    missing=(ExpectedMeter("23001234", "eastron/sdm630"),),
    free_addresses={Protocol.MODBUS_RTU: ("1", "2")},
    end=ScanEnd.LIKELY_ASKED,
    asked=300,
    elapsed_s=75.4,
)


def test_a_meter_stands_in_one_row_with_all_models_that_fit_or_the_name_of_the_one() -> None:
    row = words.row(1, METER, CATALOGUE, Language.EN)
    assert "dlt645/three-phase or acrel/dtsd1352-645" in row
    assert "2400 8E1" in row
    assert "1-0:1.8.0 12345.67 kWh" in row
    assert "正泰 DTSU666" in words.row(2, SURE, CATALOGUE, Language.ZH)
    assert words.model(FoundMeter(Protocol.MBUS, "1", None), CATALOGUE, Language.ZH) == "未知型号"


@pytest.mark.parametrize("language", list(Language))
def test_columns_stand_below_their_heads_in_both_languages(language: Language) -> None:
    def columns(text: str) -> int:
        return sum(2 if ord(each) > 0x2E7F else 1 for each in text)

    head = words.head(language)
    before_address = head[: head.index(words.HEADS[language][2])]
    row = words.row(1, SURE, CATALOGUE, language)
    assert columns(before_address) == columns(row[: row.index(" 5 ") + 1])


def test_findings_say_what_is_wrong_and_what_to_do() -> None:
    told = list(words.findings(RESULT, Language.EN))
    assert told[0].startswith("MORE THAN ONE METER at address 7 (modbus-rtu, 2400 8E1)")
    assert "name their numbers by --expect" in told[1]
    assert "no profile fits (XYZ5)" in told[2]
    assert told[3].startswith("NOT FOUND: eastron/sdm630 23001234")
    assert told[4] == "free unit ids: 1, 2"
    assert told[5] == "2 meters, 300 questions in 1:15: all that is likely was asked; --all goes on with the unlikely"
    assert len(list(words.findings(RESULT, Language.ZH))) == len(told)
    assert all(any("\u4e00" <= each <= "\u9fff" for each in line) for line in words.findings(RESULT, Language.ZH))


@pytest.mark.parametrize("end", list(ScanEnd))
@pytest.mark.parametrize("language", list(Language))
def test_every_end_has_its_words(end: ScanEnd, language: Language) -> None:
    (told,) = words.findings(ScanResult((), end=end), language)
    assert words.WORDS[language][end] in told


def test_progress_is_one_line() -> None:
    progress = ScanProgress("modbus-rtu 9600 8N1 5", 12, 61.0, 119.6, 0.25, (SURE,), newest=SURE)
    assert words.status(progress, Language.EN) == (
        "1:01, about 2:00 left, 25% of what is likely asked, 1 found | modbus-rtu 9600 8N1 5"
    )
    assert words.progress_document(progress)["event"] == "found"
    assert words.progress_document(progress)["meter"]["profile"] == "chint/dtsu666"


def test_plain_data_comes_back_whole() -> None:
    for meter in RESULT.found:
        assert found_of(json.loads(json.dumps(meter.to_document()))) == meter
    for each in RESULT.duplicates:
        assert duplicate_of(json.loads(json.dumps(each.to_document()))) == each
    document = json.loads(json.dumps(words.result_document(RESULT)))
    assert [each["profile"] for each in document["meters"]] == [None, "chint/dtsu666"]
    assert document["free_addresses"] == {"modbus-rtu": ["1", "2"]}


def test_settings_are_written_as_people_do() -> None:
    assert line_text(LineSettings(300, Parity.EVEN, 1, 7)) == "300 7E1"
    assert line_text(None) == ""


def test_what_is_expected_is_read_from_one_word() -> None:
    assert expected("23001234") == ExpectedMeter("23001234")
    assert expected("@chint/dtsu666@9") == ExpectedMeter("", "chint/dtsu666", None, "9")
    for wrong in ("", "@@", "a@b@c@d"):
        with pytest.raises(MeteringError, match="SERIAL@MODEL@ADDRESS"):
            expected(wrong)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["scan", "x", "--device", "/dev/no-such-line"], "cannot be opened"),
        (["scan", "x", "--tcp", "nowhere"], "host:port"),
        (["scan", "x", "--config", "/no/such/file.toml"], "file.toml"),
    ],
)
def test_a_line_that_is_not_there_is_told(
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: object,
) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert main(arguments) == 2
    assert told in capsys.readouterr().err
