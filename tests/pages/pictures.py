"""The pictures of docs/allocation.md, drawn from the golden cases and the example park. No number is typed here."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from types import SimpleNamespace

from allocation_engine.commitment import commit_run
from allocation_engine.inclusion import leaf_of, line_digest
from allocation_engine.intervals import SlotQuality
from allocation_engine.run import ShareTrace
from allocation_engine.run_state import NEXT, RunState
from tests.golden.test_golden_factors import table_of
from tests.golden.test_golden_proofs import line as proof_line
from tests.golden.test_golden_proofs import minor, pool_of
from tests.pages.blocks import QUALITY, _quadratic, decimal
from tests.pages.cases import ROOT, amount, case, kwh, line, money, node, pool, raw, run
from tests.pages.drawing import Picture

_PICTURES: dict[str, Callable[[], Picture]] = {}


def picture(name: str) -> Callable[[Callable[[], Picture]], Callable[[], Picture]]:
    """Register a picture."""

    def register(draw: Callable[[], Picture]) -> Callable[[], Picture]:
        _PICTURES[name] = draw
        return draw

    return register


def render(name: str) -> str:
    """Give the text of a picture's file."""
    return _PICTURES[name]().render()


def names() -> list[str]:
    """Every picture there is."""
    return sorted(_PICTURES)


@picture("chain")
def _chain() -> Picture:
    name = "handover-17th-14-00"
    facts = case(name).facts
    lift = pool(name, "lift")
    p = Picture(860, 266, "From registers to a statement")
    steps = [
        ("register", "表码", "kWh, as the", "meter shows it"),
        ("slot", "时段", f"{facts['slots']:,} quarter", f"hours, {facts['nodes']['lift']['wh']} Wh each"),
        ("node", "计量点", "lift", kwh(sum(lift.band_energy_wh)) + " kWh"),
        ("pool", "公摊池", "lift, must 必摊", f"{money(lift.cost_minor)} yuan"),
        ("line", "明细", "by area × slots", "to the fen"),
        ("确认单", "", "statement: lines", "of a party, signed"),
    ]
    for place, (title, chinese, *texts) in enumerate(steps):
        x = 10 + place * 142
        p.box(x, 16, 122, 84)
        p.text(x + 61, 37, f"{title} {chinese}" if len(title) < 9 else title, "strong", anchor="middle")
        p.middle(x + 61, 68, *texts, kind="small soft")
        if place:
            p.line([(x - 20, 58), (x - 2, 58)], wide=1.8, arrow=True)
    shares = [one for one in run(name).lines if one.pool == "lift"]
    for place, one in enumerate(shares):
        y = 128 + place * 40
        p.line([(10 + 3 * 142 + 61, 100), (10 + 3 * 142 + 61, y + 14), (10 + 4 * 142 - 4, y + 14)], arrow=True)
        p.box(10 + 4 * 142, y, 122, 28, "blue", faint=True)
        p.middle(10 + 4 * 142 + 61, y + 14, f"{one.unit}  {money(one.amount_minor)}")
        p.line([(10 + 4 * 142 + 122, y + 14), (10 + 5 * 142 - 4, y + 14)], arrow=True)
        p.box(10 + 5 * 142, y, 122, 28, "teal", faint=True)
        p.middle(10 + 5 * 142 + 61, y + 14, str(one.party))
    p.text(10, 142, "Every arrow loses nothing:", "soft small")
    p.text(10, 159, "slots add up to the registers' difference,", "soft small")
    p.text(10, 176, f"lines add up to the pool, {money(sum(one.amount_minor for one in shares))}.", "soft small")
    p.text(10, 200, "每一步都守恒：时段之和等于表码之差，", "soft small")
    p.text(10, 217, "明细之和等于公摊池的费用。", "soft small")
    return p


QUALITY_FACE = {
    SlotQuality.MEASURED: "blue",
    SlotQuality.ROLLOVER: "teal",
    SlotQuality.EXCHANGE: "violet",
    SlotQuality.ESTIMATED: "amber",
    SlotQuality.HELD: "red",
}


