"""What a statement says, and its wire form: a map with text keys, so that a stranger can read it with any CBOR tool.

Format `metertree-statement/1`. Energy is in Wh, money in minor units of `currency` (`nano`: 10^-9 currency units),
rates in 10^-6 currency units per kWh, instants in seconds since 1970 UTC, slots are quarter hours from the period's
start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from allocation_engine.caps import CheckKind, ComplianceCheck
from allocation_engine.costs import CostStep
from allocation_engine.evidence import EnvelopeRef, Installation, PointEvidence, PointReading
from allocation_engine.key_steps import KeyStep
from allocation_engine.loss_trace import LossTrace
from allocation_engine.money import minor_digits
from allocation_engine.pools import PoolClass
from allocation_engine.run import ChargeTrace, DayShare, Line, LineKind, MeteredTrace, ShareTrace, Trace
from allocation_engine.service_costs import ServiceCost
from allocation_engine.tariff import MAIN_TARIFF, Band
from allocation_engine.taxes import TaxShown
from allocation_engine.tiers import TierLimits, TierPiece, Tiers, TierSpan
from metering.envelope import Algorithm, EnvelopeMalformed
from metering.errors import MeteringError
from metering.identity import GatewayId, KeyId, MeterId, NodeId, PartyId, PoolId, SiteId, UnitId
from metering.interval import Interval
from metering.obis import Obis

STATEMENT_FORMAT = "metertree-statement/1"
STATEMENT_OCTETS_MAX = 32 * 1024 * 1024
"""An owner's month of 2,000 vacant units at six band changes a day is 28 MiB; a tenant's is 15 KiB a unit."""


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """A public key the registry binds to a gateway's epoch: what evidence must be signed with."""

    gateway: GatewayId
    epoch: int
    key_id: KeyId
    algorithm: Algorithm
    public_key: bytes


@dataclass(frozen=True, slots=True)
class StatedPool:
    """A pool as far as a party may see it: of metered pools, which are others' registers, no totals (None).

    root     what commits to all lines of the pool (32 octets); see `allocation_engine.inclusion`
    tariff   what prices its energy
    steps    of a shared cost that is not only energy by band
    charge   the supply charge that is the cost; None where it is energy
    ground   the agreement or clause that its rule rests on, in words
    service  what it received from other pools and passed on to them; None where pools do not serve each other
    """

    id: PoolId
    names: tuple[tuple[str, str], ...]
    pool_class: PoolClass
    cost_minor: int | None
    charged_minor: int | None
    root: bytes
    days: tuple[DayShare, ...]
    tariff: str = MAIN_TARIFF
    steps: tuple[CostStep, ...] = ()
    charge: str | None = None
    ground: str = ""
    service: ServiceCost | None = None

    def to_facts(self) -> dict[str, Any]:
        """Give plain content without the root: what the root covers."""
        return _facts_to_wire(self)

    def to_wire(self) -> dict[str, Any]:
        """Give plain content."""
        return {**self.to_facts(), "root": self.root}


