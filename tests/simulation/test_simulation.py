"""Worlds under faults: nothing is lost, doubled or made up, and the checkers that say so notice when it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from metering.identity import GatewayId
from tests.conftest import SeededSigner
from tests.doubles.sim_outbox import SqliteDisk
from tests.simulation.checkers import Broken
from tests.simulation.variants import VARIANTS, Variant
from tests.simulation.world import World, play

CAUGHT_WITHIN = 30
"""Seeds in which each planted mistake must be noticed; most show in the first."""
REAL_OUTBOX_SEED = 3
"""It has a clone, a new enrolment and many power cuts."""
SMALL_WORLDS_FIRST = sorted(range(1, CAUGHT_WITHIN + 1), key=lambda seed: World(seed).park.size)
ROOT = Path(__file__).parents[2]
REPLAY = "import logging; logging.disable(50); from tests.simulation.world import play; print(play({seed}))"


def test_every_promise_holds_in_every_world(seed_batch: range) -> None:
    outcomes = [play(seed) for seed in seed_batch]
    assert all(outcome.readings > 100 for outcome in outcomes)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_planted_fault_is_caught(variant: Variant) -> None:
    for seed in SMALL_WORLDS_FIRST:
        try:
            play(seed, variant.plant())
        except Broken:
            return
    pytest.fail(f"{variant.name} was not noticed in {CAUGHT_WITHIN} seeds")


def test_a_world_leaves_nothing_planted_behind() -> None:
    before = play(8)
    for variant in VARIANTS[:3]:
        with pytest.raises(Broken):
            play(1, variant.plant())
    assert play(8) == before


def test_a_seed_plays_the_same_way_every_time() -> None:
    assert play(7) == play(7)


def test_a_seed_plays_the_same_way_in_another_process() -> None:
    """String hashes differ there, so nothing may depend on the order of a set."""
    code = REPLAY.format(seed=8)
    found = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": number}, capture_output=True, check=True
        ).stdout
        for number in ("1", "2")
    ]
    assert found[0] == found[1] == f"{play(8)}\n".encode()


def test_the_real_outbox_plays_a_seed_to_the_same_trace(tmp_path: Path) -> None:
    """Power cuts between any two steps, and the file must not differ from the double in anything that shows."""

    def new_disk(gateway: GatewayId) -> SqliteDisk:
        return SqliteDisk(tmp_path / f"{gateway}.db", gateway)

    assert play(REAL_OUTBOX_SEED, new_disk=new_disk) == play(REAL_OUTBOX_SEED)


def test_the_promises_hold_with_real_signatures() -> None:
    real = {"tests.simulation.gateway.SimSigner": SeededSigner, "tests.simulation.centre.SimSigner": SeededSigner}
    assert play(8, real).readings == play(8).readings


def test_two_seeds_are_two_worlds() -> None:
    assert play(7).trace != play(8).trace


def test_a_failure_replays_and_names_seed_faults_and_last_events() -> None:
    variant = next(one for one in VARIANTS if one.name == "negative differences clipped")
    told: list[str] = []
    for _ in range(2):
        with pytest.raises(Broken) as caught:
            play(1, variant.plant())
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert told[0].startswith("seed 1: ")
    assert "{'" in told[0]
    assert "Plan(" in told[0]
    assert "polled gw-" in told[0]


def test_the_first_worlds_meet_every_kind_of_fault() -> None:
    worlds = [World(seed) for seed in range(1, 31)]
    assert all(any(getattr(world.faults, kind) for world in worlds) for kind in worlds[0].faults.__slots__)
    for misfortune in ("clone", "rekey", "stray"):
        assert any(getattr(world.park.plan, misfortune) for world in worlds)
    assert {len(world.park.gateways) for world in worlds} == {2, 3, 4}
