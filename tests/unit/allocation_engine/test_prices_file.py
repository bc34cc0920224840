"""Charges, taxes, caps, tiers, calendars and invoices as people write them, and every mistake with file and line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from allocation_engine.caps import Reference
from allocation_engine.media import Medium
from allocation_engine.pools import Measure, MinimumRule, OwnUseRule, StandingRule
from allocation_engine.rules import SiteNames
from allocation_engine.rules_file import read_rules, rules_from_document
from allocation_engine.supply_charges import CapacityTerms, ContractedDemand, DemandTerms, PowerFactorTerms
from allocation_engine.tiers import TierLimits, TierSpan
from metering.errors import DocumentError
from metering.identity import NodeId, PartyId, UnitId

TARIFF = """\
format = 1
currency = "CNY"
calendar = "holidays-cn"

[[versions]]
id = "v-1"
from = 2026-01-01

[versions.rates]
day = "0.9"
night = "0.3"

[versions.tiers]
span = "month"
limits = "whole"
steps = [{ upto = "200", add = "0" }, { upto = "400.5", add = "0.05" }, { add = "0.30" }]

[[versions.seasons]]
span = ["01-01", "07-14"]
day = ["07:00-22:00"]
night = ["22:00-07:00"]

[[versions.seasons]]
span = ["07-15", "12-31"]
day = ["00:00-24:00"]

[[versions.seasons]]
months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
days = ["spring-festival"]
night = ["00:00-24:00"]

[[tariffs]]
id = "gas"
medium = "gas"
per = "kWh"

[[tariffs.versions]]
id = "g-1"
from = 2026-01-01
kwh_per_m3 = "10.5"
rates = { flat = "0.30" }
seasons = [{ months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], flat = ["00:00-24:00"] }]

[[charges]]
id = "basic"
kind = "demand"
names = { zh = "基本电费", en = "Basic charge" }
node = "main"
from = 2026-01-01
per_kw_month = "40.00"
minimum_kw = "100"
contract = { kw = "500", tolerance_percent = "105", excess_factor = "2" }
intensity = { capacity_kva = "1000", kwh_per_kva = "260", rate_percent = "90" }
source = "price list"

[[charges]]
id = "capacity"
kind = "capacity"
names = { zh = "容量电费", en = "Capacity charge" }
node = "main"
from = 2026-01-01
per_kva_month = "23"
capacity_kva = "1250"
source = "price list"

[[charges]]
id = "adjustment"
kind = "power-factor"
names = { zh = "力调电费", en = "Adjustment" }
node = "main"
from = 2026-01-01
standard = "0.90"
table = "power-factor-1983"
on = ["basic"]
levies_per_kwh = "0.03"
source = "price list"

[[taxes]]
id = "vat"
names = { zh = "增值税", en = "VAT" }
percent = "13"
included = true
pools = ["own-use"]
from = 2026-01-01
source = "law"

[[caps]]
id = "resale"
table = "resale-caps-cn"
entry = "national-2022"
base = "0.58"
pools = "all"
permitted_loss_percent = "3"

[[openings]]
unit = "a"
party = "t-1"
tariff = "main"
day = 2026-06-01
amount = "1234.5"
source = "old books"
"""

POOLS = """\
format = 1

[[pools]]
id = "own-use"
class = "exclusive"
names = { zh = "自用", en = "Own use" }
rule = "own-use"
units = "all"
measure = "import"
from = 2026-01-01

[[pools]]
id = "gas"
class = "exclusive"
names = { zh = "燃气", en = "Gas" }
rule = "own-use"
units = "all"
meters = { a = "g-a", b = "g-b" }
measure = "gas"
tariff = "gas"
from = 2026-01-01

[[pools]]
id = "basic"
class = "must"
names = { zh = "基本电费", en = "Basic charge" }
rule = "area"
charge = "basic"
units = "all"
grain = "period"
from = 2026-01-01

[[pools]]
id = "standing"
class = "exclusive"
names = { zh = "月费", en = "Standing" }
rule = "standing"
units = ["a"]
per_month = "12.00"
from = 2026-01-01

[[pools]]
id = "minimum"
class = "exclusive"
names = { zh = "最低", en = "Minimum" }
rule = "minimum"
pool = "own-use"
units = "all"
per_month = "30.00"
from = 2026-01-01
"""

INVOICES = """\
format = 1