@picture("ladder")
def _ladder() -> Picture:
    chosen = (
        ("rollover", "rollover 翻转"),
        ("exchange-with-another-multiplier", "exchange 换表"),
        ("gap-estimated", "gap 缺读"),
        ("register-fell-undeclared", "fell, undeclared 变小未登记"),
    )
    p = Picture(860, 260, "Slots and how they are known")
    for place, (name, title) in enumerate(chosen):
        x0, settled = 14 + place * 214, case(name).settled["u-a"]
        p.text(x0, 22, title, "strong")
        top = max(settled.energy_wh)
        width = 184 / len(settled.energy_wh)
        for slot, (wh, quality) in enumerate(zip(settled.energy_wh, settled.quality, strict=True)):
            x = x0 + slot * width
            is_held = quality is SlotQuality.HELD
            height = 150 if is_held else 150 * wh / top
            p.box(x + 3, 200 - height, width - 6, height, QUALITY_FACE[quality], faint=True, dashed=is_held)
            p.middle(x + width / 2, 200 - height / 2, "?" if is_held else f"{wh:,}")
        p.line([(x0, 200), (x0 + 184, 200)])
    for place, (quality, face) in enumerate(QUALITY_FACE.items()):
        x = 14 + place * 160
        p.box(x, 226, 14, 14, face, faint=True)
        p.text(x + 20, 238, " ".join(QUALITY[quality]), "small")
    p.text(830, 238, "Wh", "soft small")
    return p


@picture("balance")
def _balance() -> Picture:
    name = "tree-missing-end-meter"
    p = Picture(860, 330, "A tree with a missing meter")
    places = {"main": (330, 14), "b-1": (140, 120), "b-2": (520, 120), "u-a": (40, 240), "u-c": (520, 240)}
    for child, parent in (("b-1", "main"), ("b-2", "main"), ("u-a", "b-1"), ("u-c", "b-2")):
        p.line([(places[parent][0] + 90, places[parent][1] + 64), (places[child][0] + 90, places[child][1])])
    for key, (x, y) in places.items():
        one = node(name, key)
        is_case = one.loss_wh is not None and one.band_wh is not None and abs(one.loss_wh) > one.band_wh
        p.box(x, y, 180, 64, "red" if is_case else "face", faint=is_case)
        p.text(x + 12, y + 20, key, "strong")
        p.text(x + 168, y + 20, f"{kwh(one.net_wh)} kWh", anchor="end")
        if one.loss_wh is not None:
            p.text(x + 12, y + 39, "loss 差额", "small soft")
            p.text(x + 168, y + 39, kwh(one.loss_wh), "small", anchor="end")
            p.text(x + 12, y + 56, "explained 允许带", "small soft")
            p.text(x + 168, y + 56, f"± {kwh(one.band_wh or 0)}", "small", anchor="end")
    p.box(240, 240, 180, 64, "none", dashed=True)
    p.line([(230, 184), (330, 240)], dashed=True)
    p.middle(330, 272, "no meter here", "此处无表", kind="soft")
    found = run(name).reconciliation
    p.text(730, 40, f"supplied 外购 {money(found.supply_minor)}", "small")
    p.text(730, 60, f"in lines 入明细 {money(found.pooled_minor)}", "small")
    p.text(730, 80, f"owner 业主 {money(found.unshared_minor)}", "small strong")
    return p


