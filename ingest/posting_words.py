"""The words of the public posting in both languages."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.console.words import Language

_WORDS: dict[str, tuple[str, str]] = {
    "posting": ("公用能耗分摊公示", "Posting of shared energy costs"),
    "period": ("账期", "Period"),
    "to": ("至", "to"),
    "run": ("核算编号", "Run"),
    "final": ("终稿", "final"),
    "provisional": ("暂定：核算尚未发布，金额可能变动", "PROVISIONAL: the run is not published, amounts may change"),
    "superseded": ("已被新的核算取代", "superseded by a later run"),
    "published": (
        "发布于 {at}，复核 {checked}，批准 {approved}",
        "published {at}, checked by {checked}, approved by {approved}",
    ),
    "root": ("本批次指纹", "Fingerprint of the run"),
    "compare": (
        "您的确认单上必须是同一指纹；不同则说明您与邻户得到的不是同一份核算。核对命令：",
        "Your statement must show the same fingerprint; if it does not, you were told about another run. Compare with:",
    ),
    "privacy": (
        "本公示不含任何单个租户的金额：不足 {crowd} 户的费用池与其他池合并列示。",
        "No amount of a single tenant is posted: pools with fewer than {crowd} tenants are added up with others.",
    ),
    "bought": ("购入", "Bought"),
    "supply": ("总表电量", "Main meter"),
    "by-tariff": ("按电价计", "at the tariff"),
    "charges": ("供电其他收费", "Other charges of the supplier"),
    "invoice": ("供电账单 {numbers}", "Invoice {numbers}"),
    "item": ("项目", "Item"),
    "energy": ("电量", "Energy"),
    "money": ("金额", "Amount"),
    "prices": ("电价", "Prices"),
    "tariff": ("价目", "Tariff"),
    "band": ("时段", "Band"),
    "price": ("单价", "Price"),
    "tariff-main": ("供电", "electricity"),
    "caps": ("转供电价核对", "Resale caps"),
    "check": ("核对", "Check"),
    "limit": ("上限", "Limit"),
    "found": ("实际", "Found"),
    "verdict": ("结论", "Verdict"),
    "holds": ("✓ 未超", "✓ kept"),
    "fails": ("✗ 超限", "✗ exceeded"),
    "unknown": ("✗ 无法核对", "✗ cannot be checked"),
    "cap-prices": ("{name}：{count} 户综合电价，最高者", "{name}: prices of {count} tenants, the highest"),
    "cap-sum": ("{name}：收费合计不超过账单", "{name}: all charges against the invoice"),
    "cap-failing": ("，{failing} 户超限", ", {failing} above it"),
    "catalogue": ("目录价 {base} ×（1 + {uplift}）", "catalogue price {base} x (1 + {uplift})"),
    "purchase": ("平均购电价 ×（1 + {uplift}）", "average purchase price x (1 + {uplift})"),
    "source": ("依据", "Source"),
    "methods": ("费用池与分摊办法", "Pools and how they are shared"),
    "pool": ("费用池", "Pool"),
    "class": ("类别", "Class"),
    "method": ("办法", "Method"),
    "ground": ("依据", "Ground"),
    "bearer": ("余额承担", "Rest borne by"),
    "everybody": ("无余额", "nothing is left"),
    "rule-own-use": ("各户自有电表", "each tenant's own meter"),
    "rule-direct": ("由使用者全付", "its user pays all"),
    "rule-area": ("建筑面积 × 占用时间", "floor area x occupied time"),
    "rule-formula": ("公式 {by}", "formula {by}"),
    "rule-keys": ("按 {by}", "by {by}"),
    "rule-demand": ("按需量（{by}）", "by demand ({by})"),
    "rule-standing": ("每户每月定额", "a fixed amount per unit and month"),
    "rule-minimum": ("最低消费", "a minimum per unit and month"),
    "rule-loss": ("线损：{by}", "losses: {by}"),
    "rule-tax": ("税，按行计收", "a tax on each line"),
    "demand-coincident": ("同时最大需量", "coincident peak"),
    "demand-non-coincident": ("各自最大需量", "own peak"),
    "demand-average-and-excess": ("平均加超出", "average and excess"),
    "demand-contracted": ("合同容量", "contracted"),
    "loss-per-slot": ("逐时段按用电比例", "slot by slot in proportion to energy"),
    "key-area": ("面积", "area"),
    "key-energy": ("用电量", "energy"),
    "key-equal": ("平均", "equal parts"),
    "key-load": ("负荷率", "load rate"),
    "key-persons": ("人数", "persons"),
    "law-default": ("法定办法", "by law"),
    "sums": ("费用去向", "Where the money went"),
    "tenants": ("户数", "Tenants"),
    "cost": ("费用", "Cost"),
    "tenants-pay": ("租户承担", "Tenants pay"),
    "owner-pays": ("业主承担", "Owner pays"),
    "all": ("合计", "In all"),
    "unshared": ("未入池，留在业主", "in no pool, stays with the owner"),
    "hidden": ("不列示", "not posted"),
    "losses": ("损耗", "Losses"),
    "node": ("节点", "Node"),
    "net": ("净电量 kWh", "Net kWh"),
    "children": ("下级合计 kWh", "Below kWh"),
    "loss": ("损耗 kWh", "Loss kWh"),
    "share": ("损耗率", "Loss %"),
    "band-wh": ("允许 ± kWh", "Band ± kWh"),
    "inside": ("✓ 正常", "✓ within"),
    "outside": ("✗ 超出", "✗ outside"),
    "taxes": ("税", "Taxes"),
    "included": ("价内", "included"),
    "added": ("另加", "added"),
    "warnings": ("提示", "Warnings"),
    "band-sharp": ("尖", "sharp"),
    "band-peak": ("峰", "peak"),
    "band-flat": ("平", "flat"),
    "band-valley": ("谷", "valley"),
    "band-deep": ("深谷", "deep valley"),
}


def posting_words(language: Language) -> Mapping[str, str]:
    """Give every word of the posting in one language."""
    position = 0 if language is Language.ZH else 1
    return {key: pair[position] for key, pair in _WORDS.items()}


def method_text(method: Mapping[str, str], language: Language) -> str:
    """Say by which method a pool is shared."""
    word, rule, by = posting_words(language), method["rule"], method["by"]
    if rule == "keys":
        by = " ".join(word.get(f"key-{part}", part) for part in by.split(" "))
    elif rule in ("demand", "loss"):
        by = word.get(f"{rule}-{by}", by)
    return word.get(f"rule-{rule}", rule).format(by=by)