@dataclass(frozen=True, slots=True)
class StatementContent:
    """Everything a sealed statement says.

    run_id, ...    which run, inputs, rules and site version the lines come from (32 octets each)
    commitment     root over all lines of the run (32 octets): the same in every statement of the run
    band_runs      slot at which each run of slots of one band starts, and its index in `bands`
    points         the register epochs and readings behind the metered lines
    evidence       sealed envelopes that hold those readings, sorted
    keys           keys that those envelopes are signed with
    taxes          what the party's charges contain of each tax
    checks         of the party's prices and of the sum over all tenants against what may be charged
    """

    number: str
    version: int
    booked_at: datetime
    site: SiteId
    label: str
    zone: str
    period: Interval
    party: PartyId
    currency: str
    total_minor: int
    engine_version: str
    run_id: bytes
    inputs_hash: bytes
    rules_hash: bytes
    site_hash: bytes
    commitment: bytes
    bands: tuple[Band, ...]
    band_runs: tuple[tuple[int, int], ...]
    pools: tuple[StatedPool, ...]
    lines: tuple[Line, ...]
    points: tuple[PointEvidence, ...]
    evidence: tuple[EnvelopeRef, ...]
    keys: tuple[GatewayKey, ...]
    warnings: tuple[str, ...]
    taxes: tuple[TaxShown, ...] = ()
    checks: tuple[ComplianceCheck, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """Give the map that is encoded and signed."""
        place: dict[EnvelopeRef | None, int] = {ref: index for index, ref in enumerate(self.evidence)}
        return {
            **self.alike_to_wire(),
            **self.own_to_wire(),
            "pools": [pool.to_wire() for pool in self.pools],
            "points": [point_to_wire(point, place) for point in self.points],
            "evidence": [list(ref) for ref in self.evidence],
        }

    def alike_to_wire(self) -> dict[str, Any]:
        """Give the entries that are the same in every statement of a run."""
        return {
            "format": STATEMENT_FORMAT,
            **{name: getattr(self, name) for name in _ALIKE_FIELDS},
            "booked_at": _seconds(self.booked_at),
            "period": [_seconds(self.period.start), _seconds(self.period.end)],
            "bands": [_band_to_wire(band) for band in self.bands],
            "band_runs": [list(one) for one in self.band_runs],
            "warnings": list(self.warnings),
        }

    def own_to_wire(self) -> dict[str, Any]:
        """Give the entries that are a party's own but its points; pools and evidence it has in common with others."""
        return {
            **{name: getattr(self, name) for name in _OWN_FIELDS},
            "lines": [_line_to_wire(line) for line in self.lines],
            "keys": [[k.gateway, k.epoch, k.key_id, int(k.algorithm), k.public_key] for k in self.keys],
            "taxes": [_tax_to_wire(one) for one in self.taxes],
            "checks": [_check_to_wire(one) for one in self.checks],
        }

    @classmethod
    def from_wire(cls, content: Any) -> StatementContent:
        """Read what `to_wire` gave; raises EnvelopeMalformed for anything else."""
        try:
            if content["format"] != STATEMENT_FORMAT:
                raise EnvelopeMalformed(f"statement format {content['format']!r} is not known")
            return cls(**{name: content[name] for name in _PLAIN_FIELDS}, **_parts_from_wire(content))
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError, MeteringError) as error:
            raise EnvelopeMalformed(f"not a statement of format {STATEMENT_FORMAT}: {error}") from error


_ALIKE_FIELDS = (
    *("version", "site", "label", "zone", "currency", "engine_version"),
    *("run_id", "inputs_hash", "rules_hash", "site_hash", "commitment"),
)
_OWN_FIELDS = ("number", "party", "total_minor")
_PLAIN_FIELDS = (*_ALIKE_FIELDS, *_OWN_FIELDS)


def _parts_from_wire(content: Mapping[str, Any]) -> dict[str, Any]:
    evidence = tuple(EnvelopeRef(GatewayId(one[0]), *one[1:]) for one in content["evidence"])
    minor_digits(content["currency"])
    bands = tuple(_band_from_wire(one) for one in content["bands"])
    return {
        "booked_at": _instant(content["booked_at"]),
        "period": Interval(*(_instant(one) for one in content["period"])),
        "bands": bands,
        "band_runs": tuple((slot, range(len(bands)).index(band)) for slot, band in content["band_runs"]),
        "pools": tuple(_pool_from_wire(one) for one in content["pools"]),
        "lines": tuple(_line_from_wire(one) for one in content["lines"]),
        "points": tuple(_point_from_wire(one, evidence) for one in content["points"]),
        "evidence": evidence,
        "keys": tuple(GatewayKey(g, epoch, k, Algorithm(a), public) for g, epoch, k, a, public in content["keys"]),
        "warnings": tuple(content["warnings"]),
        "taxes": tuple(_tax_from_wire(one) for one in content["taxes"]),
        "checks": tuple(_check_from_wire(one) for one in content["checks"]),
    }


def _band_to_wire(band: Band) -> list[Any]:
    return [band.version, band.name, band.rate_micro, band.tariff, band.per, list(band.base_units)]


def _band_from_wire(content: Any) -> Band:
    version, name, rate_micro, tariff, per, (numerator, denominator) = content
    if min(numerator, denominator) < 1:
        raise ValueError(f"band {name}: {numerator}/{denominator} is no number of base units")
    return Band(version, name, rate_micro, tariff, per, (numerator, denominator))


