"""What the approver of a binding is shown: what was expected beside what was found, and each difference. Pure.

The costliest error is a meter bound to the wrong tenant. So the serial that was bound is looked up in the plan: if the
plan expects it somewhere else, that is told first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from ingest.store.bindings import StoredBinding
from provisioning.finding_words import worst_first
from provisioning.installation import Binding, Finding, RatioChange, Severity
from provisioning.order_file import ExpectedMeter, Plan
from provisioning.site import Names

_DIFFERENCES: dict[str, tuple[Severity, str, str]] = {
    "serial-elsewhere": (
        Severity.WRONG,
        "计划中此表号属于 {expected}，现绑定到 {found}：可能绑错租户，请现场核对表牌",
        "the plan has this serial at {expected}, it is bound to {found}: the wrong tenant? Read the plate again",
    ),
    "read-serial-differs": (
        Severity.WRONG,
        "表号填写为 {expected}，总线读到 {found}：请核对是否接错表",
        "serial {expected} was written down, the bus told {found}: see whether another meter answers",
    ),
    "unit-differs": (
        Severity.WRONG,
        "计划供 {expected}，现绑定为 {found}：请核对单元",
        "planned for unit {expected}, bound for {found}: see which unit it feeds",
    ),
    "node-differs": (
        Severity.WRONG,
        "计划在节点 {expected}，现绑定到 {found}：请核对位置",
        "planned at node {expected}, bound at {found}: see where it hangs",
    ),
    "other-site": (
        Severity.WRONG,
        "此表号已绑定在站点 {expected}：请核对表牌",
        "a meter with this serial is bound at site {expected}: read the plate again",
    ),
    "ratio-differs": (
        Severity.WRONG,
        "计划变比 {expected}，现为 {found}：请核对互感器铭牌",
        "planned ratio {expected}, bound with {found}: read the transformers' plates",
    ),
    "serial-differs": (
        Severity.DOUBTFUL,
        "计划表号 {expected}，实装 {found}",
        "serial {expected} was planned, {found} was found",
    ),
    "model-differs": (
        Severity.DOUBTFUL,
        "计划型号 {expected}，实装 {found}",
        "model {expected} was planned, {found} was found",
    ),
    "not-expected": (Severity.DOUBTFUL, "计划中没有此表 {found}", "the plan has no meter {found}"),
    "not-compared": (
        Severity.DOUBTFUL,
        "没有核对过显示与总线读数",
        "nobody compared the display with the bus",
    ),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was expected."""

    code: str
    severity: Severity
    expected: str
    found: str

    @property
    def told(self) -> Names:
        """Tell it in both languages."""
        _, zh, en = _DIFFERENCES[self.code]
        return Names(*(one.format(expected=self.expected, found=self.found) for one in (zh, en)))


@dataclass(frozen=True, slots=True)
class Review:
    """What an approver goes by. expected: of the plan under this meter id; None if the plan has none."""

    expected: ExpectedMeter | None
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]

    @property
    def needs_reason(self) -> bool:
        """Whether whoever approves it has to say why."""
        told = (*(one.severity for one in self.differences), *(one.severity for one in self.findings))
        return Severity.WRONG in told


def review(stored: StoredBinding, plan: Plan | None, other_sites: Mapping[str, str]) -> Review:
    """Hold a binding against the plan by which its gateway was installed.

    other_sites   at which other site a serial is bound now
    """
    made = stored.event.binding
    if made is None:
        return _review_of_ratio(stored, plan)
    expected = {} if plan is None else {one.meter: one for one in plan.expected}
    mine = expected.get(made.meter.id)
    found = [*_of_serial(made, expected.values(), other_sites), *_of_plan(made, mine, plan is not None)]
    found.sort(key=lambda one: tuple(Severity).index(one.severity))
    return Review(mine, tuple(found), worst_first(made.findings))


def _review_of_ratio(stored: StoredBinding, plan: Plan | None) -> Review:
    """Hold other transformers against the plan: the meter has another id by then, its node is the same."""
    body = stored.event.body
    mine = next((one for one in ([] if plan is None else plan.expected) if one.node == stored.act.node), None)
    if not isinstance(body, RatioChange) or mine is None:
        return Review(None, (), ())
    planned, found = _ratio(mine.ct, mine.pt), _ratio(body.ct, body.pt)
    differs = planned is not None and found is not None and planned != found
    return Review(mine, (_difference("ratio-differs", planned or "", found or ""),) if differs else (), ())


def _of_serial(
    made: Binding, expected: Collection[ExpectedMeter], other_sites: Mapping[str, str]
) -> Iterator[Difference]:
    meter = made.meter
    if made.read_serial is not None and made.read_serial != meter.serial:
        yield _difference("read-serial-differs", meter.serial, made.read_serial)
    for told in dict.fromkeys((meter.serial, made.read_serial)):
        for one in expected:
            if told is not None and one.serial == told and one.node != meter.node:
                yield _difference("serial-elsewhere", one.unit or one.node, made.unit or meter.node)
    if meter.serial in other_sites:
        yield _difference("other-site", other_sites[meter.serial], meter.serial)


def _of_plan(made: Binding, mine: ExpectedMeter | None, is_planned: bool) -> Iterator[Difference]:
    meter = made.meter
    if mine is None:
        if is_planned:
            yield _difference("not-expected", "-", meter.id)
    else:
        pairs = (
            ("node-differs", mine.node, meter.node),
            ("unit-differs", mine.unit, made.unit or "-"),
            ("serial-differs", mine.serial, meter.serial),
            ("model-differs", mine.profile, meter.profile),
            ("ratio-differs", _ratio(mine.ct, mine.pt), _ratio(meter.ct, meter.pt)),
        )
        for code, expected, found in pairs:
            if expected is not None and found is not None and expected != found:
                yield _difference(code, expected, found)
    if not made.comparisons:
        yield _difference("not-compared", "-", meter.id)


def _ratio(ct: int | None, pt: int | None) -> str | None:
    return None if ct is None else f"{ct} x {1 if pt is None else pt}"


def _difference(code: str, expected: str, found: str) -> Difference:
    return Difference(code, _DIFFERENCES[code][0], expected, found)
