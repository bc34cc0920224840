"""The tables of docs/allocation.md and docs/allocation.zh.md, made from the golden cases. No number is typed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache
from itertools import permutations
from math import floor

from allocation_engine.close_period import close_period
from allocation_engine.correction import correction_of
from allocation_engine.intervals import Reason, SlotQuality
from allocation_engine.loss_trace import LINE_BITS
from allocation_engine.money import divide
from allocation_engine.run import ChargeTrace, Line, ShareTrace
from allocation_engine.run_diff import diff_facts
from allocation_engine.statement_content import StatementContent
from allocation_engine.verification import verify_bundle
from ingest.explanation import Explanation, choose_line
from metering.envelope import Algorithm
from provisioning.keys import public_verifier
from tests.doubles.memory_centre import bundle_of
from tests.doubles.park_books import CENTRE
from tests.golden.test_golden_factors import table_of
from tests.pages.cases import amount, case, changes, energy, kwh, line, money, node, pool, raw, run

Words = tuple[str, str]
"""One text in English and in Chinese."""

_BLOCKS: dict[str, Callable[[int], str]] = {}
LANGUAGES = ("en", "zh")


def block(name: str) -> Callable[[Callable[[int], str]], Callable[[int], str]]:
    """Register a block; it is given the place of its language: 0 English, 1 Chinese."""

    def register(make: Callable[[int], str]) -> Callable[[int], str]:
        _BLOCKS[name] = make
        return make

    return register


def render(name: str, language: str) -> str:
    """Give the text of a block."""
    return _BLOCKS[name](LANGUAGES.index(language))


def names() -> list[str]:
    """Every block there is."""
    return sorted(_BLOCKS)


def table(tongue: int, head: Sequence[Words], rows: Iterable[Sequence[object]]) -> str:
    """Write a table; a first sign of `>` in a heading aligns its column to the right."""
    titles = [words[tongue] for words in head]
    rules = ["---:" if title.startswith(">") else "---" for title in titles]
    lines = [[title.removeprefix(">") for title in titles], rules, *[[str(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def link(name: str, file: str = "case.toml") -> str:
    """A link to a case."""
    return f"[{name}](../tests/golden/{name}/{file})"


QUALITY = {
    SlotQuality.MEASURED: ("measured", "实测"),
    SlotQuality.ROLLOVER: ("rollover", "翻转"),
    SlotQuality.EXCHANGE: ("exchange", "换表"),
    SlotQuality.ESTIMATED: ("estimated", "估算"),
    SlotQuality.MISSING: ("missing", "缺失"),
    SlotQuality.HELD: ("held", "待查"),
}
REASON = {
    Reason.GAP: ("gap", "缺读"),
    Reason.ROLLOVER: ("rollover", "翻转"),
    Reason.EXCHANGE: ("declared exchange", "已登记换表"),
    Reason.REGISTER_FELL: ("register fell", "表码变小"),
    Reason.CONFLICT: ("two readings of one mark", "同刻两数"),
}


@block("chain")
def _chain(tongue: int) -> str:
    name = "readings-twice-and-out-of-order"
    settled = case(name).settled["u-a"]
    registers = sorted({(at, wh) for at, _, wh in case(name).facts["nodes"]["u-a"]["readings"]})
    rows = []
    for (at, before), (_, after), wh in zip(registers[:-1], registers[1:], settled.energy_wh, strict=True):
        rows.append((at[11:], kwh(before), kwh(after), kwh(wh)))
    head = (
        ("quarter hour from", "时段起"),
        (">register before [kWh]", ">前表码 [kWh]"),
        (">after", ">后表码"),
        (">slot [kWh]", ">时段电量"),
    )
    total = table(tongue, head, rows)
    own = line(name, "own-use/a/t-01")
    facts = kwh(sum(own.band_energy_wh)), case(name).facts["rates"]["flat"], money(own.amount_minor), own.id
    said = ("Sum {} kWh, at {} = **{}**, line `{}`.", "合计 {} kWh，单价 {}，**{}** 元，明细 `{}`。")
    return f"{total}\n\n{said[tongue].format(*facts)}"


@block("ladder")
def _ladder(tongue: int) -> str:
    rows = []
    for name in (
        "rollover",
        "exchange-with-another-multiplier",
        "ratio-changed-on-the-same-meter",
        "gap-estimated",
        "register-fell-undeclared",
        "reverse-running-meter",
        "two-readings-of-one-mark",
    ):
        settled = case(name).settled["u-a"]
        shown = " · ".join(
            f"{wh:,} {QUALITY[quality][tongue]}" if quality < SlotQuality.MISSING else QUALITY[quality][tongue]
            for wh, quality in zip(settled.energy_wh, settled.quality, strict=True)
        )
        reasons = dict.fromkeys(REASON[one.reason][tongue] for one in settled.exceptions)
        marks = " · ".join(f"{wh:,}" for _, _, wh in sorted(case(name).facts["nodes"]["u-a"]["readings"]))
        rows.append((link(name), marks, shown, ", ".join(reasons)))
    head = (
        ("case", "算例"),
        ("registers read [Wh]", "所读表码 [Wh]"),
        ("slots [Wh]", "各时段 [Wh]"),
        ("reason", "原因"),
    )
    return table(tongue, head, rows)


@block("balance")
def _balance(tongue: int) -> str:
    name = "tree-missing-end-meter"
    rows = []
    for one in run(name).balance:
        if one.children_wh is None or one.loss_wh is None or one.band_wh is None:
            continue
        verdict = (("explained", "可解释"), ("**case**", "**待处理**"))[abs(one.loss_wh) > one.band_wh][tongue]
        rows.append((one.node, kwh(one.net_wh), kwh(one.children_wh), kwh(one.loss_wh), kwh(one.band_wh), verdict))
    head = (
        ("node", "计量点"),
        (">net [kWh]", ">净电量 [kWh]"),
        (">children", ">下级合计"),
        (">loss", ">差额"),
        (">band", ">允许带"),
        ("", ""),
    )
    return table(tongue, head, rows)


@block("re-parented")
def _re_parented(tongue: int) -> str:
    name = "tree-re-parented-on-the-17th"
    rows = [
        (
            one.node,
            kwh(one.net_wh),
            kwh(one.children_wh or 0),
            kwh(one.loss_wh or 0),
            kwh(one.day_loss_wh[0]),
            kwh(one.day_loss_wh[16]),
        )
        for one in run(name).balance
        if one.node in ("b-1", "b-2")
    ]
    head = (
        ("node", "计量点"),
        (">net [kWh]", ">净电量 [kWh]"),
        (">children while they hung there", ">挂接期间下级合计"),
        (">loss", ">差额"),
        (">on the 1st", ">1 日"),
        (">on the 17th", ">17 日"),
    )
    return table(tongue, head, rows)


def _quadratic(name: str) -> tuple[list[Fraction], Fraction]:
    """The load of each party per slot, and k of loss = k x total^2 [kWh]."""
    inputs = case(name).inputs
    total = [
        Fraction(int(wh), 1000) for wh in inputs.import_wh[inputs.row("m-n")] + inputs.import_wh[inputs.row("m-d")]
    ]
    feeder = [Fraction(int(wh), 1000) for wh in inputs.import_wh[inputs.row("feeder")]]
    factors = {(into - out) / out**2 for into, out in zip(feeder, total, strict=True)}
    (factor,) = factors
    return total, factor


def shapley(loads: Sequence[Fraction], k: Fraction) -> list[Fraction]:
    """By definition: what each adds to k x total^2, averaged over all orders of arrival."""
    sums = [Fraction(0)] * len(loads)
    orders = list(permutations(range(len(loads))))
    for order in orders:
        there = Fraction(0)
        for one in order:
            sums[one] += k * ((there + loads[one]) ** 2 - there**2)
            there += loads[one]
    return [one / len(orders) for one in sums]


def decimal(number: Fraction) -> str:
    """Write a whole number or an exact decimal."""
    return f"{number.numerator:,}" if number.denominator == 1 else f"{float(number):,.6f}".rstrip("0")


@block("shapley")
def _shapley(tongue: int) -> str:
    name = "loss-by-slot-not-by-month"
    inputs = case(name).inputs
    total, k = _quadratic(name)
    rows = []
    sums: list[Fraction] = [Fraction(0)] * 2
    by_month = [Fraction(0)] * 2
    loss = sum(k * one**2 for one in total)
    for slot, all_kwh in enumerate(total):
        loads = [Fraction(int(inputs.import_wh[inputs.row(one)][slot]), 1000) for one in ("m-n", "m-d")]
        parts = shapley(loads, k)
        sums = [one + part for one, part in zip(sums, parts, strict=True)]
        by_month = [one + load for one, load in zip(by_month, loads, strict=True)]
        named = (("night", "夜"), ("day", "日"))[slot][tongue]
        rows.append((named, *map(decimal, loads), decimal(k * all_kwh**2), *map(decimal, parts)))
    whole = sum(by_month)
    rows.append(
        ((("sum", "合计"))[tongue], *map(decimal, by_month), decimal(loss), *(f"**{decimal(one)}**" for one in sums))
    )
    wrong = [loss * one / whole for one in by_month]
    rows.append(((("by the month's energy", "按全月电量"))[tongue], "", "", "", *map(decimal, wrong)))
    charged = [energy(name, one) for one in ("loss/n/t-night", "loss/d/t-day")]
    rows.append(((("lines of the run", "批次明细"))[tongue], "", "", "", *charged))
    head = (
        ("slot", "时段"),
        (">n draws [kWh]", ">n 用电 [kWh]"),
        (">d draws", ">d 用电"),
        (">lost", ">损耗"),
        (">n carries", ">n 分担"),
        (">d carries", ">d 分担"),
    )
    return table(tongue, head, rows)


@block("loss-tree")
def _loss_tree(tongue: int) -> str:
    name = "loss-down-the-tree"
    rows = []
    for one in run(name).lines:
        if one.pool == "loss" and one.unit is not None:
            drew = sum(line(name, f"own-use/{one.unit}/{one.party}").band_energy_wh)
            carried = sum(one.band_energy_wh)
            rows.append(
                (
                    one.unit,
                    kwh(drew),
                    kwh(carried),
                    f"{decimal(Fraction(100 * carried, drew))} %",
                    money(one.amount_minor),
                )
            )
    head = (
        ("unit", "单元"),
        (">drew [kWh]", ">用电 [kWh]"),
        (">carried", ">分担损耗"),
        (">of what it drew", ">占用电"),
        (">amount", ">金额"),
    )
    return table(tongue, head, rows)


@block("no-load")
def _no_load(tongue: int) -> str:
    name = "loss-without-load"
    rows = []
    for one in run(name).lines:
        if one.pool == "loss":
            trace = one.trace
            carried, fixed = (divide(sum(getattr(trace, part)), 1 << LINE_BITS) for part in ("carried", "no_load"))
            rows.append((f"`{one.id}`", kwh(carried), kwh(fixed), money(one.amount_minor)))
    head = (
        ("line", "明细"),
        (">with the load [kWh]", ">负载损耗 [kWh]"),
        (">no-load, by area", ">空载损耗（按面积）"),
        (">amount", ">金额"),
    )
    return table(tongue, head, rows)


@block("bands")
def _bands(tongue: int) -> str:
    name = "tou-spring-festival"
    found = run(name).pools[0].band_energy_wh
    rows = []
    total = Fraction(0)
    for band, wh in zip(run(name).bands, found, strict=True):
        if wh:
            cost = Fraction(wh * band.rate_micro, 10**9)
            total += cost
            rows.append((band.name, kwh(wh), f"{band.rate_micro / 10**6:.2f}", f"{float(cost):.2f}"))
    rows.append(((("sum", "合计"))[tongue], "", "", f"**{float(total):.2f}**"))
    head = (("band", "时段价"), (">kWh", ">kWh"), (">per kWh", ">单价"), (">cost", ">金额"))
    return table(tongue, head, rows)


@block("tiers")
def _tiers(tongue: int) -> str:
    rows = []
    for name in ("tiers-year-zhejiang", "tiers-by-month"):
        for one in run(name).lines:
            for piece in one.trace.tiers:  # type: ignore[union-attr]
                limits = [decimal(Fraction(upto, 1000) * Fraction(*piece.part)) for upto in piece.tiers.upto]
                rows.append(
                    (
                        f"`{one.id}`",
                        str(piece.since),
                        kwh(piece.before),
                        kwh(piece.amount),
                        " / ".join(limits),
                        money(one.amount_minor),
                    )
                )
    head = (
        ("line", "明细"),
        ("counted since", "累计起"),
        (">before [kWh]", ">此前 [kWh]"),
        (">here", ">本段"),
        (">limits", ">阶梯上限"),
        (">line", ">明细金额"),
    )
    return table(tongue, head, rows)


def _steps(name: str, pools: Sequence[str]) -> list[tuple[str, ...]]:
    rows = []
    for pool_id in pools:
        for one in pool(name, pool_id).steps:
            quantity = (
                f"{Fraction(one.quantity_milli, 1000).numerator / Fraction(one.quantity_milli, 1000).denominator:,.2f}"
            )
            rate = f"{one.rate_micro / 10**6:.2f}"
            part = str(Fraction(*one.part))
            rows.append(
                (
                    one.what,
                    f"{quantity} {one.unit}",
                    rate,
                    part,
                    f"{one.cost_nano / 10**9:,.4f}".rstrip("0").rstrip("."),
                )
            )
        found = pool(name, pool_id)
        rows.append((f"**{pool_id}**", "", "", "", f"**{money(found.cost_minor)}**"))
    return rows


@block("two-part")
def _two_part(tongue: int) -> str:
    head = (("step", "步骤"), (">quantity", ">数量"), (">rate", ">单价"), (">part", ">系数"), (">cost", ">金额"))
    return table(tongue, head, _steps("two-part-and-power-factor", ("basic", "power-factor")))


@block("power-factor")
def _power_factor(tongue: int) -> str:
    sheet = raw("power-factor-at-each-boundary", "factors.toml")
    rows = []
    for active, reactive, shown, _ in sheet["rows"]:
        hundredths = int(shown.replace(".", ""))
        percents = [table_of(one).percent(hundredths) for one in sheet["standards"]]
        rows.append((f"{int(active):,}", f"{int(reactive):,}", shown, *(f"{float(one):+.2f} %" for one in percents)))
    standards = [(f">{one}", f">{one}") for one in sheet["standards"]]
    return table(tongue, ((">kWh", ">kWh"), (">kvarh", ">kvarh"), (">factor", ">功率因数"), *standards), rows)


@block("minimum-and-tax")
def _minimum_and_tax(tongue: int) -> str:
    name = "standing-minimum-and-tax"
    rows = []
    for party in ("t-1", "t-2", "owner"):
        cells = []
        for pool_id in ("own-use", "standing", "minimum", "vat"):
            cells.append(
                money(sum(one.amount_minor for one in run(name).lines if one.party == party and one.pool == pool_id))
            )
        shown = [one for one in run(name).taxes if one.party == party]
        cells.append(money(shown[0].tax_minor) if shown else "")
        rows.append((party, *cells))
    head = (
        ("party", "承租方"),
        (">own use", ">自用"),
        (">standing charge", ">月费"),
        (">missing to the minimum", ">补至最低"),
        (">tax added", ">另加税"),
        (">levy contained in own use", ">自用内含附加"),
    )
    return table(tongue, head, rows)


@block("caps")
def _caps(tongue: int) -> str:
    rows = []
    for name in ("resale-cap", "cap-dated-and-by-province", "charges-above-the-invoice"):
        for one in run(name).checks:
            who = one.party or ("all tenants", "全体")[tongue]
            verdict = (("**exceeded**", "**超出**"), ("kept", "未超"))[one.holds][tongue]
            limit = "-" if one.limit_minor is None else money(one.limit_minor)
            rows.append(
                (link(name, "facts.toml"), one.cap, who, kwh(one.energy_wh), money(one.charged_minor), limit, verdict)
            )
    head = (
        ("case", "算例"),
        ("cap", "上限"),
        ("whose price", "对象"),
        (">own meters [kWh]", ">自表电量 [kWh]"),
        (">charged", ">所收"),
        (">limit", ">上限金额"),
        ("", ""),
    )
    return table(tongue, head, rows)


@block("other-media")
def _other_media(tongue: int) -> str:
    name = "water-gas-and-heat"
    media = {"own-use": ("electricity", "电"), "water": ("water", "水"), "gas": ("gas", "燃气"), "heat": ("heat", "热")}
    rows = [(words[tongue], amount(name, f"{pool_id}/a/t-1")) for pool_id, words in media.items()]
    return table(tongue, (("medium", "介质"), (">line", ">明细金额")), rows)


CLASSES = {
    "must": ("必摊 must", "必摊"),
    "negotiated": ("协商 negotiated", "协商"),
    "exclusive": ("独用 exclusive", "独用"),
}


@block("classes")
def _classes(tongue: int) -> str:
    rows = []
    for name, pool_id in (
        ("handover-17th-14-00", "lift"),
        ("agreement-lapsed-and-none", "roof"),
        ("agreement-lapsed-and-none", "garden"),
        ("agreement-lapsed-and-none", "lobby"),
        ("exclusive-direct", "lab-purifier"),
    ):
        found = pool(name, pool_id)
        shares = "; ".join(
            f"{one.unit or 'residual'} {one.party}: {money(one.amount_minor)}"
            for one in run(name).lines
            if one.pool == pool_id
        )
        ground = found.ground.split(" (")[0].replace("|", "/") or "-"
        rows.append(
            (
                CLASSES[str(found.pool_class)][tongue],
                f"{link(name)} `{pool_id}`",
                ground,
                money(found.cost_minor),
                shares,
            )
        )
    head = (("class", "类别"), ("pool", "费用池"), ("rests on", "依据"), (">cost", ">费用"), ("lines", "明细"))
    return table(tongue, head, rows)


@block("composite")
def _composite(tongue: int) -> str:
    name = "area-times-hours-times-load"
    inputs = case(name).inputs
    times = case(name).facts["pools"][0]["keys"][0]["times"]
    bands = {band.name: band for band in run(name).bands}
    rows = []
    for unit, party in (("a", "t-01"), ("b", "t-02")):
        one = line(name, f"chiller/{unit}/{party}")
        trace = one.trace
        assert isinstance(trace, ShareTrace)
        area = int(float(case(name).facts["units"][unit]["area_m2"]))
        slots = [int(wh) for wh in inputs.import_wh[inputs.row(f"u-{unit}")]]
        half = len(slots) // 2
        night, day = sum(slots[:half]), sum(slots[half:])
        weight = area * (night * int(times["night"]) + day * int(times["day"]))
        rows.append(
            (
                unit,
                area,
                night,
                day,
                f"{area} × ({night} × {times['night']} + {day} × {times['day']}) = {weight:,}",
                f"{trace.weight} / {trace.total_weight}",
                money(one.amount_minor),
            )
        )
        assert set(bands) == set(times)
        total = sum(int(r[4].rsplit("= ")[1].replace(",", "")) for r in rows)
    assert all(
        Fraction(int(r[4].rsplit("= ")[1].replace(",", "")), total) == Fraction(*map(int, r[5].split(" / ")))
        for r in rows
    )
    head = (
        ("unit", "单元"),
        (">area [m2]", ">面积 [m²]"),
        (">night [Wh]", ">夜间 [Wh]"),
        (">day [Wh]", ">日间 [Wh]"),
        ("area × sum of coefficient × energy / rated", "面积 × Σ（系数 × 电量 / 额定）"),
        (">weight", ">权重"),
        (">share", ">分摊"),
    )
    return table(tongue, head, rows)


@block("drivers")
def _drivers(tongue: int) -> str:
    name = "every-driver"
    words = {
        "area": ("area 100 : 50 m2", "面积"),
        "equal": ("equal parts", "均分"),
        "energy": ("energy", "电量"),
        "fixed": ("fixed shares", "固定份额"),
        "persons": ("headcount", "人数"),
        "load": ("load rate", "负载率"),
    }
    rows = []
    for found in run(name).pools:
        shares = [one for one in run(name).lines if one.pool == found.id]
        traces = [one.trace for one in shares]
        weights = " : ".join(str(trace.weight) for trace in traces if isinstance(trace, ShareTrace))
        said = words[found.id][tongue].replace(" 100 : 50 m2", "")
        rows.append((said, weights, *(money(one.amount_minor) for one in shares)))
    return table(tongue, (("driver", "依据"), (">weights", ">权重"), (">a", ">a"), (">b", ">b")), rows)


@block("stages")
def _stages(tongue: int) -> str:
    name = "building-floor-lease"
    rows = []
    for one in run(name).lines:
        trace = one.trace
        assert isinstance(trace, ShareTrace)
        parts = " × ".join(str(Fraction(step.weight, step.total)) for step in trace.keys)
        rows.append((f"`{one.id}`", parts, money(one.amount_minor)))
    head = (
        ("line", "明细"),
        ("building × floor × lease", "楼栋 × 楼层 × 租约"),
        (
            ">share of 12.00".replace("12.00", money(pool(name, "lift").cost_minor)),
            f">{money(pool(name, 'lift').cost_minor)} 之分摊",
        ),
    )
    return table(tongue, head, rows)


@block("demand")
def _demand(tongue: int) -> str:
    name = "demand-by-four-methods"
    words = {
        "coincident": ("coincident: load at the common peak", "同时最大需量"),
        "non-coincident": ("non-coincident: own peak", "各自最大需量"),
        "average-and-excess": ("average and excess", "平均与超额"),
        "contracted": ("contracted", "合同容量"),
    }
    rows = [(words[one][tongue], amount(name, f"{one}/a/t-01"), amount(name, f"{one}/b/t-02")) for one in words]
    return table(tongue, (("method", "方法"), (">a", ">a"), (">b", ">b")), rows)


@block("services")
def _services(tongue: int) -> str:
    rows = []
    words = {"direct": ("direct", "直接"), "step-down": ("step-down", "阶梯"), "reciprocal": ("reciprocal", "交互")}
    for name in ("services-step-down-beside-the-others", "services-reciprocal"):
        for one in run(name).service_methods:
            rows.append((link(name), words[str(one.method)][tongue], *(money(fen) for _, fen in one.parties)))
    return table(
        tongue, (("case", "算例"), ("method", "方法"), (">first user", ">用户一"), (">second user", ">用户二")), rows
    )


@block("lobby")
def _lobby(tongue: int) -> str:
    name = "lobby-at-24-26-31-36-40"
    found = pool(name, "lobby-ac")
    rows = []
    for one in found.days:
        (_, number, _) = one.inputs[0]
        written = (Fraction(number) - 26) / 10
        passed = Fraction(*one.passed_on)
        cost = one.cost_nano
        tenants = floor(cost * passed / 10**7)
        rows.append(
            (
                str(one.day),
                number,
                f"{float(written):+.1f}",
                str(passed),
                money(cost // 10**7),
                money(tenants),
                money(cost // 10**7 - tenants),
            )
        )
    rows.append(
        (
            (("sum", "合计"))[tongue],
            "",
            "",
            "",
            money(found.cost_minor),
            money(found.charged_minor),
            money(found.cost_minor - found.charged_minor),
        )
    )
    head = (
        ("day", "日"),
        (">tmax [C]", ">最高温 [℃]"),
        (">(tmax − 26) ÷ 10", ">（最高温 − 26）÷ 10"),
        (">passed on", ">转嫁比例"),
        (">cost of the day", ">当日费用"),
        (">tenants", ">承租方"),
        (">owner", ">业主"),
    )
    return table(tongue, head, rows)


@block("lobby-spread")
def _lobby_spread(tongue: int) -> str:
    name = "lobby-spread-over-the-month"
    days = case(name).facts["tmax"]
    weights = [max(Fraction(0), (Fraction(number) - 26) / 10) for number in days.values()]
    rows = []
    for one in run(name).lines:
        trace = one.trace
        assert isinstance(trace, ShareTrace)
        held = [weights[day] for day in range(len(weights)) if _holds(name, one, day)]
        share = Fraction(trace.weight, trace.total_weight)
        assert share == _floor_part(name, one) * sum(held) / sum(weights)
        said = " + ".join(decimal(weight) for weight in held)
        part = f"({said}) / {decimal(sum(weights, Fraction(0)))}"
        rows.append((f"`{one.id}`", part, str(_floor_part(name, one)), str(share), money(one.amount_minor)))
    head = (
        ("line", "明细"),
        ("days held, by how hot", "占用之日（按热度）"),
        (">of the area", ">面积占比"),
        (">weight", ">权重"),
        (">share", ">分摊"),
    )
    return table(tongue, head, rows)


def _holds(name: str, one: Line, day: int) -> bool:
    found = case(name).inputs.occupancies
    return any((o.unit, o.party) == (one.unit, one.party) and o.first <= day * 96 < o.end for o in found)


def _floor_part(name: str, one: Line) -> Fraction:
    """Half of the area is on each floor here, and each unit has its part of its floor: its part of the whole."""
    areas = {unit.id: unit.area_cm2 for unit in case(name).inputs.units}
    return Fraction(areas[one.unit], sum(areas.values())) if one.unit is not None else Fraction(0)


@block("lobby-lines")
def _lobby_lines(tongue: int) -> str:
    name = "lobby-at-24-26-31-36-40"
    return table(
        tongue,
        (("line", "明细"), (">amount", ">金额")),
        [(f"`{one.id}`", money(one.amount_minor)) for one in run(name).lines],
    )


@block("missing-day")
def _missing_day(tongue: int) -> str:
    rows = [
        (str(one.day), number, str(at), str(Fraction(*one.passed_on)))
        for one in pool("series-with-a-missing-day", "lobby-ac").days
        for _, number, at in one.inputs
    ]
    return table(
        tongue,
        (("day", "日"), (">tmax [C]", ">最高温 [℃]"), ("observed on", "观测日"), (">passed on", ">转嫁比例")),
        rows,
    )


@block("vacancy")
def _vacancy(tongue: int) -> str:
    rows = [(f"`{one.id}`", energy("vacancy", one.id), money(one.amount_minor)) for one in run("vacancy").lines]
    return table(tongue, (("line", "明细"), (">kWh", ">kWh"), (">amount", ">金额")), rows)


@block("handover")
def _handover(tongue: int) -> str:
    name = "handover-17th-14-00"
    rows = []
    for one in run(name).lines:
        if isinstance(one.trace, ShareTrace):
            rows.append(
                (
                    f"`{one.id}`",
                    one.trace.area_cm2 // 10_000,
                    f"{one.trace.slots:,}",
                    f"{one.trace.weight:,}",
                    money(one.amount_minor),
                )
            )
    head = (
        ("line", "明细"),
        (">area [m2]", ">面积 [m²]"),
        (">slots held", ">占用刻数"),
        (">weight", ">权重"),
        (">share", ">分摊"),
    )
    return table(tongue, head, rows)


def _remainders(before: bool) -> list[tuple[str, ...]]:
    base, found = changes("difference-by-rounding")
    chosen = base if before else base.laid_over(found[0]["with"])
    closed = close_period(chosen.inputs, chosen.rules)
    cost = closed.pools[0].cost_minor
    rows = []
    for one in closed.lines:
        trace = one.trace
        assert isinstance(trace, ShareTrace)
        whole, remainder = divmod(cost * trace.weight, trace.total_weight)
        assert remainder == trace.remainder
        rows.append(
            (
                str(one.unit),
                f"{trace.weight} / {trace.total_weight}",
                f"{cost} × {trace.weight} = {cost * trace.weight:,}",
                str(whole),
                str(remainder),
                "+1" if trace.extra else "",
                money(one.amount_minor),
            )
        )
    return rows


def _rounding_table(tongue: int, *, before: bool) -> str:
    head = (
        ("unit", "单元"),
        (">weight / total", ">权重 / 合计"),
        (">cost in fen × weight", ">费用（分）× 权重"),
        (">÷ total: floor", ">÷ 合计：整数"),
        (">remainder", ">余数"),
        (">odd fen", ">余分"),
        (">share", ">分摊"),
    )
    rows = _remainders(before)
    whole = sum(int(row[-1].replace(".", "")) for row in rows)
    return table(tongue, head, [*rows, ("", "", "", "", "", "", f"**{money(whole)}**")])


@block("rounding")
def _rounding(tongue: int) -> str:
    return _rounding_table(tongue, before=True)


@block("rounding-after")
def _rounding_after(tongue: int) -> str:
    return _rounding_table(tongue, before=False)


@block("one-fen")
def _one_fen(tongue: int) -> str:
    rows = [(f"`{one.id}`", money(one.amount_minor)) for one in run("one-fen-over-many").lines]
    return table(tongue, (("line", "明细"), (">share of one fen", ">一分钱之分摊")), rows)


CAUSES = {
    "reading": ("reading", "读数"),
    "topology": ("topology", "拓扑"),
    "lease": ("lease", "租约"),
    "tariff": ("tariff", "电价"),
    "rule": ("rule", "规则"),
    "rounding": ("rounding", "舍入"),
}


@block("causes")
def _causes(tongue: int) -> str:
    rows = []
    for name in ("difference-by-cause", "difference-by-rounding"):
        base, found = changes(name)
        for change in found:
            diff = diff_facts(base.both, base.laid_over(change["with"]).both)
            what = " + ".join(dict.fromkeys(CAUSES[str(one.cause)][tongue] for one in diff.changes))
            for one in diff.lines[:3]:
                parts = ", ".join(
                    f"{CAUSES[cause][tongue]} {'+' if fen > 0 else ''}{money(fen)}" for cause, fen in one.causes
                )
                rows.append((what, f"`{one.id}`", money(one.before_minor), money(one.after_minor), parts))
                what = ""
    head = (("what changed", "变了什么"), ("line", "明细"), (">before", ">原"), (">after", ">新"), ("because of", "因"))
    return table(tongue, head, rows)


@block("correction")
def _correction(tongue: int) -> str:
    base, (change,) = changes("correction-as-delta-lines")
    before, after = base.both, base.laid_over(change["with"]).both
    booked, new = (close_period(one.inputs, one.rules).to_document() for one in (before, after))
    rows = [
        (f"`{one.id}`", money(one.before_minor), money(one.after_minor), money(one.delta_minor))
        for one in correction_of(booked, new, diff_facts(before, after))
    ]
    return table(
        tongue,
        (
            ("line of the original period", "原账期明细"),
            (">booked", ">已入账"),
            (">now", ">应为"),
            (">to book", ">补差"),
        ),
        rows,
    )


@block("charge-steps")
def _charge_steps(tongue: int) -> str:
    one = line("standing-minimum-and-tax", "minimum/b/t-2")
    assert isinstance(one.trace, ChargeTrace)
    rows = [(step.what, f"{step.cost_nano / 10**9:.2f}", step.note) for step in one.trace.steps]
    rows.append((f"**{one.id}**", f"**{money(one.amount_minor)}**", ""))
    return table(tongue, (("step", "步骤"), (">cost", ">金额"), ("note", "说明")), rows)


@block("supply")
def _supply(tongue: int) -> str:
    found = run("tree-missing-end-meter").reconciliation
    rows = [
        (("supplied", "外购")[tongue], money(found.supply_minor)),
        (("in pools", "入池")[tongue], money(found.pooled_minor)),
        (("the owner's", "业主承担")[tongue], money(found.unshared_minor)),
    ]
    return table(tongue, (("", ""), (">amount", ">金额")), rows)


def largest_case() -> str:
    """The node that is out of its band in the case of the tree."""
    return str(node("tree-missing-end-meter", "b-1").node)


@cache
def _statement() -> StatementContent:
    """A proven statement: tenant t-01 of the example park, its first day."""
    keys = {CENTRE.key_id: public_verifier(Algorithm.EDDSA, CENTRE.public_key)}
    report = verify_bundle(bundle_of("t-01"), keys, public_verifier)
    assert report.holds
    assert report.content is not None
    return report.content


def _told(line_id: str, tongue: int) -> str:
    explanation = Explanation(_statement(), LANGUAGES[tongue], all_spans=False)
    steps = explanation.steps(choose_line(_statement(), line_id))
    return "\n".join(["```text", *(f"{'  ' * step.depth}{step.text}" for step in steps), "```"])


@block("told-own-use")
def _told_own_use(tongue: int) -> str:
    return _told("own-use/a101/t-01", tongue)


@block("told-share")
def _told_share(tongue: int) -> str:
    return _told("lift-and-fire-pump/a101/t-01", tongue)


@block("told-lobby")
def _told_lobby(tongue: int) -> str:
    found = next(one for one in _statement().pools if one.id == "lobby-ac")
    rows = [
        (str(one.day), number, str(at), str(Fraction(*one.passed_on)), f"{one.cost_nano / 10**9:.6f}")
        for one in found.days
        for _, number, at in one.inputs
    ]
    own = next(one for one in _statement().lines if one.pool == "lobby-ac")
    head = (
        ("day", "日"),
        (">tmax [C]", ">最高温 [℃]"),
        ("observed on", "观测日"),
        (">passed on", ">转嫁比例"),
        (">cost of the day", ">当日费用"),
    )
    shown = table(tongue, head, rows)
    facts = money(found.cost_minor or 0), money(found.charged_minor or 0), own.id, money(own.amount_minor)
    said = ("Pool {}, passed on {}; line `{}`: **{}**.", "公摊池 {}，转嫁 {}；明细 `{}`：**{}**。")
    return f"{shown}\n\n{said[tongue].format(*facts)}"