def _facts_to_wire(pool: StatedPool) -> dict[str, Any]:
    return {
        "id": pool.id,
        "names": dict(pool.names),
        "class": str(pool.pool_class),
        "cost_minor": pool.cost_minor,
        "charged_minor": pool.charged_minor,
        "days": [
            {
                "day": one.day.isoformat(),
                "cost_nano": one.cost_nano,
                "inputs": [[name, number, observed_on.isoformat()] for name, number, observed_on in one.inputs],
                "passed_on": list(one.passed_on),
            }
            for one in pool.days
        ],
        "tariff": pool.tariff,
        "steps": [step.to_wire() for step in pool.steps],
        "charge": pool.charge,
        "ground": pool.ground,
        "service": None if pool.service is None else pool.service.to_wire(),
    }


def _pool_from_wire(content: Mapping[str, Any]) -> StatedPool:
    days = (
        DayShare(
            day=date.fromisoformat(one["day"]),
            cost_nano=one["cost_nano"],
            inputs=tuple((name, number, date.fromisoformat(on)) for name, number, on in one["inputs"]),
            passed_on=(one["passed_on"][0], one["passed_on"][1]),
        )
        for one in content["days"]
    )
    names = tuple(sorted(content["names"].items()))
    priced = content["tariff"], tuple(CostStep.from_wire(one) for one in content["steps"]), content["charge"]
    service = None if content["service"] is None else ServiceCost.from_wire(content["service"])
    grounds = content["ground"], service
    totals = content["cost_minor"], content["charged_minor"], content["root"]
    return StatedPool(
        PoolId(content["id"]), names, PoolClass(content["class"]), *totals, tuple(days), *priced, *grounds
    )


def _tax_to_wire(one: TaxShown) -> list[Any]:
    return [one.tax, dict(one.names), one.party, list(one.percent), one.gross_minor, one.tax_minor]


def _tax_from_wire(content: Any) -> TaxShown:
    tax, names, party, (numerator, denominator), gross_minor, tax_minor = content
    percent = (numerator, denominator)
    return TaxShown(tax, tuple(sorted(names.items())), PartyId(party), percent, gross_minor, tax_minor)


def _check_to_wire(one: ComplianceCheck) -> list[Any]:
    return [one.cap, str(one.kind), one.party, one.energy_wh, one.charged_minor, one.limit_minor, one.basis]


def _check_from_wire(content: Any) -> ComplianceCheck:
    cap, kind, party, *numbers = content
    return ComplianceCheck(cap, CheckKind(kind), None if party is None else PartyId(party), *numbers)


def _line_to_wire(line: Line) -> dict[str, Any]:
    return {
        "pool": line.pool,
        "party": line.party,
        "unit": line.unit,
        "kind": str(line.kind),
        "band_energy_wh": list(line.band_energy_wh),
        "amount_minor": line.amount_minor,
        "trace": _trace_to_wire(line.trace),
    }


def _line_from_wire(content: Mapping[str, Any]) -> Line:
    kind = LineKind(content["kind"])
    return Line(
        pool=PoolId(content["pool"]),
        party=PartyId(content["party"]),
        unit=None if content["unit"] is None else UnitId(content["unit"]),
        kind=kind,
        band_energy_wh=tuple(content["band_energy_wh"]),
        amount_minor=content["amount_minor"],
        trace=_trace_reader(kind, content["trace"])(content["trace"]),
    )


def _trace_to_wire(trace: Trace) -> dict[str, Any]:
    match trace:
        case MeteredTrace():
            return _metered_to_wire(trace)
        case ChargeTrace():
            return {"steps": [step.to_wire() for step in trace.steps], "of": list(trace.of)}
        case ShareTrace():
            return _share_to_wire(trace)
        case LossTrace():
            return trace.to_wire()


def _trace_reader(kind: LineKind, content: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Trace]:
    """Find what reads a trace: a residual may be one of a shared cost or of the losses."""
    return LossTrace.from_wire if "carried" in content else _TRACES.get(kind, _share_from_wire)


def _charge_from_wire(content: Mapping[str, Any]) -> ChargeTrace:
    return ChargeTrace(tuple(CostStep.from_wire(one) for one in content["steps"]), tuple(content["of"]))


