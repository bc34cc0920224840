"""Statement files of the golden cases: their slots turned back into registers, sealed as a gateway seals them.

The cases say what energy there was; a statement wants registers that somebody signed. One meter a node, one envelope a
mark, readings only where a line needs them: what a stranger gets is what a real centre would have sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from allocation_engine.bundle import pack_bundle
from allocation_engine.close_period import close_period
from allocation_engine.commitment import commit_run
from allocation_engine.evidence import EnvelopeRef, Installation, PointEvidence, PointReading
from allocation_engine.inputs import PeriodInputs
from allocation_engine.metered import evidence_needed
from allocation_engine.publication import Publication
from allocation_engine.rules import Rules
from allocation_engine.run import Run
from allocation_engine.statement import GatewayKey, seal_statement
from device_profiles.profile_file import profile_from_canonical
from metering.clock import ClockQuality, ClockState
from metering.envelope import Envelope, chain_digest, disclose, encode, seal
from metering.identity import GatewayId, MeterId, NodeId, PartyId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, GAS_VOLUME, HEAT_ENERGY, WATER_VOLUME, Obis
from metering.reading import MeterReading, ReadQuality
from provisioning.keys import FileSigner
from tests.golden import test_golden_changes, test_golden_periods, test_golden_tariffs, test_golden_trees

CENTRE = FileSigner.from_seed(b"\x31" * 32)
GATEWAY = FileSigner.from_seed(b"\x32" * 32)
GATEWAY_ID = GatewayId("gw-golden")
BOOKED_AT = datetime(2026, 8, 1, tzinfo=UTC)
FIRST_REGISTER = 1_000_000
_CHANNELS = {ENERGY_IMPORT: "Wh", ENERGY_EXPORT: "Wh", WATER_VOLUME: "mL", GAS_VOLUME: "mL", HEAT_ENERGY: "kJ"}
GOLDEN = Path(test_golden_periods.__file__).parent


def _channel(at: int, obis: Obis, unit: str) -> dict[str, Any]:
    source = {"function": 3, "address": 4 * at, "type": "u64"}
    return {"obis": str(obis), "unit": unit, "exponent": 0, "kind": "counter", "modbus": source}


PROFILE = profile_from_canonical(
    encode(
        {
            "schema": 1,
            "id": "golden/all-media",
            "rev": 1,
            "medium": "electricity",
            "side": "primary",
            "evidence": "documents",
            "names": {"zh": "各种介质", "en": "All media"},
            "sources": [{"title": "made for tests"}],
            "links": {
                "modbus-rtu": {
                    "bauds": [9600],
                    "parity": "N",
                    "stop_bits": 1,
                    "registers_max": 60,
                    "hole_max": 20,
                    "reply_ms_max": 500,
                }
            },
            "groups": [
                {"name": "billing", "channels": [_channel(at, *one) for at, one in enumerate(_CHANNELS.items())]}
            ],
        }
    )
)


class SealedCase:
    """One closed period with the envelopes behind it."""

    def __init__(self, name: str, inputs: PeriodInputs, rules: Rules) -> None:
        self.name = name
        self.rules = rules
        needed = evidence_needed(inputs, rules)
        meters = sorted({node for node, _ in needed})
        courses = {(node, obis): _course(inputs, node, obis) for node in meters for obis in _CHANNELS}
        marks = sorted({mark for wanted in needed.values() for mark in wanted})
        self._envelopes: dict[EnvelopeRef, bytes] = {}
        at_mark: dict[datetime, EnvelopeRef] = {}
        for seq, mark in enumerate(marks, 1):
            slot = (mark - inputs.period.start) // (inputs.period.duration / inputs.slot_count)
            octets = _sealed(seq, mark, {node: [courses[node, obis][slot] for obis in _CHANNELS] for node in meters})
            at_mark[mark] = EnvelopeRef(GATEWAY_ID, 1, seq, chain_digest(octets))
            self._envelopes[at_mark[mark]] = octets
        evidence = []
        for (node, obis), wanted in needed.items():
            meter, course = MeterId(f"m-{node}"), courses[node, obis]
            slots = [(mark - inputs.period.start) // (inputs.period.duration / inputs.slot_count) for mark in wanted]
            readings = tuple(
                PointReading(mark, meter, course[slot], at_mark[mark]) for mark, slot in zip(wanted, slots, strict=True)
            )
            hung = Installation(meter, None, None, 1, None, None, None, None)
            evidence.append(PointEvidence(node, obis, (hung,), readings))
        self.inputs = replace(inputs, evidence=tuple(evidence))
        self.run: Run = close_period(self.inputs, rules)

    def file_of(self, party: PartyId) -> bytes:
        """Give the statement file of a party, with its own meters' readings only, as the centre makes it."""
        key = GatewayKey(GATEWAY_ID, 1, GATEWAY.key_id, GATEWAY.algorithm, GATEWAY.public_key)
        statement = seal_statement(
            self.run,
            self.inputs,
            self.rules,
            party,
            booked_at=BOOKED_AT,
            version=1,
            gateway_keys=(key,),
            commitment=commit_run(self.run, bytes(32)),
            signer=CENTRE,
        )
        evidence = [disclose(self._envelopes[ref], statement.meters) for ref in statement.evidence]
        return pack_bundle(statement.octets, statement.proof, evidence, [PROFILE.canonical])

    def publication(self, run: bytes | None = None, commitment: bytes | None = None) -> bytes:
        """Give the centre's word that the run is final; or that of another run, or one with another fingerprint."""
        words = ("checker", "approver", "publisher", (("case", "explained"),))
        run, commitment = run or bytes.fromhex(self.run.id), commitment or commit_run(self.run, bytes(32)).root
        return Publication(run, commitment, self.run.site, self.run.label, BOOKED_AT, *words, b"").sealed(CENTRE)


