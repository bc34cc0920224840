"""The public posting: what it says, what it must not say, and that a statement can be held against it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.caps import Reference, ResaleCap
from allocation_engine.invoices import Invoice
from allocation_engine.posting import CROWD_MIN, posting_of, seal_posting
from allocation_engine.posting_check import (
    PostingMalformed,
    check_posting,
    is_posting,
    pack_posting,
    posted_checks,
    unpack_posting,
)
from allocation_engine.rules import Rules
from allocation_engine.run_state import RunState
from allocation_engine.taxes import Tax
from allocation_engine.verification import verify_bundle
from ingest.cli import main
from ingest.console.posting_page import posting_html, read_posting
from ingest.console.words import Language
from ingest.posting_desk import crowded_nodes
from ingest.posting_words import posting_words
from metering.envelope import Algorithm, Verifier, decode_canonical, parse_sign1
from metering.interval import Interval
from provisioning.keys import FileSigner, public_verifier
from provisioning.site import Site
from tests.doubles.memory_centre import PERIOD, MemoryCentre, bundle_of, closed_tables
from tests.doubles.park_books import CENTRE, read_park

OWNER: Any = "owner"
TRUSTED: dict[bytes, Verifier] = {CENTRE.key_id: public_verifier(Algorithm.EDDSA, CENTRE.public_key)}
STRANGER = FileSigner.from_seed(b"\x44" * 32)
Spoil = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def park() -> tuple[Site, Rules]:
    """The example park and its rules."""
    site, rules, *_ = read_park()
    return site, rules


@pytest.fixture
def run(closed: MemoryCentre) -> str:
    """The id of the closed day's run."""
    (found,) = closed.database.tables.runs
    return str(found)


@pytest.fixture
def posted(closed: MemoryCentre, run: str) -> bytes:
    """The posting file of the closed day."""
    return closed.get(f"/v1/allocation-runs/{run}/posting").content


@pytest.fixture
def document(closed: MemoryCentre, run: str) -> dict[str, Any]:
    """The run's document, to change at will."""
    return copy.deepcopy(closed.get(f"/v1/allocation-runs/{run}").json()["document"])


def content_of(octets: bytes) -> dict[str, Any]:
    """What a posting says."""
    return dict(unpack_posting(octets).content)


def all_nodes(site: Site) -> list[str]:
    """Every node."""
    return [node.id for node in site.nodes]


# ---- What it says ------------------------------------------------------------------------------------------------


def test_a_posting_says_what_a_park_has_to_post(posted: bytes, document: dict[str, Any]) -> None:
    content = content_of(posted)
    assert content["root"] == document["commitment"]["root"]
    assert content["id"] == document["id"]
    assert content["bought"]["supply_minor"] == document["reconciliation"]["supply_minor"]
    assert {one["name"] for one in content["prices"]} >= {"sharp", "peak", "flat", "valley", "deep"}
    assert [one["id"] for one in content["pools"]] == [pool["id"] for pool in document["pools"]]
    assert [one["method"]["rule"] for one in content["pools"]] == ["own-use", "area", "formula", "direct"]
    lobby = content["pools"][2]
    assert "tmax" in lobby["method"]["by"]
    assert lobby["ground"].startswith("Resolution of the park assembly")
    assert lobby["bearers"] == ["owner"]
    assert content["losses"][0]["node"] == "main"


def test_sums_add_up_to_all_pools_and_to_tenants_and_owner(posted: bytes, document: dict[str, Any]) -> None:
    content = content_of(posted)
    assert sorted(pool for one in content["sums"] for pool in one["pools"]) == sorted(
        p["id"] for p in document["pools"]
    )
    for name in ("cost_minor", "tenants_minor", "owner_minor"):
        total = {"cost_minor": "pooled_minor"}.get(name, name)
        assert sum(one[name] for one in content["sums"]) == content["totals"][total]
    assert all(one["tenants_minor"] + one["owner_minor"] == one["cost_minor"] for one in content["sums"])


def test_the_same_run_gives_the_same_octets(closed: MemoryCentre, run: str, posted: bytes) -> None:
    assert closed.get(f"/v1/allocation-runs/{run}/posting").content == posted
    assert decode_canonical(parse_sign1(unpack_posting(posted).posting).payload, 1 << 22) == content_of(posted)


