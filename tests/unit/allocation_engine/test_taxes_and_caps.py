"""Taxes contained in prices, and what may be charged at most."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from allocation_engine.caps import Charged, CheckKind, Reference, ResaleCap, check_cap
from allocation_engine.errors import PeriodNotReady
from allocation_engine.invoices import Invoiced
from allocation_engine.taxes import Tax, contained, show_tax, taxes_in_force
from metering.identity import PartyId, PoolId

DAYS = [date(2026, 7, day) for day in range(1, 32)]
BILL = Invoiced(("E-1",), 120_000, None, 7200)
NAMES = (("en", "a"), ("zh", "甲"))


def tax(**changes: object) -> Tax:
    """VAT of 13 % contained in prices."""
    fields: dict[str, object] = {
        "id": "vat",
        "names": NAMES,
        "percent": Fraction(13),
        "included": True,
        "pools": None,
        "valid_from": date(2019, 4, 1),
        "valid_to": None,
        "source": "a law",
    }
    return Tax(**{**fields, **changes})  # type: ignore[arg-type]


def cap(**changes: object) -> ResaleCap:
    """Purchase price + 10 %."""
    fields: dict[str, object] = {
        "id": "cap",
        "names": NAMES,
        "reference": Reference.PURCHASE,
        "base_micro": None,
        "uplift": Fraction(1, 10),
        "permitted_loss": Fraction(0),
        "pools": None,
        "valid_from": date(2021, 1, 1),
        "valid_to": None,
        "source": "a notice",
    }
    return ResaleCap(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("gross", "share"), [(11300, 1300), (100, 12), (0, 0), (-11300, -1300), (1, 0), (5, 1)])
def test_the_tax_in_a_price_is_rounded_half_away_from_zero(gross: int, share: int) -> None:
    assert contained(gross, Fraction(13)) == share


def test_what_is_shown_says_gross_and_tax() -> None:
    shown = show_tax(tax(), PartyId("t-1"), 11300)
    assert (shown.percent, shown.gross_minor, shown.tax_minor) == ((13, 1), 11300, 1300)


def test_the_rate_of_the_period_holds() -> None:
    old, new = tax(percent=Fraction(16), valid_to=date(2019, 4, 1), valid_from=date(2018, 5, 1)), tax()
    assert taxes_in_force((old, new), DAYS) == (new,)


def test_a_rate_that_changes_inside_the_period_refuses_it() -> None:
    old, new = tax(valid_to=date(2026, 7, 15)), tax(percent=Fraction(9), valid_from=date(2026, 7, 15))
    with pytest.raises(PeriodNotReady, match="tax vat has no rate that holds for all of 2026-07-01 to 2026-07-31"):
        taxes_in_force((old, new), DAYS)


def test_only_named_pools_are_taxed_or_counted() -> None:
    assert tax().taxes(PoolId("lift"))
    assert not tax(pools=frozenset({PoolId("own-use")})).taxes(PoolId("lift"))
    assert not cap(pools=frozenset({PoolId("own-use")})).counts(PoolId("lift"))


def checks(
    one: ResaleCap, bill: Invoiced | None = BILL, **charged: tuple[int, int]
) -> list[tuple[str, int | None, bool]]:
    """Each check as (party, limit, whether it holds)."""
    by_party = {PartyId(party): Charged(*numbers) for party, numbers in charged.items()}
    return [(found.party or "", found.limit_minor, found.holds) for found in check_cap(one, by_party, bill, "CNY")]


def test_a_price_is_held_against_what_the_site_paid() -> None:
    # 72.00 for 120 kWh is 0.60; + 10 % is 0.66: 66.00 for 100 kWh.
    assert checks(cap(), a=(100_000, 6600), b=(100, 7)) == [("a", 6600, True), ("b", 6, False), ("", 7200, True)]


def test_a_price_is_held_against_the_catalogue() -> None:
    one = cap(reference=Reference.CATALOGUE, base_micro=580_000, uplift=Fraction(15, 100))
    assert checks(one, a=(100_000, 6670)) == [("a", 6670, True), ("", 7200, True)]
    assert checks(one, a=(100_000, 6671))[0] == ("a", 6670, False)


def test_all_together_may_not_exceed_the_invoice_and_the_permitted_loss() -> None:
    charged = {"a": (1_000_000, 3700), "b": (1_000_000, 3700)}
    assert checks(cap(), **charged)[-1] == ("", 7200, False)
    assert checks(cap(permitted_loss=Fraction(3, 100)), **charged)[-1] == ("", 7416, True)


def test_without_an_invoice_nothing_is_taken_for_kept() -> None:
    assert checks(cap(), None, a=(1000, 1)) == [("a", None, False), ("", None, False)]
    one = cap(reference=Reference.CATALOGUE, base_micro=580_000)
    assert checks(one, None, a=(1000, 1)) == [("a", 63, True), ("", None, False)]


def test_an_invoice_over_no_energy_has_no_price() -> None:
    assert checks(cap(), Invoiced(("E-1",), 0, None, 7200), a=(1000, 1))[0] == ("a", None, False)


def test_who_took_nothing_has_no_price_but_counts_in_the_sum() -> None:
    assert checks(cap(), a=(0, 7300)) == [("", 7200, False)]


def test_the_basis_names_invoice_uplift_and_source() -> None:
    price, total = check_cap(cap(), {PartyId("a"): Charged(1, 1)}, BILL, "CNY")
    assert price.basis == "7200 minor units for 120000 Wh (E-1) x (1 + 10 %); a notice"
    assert total.basis == "E-1: 7200 x (1 + 0 %)"
    assert (price.kind, total.kind) == (CheckKind.PRICE, CheckKind.SUM)