def _course(inputs: PeriodInputs, node: NodeId, obis: Obis) -> list[int]:
    """Give the register at each mark. A medium's energy stands where imports stand."""
    row = inputs.row(node)
    slots = inputs.export_wh[row : row + 1][0] if obis == ENERGY_EXPORT else inputs.import_wh[row]
    return list(accumulate((int(one) for one in slots), initial=FIRST_REGISTER))


def _sealed(seq: int, mark: datetime, registers: dict[NodeId, list[int]]) -> bytes:
    readings = tuple(
        MeterReading(MeterId(f"m-{node}"), PROFILE.hash, 0, mark, mark, ReadQuality.MEASURED, tuple(shown))
        for node, shown in registers.items()
    )
    clock = ClockState(ClockQuality.SYNCHRONISED, 0)
    return seal(Envelope(GATEWAY_ID, 1, seq, bytes(32), bytes(16), mark, clock, mark, readings), GATEWAY)


_READERS: dict[str, Callable[[Path], Any]] = {
    "case.toml": test_golden_periods.read_case,
    "period.toml": test_golden_trees.read_case,
    "facts.toml": test_golden_tariffs.read_case,
    "change.toml": lambda folder: test_golden_changes.ChangeCase(_facts(folder)),
}


def _facts(folder: Path) -> dict[str, Any]:
    import tomllib

    return tomllib.loads((folder / "change.toml").read_text(encoding="utf-8"))


@cache
def sealed_case(name: str) -> SealedCase:
    """Give the case of a golden folder; raises BooksError where it refuses to close."""
    folder = GOLDEN / name
    file = next(one for one in _READERS if (folder / one).exists())
    case = _READERS[file](folder)
    return SealedCase(name, case.inputs, case.rules)


def case_names() -> Iterator[str]:
    """Name every golden folder that holds a period to close."""
    return (one.name for one in sorted(GOLDEN.iterdir()) if any((one / file).exists() for file in _READERS))