def capped(park: tuple[Site, Rules], document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The posting of a run with a cap, an invoice and a tax."""
    site, rules = park
    cap = ResaleCap(
        "resale",
        (("en", "Resale"), ("zh", "转供电")),
        Reference.CATALOGUE,
        800_000,
        Fraction(15, 100),
        Fraction(3, 100),
        None,
        date(2026, 1, 1),
        None,
        "notice (recalled)",
    )
    invoice = Invoice("E-7", "main", date(2026, 7, 1), date(2026, 7, 2), 2_000_000, None, 170_000, "paper")
    names = (("en", "VAT"), ("zh", "增值税"))
    tax = Tax("vat", names, Fraction(13), True, None, date(2026, 1, 1), None, "law")
    prices = replace(rules.prices, caps=(cap,), invoices=(invoice,), taxes=(tax,))
    checks = [
        {
            "cap": "resale",
            "kind": "price",
            "party": f"t-0{number}",
            "energy_wh": 1_000 * number,
            "basis": "-",
            **amounts,
        }
        for number, amounts in enumerate(
            (
                {"charged_minor": 80, "limit_minor": 92},
                {"charged_minor": 184, "limit_minor": 184},
                {"charged_minor": 282, "limit_minor": 276},
            ),
            1,
        )
    ]
    whole = {
        "cap": "resale",
        "kind": "sum",
        "party": None,
        "energy_wh": 6_000,
        "charged_minor": 546,
        "limit_minor": 600,
    }
    document["checks"] = [*checks[: changes.get("prices", 3)], {**whole, "basis": "E-7: 583 x (1 + 3 %)"}]
    return posting_of(document, replace(rules, prices=prices), OWNER, all_nodes(site))


def test_caps_are_posted_with_their_numbers_and_nobodys_name(
    park: tuple[Site, Rules], document: dict[str, Any]
) -> None:
    content = capped(park, document)
    (cap,) = content["caps"]
    assert (cap["base_micro"], cap["uplift"], cap["source"]) == (800_000, [3, 20], "notice (recalled)")
    assert (cap["prices"], cap["failing"]) == (3, 1)
    assert cap["highest_nano_per_wh"] == 94 * 10**6
    assert cap["limit_nano_per_wh"] == 92 * 10**6
    assert (cap["charged_minor"], cap["limit_minor"], cap["sum_holds"]) == (546, 600, True)
    assert "t-0" not in json.dumps(cap)
    assert content["bought"]["invoices"] == [
        {"tariff": "main", "per": "kWh", "numbers": ["E-7"], "energy_milli": 2_000_000, "amount_minor": 170_000}
    ]
    assert content["taxes"][0]["percent"] == [13, 1]


@pytest.mark.parametrize("language", list(Language))
def test_a_page_shows_caps_taxes_and_invoices(
    park: tuple[Site, Rules], document: dict[str, Any], language: Language
) -> None:
    site = park[0]
    page = posting_html(read_posting(capped(park, document), site, language, RunState.COMPUTED, None))
    for told in ("0.9400 CNY/kWh", "0.9200 CNY/kWh", "5.46", "6.00", "E-7", "1,700.00", "15.00 %", "13.00 %"):
        assert told in page, told
    assert posting_words(language)["fails"] in page


def test_the_price_of_too_few_is_not_posted(park: tuple[Site, Rules], document: dict[str, Any]) -> None:
    (cap,) = capped(park, document, prices=2)["caps"]
    assert (cap["highest_nano_per_wh"], cap["limit_nano_per_wh"], cap["charged_minor"]) == (None, None, None)
    assert cap["prices"] == 2


# ---- What it must not say ----------------------------------------------------------------------------------------


def amounts_of_tenants(document: dict[str, Any]) -> Iterator[int]:
    """Every amount, total and energy of a single tenant."""
    totals: dict[str, int] = {}
    for line in document["lines"]:
        if line["party"] != OWNER:
            totals[line["party"]] = totals.get(line["party"], 0) + line["amount_minor"]
            yield line["amount_minor"]
            yield sum(line["band_energy_wh"])
    yield from totals.values()


def numbers(part: Any) -> Iterator[int]:
    """Every number in a posting, in whatever it opens too."""
    if isinstance(part, dict):
        part = [
            decode_canonical(bytes.fromhex(each)) if key == "facts" and each else each for key, each in part.items()
        ]
    if isinstance(part, list | tuple):
        for each in part:
            yield from numbers(each)
    elif isinstance(part, int) and not isinstance(part, bool):
        yield part


def test_no_amount_of_a_tenant_stands_in_a_posting(posted: bytes, document: dict[str, Any]) -> None:
    said = set(numbers(content_of(posted)))
    told = {one for one in amounts_of_tenants(document) if abs(one) > 100}
    assert len(told) > 30
    assert not said & told
    tenants = {line["party"] for line in document["lines"]} - {OWNER}
    assert not [one for one in tenants if f'"{one}"' in posted.decode() or f"/{one}" in posted.decode()]


def test_a_pool_of_one_tenant_is_added_up_with_others(posted: bytes) -> None:
    groups = [one["pools"] for one in content_of(posted)["sums"]]
    assert ["own-use", "lab-purifier"] in groups
    assert all(one["tenants"] in (0, None) or one["tenants"] >= CROWD_MIN for one in content_of(posted)["sums"])


def only(*kept: str) -> Spoil:
    """Leave only the lines of some tenants; the others' are the owner's."""

    def spoil(document: dict[str, Any]) -> None:
        for line in document["lines"]:
            if line["party"] not in kept:
                line["party"] = OWNER

    return spoil


@pytest.mark.parametrize("kept", [("t-03",), ("t-03", "t-01")])
def test_of_a_park_with_too_few_tenants_no_sums_are_posted(
    park: tuple[Site, Rules], document: dict[str, Any], kept: tuple[str, ...]
) -> None:
    only(*kept)(document)
    content = posting_of(document, park[1], OWNER, all_nodes(park[0]))
    (group,) = content["sums"]
    assert {group[name] for name in ("tenants", "energy", "cost_minor", "tenants_minor", "owner_minor")} == {None}
    assert set(content["totals"].values()) == {None}
    assert all(pool["facts"] is None for pool in content["pools"])
    page = posting_html(read_posting(content, park[0], Language.EN, RunState.COMPUTED, None))
    assert "not posted" in page


def test_a_run_of_the_owner_alone_is_posted_whole(park: tuple[Site, Rules], document: dict[str, Any]) -> None:
    only()(document)
    content = posting_of(document, park[1], OWNER, all_nodes(park[0]))
    assert all(one["tenants"] == 0 and one["tenants_minor"] == 0 for one in content["sums"])


def test_a_cut_that_is_somebodys_keeps_the_facts_closed(park: tuple[Site, Rules], document: dict[str, Any]) -> None:
    opened = posting_of(document, park[1], OWNER, all_nodes(park[0]))
    assert [one["id"] for one in opened["pools"] if one["facts"]] == ["lift-and-fire-pump", "lobby-ac"]
    for line in document["lines"]:
        if line["pool"] == "lobby-ac":
            line["trace"]["cut_id"] = "a101/t-01"
    closed = posting_of(document, park[1], OWNER, all_nodes(park[0]))
    assert [one["id"] for one in closed["pools"] if one["facts"]] == ["lift-and-fire-pump"]


def test_the_balance_of_a_branch_with_one_tenant_is_not_posted(park: tuple[Site, Rules]) -> None:
    site, _ = park
    period = site.calendar.period(PERIOD)
    assert {"main", "building-a"} < set(crowded_nodes(site, period)) or len(crowded_nodes(site, period)) > 1
    few = replace(site, leases=tuple(one for one in site.leases if one.unit.startswith("b") or one.unit == "a101"))
    assert crowded_nodes(few, period) == ["main"]
    early = Interval(period.start.replace(year=1990), period.end.replace(year=1990))
    assert len(crowded_nodes(replace(site, leases=()), early)) > 1


# ---- That it can be trusted --------------------------------------------------------------------------------------


def test_a_posting_proves_its_root_and_the_costs_it_opens(posted: bytes) -> None:
    report = check_posting(posted, TRUSTED)
    assert report.holds
    links = [check.link for check in report.checks]
    assert links == ["posting", "pool lift-and-fire-pump", "pool lobby-ac", "commitment", "publication"]


def resealed(octets: bytes, spoil: Spoil, signer: FileSigner = CENTRE) -> bytes:
    """A posting that a lying centre changed and signed."""
    content = copy.deepcopy(content_of(octets))
    spoil(content)
    return pack_posting(content, seal_posting(content, signer), None)


def raised(content: dict[str, Any]) -> None:
    """Post a lower cost of a pool."""
    next(one for one in content["sums"] if one["pools"] == ["lobby-ac"])["cost_minor"] -= 1


LIES: dict[str, tuple[str, Spoil]] = {
    "another root": ("commitment", lambda it: it.update(root="00" * 32)),
    "another root of a pool": ("pool lobby-ac", lambda it: it["pools"][2].update(root="00" * 32)),
    "another root of a closed pool": ("commitment", lambda it: it["pools"][0].update(root="00" * 32)),
    "another cost": ("pool lobby-ac", raised),
    "another ground": ("pool lobby-ac", lambda it: it["pools"][2].update(ground="somebody said so")),
    "another name": ("pool lobby-ac", lambda it: it["pools"][2]["names"].update(en="Lift")),
    "other sums of the tree": ("pool lobby-ac", lambda it: it["pools"][2].update(top=["00" * 32, 1, 0])),
    "a pool left out": ("commitment", lambda it: it["pools"].pop()),
    "a pool twice": ("posting", lambda it: it["pools"].append(it["pools"][0])),
    "something that is no posting": ("posting", lambda it: it.pop("sums")),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_in_a_posting_is_found_out(posted: bytes, lie: str) -> None:
    link, spoil = LIES[lie]
    report = check_posting(resealed(posted, spoil), TRUSTED)
    assert not report.holds
    assert link in [check.link for check in report.checks if not check.holds]


def test_a_posting_that_others_changed_or_signed_is_not_believed(posted: bytes) -> None:
    assert check_posting(resealed(posted, lambda _: None, STRANGER), TRUSTED).content is None
    content = json.loads(posted)
    shown = json.dumps({**content, "content": {**content["content"], "label": "2026-08"}}).encode()
    assert [c.link for c in check_posting(shown, TRUSTED).checks if not c.holds] == ["posting"]
    for octets in (b"", b"[]", b"{}", json.dumps({**content, "posting": "*"}).encode(), b'{"format": 7}'):
        assert not check_posting(octets, TRUSTED).holds
        assert octets == json.dumps({**content, "posting": "*"}).encode() or not is_posting(octets)
        with pytest.raises(PostingMalformed):
            unpack_posting(octets)


def test_a_statement_is_held_against_the_posting(posted: bytes) -> None:
    content = verify_bundle(bundle_of("t-03"), TRUSTED, public_verifier).content
    assert content is not None
    assert all(check.holds for check in posted_checks(posted, TRUSTED, content))
    assert [one.link for one in posted_checks(posted, TRUSTED, content)][:2] == ["posting", "posted run"]
    other = resealed(posted, lambda it: it["pools"][1].update(ground="another"))
    broken = [one.link for one in posted_checks(other, TRUSTED, content) if not one.holds]
    assert broken == ["posting", "posted pool lift-and-fire-pump"]
    neighbour = replace(content, commitment=bytes(32))
    assert [one.link for one in posted_checks(posted, TRUSTED, neighbour) if not one.holds] == ["posted run"]


def test_a_published_run_has_a_final_posting(closed: MemoryCentre, run: str) -> None:
    for verb, actor in (("check", "an"), ("approve", "bo"), ("publish", "bo")):
        step = {"by": actor, "at": "2026-08-01T10:00:00+08:00"}
        assert closed.post(f"/v1/allocation-runs/{run}/{verb}", json=step).status_code == 200
    octets = closed.get(f"/v1/allocation-runs/{run}/posting").content
    report = check_posting(octets, TRUSTED)
    assert report.holds
    assert report.published is not None
    page = closed.get(f"/runs/{run}/posting", params={"lang": "en"}).text
    assert "published 2026-08-01 10:00, checked by an, approved by bo" in page
    assert "PROVISIONAL" not in page
    stolen = json.loads(octets)
    stolen["publication"] = json.loads(octets)["posting"]
    assert not check_posting(json.dumps(stolen).encode(), TRUSTED).holds


# ---- The page and the command ------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", list(Language))
def test_the_page_is_one_file_that_loads_nothing(closed: MemoryCentre, run: str, language: Language) -> None:
    answer = closed.get(f"/runs/{run}/posting", params={"lang": language})
    assert answer.status_code == 200
    assert "style-src 'sha256-" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"(src|href)=|@import|url\(", answer.text)
    assert "@page { size: A4" in answer.text
    assert answer.text.count("<table>") >= 5
    digits = closed.get(f"/v1/allocation-runs/{run}").json()["document"]["commitment"]["root"]
    assert digits[:4] in answer.text
    assert digits[-4:] in answer.text
    assert ("PROVISIONAL" in answer.text) == (language is Language.EN)


def test_the_run_page_links_to_its_posting(closed: MemoryCentre, run: str) -> None:
    assert f'href="/runs/{run}/posting?lang=zh"' in closed.get(f"/runs/{run}", params={"lang": "zh"}).text


def test_a_run_that_does_not_exist_has_no_posting(closed: MemoryCentre) -> None:
    for path in ("/v1/allocation-runs/ff/posting", "/runs/ff/posting"):
        assert closed.get(path).status_code == 404


@pytest.fixture
def memory(closed: MemoryCentre, monkeypatch: pytest.MonkeyPatch) -> MemoryCentre:
    """The command line works on the same tables."""
    monkeypatch.setattr("ingest.store.database.Database", lambda *_, **__: closed.database)
    return closed


def test_the_command_writes_a_page_and_a_sealed_file(
    memory: MemoryCentre, run: str, posted: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, public = tmp_path / "centre.key", tmp_path / "centre.pub"
    key.write_text("07" * 32, encoding="ascii")
    key.chmod(0o600)
    public.write_text(CENTRE.public_key.hex(), encoding="utf-8")
    common = ["--dsn", "memory", "--centre-key", str(key)]
    for name in ("p.html", "p.json"):
        assert main(["run", "post", run[:12], "--out", str(tmp_path / name), "--lang", "zh", *common]) == 0
    assert (tmp_path / "p.json").read_bytes() == posted
    assert "公用能耗分摊公示" in (tmp_path / "p.html").read_text(encoding="utf-8")
    assert main(["run", "post", run[:12], "--out", str(tmp_path / "p.pdf"), *common]) == 1
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "p.json"), "--key", str(public)]) == 0
    assert "all its lines make its cost of 266.83 CNY" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "p.json"), "--key", str(public), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["holds"]
    statement = tmp_path / "s.json"
    statement.write_bytes(bundle_of("t-03"))
    against = ["verify", str(statement), "--key", str(public), "--posting", str(tmp_path / "p.json"), "--lang", "zh"]
    assert main(against) == 0
    assert "公示费用池 lobby-ac" in capsys.readouterr().out
    (tmp_path / "p.json").write_bytes(resealed(posted, lambda it: it.update(root="00" * 32)))
    assert main(against) == 1
    assert main(["verify", str(tmp_path / "p.json"), "--key", str(public)]) == 1


def test_old_runs_without_facts_are_posted_with_their_roots_alone(
    park: tuple[Site, Rules], document: dict[str, Any]
) -> None:
    del document["commitment"]["facts"], document["commitment"]["tops"]
    content = posting_of(document, park[1], OWNER, all_nodes(park[0]))
    assert all(pool["facts"] is None and pool["root"] for pool in content["pools"])
    octets = pack_posting(content, seal_posting(content, CENTRE), None)
    assert check_posting(octets, TRUSTED).holds


def test_the_double_has_one_closed_day() -> None:
    assert len(closed_tables().runs) == 1
