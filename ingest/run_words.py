"""Texts about runs in both languages: where one stands, what happened to it, what differs and why. Pure.

The console, the command line and the demo take their words for states and causes from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from allocation_engine.money import show_minor
from allocation_engine.rule_check import Finding
from allocation_engine.run_diff import LineDiff, PartyDiff, RunDiff
from allocation_engine.run_state import RunState
from allocation_engine.what_if import Shadow, totals
from ingest.console.words import Language, words
from ingest.engine_words import engine_word
from ingest.runs_desk import RunStory

_WORDS: dict[str, tuple[str, str]] = {
    "reading": ("读数", "reading"),
    "topology": ("计量树", "topology"),
    "lease": ("租约与单元", "lease"),
    "tariff": ("电价", "tariff"),
    "rule": ("分摊规则", "rule"),
    "rounding": ("尾差", "rounding"),
    "engine": ("核算程序版本", "engine"),
    "parties": ("各方变化（多付在前）", "By party, those who pay more first"),
    "lines": ("逐行变化", "By line"),
    "causes": ("按原因", "By cause"),
    "changes": ("事实与规则的变化", "What differs in facts and rules"),
    "same": ("两者没有差异。", "Nothing differs."),
    "findings": ("新规则漏掉 {count} 条记录", "The new rules miss {count} records"),
    "complete": ("新规则覆盖全部记录。", "The new rules reach every record."),
    "unexplained": ("尚缺原因说明", "no reason is given yet"),
    "corrects": ("更正", "corrects"),
    "total": ("合计", "In all"),
    "case": ("{node} 的损耗超出允许范围，", "loss of {node} is outside its band, "),
    "check-price": ("{party} 的电价超出上限 {cap} 或无法核对，", "price of {party} is above cap {cap} or unknown, "),
    "check-sum": ("收费合计超出上限 {cap} 或没有账单，", "all charges together are above cap {cap} or uninvoiced, "),
    "everybody": ("全体", "everybody"),
    "refused": ("无法核算", "cannot be computed"),
}


def run_word(key: str, language: Language) -> str:
    """Give a word about runs; of causes that could not be told apart (`lease+rule`) each."""
    return "+".join(_WORDS[one][0 if language is Language.ZH else 1] for one in str(key).split("+"))


def state_word(state: RunState, language: Language) -> str:
    """Give the name of a state."""
    return words(language)[f"state-{state}"]


def diff_lines(diff: RunDiff, language: Language) -> Iterator[str]:
    """Tell a difference: what changed in facts, then money by cause, by party, by line."""
    if not diff.lines and not diff.changes:
        yield run_word("same", language)
        return
    yield run_word("changes", language)
    for change in diff.changes:
        yield f"  {run_word(change.cause, language)}  {change.subject}: {change.told}"
    yield run_word("causes", language)
    for cause, delta in diff.by_cause.items():
        yield f"  {run_word(cause, language)}  {signed(delta, diff.currency)} {diff.currency}"
    yield from party_lines(diff.parties, diff.currency, language)
    yield run_word("lines", language)
    for line in diff.lines:
        yield f"  {_line(line, diff.currency, language)}"


def party_lines(parties: Iterable[PartyDiff], currency: str, language: Language) -> Iterator[str]:
    """Tell what each party pays before and after."""
    yield run_word("parties", language)
    for one in parties:
        before, after = (show_minor(part, currency) for part in (one.before_minor, one.after_minor))
        yield f"  {one.party}  {before} -> {after}  {signed(one.delta_minor, currency)} {currency}"


def shadow_lines(shadows: tuple[Shadow, ...], language: Language) -> Iterator[str]:
    """Tell what a draft would have done to past periods, each and in all."""
    currency = next((one.diff.currency for one in shadows if one.diff is not None), "")
    for one in shadows:
        yield f"== {one.label}"
        if one.diff is None:
            yield f"  {run_word('refused', language)}: {one.refusal}"
        else:
            yield from party_lines(one.diff.parties, one.diff.currency, language)
        yield from finding_lines(one.findings, language)
    yield f"== {run_word('total', language)}"
    yield from party_lines(totals(shadows), currency, language)


def finding_lines(findings: tuple[Finding, ...], language: Language) -> Iterator[str]:
    """Tell which records a draft of the rules would miss, and how to repair each."""
    if not findings:
        yield run_word("complete", language)
        return
    yield run_word("findings", language).format(count=len(findings))
    for one in findings:
        fields = (engine_word(part, language) for part in (one.problem, one.mend))
        yield "  {}: {} ({})".format(one.subject, *fields)


def story_lines(story: RunStory, currency: str, language: Language) -> Iterator[str]:
    """Tell what happened to a run: steps, reasons, what still lacks one, what it corrected."""
    for step in story.steps:
        told = f": {step.reason}" if step.reason else ""
        yield f"{step.acted_at.isoformat()}  {state_word(step.to_state, language)}  {step.actor}{told}"
    for reason in story.reasons:
        yield f"  {reason.subject}: {reason.reason} ({reason.actor})"
    yield from open_lines(story.unexplained, language)
    for one in story.corrections:
        causes = ", ".join(f"{run_word(cause, language)} {signed(delta, currency)}" for cause, delta in one.line.causes)
        amount = signed(one.line.delta_minor, currency)
        yield f"  {run_word('corrects', language)} {one.corrects[:16]}  {one.line.id}  {amount} {currency} ({causes})"


def open_lines(subjects: Iterable[str], language: Language) -> Iterator[str]:
    """Tell which findings of a run have no reason yet; the subject is what a reason is given for."""
    for subject in subjects:
        yield f"  {subject}: {_subject_words(subject, language)}{run_word('unexplained', language)}"


def _subject_words(subject: str, language: Language) -> str:
    """Say in words what `case main` and `check resale/price/t-01` are, with what follows joined to it."""
    kind, _, rest = subject.partition(" ")
    if kind == "case":
        return run_word("case", language).format(node=rest)
    cap, check, party = rest.split("/", 2)
    whom = run_word("everybody", language) if party == "all" else party
    return run_word(f"check-{check}", language).format(cap=cap, party=whom)


def signed(amount_minor: int, currency: str) -> str:
    """Write an amount with its sign."""
    return ("+" if amount_minor > 0 else "") + show_minor(amount_minor, currency)


def _line(line: LineDiff, currency: str, language: Language) -> str:
    before, after = (show_minor(part, currency) for part in (line.before_minor, line.after_minor))
    causes = ", ".join(f"{run_word(cause, language)} {signed(delta, currency)}" for cause, delta in line.causes)
    return f"{line.id}  {before} -> {after}  {signed(line.delta_minor, currency)} ({causes})"