[[invoices]]
number = "E-7"
tariff = "main"
from = 2026-07-01
to = 2026-08-01
energy = "74660.5"
reactive_kvarh = "46270"
amount = "75174.91"
source = "paper"
"""

NAMES = SiteNames(
    nodes=frozenset(NodeId(node) for node in ("main", "u-a", "u-b", "g-a", "g-b")),
    units={UnitId("a"): NodeId("u-a"), UnitId("b"): NodeId("u-b")},
    parties=frozenset({PartyId("owner"), PartyId("t-1")}),
    owner=PartyId("owner"),
    currency="CNY",
)
TEXTS = {"tariff.toml": TARIFF, "pools.toml": POOLS, "invoices.toml": INVOICES}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the three files, with a replacement in one of them."""

    def write_files(old: str = "", new: str = "", file: str = "tariff.toml") -> Path:
        for name, text in TEXTS.items():
            assert name != file or old in text, old
            (tmp_path / name).write_text(text.replace(old, new, 1) if name == file else text, encoding="utf-8")
        return tmp_path

    return write_files


def faults(directory: Path) -> list[str]:
    """The faults, as `file:line: problem (mend)`."""
    with pytest.raises(DocumentError) as caught:
        read_rules(directory, NAMES)
    return [str(fault).removeprefix(f"{directory}/") for fault in caught.value.faults]


def test_tiers_are_read_in_base_units(write: Write) -> None:
    tiers = read_rules(write(), NAMES).tariff.versions[0].tiers
    assert tiers is not None
    assert (tiers.span, tiers.limits) == (TierSpan.MONTH, TierLimits.WHOLE)
    assert (tiers.upto, tiers.adds) == ((200_000, 400_500), (0, 50_000, 300_000))


def test_seasons_are_read_with_days_and_dates(write: Write) -> None:
    seasons = read_rules(write(), NAMES).tariff.versions[0].seasons
    assert [season.span for season in seasons] == [((1, 1), (7, 14)), ((7, 15), (12, 31)), None]
    assert [season.days for season in seasons] == [(), (), ("spring-festival",)]


def test_other_media_are_read_with_their_units(write: Write) -> None:
    gas = read_rules(write(), NAMES).prices.tariff("gas")
    assert (gas.medium, gas.per, gas.versions[0].base_units) == (Medium.GAS, "kWh", Fraction(2_000_000, 21))


def test_charges_are_read_with_their_terms(write: Write) -> None:
    basic, capacity, adjustment = read_rules(write(), NAMES).prices.charges
    assert isinstance(basic.terms, DemandTerms)
    assert basic.terms.contract == ContractedDemand(500_000, Fraction(21, 20), Fraction(2))
    assert (basic.terms.rate_micro, basic.terms.minimum_w) == (40_000_000, 100_000)
    assert basic.terms.discount is not None
    assert capacity.terms == CapacityTerms(23_000_000, 1_250_000)
    assert isinstance(adjustment.terms, PowerFactorTerms)
    assert (adjustment.terms.table.percent(85), adjustment.terms.levy_micro) == (Fraction(5, 2), 30_000)


def test_pools_of_charges_are_read(write: Write) -> None:
    own_use, gas, basic, standing, minimum = read_rules(write(), NAMES).pools
    assert (own_use.tariff, own_use.charge) == ("main", None)
    assert gas.rule == OwnUseRule(
        (UnitId("a"), UnitId("b")), ((UnitId("a"), NodeId("g-a")), (UnitId("b"), NodeId("g-b")))
    )
    assert (gas.measure, gas.tariff) == (Measure.GAS, "gas")
    assert (basic.charge, basic.path) == ("basic", ())
    assert standing.rule == StandingRule((UnitId("a"),), 12_000_000)
    assert minimum.rule == MinimumRule(own_use.id, (UnitId("a"), UnitId("b")), 30_000_000)


def test_taxes_caps_openings_and_invoices_are_read(write: Write) -> None:
    prices = read_rules(write(), NAMES).prices
    (tax,), (cap,), (opening,), (invoice,) = prices.taxes, prices.caps, prices.openings, prices.invoices
    assert (tax.percent, tax.included, tax.pools) == (13, True, {"own-use"})
    assert (cap.id, cap.reference, cap.base_micro, cap.uplift) == (
        "resale",
        Reference.CATALOGUE,
        580_000,
        Fraction(3, 20),
    )
    assert cap.permitted_loss == Fraction(3, 100)
    assert cap.source.endswith("(recalled)")
    assert (opening.day, opening.amount) == (date(2026, 6, 1), 1_234_500)
    assert (invoice.energy_milli, invoice.reactive_varh, invoice.amount_minor) == (74_660_500, 46_270_000, 7_517_491)