@picture("loss-squared")
def _loss_squared() -> Picture:
    name = "loss-by-slot-not-by-month"
    inputs = case(name).inputs
    total, k = _quadratic(name)
    p = Picture(860, 330, "Why pro rata per slot is the Shapley value of quadratic loss")
    whole, side = total[1], 240.0
    own = [Fraction(int(inputs.import_wh[inputs.row(one)][1]), 1000) for one in ("m-n", "m-d")]
    x0, y0 = 30.0, 44.0
    n = float(own[0] / whole) * side
    p.box(x0, y0, n, n, "blue", faint=True)
    p.box(x0 + n, y0 + n, side - n, side - n, "teal", faint=True)
    p.box(x0 + n, y0, side - n, n, "amber", faint=True)
    p.box(x0, y0 + n, n, side - n, "amber", faint=True)
    p.middle(x0 + n / 2, y0 + n / 2, "n × n")
    p.middle(x0 + (side + n) / 2, y0 + (side + n) / 2, "d × d")
    p.middle(x0 + (side + n) / 2, y0 + n / 2, "n × d", "half each 各半")
    p.middle(x0 + n / 2, y0 + (side + n) / 2, "d × n")
    p.text(x0 + n / 2, y0 - 10, f"n {decimal(own[0])}", anchor="middle")
    p.text(x0 + (side + n) / 2, y0 - 10, f"d {decimal(own[1])} kWh", anchor="middle")
    p.text(x0, y0 + side + 24, f"loss = (n + d)² / {decimal(1 / k)} = {decimal(k * whole**2)} kWh")
    x = 310
    p.text(x, 62, "Who caused the mixed parts? Both, half each:", "strong")
    p.text(x, 80, "交叉部分由双方各担一半：", "soft small")
    for row, (who, mine) in enumerate(zip("nd", own, strict=True)):
        other = whole - mine
        y = 116 + row * 62
        squares = f"({decimal(mine)}² + {decimal(mine)} × {decimal(other)}) / {decimal(1 / k)}"
        p.text(x, y, f"{who}: {squares} = {decimal(k * (mine**2 + mine * other))} kWh")
        p.text(
            x,
            y + 20,
            f"= {decimal(mine)} × {decimal(whole)} / {decimal(1 / k)} = loss × {decimal(mine)} / {decimal(whole)}",
            "soft",
        )
    p.text(x, 252, "That is the loss pro rata of this slot's energy: own × total.", "strong")
    p.text(x, 270, "正好是按本时段电量的比例；对各时段相加，即 Shapley 值。", "soft small")
    return p


@picture("day-of-prices")
def _day_of_prices() -> Picture:
    content = tomllib.loads((ROOT / "examples" / "park" / "tariff.toml").read_text(encoding="utf-8"))
    version = content["versions"][0]
    rates = {band: Fraction(text) for band, text in version["rates"].items()}
    faces = {"sharp": "red", "peak": "amber", "flat": "face", "valley": "blue", "deep": "violet"}
    words = {"sharp": "尖", "peak": "峰", "flat": "平", "valley": "谷", "deep": "深谷"}
    p = Picture(860, 250, "A summer day of the example park's tariff")
    summer = version["seasons"][0]
    top = max(rates.values())
    for band, rate in rates.items():
        height = float(rate / top) * 150
        for span in summer[band]:
            first, end = (int(text[:2]) + int(text[3:]) / 60 for text in span.split("-"))
            pieces = [(first, end)] if first < end else [(first, 24), (0, end)]
            for start, stop in pieces:
                if start < stop:
                    p.box(40 + start * 30, 190 - height, (stop - start) * 30, height, faces[band], faint=band != "flat")
    for hour in range(0, 25, 3):
        p.text(40 + hour * 30, 208, f"{hour:02d}:00", "small soft", anchor="middle")
    for place, (band, rate) in enumerate(rates.items()):
        p.box(40 + place * 150, 226, 14, 14, faces[band], faint=band != "flat")
        p.text(60 + place * 150, 238, f"{band} {words[band]} {float(rate):.4f}", "small")
    p.text(
        40,
        24,
        f"{version['id']}, months {', '.join(map(str, summer['months']))}: yuan per kWh by half-hour",
        "strong",
    )
    return p


