"""The public posting (公示) of a run: prices, caps, cost and method of each pool, losses, who bears the rest.

Everybody may read it, so it holds no amount of a single tenant: sums are posted of groups of pools with enough tenants
behind them, and a pool with too few is put into one group with others. It carries the root of every pool, from which
anybody computes the root of the run that stands in his own statement; of the pools whose sums are posted alone it also
opens cost, ground and steps, which the root covers (`posting_check.py`, docs/proofs.md).

A posting follows from the stored run and its rules alone: made again, it is the same to the octet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from allocation_engine.caps import CheckKind, ResaleCap
from allocation_engine.invoices import invoiced
from allocation_engine.loss_rule import LOSS_POOL
from allocation_engine.rules import Rules
from allocation_engine.taxes import taxes_in_force
from metering.envelope import Signer, encode, sign1
from metering.identity import PartyId
from metering.interval import Interval, SiteCalendar

POSTING_FORMAT = "metertree-posting/1"
CROWD_MIN = 3
"""Of a sum over two, each knows the other's part."""
Document = Mapping[str, Any]


def posting_of(run: Document, rules: Rules, owner: PartyId, nodes: Sequence[str]) -> dict[str, Any]:
    """Give the posting of a stored run as plain content: texts, integers, lists; octets as hexadecimal text.

    run     the run's stored document, with its commitment
    rules   those it was made by
    owner   whose lines are nobody's charges
    nodes   metering points whose balance may be posted, nobody's alone, in the order of the posting
    """
    tenants = _tenants(run, owner)
    groups = _groups(run["pools"], tenants)
    alone = {group[0] for group in groups if len(group) == 1 and _is_crowd(group, tenants)}
    return {
        "format": POSTING_FORMAT,
        **{name: run[name] for name in ("id", "engine_version", "site", "label", "zone", "currency", "rules_hash")},
        "period": [run["period"]["start"], run["period"]["end"]],
        "root": run["commitment"]["root"],
        "bought": _bought(run, rules),
        "prices": _prices(run, rules),
        "taxes": list(_taxes(run, rules)),
        "caps": list(_caps(run, rules)),
        "pools": [_pool(pool, run, rules, is_open=pool["id"] in alone) for pool in run["pools"]],
        "sums": [_sums(group, run, tenants, owner) for group in groups],
        "losses": list(_losses(run, nodes)),
        "totals": _totals(run, groups, tenants, owner),
        "warnings": list(run["warnings"]),
    }


def seal_posting(posting: Document, signer: Signer) -> bytes:
    """Give the COSE_Sign1 of a posting."""
    return sign1(encode(posting), signer)


def _tenants(run: Document, owner: PartyId) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {pool["id"]: set() for pool in run["pools"]}
    for line in run["lines"]:
        if line["party"] != owner:
            found[line["pool"]].add(line["party"])
    return {pool: frozenset(parties) for pool, parties in found.items()}


def _groups(pools: Sequence[Document], tenants: Mapping[str, frozenset[str]]) -> list[tuple[str, ...]]:
    """Put every pool with one or two tenants into a group with others, with closed pools where that is enough.

    An open pool's cost stands in many statements, so a sum with it would hide nothing from those who have them.
    """
    order = {pool["id"]: number for number, pool in enumerate(pools)}
    closed = {pool["id"] for pool in pools if pool["pool_class"] == "exclusive"}
    groups: list[tuple[str, ...]] = [(pool["id"],) for pool in pools]
    while True:
        thin = next((group for group in groups if not _is_crowd(group, tenants)), None)
        if thin is None or len(groups) == 1:
            return sorted((tuple(sorted(group, key=order.__getitem__)) for group in groups), key=lambda g: order[g[0]])
        others = [group for group in groups if group is not thin]
        partner = max(others, key=lambda group: (set(group) <= closed, len(_behind(group, tenants)), -order[group[0]]))
        groups = [*(group for group in others if group is not partner), (*partner, *thin)]


def _behind(group: Iterable[str], tenants: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*(tenants[pool] for pool in group))


def _is_crowd(group: Iterable[str], tenants: Mapping[str, frozenset[str]]) -> bool:
    """Say whether a sum over the group tells nothing of one tenant: nobody is in it, or enough are."""
    count = len(_behind(group, tenants))
    return count == 0 or count >= CROWD_MIN


