"""Evidence encoded with shared parts kept is evidence encoded plainly, and the hash over all facts is what it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import pytest

from allocation_engine.evidence import EnvelopeRef, Installation, PointEvidence, PointReading
from allocation_engine.evidence_octets import evidence_octets
from allocation_engine.inputs import CountedBefore, PeriodInputs
from allocation_engine.intervals import Reason, SlotException, SlotQuality
from metering.envelope import encode, to_ms
from metering.identity import GatewayId, MeterId, NodeId, PoolId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT

START = datetime(2026, 7, 1, tzinfo=UTC)
REGISTERS = (0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 10**12)


def some_points(seed: int) -> list[PointEvidence]:
    """Points of evidence that share meters, marks and envelopes, some of them sealed in none."""
    draw = Random(seed)
    points = []
    for number in range(draw.randint(0, 5)):
        meters = [MeterId(f"m-{draw.randint(1, 3)}") for _ in range(draw.randint(1, 2))]
        readings = [
            PointReading(
                START + timedelta(minutes=15 * draw.randint(0, 3)),
                draw.choice(meters),
                draw.choice((*REGISTERS, draw.randint(0, 2**33))),
                draw.choice([None, EnvelopeRef(GatewayId("g"), draw.randint(1, 2), draw.randint(1, 3), bytes(32))]),
            )
            for _ in range(draw.randint(0, 30))
        ]
        hung = Installation(meters[0], draw.choice([None, START]), None, draw.randint(1, 40), 10**9, None, 0, None)
        obis = draw.choice([ENERGY_IMPORT, ENERGY_EXPORT])
        points.append(PointEvidence(NodeId(f"n-{number}"), obis, (hung,) * draw.randint(0, 2), tuple(readings)))
    return points


def plain_point(point: PointEvidence) -> list[Any]:
    """A point as lists, by the definition."""
    return [
        point.node,
        str(point.obis),
        [
            [
                *(one.meter, one.start and to_ms(one.start), one.end and to_ms(one.end), one.multiplier),
                *(one.modulus_wh, one.power_max_w, one.initial_wh, one.final_wh),
            ]
            for one in point.installations
        ],
        [[to_ms(one.mark), one.meter, one.register_wh, *(one.envelope or ())] for one in point.readings],
    ]


@pytest.mark.parametrize("seed", range(60))
def test_octets_are_those_of_encoding_each_point_plainly(seed: int) -> None:
    points = some_points(seed)
    assert list(evidence_octets(points)) == [encode(plain_point(point)) for point in points]


def test_the_hash_over_all_facts_is_that_of_one_list_of_them(make_inputs: Callable[..., PeriodInputs]) -> None:
    gap = SlotException(SlotQuality.ESTIMATED, Reason.GAP, START, START + timedelta(hours=1), 5, "between")
    whole = make_inputs(
        energy={"main": 10, "u-1": range(8)},
        parents={"u-1": "main"},
        export={"main": 3},
        units={"a": (100, "u-1"), "b": (200, None)},
        let=[("a", "t-1", 2, 7)],
        quality={("main", 2): SlotQuality.ESTIMATED},
    )
    before = (CountedBefore(PoolId("p"), None, None, START.date(), 7),)
    inputs = replace(whole, evidence=tuple(some_points(4)), exceptions=((NodeId("main"), gap),), counted_before=before)
    matrices = (inputs.import_wh, np.asarray(inputs.export_wh), inputs.quality)
    content = [
        *(inputs.site, inputs.label, inputs.calendar.zone, [to_ms(inputs.period.start), to_ms(inputs.period.end)]),
        *(inputs.site_hash, inputs.owner),
        [
            ["main", "main", [[0, 8, ""]], 10_000, "electricity"],
            ["u-1", "end", [[0, 8, "main"]], 10_000, "electricity"],
        ],
        [
            hashlib.sha256(matrix.astype(octets).tobytes()).digest()
            for matrix, octets in zip(matrices, ("<i8", "<i8", "u1"), strict=True)
        ],
        [encode(["main", gap.to_document()])],
        [plain_point(point) for point in sorted(inputs.evidence, key=lambda point: (point.node, point.obis))],
        [["a", 100, "u-1"], ["b", 200, ""]],
        [["a", "owner", 0, 2], ["a", "owner", 7, 8], ["a", "t-1", 2, 7], ["b", "owner", 0, 8]],
        [["p", "", "", "2026-07-01", 7]],
    ]
    assert inputs.evidence
    assert inputs.hash == hashlib.sha256(encode(content)).digest()