@picture("power-factor")
def _power_factor() -> Picture:
    p = Picture(860, 300, "Power factor and percentage")
    faces = {"0.90": "blue", "0.85": "teal", "0.80": "amber"}
    first, last, top, low = 50, 100, 46, -2

    def at(hundredth: float, percent: float) -> tuple[float, float]:
        return 60 + (hundredth - first) / (last - first) * 770, 30 + (top - percent) / (top - low) * 220

    for percent in (0, 10, 20, 30, 40):
        p.line([at(first, percent), at(last, percent)], wide=1)
        p.text(52, at(first, percent)[1] + 4, f"{percent} %", "small soft", anchor="end")
    for hundredth in range(first, last + 1, 5):
        p.text(at(hundredth, 0)[0], 272, f"{hundredth / 100:.2f}", "small soft", anchor="middle")
    for place, (standard, face) in enumerate(faces.items()):
        table = table_of(standard)
        p.line([at(one, float(table.percent(one))) for one in range(first, last + 1)], face, wide=2)
        p.box(560 + place * 90, 40, 14, 14, face)
        p.text(580 + place * 90, 52, standard)
    p.text(60, 292, "power factor of the month 月功率因数", "small soft")
    p.text(60, 18, "the bill moves by 电费调整", "small soft")
    return p


@picture("composite")
def _composite() -> Picture:
    name = "area-times-hours-times-load"
    inputs, facts = case(name).inputs, case(name).facts
    times = [int(facts["pools"][0]["keys"][0]["times"][band]) for band in ("night", "night", "day", "day")]
    cost = money(pool(name, "chiller").cost_minor)
    p = Picture(860, 290, "Area x time coefficient x load rate")
    for place, (unit, party) in enumerate((("a", "t-01"), ("b", "t-02"))):
        x0 = 30 + place * 420
        slots = [int(wh) for wh in inputs.import_wh[inputs.row(f"u-{unit}")]]
        area = int(float(facts["units"][unit]["area_m2"]))
        p.text(x0, 24, f"unit {unit}: {area} m²", "strong")
        for slot, (wh, factor) in enumerate(zip(slots, times, strict=True)):
            x, height = x0 + slot * 88, wh * factor * 1.2
            for part in range(factor):
                p.box(x + 6, 180 - (part + 1) * wh * 1.2, 74, wh * 1.2, "blue" if factor == 1 else "amber", faint=True)
            p.middle(x + 43, 180 - height - 12, f"{wh} × {factor}")
            p.text(x + 43, 198, ("night 夜 × 1", "day 日 × 2")[factor - 1], "small soft", anchor="middle")
        p.line([(x0, 180), (x0 + 352, 180)])
        weight = area * sum(wh * factor for wh, factor in zip(slots, times, strict=True))
        one = line(name, f"chiller/{unit}/{party}")
        assert isinstance(one.trace, ShareTrace)
        p.text(x0, 228, f"{area} × {weight // area:,} = {weight:,}")
        p.text(
            x0,
            250,
            f"{one.trace.weight} / {one.trace.total_weight} of {cost} = {money(one.amount_minor)}",
            "strong",
        )
    p.text(
        30,
        278,
        "Wh of each quarter hour × coefficient of its band; the machines are rated alike. 面积 × 时段系数 × 负载率",
        "small soft",
    )
    return p