def _metered_to_wire(trace: MeteredTrace) -> dict[str, Any]:
    return {
        "nodes": list(trace.nodes),
        "deduct": list(trace.deduct),
        "measure": trace.measure,
        "spans": [list(span) for span in trace.spans],
        "cost_nano": trace.cost_nano,
        "slots_by_quality": dict(trace.slots_by_quality),
        "tiers": [_tier_to_wire(piece) for piece in trace.tiers],
    }


def _metered_from_wire(content: Mapping[str, Any]) -> MeteredTrace:
    return MeteredTrace(
        nodes=tuple(NodeId(node) for node in content["nodes"]),
        deduct=tuple(NodeId(node) for node in content["deduct"]),
        measure=content["measure"],
        spans=tuple((first, end) for first, end in content["spans"]),
        cost_nano=content["cost_nano"],
        slots_by_quality=tuple(sorted(content["slots_by_quality"].items())),
        tiers=tuple(_tier_from_wire(one) for one in content["tiers"]),
    )


_TRACES: dict[LineKind, Callable[[Mapping[str, Any]], Trace]] = {
    LineKind.METERED: _metered_from_wire,
    LineKind.CHARGE: _charge_from_wire,
}


def _tier_to_wire(piece: TierPiece) -> dict[str, Any]:
    tiers = piece.tiers
    return {
        **{name: getattr(piece, name) for name in _TIER_FIELDS},
        "since": piece.since.isoformat(),
        "part": list(piece.part),
        "tiers": [str(tiers.span), str(tiers.limits), list(tiers.upto), list(tiers.adds)],
    }


def _tier_from_wire(content: Mapping[str, Any]) -> TierPiece:
    span, limits, upto, adds = content["tiers"]
    return TierPiece(
        **{name: content[name] for name in _TIER_FIELDS},
        since=date.fromisoformat(content["since"]),
        part=(content["part"][0], content["part"][1]),
        tiers=Tiers(TierSpan(span), TierLimits(limits), tuple(upto), tuple(adds)),
    )


_TIER_FIELDS = ("version", "first", "end", "before", "amount")


def _share_to_wire(trace: ShareTrace) -> dict[str, Any]:
    return {**{name: getattr(trace, name) for name in _SHARE_FIELDS}, "keys": [step.to_wire() for step in trace.keys]}


def _share_from_wire(content: Mapping[str, Any]) -> ShareTrace:
    keys = tuple(KeyStep.from_wire(one) for one in content["keys"])
    return ShareTrace(**{name: content[name] for name in _SHARE_FIELDS}, keys=keys)


_SHARE_FIELDS = (
    *("line_id", "weight", "total_weight", "remainder", "extra", "cut_remainder"),
    *("cut_id", "area_cm2", "slots"),
)


def point_to_wire(point: PointEvidence, place: Mapping[EnvelopeRef | None, int]) -> dict[str, Any]:
    """Give a point as it is encoded; `place` of each envelope is where it stands in the statement's evidence."""
    places = map(place.__getitem__, point.envelopes)
    return {
        **point_head(point),
        "readings": [
            [_seconds(one.mark), one.meter, one.register_wh, at] for one, at in zip(point.readings, places, strict=True)
        ],
    }


def point_head(point: PointEvidence) -> dict[str, Any]:
    """Give what a point says beside its readings."""
    return {
        "node": point.node,
        "obis": str(point.obis),
        "installations": [
            {
                "meter": one.meter,
                "start": one.start and _seconds(one.start),
                "end": one.end and _seconds(one.end),
                **{name: getattr(one, name) for name in _INSTALLATION_FIELDS},
            }
            for one in point.installations
        ],
    }


def _point_from_wire(content: Mapping[str, Any], evidence: tuple[EnvelopeRef, ...]) -> PointEvidence:
    installations = (
        Installation(
            meter=MeterId(one["meter"]),
            start=None if one["start"] is None else _instant(one["start"]),
            end=None if one["end"] is None else _instant(one["end"]),
            **{name: one[name] for name in _INSTALLATION_FIELDS},
        )
        for one in content["installations"]
    )
    readings = (
        PointReading(_instant(mark), MeterId(meter), register_wh, evidence[index])
        for mark, meter, register_wh, index in content["readings"]
    )
    return PointEvidence(NodeId(content["node"]), Obis.parse(content["obis"]), tuple(installations), tuple(readings))


_INSTALLATION_FIELDS = ("multiplier", "modulus_wh", "power_max_w", "initial_wh", "final_wh")


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
