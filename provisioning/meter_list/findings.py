"""What a meter list says wrongly or not clearly enough, with row, column and mend, in Chinese and English."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from provisioning.site import Names


class Severity(StrEnum):
    """How bad a finding is."""

    WRONG = "wrong"
    """The row cannot be taken."""
    DOUBTFUL = "doubtful"
    """The row can be taken once a person has decided."""
    NOTE = "note"
    """Nothing is to be done; it is told so that nobody wonders."""


@dataclass(frozen=True, slots=True)
class ListFinding:
    """One finding: where (`row` from 1 and `column` as in the spreadsheet, None for the file), what, and the mend."""

    code: str
    severity: Severity
    row: int | None
    column: str | None
    told: Names
    mend: Names

    def line(self, language: str) -> str:
        """Give the finding as one line."""
        place = f"{self.column or ''}{self.row or ''}"
        mend = self.mend.of(language)
        return f"{place + ': ' if place else ''}{self.told.of(language)}{f' ({mend})' if mend else ''}"


_W, _D, _N = Severity.WRONG, Severity.DOUBTFUL, Severity.NOTE
# code: (severity, told zh, told en, mend zh, mend en)
_WORDS: dict[str, tuple[Severity, str, str, str, str]] = {
    "encoding": (_N, "文件按 {encoding} 读取", "the file was read as {encoding}", "", ""),
    "column-unread": (_N, "列“{heading}”未读取", "column {heading!r} is not read", "", ""),
    "heading-vague": (
        _D,
        "列名“{heading}”可能指：{fields}",
        "heading {heading!r} may mean {fields}",
        "用 --column 说明，例如 --column '{heading}={first}'",
        "say which with --column, such as --column '{heading}={first}'",
    ),
    "column-twice": (
        _W,
        "两列都表示 {field}",
        "two columns both give {field}",
        "删去一列，或用 --column '列名=-' 不读其中一列",
        "remove one, or leave one out with --column 'HEADING=-'",
    ),
    "column-missing": (
        _W,
        "没有 {field} 列",
        "there is no column for {field}",
        "增加此列，或用 --column '列名={key}' 指明",
        "add it, or name it with --column 'HEADING={key}'",
    ),
    "empty": (_W, "{field} 为空", "{field} is empty", "填写", "fill it in"),
    "number-cell": (
        _D,
        "{field} 是数字单元格（{text}），开头的 0 可能已丢失",
        "{field} is a number cell ({text}): leading zeros may be lost",
        "对照铭牌，把该列设为文本重填；确认无误可加 --numbers-are-whole",
        "compare with the plate and write the column as text; or confirm with --numbers-are-whole",
    ),
    "number-cut": (
        _W,
        "{field} 被表格软件截断为 {text}",
        "the spreadsheet cut {field} to {text}",
        "把该列设为文本，按铭牌重填",
        "make the column text and write it anew from the plate",
    ),
    "formula": (
        _W,
        "{field} 是公式，且没有保存计算结果",
        "{field} is a formula without a saved result",
        "粘贴为数值后再保存",
        "paste as values and save",
    ),
    "cell-error": (_W, "{field} 为错误值 {text}", "{field} is the error {text}", "改正表格", "mend the spreadsheet"),
    "formula-result": (
        _N,
        "{field} 取公式上次计算的结果 {text}",
        "{field} is a formula's last result, {text}",
        "",
        "",
    ),
    "not-integer": (
        _W,
        "{field} 应为不小于 1 的整数，现为 {text}",
        "{field} must be a whole number from 1 up, not {text!r}",
        "写倍数，例如 40，或变比，例如 200/5",
        "write the ratio such as 40, or 200/5",
    ),
    "ratio-uneven": (
        _W,
        "变比 {text} 不是整数倍",
        "the ratio {text} is not a whole number",
        "核对铭牌",
        "compare with the plate",
    ),
    "multiplier-alone": (
        _W,
        "只有倍率 {text}，不知 CT、PT 各多少",
        "only the multiplier {text} is there, not what CT and PT make of it",
        "分别填写 CT 和 PT",
        "write CT and PT in columns of their own",
    ),
    "multiplier-differs": (
        _W,
        "倍率 {text} 与 CT×PT = {product} 不符",
        "the multiplier {text} is not CT x PT = {product}",
        "核对三者",
        "compare the three",
    ),
    "model-unknown": (
        _W,
        "没有型号文件“{text}”",
        "no profile is called {text!r}",
        "{suggestion}",
        "{suggestion}",
    ),
    "model-said": (
        _D,
        "型号“{text}”须指定型号文件",
        "model {text!r} needs a profile",
        "{suggestion}",
        "{suggestion}",
    ),
    "protocol-unknown": (
        _W,
        "规约“{text}”不明确",
        "protocol {text!r} is not clear",
        "写其中之一：{known}",
        "write one of {known}",
    ),
    "protocol-only": (
        _N,
        "此型号只有规约 {protocol}，按此读取",
        "this model speaks {protocol} only, which is taken",
        "",
        "",
    ),
    "name-vague": (
        _W,
        "{field}“{text}”有多个：{known}",
        "{field} {text!r} is the name of several: {known}",
        "写编号",
        "write the id",
    ),
    "name-unknown": (
        _W,
        "园区中没有 {field}“{text}”",
        "the site has no {field} {text!r}",
        "{near}",
        "{near}",
    ),
    "unit-elsewhere": (
        _W,
        "单元 {unit} 的计量点是 {expected}，不是 {node}",
        "unit {unit} is metered at {expected}, not at {node}",
        "核对计量点与单元：错了会记到别的租户",
        "compare node and unit: a mistake bills another tenant",
    ),
    "port-elsewhere": (
        _W,
        "端口 {port} 属于网关 {expected}，不是 {gateway}",
        "port {port} belongs to gateway {expected}, not {gateway}",
        "核对网关与端口",
        "compare gateway and port",
    ),
    "moment": (
        _W,
        "时间“{text}”不明确",
        "the time {text!r} is not clear",
        "写成 2026-07-21 10:07（园区当地时间）",
        "write it as 2026-07-21 10:07, local time of the site",
    ),
    "coordinate": (
        _W,
        "{field}“{text}”不是度数",
        "{field} {text!r} is no coordinate",
        "写成十进制度，例如 31.2304167",
        "write decimal degrees such as 31.2304167",
    ),
    "coordinates-vague": (
        _D,
        "经纬度未读取：未说明坐标系",
        "coordinates are not read: their system is not said",
        "手持机坐标加 --coordinates wgs84；国内地图坐标（GCJ-02）偏约 500 米，须现场重测",
        "--coordinates wgs84 if a GPS receiver gave them; those of Chinese maps (GCJ-02) are off by some 500 m: survey",
    ),
    "half-a-place": (
        _W,
        "经度和纬度缺一个",
        "one of longitude and latitude is missing",
        "两个都填，或都不填",
        "give both or neither",
    ),
    "id-bad": (_W, "编号“{text}”不合规：{why}", "{text!r} is no id: {why}", "改编号", "change it"),
    "id-made": (
        _N,
        "表计编号取 {text}（由计量点而来）",
        "the meter is called {text}, after its node",
        "",
        "",
    ),
    "listed-twice": (
        _W,
        "{field} {text} 在第 {other} 行已有",
        "{field} {text} stands in row {other} already",
        "核对两行",
        "compare the two rows",
    ),
    "already": (
        _N,
        "园区中已有此表，内容相同，跳过",
        "the site has this very meter, so the row is passed over",
        "",
        "",
    ),
    "differs": (
        _W,
        "园区中已有表号 {serial}，但不同：{what}",
        "the site has serial {serial} already, otherwise: {what}",
        "核对；更改用换表或变比变更，不用导入",
        "compare; a change is an exchange or a change of ratio, not an import",
    ),
    "site": (_W, "{problem}", "{problem}", "{mend}", "{mend}"),
}


_FIELDS_ZH = {
    "id": "表计编号",
    "serial": "表号",
    "profile": "型号",
    "protocol": "规约",
    "gateway": "网关",
    "port": "端口",
    "address": "通信地址",
    "node": "计量点",
    "unit": "单元",
    "ct": "CT 变比",
    "pt": "PT 变比",
    "multiplier": "倍率",
    "from": "安装日期",
    "longitude": "经度",
    "latitude": "纬度",
    "place": "安装位置",
}


def finding(code: str, row: int | None = None, column: str | None = None, **facts: Any) -> ListFinding:
    """Make a finding of a known code with its facts."""
    severity, *texts = _WORDS[code]
    name = facts.get("field", "")
    in_zh = {**facts, "key": name, "field": _FIELDS_ZH.get(name, name)}
    in_en = {**facts, "key": name}
    zh, en, mend_zh, mend_en = (text.format(**known) for text, known in zip(texts, (in_zh, in_en) * 2, strict=True))
    return ListFinding(code, severity, row, column, Names(zh, en), Names(mend_zh, mend_en))
