"""What the headings of meter lists mean, in Chinese and English. A heading that may mean two things is not decided."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from provisioning.meter_list.findings import ListFinding, finding
from provisioning.meter_list.table import Cell, Table, letter

FIELDS = (
    "id",
    "serial",
    "profile",
    "protocol",
    "gateway",
    "port",
    "address",
    "node",
    "unit",
    "ct",
    "pt",
    "multiplier",
    "from",
    "longitude",
    "latitude",
    "place",
)
NEEDED = ("serial", "profile", "port", "address")
"""Columns without which nothing can be put into a site; a node or a unit is needed too, and ratios."""
NEEDED_OF_EXPECTED = ("serial",)
"""Columns without which nobody can be told what to expect; a node or a unit is needed too."""
_HEADINGS: dict[str, tuple[str, ...]] = {
    "id": ("id", "meter id", "表计编号", "电表编号", "水表编号"),
    "serial": (
        "serial",
        "serial no",
        "serial number",
        "s/n",
        "sn",
        "序列号",
        "出厂编号",
        "表计序列号",
        "电表序列号",
        "资产编号",
    ),
    "profile": ("profile", "model", "meter model", "meter type", "型号", "表计型号", "电表型号", "规格型号"),
    "protocol": ("protocol", "规约", "通信规约", "通讯规约", "协议", "通信协议", "通讯协议"),
    "gateway": ("gateway", "网关", "网关编号", "采集器", "采集器编号", "集中器"),
    "port": ("port", "line", "bus", "端口", "通信端口", "通讯端口", "总线", "串口"),
    "address": ("address", "bus address", "meter address", "通信地址", "通讯地址", "表地址", "从站地址", "站号"),
    "node": ("node", "metering point", "计量点", "计量点编号", "计量点名称"),
    "unit": ("unit", "room", "shop", "单元", "房号", "房间号", "单元号", "铺位", "铺位号", "商铺号"),
    "ct": ("ct", "ct ratio", "ct变比", "电流变比", "电流互感器变比", "电流互感器"),
    "pt": ("pt", "vt", "pt ratio", "vt ratio", "pt变比", "电压变比", "电压互感器变比", "电压互感器"),
    "multiplier": ("multiplier", "factor", "倍率", "综合倍率", "倍数"),
    "from": ("from", "installed", "installation date", "installed at", "安装日期", "安装时间", "启用日期"),
    "longitude": ("longitude", "lon", "lng", "经度"),
    "latitude": ("latitude", "lat", "纬度"),
    "place": ("place", "position", "installed in", "安装位置", "安装地点"),
}
_VAGUE: dict[str, tuple[str, ...]] = {
    "表号": ("serial", "address"),
    "电表号": ("serial", "address"),
    "编号": ("id", "serial"),
    "meter no": ("serial", "address", "id"),
    "meter number": ("serial", "address", "id"),
    "number": ("id", "serial"),
    "地址": ("address", "place"),
    "位置": ("node", "unit", "place"),
    "location": ("node", "unit", "place"),
    "变比": ("ct", "pt", "multiplier"),
    "ratio": ("ct", "pt", "multiplier"),
    "名称": ("node", "unit"),
    "name": ("node", "unit"),
}
_BY_HEADING = {heading: field for field, headings in _HEADINGS.items() for heading in headings}
LEAVE_OUT = "-"
"""Instead of a field: do not read this column."""
_HEADER_WITHIN = 20
_BRACKETS = re.compile(r"\s*[(\[].*?[)\]]\s*")


def plain(heading: str) -> str:
    """Give a heading as it is compared: no wide forms, no brackets, single spaces, lower case."""
    text = _BRACKETS.sub(" ", unicodedata.normalize("NFKC", heading)).replace("_", " ").replace(".", " ")
    return " ".join(text.split()).casefold().rstrip(":* ")


def is_heading(text: str) -> bool:
    """Say whether a text is a heading that is known, if only as one that means several things."""
    return plain(text) in _BY_HEADING or plain(text) in _VAGUE


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the header stands (its index among the rows), and which column gives which field."""

    header: int
    of: Mapping[str, int]

    def place(self, field: str) -> str | None:
        """Give the letter of the column of `field`, None without one."""
        return letter(self.of[field]) if field in self.of else None


def find_columns(table: Table, said: Mapping[str, str]) -> tuple[Columns | None, list[ListFinding]]:
    """Find the header of a table and what its columns give; None without a header.

    said   what a person decided: heading to field, or to "-" for a column to leave out
    """
    decided = {plain(heading): field for heading, field in said.items()}

    def score(index: int) -> int:
        return sum(is_heading(cell.text) or plain(cell.text) in decided for cell in table.rows[index][1])

    rows = range(min(len(table.rows), _HEADER_WITHIN))
    header = max(rows, key=lambda index: (score(index), -index), default=None)
    if header is None or score(header) < 2:
        return None, []
    row, cells = table.rows[header]
    found: dict[str, int] = {}
    findings: list[ListFinding] = []
    for column, cell in enumerate(cells):
        field = decided.get(plain(cell.text)) or _BY_HEADING.get(plain(cell.text))
        if field is None:
            findings.extend(_not_taken(cell, row, column))
        elif field in found:
            findings.append(finding("column-twice", row, letter(column), field=field))
        elif field != LEAVE_OUT:
            found[field] = column
    return Columns(header, found), findings


def _not_taken(cell: Cell, row: int, column: int) -> list[ListFinding]:
    vague = _VAGUE.get(plain(cell.text))
    if vague:
        facts = {"fields": ", ".join(vague), "first": vague[0]}
        return [finding("heading-vague", row, letter(column), heading=cell.text, **facts)]
    return [finding("column-unread", row, letter(column), heading=cell.text)] if cell.text else []