@picture("stages")
def _stages() -> Picture:
    name = "building-floor-lease"
    p = Picture(860, 300, "Building, floor, lease")
    lines = {str(one.unit) + "/" + one.party: one for one in run(name).lines}
    total = pool(name, "lift").cost_minor

    def sum_of(*units: str) -> int:
        return sum(one.amount_minor for one in run(name).lines if one.unit in units)

    columns = [
        [("lift 电梯", total, 130)],
        [("building a", sum_of("a11", "a21", "a22"), 70), ("building b", sum_of("b31"), 220)],
        [
            ("floor a-f-1", sum_of("a11"), 30),
            ("floor a-f-2", sum_of("a21", "a22"), 110),
            ("floor b-f-3", sum_of("b31"), 220),
        ],
        [(key, one.amount_minor, 20 + place * 54) for place, (key, one) in enumerate(sorted(lines.items()))],
    ]
    edges = [
        ((0, 0), (1, 0)),
        ((0, 0), (1, 1)),
        ((1, 0), (2, 0)),
        ((1, 0), (2, 1)),
        ((1, 1), (2, 2)),
        ((2, 0), (3, 0)),
        ((2, 1), (3, 1)),
        ((2, 1), (3, 2)),
        ((2, 2), (3, 3)),
        ((2, 2), (3, 4)),
    ]
    for (a, i), (b, j) in edges:
        p.line(
            [(20 + a * 215 + 170, columns[a][i][2] + 20), (20 + b * 215, columns[b][j][2] + 20)],
            wide=1 + columns[b][j][1] / total * 8,
            face="blue",
        )
    for place, column in enumerate(columns):
        for text, fen, y in column:
            p.box(20 + place * 215, y, 170, 40)
            p.text(32 + place * 215, y + 25, text)
            p.text(178 + place * 215, y + 25, money(fen), "strong", anchor="end")
    ratio = " : ".join(str(Fraction(fen, columns[1][1][1])) for _, fen, _ in columns[1])
    for place, text in enumerate(("", f"energy 电量 {ratio}", "coefficients 系数", "area × time 面积×时间")):
        p.text(20 + place * 215 + 85, 292, text, "small soft", anchor="middle")
    return p


@picture("demand")
def _demand() -> Picture:
    name = "demand-by-four-methods"
    inputs = case(name).inputs
    loads = [[int(wh) for wh in inputs.import_wh[inputs.row(one)]] for one in ("u-a", "u-b")]
    together = [sum(column) for column in zip(*loads, strict=True)]
    peak = max(together)
    p = Picture(860, 280, "Loads of two tenants and the common peak")
    scale = 4.4
    for slot, (one, other) in enumerate(zip(*loads, strict=True)):
        x = 40 + slot * 100
        p.box(x, 230 - one * scale, 78, one * scale, "blue", faint=True)
        p.box(x, 230 - (one + other) * scale, 78, other * scale, "teal", faint=True)
        if one:
            p.middle(x + 39, 230 - one * scale / 2, f"a {one}")
        p.middle(x + 39, 230 - (one + other / 2) * scale, f"b {other}")
    p.line([(30, 230), (440, 230)])
    p.line([(30, 230 - peak * scale), (440, 230 - peak * scale)], "red", dashed=True)
    p.text(446, 230 - peak * scale + 4, f"{peak} Wh", "small")
    p.text(
        40,
        252,
        f"the peak is a tie of {together.count(peak)} quarter hours; all count 并列时段全部计入",
        "small soft",
    )
    words = ("coincident", "non-coincident", "average-and-excess", "contracted")
    cost = money(pool(name, "coincident").cost_minor)
    p.text(520, 44, f"{cost} by four methods", "strong")
    for place, word in enumerate(words):
        y, part = 66 + place * 42, line(name, f"{word}/a/t-01").amount_minor / pool(name, word).cost_minor
        p.text(520, y + 12, word, "small soft")
        p.box(640, y, 200 * part, 20, "blue", faint=True)
        p.box(640 + 200 * part, y, 200 * (1 - part), 20, "teal", faint=True)
        p.middle(640 + 100 * part, y + 10, amount(name, f"{word}/a/t-01"), kind="small")
        p.middle(640 + 200 * part + 100 * (1 - part), y + 10, amount(name, f"{word}/b/t-02"), kind="small")
    return p