def _bought(run: Document, rules: Rules) -> dict[str, Any]:
    sums, period = run["reconciliation"], _period(run)
    calendar = SiteCalendar(run["zone"])
    bills = []
    for tariff in rules.prices.tariffs:
        bill = invoiced(rules.prices.invoices, tariff.id, calendar, period)
        if bill is not None:
            amounts = {"energy_milli": bill.energy_milli, "amount_minor": bill.amount_minor}
            bills.append({"tariff": tariff.id, "per": tariff.per, "numbers": list(bill.numbers), **amounts})
    return {**{name: sums[name] for name in ("supply_wh", "supply_minor", "charges_minor")}, "invoices": bills}


def _period(run: Document) -> Interval:
    return Interval(*(datetime.fromisoformat(run["period"][side]) for side in ("start", "end")))


def _prices(run: Document, rules: Rules) -> list[dict[str, Any]]:
    media = {tariff.id: str(tariff.medium) for tariff in rules.prices.tariffs}
    return [
        {
            "medium": media[band["tariff"]],
            **{name: band[name] for name in ("tariff", "version", "name", "rate_micro", "per")},
        }
        for band in run["bands"]
    ]


def _taxes(run: Document, rules: Rules) -> Iterator[dict[str, Any]]:
    for tax in taxes_in_force(rules.prices.taxes, SiteCalendar(run["zone"]).days(_period(run))):
        percent = [tax.percent.numerator, tax.percent.denominator]
        told = {"names": dict(tax.names), "percent": percent, "included": tax.included, "source": tax.source}
        yield {"id": tax.id, **told}


