"""What the bits of a DL/T 645-2007 meter's status words say, in both languages, for a person."""

from __future__ import annotations

from device_profiles.framing.dlt645_dialect import Bit

_PHASE = {
    0: ("失压", "voltage lost"),
    1: ("欠压", "under-voltage"),
    2: ("过压", "over-voltage"),
    3: ("失流", "current lost"),
    4: ("过流", "over-current"),
    5: ("过载", "overload"),
    6: ("潮流反向", "power reversed"),
    7: ("断相", "phase broken"),
    8: ("断流", "current broken"),
}


def _phase(name: str) -> dict[int, Bit]:
    return {bit: Bit(f"{name}相{zh}", f"phase {name}: {en}") for bit, (zh, en) in _PHASE.items()}


STATUS_WORDS: tuple[dict[int, Bit], ...] = (
    {
        1: Bit("需量按区间式计算", "demand by fixed intervals"),
        2: Bit("时钟电池欠压", "clock battery low"),
        3: Bit("停电抄表电池欠压", "outage battery low"),
        4: Bit("有功功率反向", "active power reversed"),
        5: Bit("无功功率反向", "reactive power reversed"),
    },
    {
        bit + 4 * kind: Bit(f"{phase}相{zh}反向", f"phase {phase}: {en} power reversed")
        for kind, (zh, en) in enumerate((("有功", "active"), ("无功", "reactive")))
        for bit, phase in enumerate("ABC")
    },
    {
        0: Bit("执行第二套时段", "second time table in use"),
        3: Bit("编程允许", "programming allowed"),
        4: Bit("继电器断开", "relay open"),
    },
    _phase("A"),
    _phase("B"),
    _phase("C"),
    {},
)
"""Words 1 to 7 by bit number, as one public copy of the standard's table has them. Makers differ: show the word too."""


def status_told(word: int, bits: int) -> tuple[Bit, ...]:
    """Name the bits that are set in status word `word` (1 to 7); one without a name here is named by its number."""
    if not 1 <= word <= len(STATUS_WORDS):
        raise ValueError(f"there is no status word {word}")
    named = STATUS_WORDS[word - 1]
    return tuple(named.get(bit, Bit(f"第{bit}位", f"bit {bit}")) for bit in range(bits.bit_length()) if bits >> bit & 1)
