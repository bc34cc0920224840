"""Reading what a person typed off a meter's display: exactly, with its decimals, and never by guessing."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from metering.errors import MeteringError
from metering.quantity import Shown, Unit
from provisioning.site import Names

_FORM = re.compile(r"(?P<sign>[+-]?)(?P<digits>[\d.,' ]*\d)\s*(?P<unit>[^\d\s].*)?\Z")
_GROUPED = re.compile(r"\d{1,3}(?P<mark>[,.' ])\d{3}(?:(?P=mark)\d{3})*\Z")
_DIGITS_MAX = 18
_SPOKEN = {"度": Unit.KWH, "立方": Unit.M3, "立方米": Unit.M3, "方": Unit.M3, "吨": Unit.M3, "升": Unit.LITRE}
_SPOKEN |= {"ton": Unit.M3, "m^3": Unit.M3, "c": Unit.DEG_C, "伏": Unit.V, "安": Unit.A, "千瓦": Unit.KW}
_ON_DISPLAY = {"Wh": Unit.KWH, "varh": Unit.KVARH, "VAh": Unit.KVAH, "mL": Unit.M3, "W": Unit.KW, "var": Unit.KVAR}
_ON_DISPLAY |= {"VA": Unit.KVA, "mV": Unit.V, "mA": Unit.A, "mHz": Unit.HZ, "m°C": Unit.DEG_C, "mL/h": Unit.M3_PER_H}


class DisplayUnreadable(MeteringError):
    """What was typed is no number, or could be read in two ways; `told` says it in both languages."""

    def __init__(self, *, zh: str, en: str) -> None:
        super().__init__(en)
        self.told = Names(zh=zh, en=en)


@dataclass(frozen=True, slots=True)
class Readout:
    """A display as typed.

    shown           with its decimals
    places          digits before the point, leading zeros included
    is_unit_typed   whether a unit stood beside it
    """

    text: str
    shown: Shown
    places: int
    is_unit_typed: bool


def usual_unit(unit: Unit) -> Unit:
    """Give the unit in which displays show what a register of `unit` counts: kWh where the register counts Wh."""
    return unit if unit.factor != 1 else _ON_DISPLAY.get(unit.base_symbol, unit)


def read_display(text: str, unit: Unit) -> Readout:
    """Read `001234.56`, `1 234,5 kWh`, `12.3度`; `unit` counts where none was typed. Raises DisplayUnreadable.

    Full-width characters are taken for plain ones. `1,234` could be two numbers and is refused.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    match = _FORM.match(plain)
    if match is None:
        raise DisplayUnreadable(zh="不是数字；请照显示输入，如 0123.4", en="no number; type it as shown, as 0123.4")
    whole, decimals = _split(match["digits"].strip())
    if len(whole + decimals) > _DIGITS_MAX:
        raise DisplayUnreadable(zh="位数太多；一次只输入一个数", en="too many digits; type one number at a time")
    mantissa = int(whole + decimals)
    shown = Shown(-mantissa if match["sign"] == "-" else mantissa, -len(decimals), _unit(match["unit"], unit))
    return Readout(text, shown, len(whole), bool(match["unit"]))


def _split(digits: str) -> tuple[str, str]:
    """Give the digits before and after the decimal mark."""
    marks = [mark for mark in digits if mark in ".,"]
    if _GROUPED.match(digits) and (len(marks) > 1 or " " in digits or "'" in digits):
        return re.sub(r"\D", "", digits), ""
    if marks == [","] and _GROUPED.match(digits):
        whole, point = digits.replace(",", ""), digits.replace(",", ".")
        raise DisplayUnreadable(zh=f"有两种读法；请输入 {whole} 或 {point}", en=f"unclear; type {whole} or {point}")
    at = max(digits.rfind("."), digits.rfind(","))
    if at < 0 and digits.isdecimal():
        return digits, ""
    whole, decimals = digits[:at], digits[at + 1 :]
    if at < 0 or not decimals.isdecimal() or not (whole.isdecimal() or not whole or _GROUPED.match(whole)):
        raise DisplayUnreadable(zh="标点不明；只输入一个小数点，如 1234.56", en="type one point, as in 1234.56")
    return re.sub(r"\D", "", whole) or "0", decimals


def _unit(typed: str | None, unit: Unit) -> Unit:
    wanted = (typed or "").strip()
    if not wanted:
        return unit
    if wanted.lower() in _SPOKEN:
        return _SPOKEN[wanted.lower()]
    if wanted.lower() == "kwh" and unit.base_symbol == "kJ":
        return Unit.HEAT_KWH
    exactly = [one for one in Unit if one.symbol == wanted]
    loosely = [one for one in Unit if one.symbol.lower() == wanted.lower()]
    found = exactly or [one for one in loosely if one.base_symbol == unit.base_symbol] or loosely
    if len(found) != 1:
        raise DisplayUnreadable(zh=f"单位 {wanted} 不认识；如 kWh、m3", en=f"unknown unit {wanted}; type kWh, m3 ...")
    return found[0]