def _caps(run: Document, rules: Rules) -> Iterator[dict[str, Any]]:
    for cap_id, group in groupby(run["checks"], key=lambda check: check["cap"]):
        checks = list(group)
        prices = [check for check in checks if check["kind"] == CheckKind.PRICE]
        (whole,) = (check for check in checks if check["kind"] == CheckKind.SUM)
        is_crowd = len(prices) >= CROWD_MIN
        dearest = max(
            prices, key=lambda one: (one["charged_minor"] * 10**9 // one["energy_wh"], one["party"]), default=None
        )
        yield {
            "id": cap_id,
            **_cap_terms(_cap(cap_id, run, rules)),
            "basis": prices[0]["basis"] if prices else None,
            "prices": len(prices),
            "failing": sum(not _holds(check) for check in prices),
            "highest_nano_per_wh": _nano_per_wh(dearest, "charged_minor") if dearest and is_crowd else None,
            "limit_nano_per_wh": _nano_per_wh(dearest, "limit_minor") if dearest and is_crowd else None,
            "charged_minor": whole["charged_minor"] if is_crowd else None,
            "limit_minor": whole["limit_minor"],
            "sum_holds": _holds(whole),
            "sum_basis": whole["basis"],
        }


def _cap(cap_id: str, run: Document, rules: Rules) -> ResaleCap:
    last_day = SiteCalendar(run["zone"]).days(_period(run))[-1]
    return next(
        cap
        for cap in rules.prices.caps
        if cap.id == cap_id and cap.valid_from <= last_day and (cap.valid_to is None or last_day < cap.valid_to)
    )


def _cap_terms(cap: ResaleCap) -> dict[str, Any]:
    return {
        "names": dict(cap.names),
        "reference": str(cap.reference),
        "base_micro": cap.base_micro,
        "uplift": [cap.uplift.numerator, cap.uplift.denominator],
        "permitted_loss": [cap.permitted_loss.numerator, cap.permitted_loss.denominator],
        "pools": None if cap.pools is None else sorted(cap.pools),
        "source": cap.source,
    }


def _holds(check: Document) -> bool:
    return check["limit_minor"] is not None and check["charged_minor"] <= check["limit_minor"]


def _nano_per_wh(check: Document, amount: str) -> int | None:
    """Give a price, rounded up [10^-9 minor units per Wh]. It is no amount, and whose it is stays hidden."""
    return None if check[amount] is None else -(-check[amount] * 10**9 // check["energy_wh"])


def _pool(pool: Document, run: Document, rules: Rules, *, is_open: bool) -> dict[str, Any]:
    """Say of a pool what it is, by which method, on which ground, who bears the rest, and its root.

    Facts are opened with it unless the cut in them is somebody's: who knows a remainder can work out a weight.
    """
    commitment, pool_id = run["commitment"], pool["id"]
    residual = {line["party"] for line in run["lines"] if line["pool"] == pool_id and line["kind"] == "residual"}
    opened = is_open and pool_id in commitment.get("facts", {}) and not _cut_is_somebodys(pool_id, run)
    return {
        "id": pool_id,
        "names": dict(pool["names"]),
        "class": pool["pool_class"],
        "path": list(pool["path"]),
        "tariff": pool["tariff"],
        "charge": pool["charge"],
        "method": method_of(pool, run, rules),
        "ground": pool["ground"],
        "fallback": pool["fallback"],
        "bearers": sorted(residual),
        "root": commitment["pools"][pool_id],
        "top": commitment["tops"][pool_id] if opened else None,
        "facts": commitment["facts"][pool_id] if opened else None,
    }


def _cut_is_somebodys(pool: str, run: Document) -> bool:
    cuts = (line["trace"].get("cut_id", "") for line in run["lines"] if line["pool"] == pool)
    return any("/" in one for one in cuts)


def method_of(pool: Document, run: Document, rules: Rules) -> dict[str, str]:
    """Name the rule as its file does, with its formula, keys or demand method."""
    if pool["id"] == LOSS_POOL and rules.loss is not None:
        return {"rule": "loss", "by": str(rules.loss.method)}
    written = next((one for one in rules.document["pools"]["pools"] if one["id"] == pool["id"]), None)
    if written is None:
        return {"rule": "tax", "by": ""}
    terms = run.get("terms", {}).get(pool["id"], {})
    if pool["ground"] != (terms.get("agreement") or ""):
        return {"rule": "area", "by": ""}  # no agreement holds: the clause that holds without one divides by area
    by = {"formula": terms.get("formula") or "", "demand": str(written.get("method", "")), "keys": _keys(written)}
    return {"rule": written["rule"], "by": by.get(written["rule"], "")}


def _keys(written: Document) -> str:
    stages = []
    for stage in written.get("stages", [written]):
        parts = []
        for key in stage.get("keys", []):
            part = f"{key['part']} " if "part" in key else ""
            parts.append(part + " x ".join(key.get("by", [])))
        stages.append(" + ".join(parts))
    return " > ".join(one for one in stages if one)


def _sums(
    group: tuple[str, ...], run: Document, tenants: Mapping[str, frozenset[str]], owner: PartyId
) -> dict[str, Any]:
    """Give what the pools of a group took and cost, as far as it tells nothing of one tenant."""
    pools = [pool for pool in run["pools"] if pool["id"] in group]
    by_owner = sum(line["amount_minor"] for line in run["lines"] if line["pool"] in group and line["party"] == owner)
    cost_minor = sum(pool["cost_minor"] for pool in pools)
    shown = _is_crowd(group, tenants)
    energy: dict[str, int] = {}
    for pool in pools:
        for band, amount in zip(run["bands"], pool["band_energy_wh"], strict=True):
            if pool["id"] != LOSS_POOL or band["tariff"] == "main":
                energy[band["tariff"]] = energy.get(band["tariff"], 0) + amount
    return {
        "pools": list(group),
        "tenants": len(_behind(group, tenants)) if shown else None,
        "energy": {tariff: amount for tariff, amount in sorted(energy.items()) if amount} if shown else None,
        "cost_minor": cost_minor if shown else None,
        "tenants_minor": cost_minor - by_owner if shown else None,
        "owner_minor": by_owner if shown else None,
    }


def _losses(run: Document, nodes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Give what each of `nodes` that has others below it lost, in their order."""
    names = ("node", "net_wh", "children_wh", "loss_wh", "band_wh")
    rows = {row["node"]: row for row in run["balance"] if row["children_wh"] is not None}
    return ({name: rows[node][name] for name in names} for node in nodes if node in rows)


def _totals(
    run: Document, groups: Sequence[tuple[str, ...]], tenants: Mapping[str, frozenset[str]], owner: PartyId
) -> dict[str, Any]:
    """Give the sums of the whole run; none where all tenants together are too few."""
    sums = run["reconciliation"]
    if not all(_is_crowd(group, tenants) for group in groups):
        return dict.fromkeys(("pooled_minor", "tenants_minor", "owner_minor", "unshared_minor"))
    by_owner = sum(line["amount_minor"] for line in run["lines"] if line["party"] == owner)
    return {
        "pooled_minor": sums["pooled_minor"],
        "tenants_minor": sums["pooled_minor"] - by_owner,
        "owner_minor": by_owner,
        "unshared_minor": sums["unshared_minor"],
    }