@picture("lobby")
def _lobby() -> Picture:
    name = "lobby-at-24-26-31-36-40"
    p = Picture(860, 318, "The part of the lobby's cost that is passed on")

    def at(degrees: float, part: float) -> tuple[float, float]:
        return 70 + (degrees - 22) / 20 * 760, 220 - part * 130

    for part in (0, 1):
        p.line([at(22, part), at(42, part)], wide=1)
        p.text(60, at(22, part)[1] + 4, f"{part * 100} %", "small soft", anchor="end")
    p.line([at(24, -0.2), at(42, 1.6)], "red", dashed=True, wide=1.6)
    x, y = at(39, 1.3)
    p.text(x - 12, y - 6, "as written 原文", "small", anchor="end")
    p.line([at(22, 0), at(26, 0), at(36, 1), at(42, 1)], "blue", wide=2.4)
    for one in pool(name, "lobby-ac").days:
        degrees, passed = Fraction(one.inputs[0][1]), Fraction(*one.passed_on)
        x, y = at(float(degrees), float(passed))
        p.dot(x, y)
        p.text(x, 268, f"{degrees} °C", "strong", anchor="middle")
        p.text(
            x,
            286,
            f"{money(int(one.cost_nano * passed) // 10**7)} of {money(one.cost_nano // 10**7)}",
            "small soft",
            anchor="middle",
        )
    p.text(70, 310, "passed on to tenants 转嫁给承租方（蓝线：截取 0 至 100 %）", "small soft")
    return p


@picture("vacancy")
def _vacancy() -> Picture:
    p = Picture(860, 220, "Who holds which unit when, and what of the lift he pays")
    slots = case("vacancy").facts["slots"]
    units = {str(unit.id): place for place, unit in enumerate(case("vacancy").inputs.units)}
    for one in case("vacancy").inputs.occupancies:
        y, is_vacant = 30 + units[str(one.unit)] * 54, one.party == "owner"
        x, width = 90 + one.first / slots * 640, (one.end - one.first) / slots * 640
        p.box(x, y, width, 40, "none" if is_vacant else "blue", faint=not is_vacant, dashed=is_vacant)
        share = line("vacancy", f"lift/{one.unit}/{one.party}")
        p.middle(x + width / 2, y + 20, f"{one.party}  {money(share.amount_minor)}")
    for unit, place in units.items():
        p.text(40, 30 + place * 54 + 25, f"unit {unit}", "strong")
    p.text(
        90,
        206,
        f"{slots} quarter hours of one day; dashed: vacant, the owner's line 虚线：空置，由业主承担",
        "small soft",
    )
    p.text(750, 55, f"lift 电梯 {money(pool('vacancy', 'lift').cost_minor)}", "strong")
    return p


@picture("proof-sum")
def _proof_sum() -> Picture:
    sheet = raw("shares-without-neighbours", "proof.toml")
    expected = sheet["expected"]
    p = Picture(860, 190, "A tenant's own pieces and the sums of branches make the whole")
    total = minor(expected["cost"])
    x = 20.0
    for texts, face in ((expected["pieces"], "blue"), (expected["stubs"], "amber")):
        for text in texts:
            width = minor(text) / total * 820
            if width:
                p.box(x, 40, width, 46, face, faint=True)
            if width > 34:
                p.middle(x + width / 2, 63, text, kind="small")
            x += width
    half = 20 + minor(expected["own"]) / total * 820
    p.text(20, 26, f"mine {expected['own']}, in {len(expected['pieces'])} pieces 我的", "strong")
    p.text(half, 26, f"all others {expected['others']}, in {len(expected['stubs'])} branches 其他各方", "strong")
    p.line([(20, 100), (840, 100)], wide=2)
    p.text(430, 120, f"{expected['cost']} = cost of the pool 公摊池费用", "strong", anchor="middle")
    neighbours = [text for name, text in sheet["lines"].items() if not name.endswith(sheet["party"])]
    sums = {sum(chosen) for count in range(1, 7) for chosen in combinations(map(minor, expected["stubs"]), count)}
    assert not sums & set(map(minor, neighbours))
    p.text(
        20,
        150,
        f"The neighbours pay {', '.join(neighbours)}. Neither is among the branches, nor a sum of some of them:",
        "small soft",
    )
    p.text(
        20,
        168,
        "a branch holds random pieces of several lines. 分支是若干明细的随机分片之和，看不出任何一家的金额。",
        "small soft",
    )
    return p