def test_stored_rules_carry_the_tables_they_were_read_with(write: Write) -> None:
    rules = read_rules(write(), NAMES)
    document = json.loads(json.dumps(rules.document))
    assert sorted(document["tables"]) == ["holidays-cn", "power-factor-1983", "resale-caps-cn"]
    stored = rules_from_document(document, NAMES)
    assert (stored.prices, stored.pools, stored.hash) == (rules.prices, rules.pools, rules.hash)


def test_a_sites_own_table_goes_before_the_shipped_one(write: Write) -> None:
    directory = write()
    (directory / "holidays-cn.toml").write_text(
        'format = 1\nid = "ours"\n[[years]]\nyear = 2026\nsource = "us"\nworkdays = []\n[[years.holidays]]\n'
        'id = "spring-festival"\nnames = { zh = "春", en = "spring" }\nfirst = 2026-02-17\nlast = 2026-02-17\n',
        encoding="utf-8",
    )
    calendar = read_rules(directory, NAMES).tariff.calendar
    assert calendar is not None
    assert (calendar.id, len(calendar.holidays)) == ("ours", 1)


def test_rules_without_any_of_it_are_stored_without_it(write: Write) -> None:
    directory = write()
    (directory / "invoices.toml").unlink()
    plain = TARIFF[: TARIFF.index("[versions.tiers]")].replace('calendar = "holidays-cn"\n', "")
    season = "[[versions.seasons]]\nmonths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]\nday = ['00:00-24:00']\n"
    (directory / "tariff.toml").write_text(plain + season, encoding="utf-8")
    (directory / "pools.toml").write_text(POOLS[: POOLS.index('[[pools]]\nid = "gas"')], encoding="utf-8")
    assert sorted(read_rules(directory, NAMES).document) == ["pools", "series", "tariff"]


