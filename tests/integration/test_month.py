"""A whole month of the park, once: its events show in the result, and docs/data-path.md tells the truth about it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.framing import codec_of
from device_profiles.profile import Protocol
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.envelope import Sealed, parse_sealed
from metering.identity import MeterId
from metering.obis import ENERGY_IMPORT, Obis
from provisioning.site_file import read_site

pytestmark = pytest.mark.timeout(280)

ROOT = Path(__file__).parents[2]
DATA_PATH = ROOT / "docs" / "data-path.md"
METER = MeterId("m-u-a201")
LINE = "own-use/a201/t-03"


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a demo of the whole month."""
    directory = tmp_path_factory.mktemp("month") / "demo"
    argv = [str(Path(sys.executable).parent / "metertree"), "demo", "--exit", "--dir", str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=270)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture(scope="module")
def run(month: Path) -> dict[str, Any]:
    """The run document."""
    document: dict[str, Any] = json.loads((month / "run.json").read_text(encoding="utf-8"))
    return document


def amounts(run: dict[str, Any], pool: str, unit: str) -> dict[str, int]:
    """Amount by party of one pool and unit."""
    return {
        line["party"]: line["amount_minor"] for line in run["lines"] if (line["pool"], line["unit"]) == (pool, unit)
    }


def qualities(run: dict[str, Any], node: str) -> dict[str, int]:
    """Slots of a node by quality."""
    return next(dict(balance["slots_by_quality"]) for balance in run["balance"] if balance["node"] == node)


def test_lines_and_residual_add_up_to_every_pool(run: dict[str, Any]) -> None:
    for pool in run["pools"]:
        lines = [line["amount_minor"] for line in run["lines"] if line["pool"] == pool["id"]]
        assert sum(lines) == pool["cost_minor"]
    total = sum(line["amount_minor"] for line in run["lines"])
    assert total == run["reconciliation"]["pooled_minor"]
    assert total + run["reconciliation"]["unshared_minor"] == run["reconciliation"]["supply_minor"]


def test_every_branch_balances_within_its_band(run: dict[str, Any]) -> None:
    branches = [balance for balance in run["balance"] if balance["loss_wh"] is not None]
    assert len(branches) == 4
    assert all(balance["net_wh"] == balance["children_wh"] + balance["loss_wh"] for balance in branches)
    assert all(abs(balance["loss_wh"]) <= balance["band_wh"] for balance in branches)
    assert run["approvable"]


def test_the_handover_on_the_17th_splits_the_unit_between_two_tenants(run: dict[str, Any]) -> None:
    for pool in ("own-use", "lift-and-fire-pump", "lobby-ac"):
        assert sorted(amounts(run, pool, "a202")) == ["t-04", "t-05"]
    slots = {
        line["party"]: line["trace"]["spans"]
        for line in run["lines"]
        if line["pool"] == "own-use" and line["unit"] == "a202"
    }
    handover = 16 * 96 + 14 * 4
    assert slots == {"t-04": [[0, handover]], "t-05": [[handover, 2976]]}


def test_the_vacant_unit_is_the_owners(run: dict[str, Any]) -> None:
    assert set(amounts(run, "lift-and-fire-pump", "b202")) == {"owner"}


def test_exchange_and_rollover_show_in_one_slot_each_and_nothing_is_estimated(run: dict[str, Any]) -> None:
    assert qualities(run, "u-a102") == {"measured": 2975, "exchange": 1}
    assert qualities(run, "u-a201") == {"measured": 2975, "rollover": 1}
    others = [balance["node"] for balance in run["balance"] if balance["node"] not in {"u-a102", "u-a201"}]
    assert all(qualities(run, node) == {"measured": 2976} for node in others)


def test_the_purifier_is_paid_by_its_one_tenant(run: dict[str, Any]) -> None:
    assert set(amounts(run, "lab-purifier", "b301")) == {"t-08"}


@dataclass(frozen=True)
class OneRegister:
    """A register source that shows one number."""

    import_wh: int

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the import register, and zero for every other."""
        return self.import_wh if obis == ENERGY_IMPORT else 0


def register_of(sealed: Sealed) -> int:
    """The mantissa of the followed meter's import register."""
    mantissa = next(reading.mantissas[0] for reading in sealed.envelope.readings if reading.meter == METER)
    assert mantissa is not None
    return mantissa


def shown(mantissa: int) -> str:
    """A register of the DL/T 645 meter as its display shows it [kWh]."""
    return f"{mantissa // 100}.{mantissa % 100:02d}"


def facts(month: Path, run: dict[str, Any]) -> list[str]:
    """Every number that docs/data-path.md states, from the demo itself."""
    bundle = json.loads((month / "statements" / "park-2026-07-t-03-v1.json").read_text(encoding="utf-8"))
    sealed = [parse_sealed(base64.b64decode(octets)) for octets in bundle["evidence"]]
    at_mark = {one.envelope.mark: one for one in sealed if one.envelope.gateway == "gw-a"}
    midnight = datetime.fromisoformat("2026-07-01T00:00:00+08:00")
    first, two = at_mark[midnight], at_mark[midnight.replace(hour=2)]
    meter = read_site(ROOT / "examples" / "park").meter(METER)
    profile = Catalogue.shipped().by_id(meter.profile)
    read = plan_reads(profile, Protocol.DLT645_2007, profile.group("billing"))[0]
    codec = codec_of(Protocol.DLT645_2007)
    request = codec.build_request(meter.address, read)
    simulated = SimulatedMeter(METER, profile, Protocol.DLT645_2007, meter.address)
    reply = simulated.answer(request, OneRegister(register_of(first) * 10))
    assert reply is not None
    line = next(line for line in run["lines"] if line["id"] == LINE)
    bands = [
        f"{band['name']} | {energy / 1000:,.2f}"
        for band, energy in zip(run["bands"], line["band_energy_wh"], strict=True)
    ]
    rolled = min(
        (one for one in at_mark.values() if register_of(one) < register_of(first)), key=lambda one: one.envelope.seq
    )
    return [
        request.hex(" "),
        reply.hex(" "),
        shown(register_of(first)),
        shown(register_of(two)),
        shown(register_of(two) - register_of(first)),
        shown(register_of(rolled)),
        profile.hash.hex(),
        first.digest.hex(),
        f"gw-a {first.envelope.epoch}/{first.envelope.seq}",
        *bands,
        f"{line['trace']['cost_nano'] / 10**9:,.6f}",
        f"{line['amount_minor'] / 100:,.2f}",
    ]


def test_a_statement_shows_no_neighbours_register(month: Path) -> None:
    bundle = json.loads((month / "statements" / "park-2026-07-t-03-v1.json").read_text(encoding="utf-8"))
    shown = {
        one.meter for octets in bundle["evidence"] for one in parse_sealed(base64.b64decode(octets)).envelope.readings
    }
    assert shown == {METER}


def test_the_data_path_document_states_what_the_demo_gives(month: Path, run: dict[str, Any]) -> None:
    text = DATA_PATH.read_text(encoding="utf-8")
    missing = [fact for fact in facts(month, run) if fact not in text]
    assert missing == []
