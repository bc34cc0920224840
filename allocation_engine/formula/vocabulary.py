"""The words of formulas: names of inputs and functions in English and Chinese, and which of them mean the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BUILT_IN = {
    "main_delta": "总表差值",
    "floor_area": "各层面积",
    "total_area": "总面积",
    "unit_area": "单元面积",
    "energy": "用电量",
    "load": "负载率",
    "times": "时段系数",
}
"""Inputs that every site has, with their Chinese names."""
FUNCTIONS = {"min": "最小", "max": "最大", "clamp": "限幅", "meter": "电表"}
USUAL = {"tmax": "当日最高温", "tmin": "当日最低温", "tmean": "当日平均温"}
"""What series of these names are called in Chinese where they say nothing else."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Known words.

    inputs   by every way of writing: the name in rules
    chinese  by the name in rules: its Chinese name, where it has one
    """

    inputs: Mapping[str, str]
    chinese: Mapping[str, str]

    @classmethod
    def of(cls, names: Mapping[str, str]) -> Vocabulary:
        """Take the site's own names with their Chinese names ("" where they have none), beside the built-in ones."""
        chinese = BUILT_IN | {name: zh or USUAL.get(name, "") for name, zh in names.items()}
        inputs = {written(name): name for name in chinese} | {written(zh): name for name, zh in chinese.items() if zh}
        return cls(inputs, {name: zh for name, zh in chinese.items() if zh})

    def word(self, name: str, language: str) -> str:
        """Write an input."""
        return written(self.chinese.get(name, name) if language == "zh" else name)


FUNCTION_OF = {name: name for name in FUNCTIONS} | {zh: name for name, zh in FUNCTIONS.items()}


def written(name: str) -> str:
    """Give a name as formulas write it: a hyphen would be a minus, so it is an underscore there."""
    return name.replace("-", "_").replace(" ", "_")


def doubled(names: Iterable[tuple[str, str]]) -> list[str]:
    """Name the words that two things are called by; each name comes with its Chinese one, or ""."""
    seen: dict[str, int] = {}
    found = []
    for place, (name, zh) in enumerate([*BUILT_IN.items(), *FUNCTIONS.items(), *names]):
        for word in sorted({written(name), written(zh or USUAL.get(name, "") or name)}):
            if seen.setdefault(word, place) != place:
                found.append(word)
    return found


BUILT_IN_ONLY = Vocabulary.of({})
