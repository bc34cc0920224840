"""What a scan found, as the journal keeps it: JSON, and back."""

from __future__ import annotations

import json
from typing import Any

from device_profiles.profile import Protocol
from edge_agent.scanning.result import (
    Duplicate,
    ExpectedMeter,
    Foreign,
    ScanEnd,
    ScanResult,
    found_of,
    line_document,
    line_of,
)
from provisioning.site import LineSettings


def scan_text(result: ScanResult) -> str:
    """Write a result."""
    return json.dumps(
        {
            "found": [each.to_document() for each in result.found],
            "duplicates": [
                [each.protocol, each.address, _line(each.line), each.serials, each.octets.hex()]
                for each in result.duplicates
            ],
            "foreign": [
                [each.protocol, each.address, _line(each.line), each.told, each.octets.hex()] for each in result.foreign
            ],
            "missing": [[each.serial, each.profile, each.protocol, each.address] for each in result.missing],
            "free": {protocol.value: addresses for protocol, addresses in result.free_addresses.items()},
            "end": result.end.value,
            "asked": result.asked,
            "elapsed_ms": round(result.elapsed_s * 1000),
        },
        ensure_ascii=False,
    )


def scan_of(text: str) -> ScanResult:
    """Read a result."""
    document = json.loads(text)
    return ScanResult(
        found=tuple(found_of(each) for each in document["found"]),
        duplicates=tuple(
            Duplicate(Protocol(protocol), address, _settings(line), tuple(serials), bytes.fromhex(octets))
            for protocol, address, line, serials, octets in document["duplicates"]
        ),
        foreign=tuple(
            Foreign(_protocol(protocol), address, _settings(line), told, bytes.fromhex(octets))
            for protocol, address, line, told, octets in document["foreign"]
        ),
        missing=tuple(
            ExpectedMeter(serial, profile, _protocol(protocol), address)
            for serial, profile, protocol, address in document["missing"]
        ),
        free_addresses={Protocol(name): tuple(addresses) for name, addresses in document["free"].items()},
        end=ScanEnd(document["end"]),
        asked=document["asked"],
        elapsed_s=document["elapsed_ms"] / 1000,
    )


def _line(line: LineSettings | None) -> dict[str, Any] | None:
    return None if line is None else line_document(line)


def _settings(document: dict[str, Any] | None) -> LineSettings | None:
    return None if document is None else line_of(document)


def _protocol(name: str | None) -> Protocol | None:
    return None if name is None else Protocol(name)
