"""What the engine says in English, said in Chinese as well. Pure.

Runs and signed statements keep one wording of every remark, so that a run has one form and one id. A reader's language
is chosen here, at the surface: each remark is recognised by the phrase it was made from, its numbers and ids are kept.
A remark nobody wrote down here is shown as it is; `tests/unit/ingest/test_engine_words.py` finds those.
"""

from __future__ import annotations

import re
from functools import cache

from ingest.console.words import Language

_PHRASES: tuple[tuple[str, str], ...] = (
    # warnings of a run
    (
        "cap {cap}: {failing} of {count} prices are above the limit or cannot be checked",
        "上限 {cap}：{count} 个电价中有 {failing} 个超限或无法核对",
    ),
    (
        "cap {cap}: all charges together exceed what the supplier invoiced, or no invoice is known",
        "上限 {cap}：收费合计超过供电账单，或没有账单",
    ),
    ("pool {pool} was due for review by {day}", "费用池 {pool} 应于 {day} 前复审"),
    ("pool {pool}: {numbers} was due for review by {day}", "费用池 {pool}：{numbers} 应于 {day} 前复审"),
    ("the sharing of losses was due for review by {day}", "损耗分摊办法应于 {day} 前复审"),
    (
        "pool {pool}: {agreement} does not hold on {day}; the legal default does",
        "费用池 {pool}：约定 {agreement} 在 {day} 无效，适用法定办法",
    ),
    (
        "pool {pool}: {agreement} ends on {day}; the legal default follows",
        "费用池 {pool}：约定 {agreement} 于 {day} 到期，其后适用法定办法",
    ),
    # what the checker of rules finds
    ("it has no area, so the rule passes it by", "没有面积，规则会漏掉它"),
    ("it has no meter, so the rule passes it by", "没有电表，规则会漏掉它"),
    ("it has no {field}, so the rule passes it by", "没有 {field}，规则会漏掉它"),
    ("measure it and enter area_m2 in site.toml", "量出面积，在 site.toml 填写 area_m2"),
    (
        "fit a meter and name its node in site.toml, or leave it out by name",
        "装表并在 site.toml 写明其节点，或按名排除",
    ),
    (
        "it is let and was charged by {pools}; no pool of the new rules names it",
        "已出租，此前由 {pools} 收费；新规则没有任何费用池列出它",
    ),
    ("list {unit} in a pool", "把 {unit} 列入某个费用池"),
    ("its energy was in a pool and is in none of the new rules", "其电量原在费用池内，新规则中不在任何池内"),
    ("add it to the path of a pool, or leave it out by name", "加入某个费用池的计量路径，或按名排除"),
    ("it does not hold on all of {first} to {last}", "在 {first} 至 {last} 间并非全程有效"),
    ("set from and to", "填写 from 与 to"),
    ("there is no number for this day", "这一天没有数值"),
    ("add {day} to its file", "在其文件中补上 {day}"),
    ("the tree of this period has no such node", "本账期的计量树没有这个节点"),
    ("correct the path", "更正计量路径"),
    ("{count} slots are held or missing", "有 {count} 刻挂起或缺失"),
    ("settle its exceptions first", "先处理其例外"),
    # cases and events
    (
        "{node}: {loss} kWh are unaccounted for and accuracy explains {band} kWh; "
        "look for a missing meter, a wrong ratio or a wrong parent",
        "{node}：{loss} kWh 去向不明，准确度只能解释 {band} kWh；请查漏装表、错倍率或错上级",
    ),
    ("energy given back: {basis}", "上网电量：{basis}"),
    ("{registers}; split evenly in time", "{registers}；按时间均分"),
    ("{count} slots without a register at both ends", "{count} 刻两端没有读数"),
    (
        "{meter} showed {register} Wh, but does not hang here at this time; not used",
        "{meter} 读数 {register} Wh，但此时不装在此处，未采用",
    ),
    (
        "{before} {how} {first} Wh, {after} {why} {last} Wh, multiplier {rest}",
        "{before} {how} {first} Wh，{after} {why} {last} Wh，倍率 {rest}",
    ),
    ("read", "读得"),
    ("declared", "登记"),
    ("{multiplier} then {other}", "{multiplier}，其后 {other}"),
    ("{multiplier}, modulus {modulus} Wh", "{multiplier}，满码 {modulus} Wh"),
    # grounds and fallbacks
    ("no agreement", "无约定"),
    ("no agreement: {clause}", "无约定：{clause}"),
    ("{agreement} does not hold on {day}", "约定 {agreement} 在 {day} 无效"),
    ("{agreement} does not hold on {day}: {clause}", "约定 {agreement} 在 {day} 无效：{clause}"),
    (
        "costs of a building and its facilities follow the agreement; without one, the ratio of exclusive floor area "
        "({source})",
        "建筑物及其设施的费用按约定；没有约定的，按专有部分面积比例（{source}）",
    ),
    ("all weights were 0 in {count} spans; fallback: {fallback}", "{count} 段内权重全为 0；改由：{fallback}"),
    (
        "all weights of the formula were 0 in {count} spans; fallback: {fallback}",
        "{count} 段内公式的权重全为 0；改由：{fallback}",
    ),
    ("all weights of {key} were 0; fallback: {fallback}", "{key} 的权重全为 0；改由：{fallback}"),
    (
        "{part} of the area is estimated, more than {most}: only {keys} counts ({source})",
        "{part} 的面积为估算，超过 {most}：只按 {keys} 分摊（{source}）",
    ),
    ("owner", "业主"),
    ("equal", "平均"),
    # how a limit came about
    ("no invoices cover the period", "没有账单覆盖本账期"),
    ("the purchase price is not known: {why}", "购电均价未知：{why}"),
    (
        "{base} micro-{currency} per kWh x (1 + {uplift}); {source}",
        "每 kWh {base} 微{currency} ×（1 + {uplift}）；{source}",
    ),
    (
        "{amount} minor units for {energy} Wh ({numbers}) x (1 + {uplift}); {source}",
        "{energy} Wh 计 {amount} 分（{numbers}）×（1 + {uplift}）；{source}",
    ),
    ("{numbers}: {amount} x (1 + {loss})", "账单 {numbers}：{amount} ×（1 + {loss}）"),
    # steps of charges
    ("whole month", "整月"),
    ("occupied part of the month", "占用部分"),
    ("taken off", "扣除"),
    ("capacity {month}", "容量 {month}"),
    ("maximum demand {month}", "最大需量 {month}"),
    ("excess demand {month}", "超约需量 {month}"),
    ("standing charge {month}", "固定费 {month}"),
    ("minimum {month}", "最低消费 {month}"),
    ("charged in {pool}", "{pool} 已收"),
    ("{tax} on the lines", "各行的 {tax}"),
    ("{charge}, adjusted", "{charge}，经调整"),
    ("tier {number} of {version}", "{version} 第 {number} 档"),
    ("{amount} counted since {day} before this", "自 {day} 起此前已计 {amount}"),
    ("power factor {factor} against {standard}: {counted}", "功率因数 {factor}，标准 {standard}：{counted}"),
    ("{energy} Wh and {reactive} varh of {numbers}", "{numbers} 的 {energy} Wh 与 {reactive} varh"),
    ("{watts} W in the quarter hour from {at}; {demand} W contracted", "{at} 起一刻 {watts} W；约定 {demand} W"),
    ("{watts} W in the quarter hour from {at}", "{at} 起一刻 {watts} W"),
    ("above {watts} W", "{watts} W 以上"),
)
_FIELD = re.compile(r"\{(\w+)\}")


def engine_word(text: str, language: Language) -> str:
    """Give a remark of the engine in `language`; unchanged where it is no phrase of the engine."""
    if language is Language.EN or not text:
        return text
    for form, chinese in _forms():
        found = form.fullmatch(text)
        if found is not None:
            fields = {name: engine_word(part, language) for name, part in found.groupdict().items()}
            return chinese.format(**fields)
    parts = text.split("; ")
    return "；".join(engine_word(part, language) for part in parts) if len(parts) > 1 else text


@cache
def _forms() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((_form(english), chinese) for english, chinese in _PHRASES)


def _form(english: str) -> re.Pattern[str]:
    """Turn a phrase into what recognises it; what stands for a field is as short as the rest of the phrase allows."""
    parts = _FIELD.split(english)
    fixed, names = parts[::2], parts[1::2]
    fields = [*(f"(?P<{name}>.+?)" for name in names), ""]
    return re.compile("".join(re.escape(text) + field for text, field in zip(fixed, fields, strict=True)))
