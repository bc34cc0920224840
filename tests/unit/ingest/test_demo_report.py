"""The printed result, its words, its progress, and the command lines of the demo's programs."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ingest.console.words import Language
from ingest.demo import words as demo_words
from ingest.demo.loads_file import read_play
from ingest.demo.play import Outcome
from ingest.demo.premises import Playbill, Premises, boot_of
from ingest.demo.programs import port_names, users_of, verify_command, world_program
from ingest.demo.progress import Show
from ingest.demo.report import Report, to_text
from ingest.demo.words import say
from metering.identity import GatewayId
from provisioning.site import Site
from provisioning.site_file import read_site

PARK = Path(__file__).parents[3] / "examples" / "park"
GW_A, GW_B = GatewayId("gw-a"), GatewayId("gw-b")


@pytest.fixture(scope="module")
def site() -> Site:
    """The example park."""
    return read_site(PARK)


def balance_row(node: str, net_wh: int, children_wh: int | None) -> dict[str, Any]:
    """One row of a run's balance, as the API gives it."""
    return {
        "node": node,
        "import_wh": net_wh,
        "export_wh": 0,
        "net_wh": net_wh,
        "children_wh": children_wh,
        "loss_wh": None if children_wh is None else net_wh - children_wh,
        "band_wh": None if children_wh is None else 1000,
        "slots_by_quality": [["measured", 95], ["exchange", 1]] if node == "u-a102" else [["measured", 96]],
    }


def share(pool: str, party: str, unit: str, amount_minor: int) -> dict[str, Any]:
    """One shared line, as the API gives it."""
    return {
        "pool": pool,
        "party": party,
        "unit": unit,
        "kind": "share",
        "band_energy_wh": [1000],
        "amount_minor": amount_minor,
        "trace": {"weight": 1, "total_weight": 2},
    }


@pytest.fixture
def outcome(site: Site, tmp_path: Path) -> Outcome:
    """A run of one pool with two lines, and a statement for each of two tenants."""
    start = datetime(2026, 6, 30, 16, tzinfo=UTC)
    document: dict[str, Any] = {
        "id": "ab" * 32,
        "site": "park",
        "label": "2026-07-01--2026-07-01",
        "zone": "Asia/Shanghai",
        "currency": "CNY",
        "approvable": True,
        "period": {"start": start.isoformat(), "end": (start + timedelta(days=1)).isoformat()},
        "balance": [balance_row(node.id, 1000, 900 if node.id == "bldg-a" else None) for node in site.nodes],
        "pools": [
            {
                "id": "lift",
                "names": [["zh", "电梯"], ["en", "Lift"]],
                "pool_class": "must",
                "path": ["lift"],
                "cost_minor": 301,
                "charged_minor": 301,
                "days": [],
            }
        ],
        "lines": [share("lift", "t-01", "a101", 151), share("lift", "t-02", "a102", 150)],
        "reconciliation": {"supply_wh": 1000, "supply_minor": 400, "pooled_minor": 301, "unshared_minor": 99},
        "cases": [],
        "exceptions": [],
        "warnings": [],
        "terms": {"lift": {"formula": "main_delta / 2", "agreement": "resolution 4"}},
    }
    document["lines"].append(share("own", "t-02", "a102", 0))
    statements = tuple((f"park-{party}-v1", party, tmp_path / f"{party}.json") for party in ("owner", "t-01", "t-02"))
    return Outcome(tmp_path / "run.json", document, "2026-07-02T09:00:00+08:00", statements, {})


def test_the_report_shows_tree_lines_and_the_proof(site: Site, outcome: Outcome) -> None:
    text = to_text(Report(site, outcome, Language.EN).result())
    assert re.search(r"├ Building A +1\.000 +0\.900 +0\.100 \(10\.00 %\) +1\.000 +within band", text)
    assert re.search(r"│ ├ Unit A102 +1\.000 +exchange 1", text)
    assert re.search(r"Qinghe Tea +Unit A101 +1\.000 +50\.00 % +¥1\.51", text)
    assert "Lift (must-share)\n  Lifts\n  main_delta / 2\n  resolution 4\n" in text
    assert "Proof: lines ¥3.01 + residual ¥0.00 = pool ¥3.01: exact" in text
    assert "All 1 pools: lines + residual = cost" in text