def place(file: str, text: str) -> int:
    """The line on which `text` stands."""
    return TEXTS[file][: TEXTS[file].index(text)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('calendar = "holidays-cn"', 'calendar = "holidays-de"', "there is no table 'holidays-de': neither a file"),
        ('["07-15", "12-31"]', '["07-15", "12-30"]', "12-31 (mon) is in 0 seasons"),
        ('["07-15", "12-31"]', '["07-14", "12-31"]', "07-14 (mon) is in 2 seasons"),
        ('["07-15", "12-31"]', '["7-15", "12-31"]', "span is ['7-15', '12-31']"),
        ('["07-15", "12-31"]', '["07-15", "02-30"]', "span is ['07-15', '02-30']"),
        ('["07-15", "12-31"]', '"July"', "span is 'July'"),
        ('["spring-festival"]', '["spring"]', "unknown kind of day 'spring'"),
        ('upto = "400.5"', 'upto = "200"', "200000 does not rise above the step before"),
        ('upto = "200"', 'upto = "a lot"', "upto is 'a lot'"),
        ('add = "0.30"', "add = 0.30", "add must be a text"),
        ('span = "month"', 'span = "week"', "span is 'week'"),
        ('limits = "whole"', 'limits = "half"', "limits is 'half'"),
        ('limits = "whole"', 'limits = "whole"\nmore = 1', "unknown key 'more'"),
        ('per = "kWh"', 'per = "GJ"', "gas is not billed per 'GJ'"),
        ('kwh_per_m3 = "10.5"', 'kwh_per_m3 = "0"', "0 kWh per m3"),
        ('medium = "gas"', 'medium = "steam"', "medium is 'steam'"),
        ('id = "gas"', 'id = "main"', "two tariffs are called 'main'"),
        ('kind = "demand"', 'kind = "energy"', "kind is 'energy'"),
        ('node = "main"', 'node = "mian"', "unknown node 'mian' (did you mean 'main'?)"),
        ('per_kw_month = "40.00"', 'per_kw_month = "40.0000001"', "per_kw_month is '40.0000001'"),
        ('per_kw_month = "40.00"', 'per_kw_month = "-40"', "per_kw_month is '-40'"),
        ('tolerance_percent = "105"', 'tolerance_percent = "95"', "below 100 %"),
        ('excess_factor = "2"', 'excess_factor = "0.5"', "below 1"),
        ('rate_percent = "90"', 'rate_percent = "900"', "no part of the rate"),
        ('id = "capacity"\n', 'id = "basic"\n', "basic has two versions on some day"),
        ('standard = "0.90"', 'standard = "0.95"', "no standard '0.95'"),
        ('table = "power-factor-1983"', 'table = "power-factor"', "there is no table 'power-factor'"),
        ('on = ["basic"]', 'on = ["basis"]', "charge adjustment adjusts 'basis', which is no charge by capacity"),
        ("included = true", 'included = "yes"', "included is 'yes'"),
        ('percent = "13"', 'percent = "-13"', "percent is negative"),
        ('pools = ["own-use"]', 'pools = ["own-usage"]', "vat counts pool 'own-usage', which is no pool"),
        ('pools = ["own-use"]', "pools = 3", "pools is 3"),
        ('id = "vat"', 'id = "own-use"', "a tax and a pool are called 'own-use'"),
        ('entry = "national-2022"', 'entry = "national-2023"', "no entry 'national-2023'"),
        ('base = "0.58"\n', "", "entry national-2022 refers to the catalogue price"),
        ('entry = "national-2022"', 'entry = "purchase-10"', "entry purchase-10 refers to the purchase price"),
        ('unit = "a"', 'unit = "c"', "unknown unit 'c'"),
        ('tariff = "main"\nday', 'tariff = "mean"\nday', "unknown tariff 'mean'"),
    ],
)
def test_a_mistake_in_prices_is_shown(write: Write, old: str, new: str, told: str) -> None:
    found = faults(write(old, new))
    assert any(told in fault for fault in found), found


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('charge = "basic"', 'charge = "basics"', "unknown charge 'basics'"),
        (
            'rule = "standing"',
            'rule = "standing"\ncharge = "basic"',
            "a supply charge cannot be split by rule standing",
        ),
        ('tariff = "gas"', 'tariff = "main"', "tariff main prices electricity, and gas is gas"),
        ('tariff = "gas"\n', "", "tariff main prices electricity, and gas is gas"),
        ('tariff = "gas"', 'tariff = "gaz"', "unknown tariff 'gaz'"),
        ('meters = { a = "g-a", b = "g-b" }', 'meters = { a = "g-a" }', "each unit of the pool needs one meter"),
        ('b = "g-b"', 'b = "g-a"', "each unit of the pool needs one meter"),
        ('b = "g-b"', 'b = "u-b"', "node u-b is charged by pool own-use too"),
        ('per_month = "12.00"', 'per_month = "much"', "per_month is 'much'"),
        ('pool = "own-use"', 'pool = "standing"', "unknown metered pool above 'standing'"),
    ],
)
def test_a_mistake_in_pools_of_charges_is_shown(write: Write, old: str, new: str, told: str) -> None:
    found = faults(write(old, new, "pools.toml"))
    assert any(told in fault for fault in found), found


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("to = 2026-08-01", "to = 2026-07-01", "invoices.toml:7: the end is not after the start"),
        ('tariff = "main"', 'tariff = "steam"', "invoices.toml:5: unknown tariff 'steam'"),
        ('amount = "75174.91"', 'amount = "75174.911"', "invoices.toml:10: amount is '75174.911'"),
        ('number = "E-7"\n', "", "invoices.toml:3: number is missing"),
        ('source = "paper"', 'source = "paper"\npaid = true', "invoices.toml:12: unknown key 'paid'"),
        ("format = 1", "format = ", "invoices.toml:1: not TOML"),
    ],
)
def test_a_mistake_in_invoices_is_shown_where_it_stands(write: Write, old: str, new: str, told: str) -> None:
    (found,) = faults(write(old, new, "invoices.toml"))
    assert found.startswith(told)


def test_a_mistake_is_shown_on_its_line(write: Write) -> None:
    (found,) = faults(write('percent = "13"', 'percent = "13 %"'))
    line = place("tariff.toml", 'percent = "13"')
    assert found.startswith(f"tariff.toml:{line}: percent is '13 %'")


def test_a_holiday_that_is_also_worked_is_shown_in_the_table(write: Write) -> None:
    directory = write()
    (directory / "holidays-cn.toml").write_text(
        'format = 1\nid = "ours"\n[[years]]\nyear = 2026\nsource = "us"\nworkdays = [2026-02-17]\n[[years.holidays]]\n'
        'id = "spring-festival"\nnames = { zh = "春", en = "spring" }\nfirst = 2026-02-17\nlast = 2026-02-17\n',
        encoding="utf-8",
    )
    assert any("2026-02-17 is a holiday and a workday" in fault for fault in faults(directory))
