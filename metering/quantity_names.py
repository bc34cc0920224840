"""Names of registers that stand in no list of words: put together from the groups of their OBIS code.

Group C says what is measured (of phase L1, L2 or L3 from 20, 40 or 60 up), D how, E under which tariff, and F which
value that the meter stored: 1 is the last one, from 101 on they are those of days.
"""

from __future__ import annotations

from metering.obis import CURRENT_VALUE, Obis, ObisInvalid

_Pair = tuple[str, str]

_ELECTRICITY = 1
_PHASE_STEP = 20
_PHASES: tuple[_Pair, ...] = (("", ""), ("A 相", " L1"), ("B 相", " L2"), ("C 相", " L3"))
_LARGEST, _SHOWN, _COUNTED = 6, 7, 8
_NAMES: dict[int, dict[int, _Pair]] = {
    _LARGEST: {
        1: ("最大需量（受电）", "largest demand taken"),
        2: ("最大需量（送电）", "largest demand given"),
        9: ("最大视在需量", "largest apparent demand"),
    },
    _SHOWN: {
        1: ("受电功率", "power taken"),
        2: ("送电功率", "power given"),
        3: ("无功功率", "reactive power"),
        4: ("反向无功功率", "reactive power given"),
        9: ("视在功率", "apparent power"),
        11: ("电流", "amperes"),
        12: ("电压", "voltage"),
        13: ("功率因数", "power factor"),
        16: ("有功功率", "active power"),
    },
    _COUNTED: {
        1: ("用电量", "energy taken"),
        2: ("上网电量", "energy given"),
        3: ("正向无功电量", "reactive energy taken"),
        4: ("反向无功电量", "reactive energy given"),
        5: ("第一象限无功电量", "reactive energy, quadrant I"),
        6: ("第二象限无功电量", "reactive energy, quadrant II"),
        7: ("第三象限无功电量", "reactive energy, quadrant III"),
        8: ("第四象限无功电量", "reactive energy, quadrant IV"),
        9: ("视在电量（受）", "apparent energy taken"),
        10: ("视在电量（送）", "apparent energy given"),
    },
}
_OTHERS: dict[tuple[int, int, int], _Pair] = {
    (6, 1, 0): ("用热量", "heat"),
    (6, 2, 0): ("热水体积", "volume of heating water"),
    (6, 8, 0): ("热功率", "thermal power"),
    (6, 9, 0): ("热水流量", "flow of heating water"),
    (6, 10, 0): ("供水温度", "flow temperature"),
    (6, 11, 0): ("回水温度", "return temperature"),
    (6, 31, 0): ("工作时间", "time in operation"),
    (7, 3, 0): ("用气量", "gas"),
    (7, 43, 0): ("燃气流量", "flow of gas"),
    (8, 1, 0): ("用水量", "water"),
    (8, 2, 0): ("水流量", "flow of water"),
    (9, 1, 0): ("热水用量", "warm water"),
    (9, 2, 0): ("热水流量", "flow of warm water"),
    (0, 96, 1): ("表号", "number of the meter"),
}
"""By medium, C and D."""
_DAYS = 100


def quantity_name(obis: str, language: str) -> str:
    """Name a register in "zh" or "en"; its code where nothing is known of it."""
    try:
        code = Obis.parse(obis)
    except ObisInvalid:
        return obis
    named = _electric(code) if code.a == _ELECTRICITY else _OTHERS.get((code.a, code.c, code.d))
    if named is None:
        return obis
    place = 0 if language == "zh" else 1
    parts = [named[place], *(pair[place] for pair in _which(code))]
    text = " ".join(parts) if language == "zh" else ", ".join(parts)
    return text[0].upper() + text[1:]


def _electric(code: Obis) -> _Pair | None:
    phase, what = divmod(code.c, _PHASE_STEP)
    name = _NAMES.get(code.d, {}).get(what)
    if name is None or phase >= len(_PHASES):
        return None
    chinese, latin = _PHASES[phase]
    return chinese + name[0], name[1] + latin


def _which(code: Obis) -> list[_Pair]:
    parts = []
    if code.a == _ELECTRICITY and code.e:
        parts.append((f"费率 {code.e}", f"tariff {code.e}"))
    if _DAYS < code.f < CURRENT_VALUE:
        parts.append((f"日存储 {code.f - _DAYS}", f"stored day {code.f - _DAYS}"))
    elif code.f < CURRENT_VALUE:
        parts.append((f"存储值 {code.f}", f"stored value {code.f}"))
    return parts