def test_a_pool_that_does_not_add_up_is_shown_as_such(site: Site, outcome: Outcome) -> None:
    outcome.document["pools"][0]["cost_minor"] = 302
    text = to_text(Report(site, outcome, Language.EN).result())
    assert "= pool ¥3.02: DOES NOT ADD UP" in text
    assert "All 1 pools" not in text


def test_the_report_is_written_in_chinese_too(site: Site, outcome: Outcome) -> None:
    text = to_text(Report(site, outcome, Language.ZH).result())
    assert "青禾茶业" in text
    assert "守恒证明: 分项 ¥3.01 + 余额 ¥0.00 = 费用池 ¥3.01: 相等" in text


def test_quarantined_envelopes_are_not_passed_over(site: Site, outcome: Outcome) -> None:
    held = replace(outcome, refused={GW_B: 3})
    assert "3 envelopes of gw-b are in quarantine" in to_text(Report(site, held, Language.EN).result())


def test_the_statement_shown_is_the_tenants_with_the_most_pools(site: Site, outcome: Outcome) -> None:
    assert Report(site, outcome, Language.EN).shown_statement.name == "t-02.json"


def test_the_proof_of_a_statement_shows_the_command_and_its_verdict(site: Site, outcome: Outcome) -> None:
    text = to_text(Report(site, outcome, Language.EN).statement(("metertree", "verify", "a b.json"), "sound\nexact\n"))
    assert "  metertree verify 'a b.json'\n  sound\n  exact\n" in text


def test_every_sentence_has_the_same_gaps_in_both_languages() -> None:
    for key, (zh, en) in demo_words._WORDS.items():
        assert sorted(re.findall(r"{\w+}", zh)) == sorted(re.findall(r"{\w+}", en)), key
    assert say(Language.ZH, "close", period="2026-07") == "核算 2026-07"


def test_progress_is_told_by_tenths_where_there_is_no_terminal() -> None:
    file = io.StringIO()
    with Show(Console(file=file, width=100)).bars({GW_A: 100, GW_B: 100}, "receipted") as bars:
        for count in (0, 3, 9, 10, 11, 50, 100):
            bars.show({GW_A: count, GW_B: count})
    shown = re.findall(r"(\d+) %", file.getvalue())
    assert shown == ["0", "10", "50", "100"]
    assert "gw-a 10/100, gw-b 10/100" in file.getvalue()


def test_progress_is_a_bar_on_a_terminal() -> None:
    file = io.StringIO()
    with Show(Console(file=file, width=100, force_terminal=True)).bars({GW_A: 4}, "receipted") as bars:
        bars.show({GW_A: 3})
    assert "3/4" in file.getvalue()


@pytest.fixture
def premises(site: Site, tmp_path: Path) -> Premises:
    """Premises of the park with made-up ports."""
    play = read_play(PARK / "loads.toml", site, csv=None, days=2)
    ports = {name: 20_000 + number for number, name in enumerate(port_names(site, play))}
    return Premises(tmp_path, Playbill(str(PARK), str(PARK / "loads.toml"), None, 2, ports))


def test_the_world_is_told_every_place_and_every_line_that_is_cut(premises: Premises, site: Site) -> None:
    play = read_play(PARK / "loads.toml", site, csv=None, days=2)
    argv = world_program(premises, site, play).argv
    assert f"line-a={premises.directory}/lines/line-a" in argv
    assert f"tcp-b=127.0.0.1:{premises.port('tcp-b')}" in argv
    assert f"gw-b={premises.port('line-of-gw-b')}:{premises.port('broker')}" in argv
    assert argv[argv.index("--days") + 1] == "2"


def test_the_command_that_verifies_is_written_as_typed_where_the_user_stands(
    premises: Premises, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = premises.directory / "statements" / "s.json"
    monkeypatch.chdir(premises.directory.parent)
    name = premises.directory.name
    typed = ("metertree", "verify", f"{name}/statements/s.json", "--key", f"{name}/centre.pub")
    assert verify_command(premises, statement) == typed
    monkeypatch.chdir("/usr")
    assert verify_command(premises, statement)[2] == str(statement)


def test_every_gateway_has_its_own_login_and_boot(site: Site) -> None:
    assert users_of(site) == ["centre", "gw-a", "gw-b"]
    assert len({boot_of(GW_A), boot_of(GW_B)}) == 2
    assert len(boot_of(GW_A)) == 16