@picture("proof-tree")
def _proof_tree() -> Picture:
    sheet = raw("shares-without-neighbours", "proof.toml")
    lines = [proof_line(name, text) for name, text in sheet["lines"].items()]
    closed = SimpleNamespace(id=sheet["run"], pools=[pool_of(lines)], lines=lines)
    own = [one for one in lines if one.party == sheet["party"]]
    proof = commit_run(closed, bytes.fromhex(sheet["salt_key"])).open(own)  # type: ignore[arg-type]
    digest = line_digest(bytes.fromhex(sheet["run"]), own[0])
    opening = proof.lines[0]
    leaves = {}
    for number, (piece, depth) in enumerate(zip(opening.pieces, opening.depths, strict=True)):
        leaf = leaf_of(digest, opening.salt, number, piece, is_open=True)
        leaves[int.from_bytes(leaf.digest, "big")] = depth, piece
    stubs = iter(proof.pools[0].stubs)
    p = Picture(860, 440, "The pruned tree that a tenant gets")
    spots: list[float] = []

    def grow(inside: dict[int, tuple[int, int]], depth: int) -> tuple[float, int]:
        """Draw what hangs here; give its place and sum."""
        y = 60 + depth * 44
        if not inside or (len(inside) == 1 and next(iter(inside.values()))[0] == depth):
            piece = next(iter(inside.values()))[1] if inside else None
            if piece is None:
                stub = next(stubs)
                piece, face = stub.charges - stub.credits, "amber"
            else:
                face = "blue"
            x = 46.0 + len(spots) * 59
            spots.append(x)
            p.box(x - 25, y, 50, 26, face, faint=True)
            p.middle(x, y + 13, money(piece), kind="small")
            return x, piece
        bit = 1 << (255 - depth)
        halves = [{at: one for at, one in inside.items() if bool(at & bit) is right} for right in (False, True)]
        below = [grow(half, depth + 1) for half in halves]
        x, total = sum(spot for spot, _ in below) / 2, sum(piece for _, piece in below)
        for spot, _ in below:
            p.line([(x, y + 20), (x, y + 32), (spot, y + 32), (spot, y + 44)])
        p.middle(x, y + 10, money(total), kind="small strong")
        return x, total

    root, total = grow(leaves, 0)
    p.text(
        root,
        40,
        f"root: {money(total)} = cost of the pool; signed, in everybody's statement 根：公摊池费用，写进每份确认单",
        "strong",
        anchor="middle",
    )
    p.box(20, 412, 14, 14, "blue", faint=True)
    p.text(40, 424, "my pieces, opened 我的分片", "small")
    p.box(230, 412, 14, 14, "amber", faint=True)
    p.text(250, 424, "branches of others: digest and sum only 他人分支：仅指纹与合计", "small")
    return p


@picture("states")
def _states() -> Picture:
    words = {
        "draft": "草稿",
        "computed": "已核算",
        "checked": "已复核",
        "approved": "已批准",
        "published": "已发布",
        "superseded": "已替代",
    }
    p = Picture(860, 190, "The states of a run")
    way = [one for one in RunState if one is not RunState.SUPERSEDED]
    for place, state in enumerate(way):
        x = 16 + place * 170
        p.box(x, 30, 132, 46, "teal" if state is RunState.PUBLISHED else "face", faint=state is RunState.PUBLISHED)
        p.middle(x + 66, 53, str(state), words[state])
        if place and state in NEXT[way[place - 1]]:
            p.line([(x - 38, 53), (x - 2, 53)], wide=1.8, arrow=True)
        if RunState.SUPERSEDED in NEXT[state]:
            p.line([(x + 66, 76), (x + 66, 118)], dashed=True)
    p.line([(82, 118), (762, 118)], dashed=True)
    p.line([(430, 118), (430, 134)], dashed=True, arrow=True)
    p.box(340, 136, 180, 40)
    p.middle(430, 156, f"superseded {words['superseded']}")
    p.text(16 + 3 * 170 + 66, 22, "by a second person 须第二人", "small soft", anchor="middle")
    return p
