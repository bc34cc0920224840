"""A preview of changed rules in both languages. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from allocation_engine.money import show_minor
from allocation_engine.preview import PoolSum, Preview
from ingest.console.words import Language
from ingest.run_words import party_lines, run_word, signed

LINES_SHOWN = 20
"""So many lines at either end; a site of 10,000 units has more than anybody reads."""

_WORDS: dict[str, tuple[str, str]] = {
    "now": ("现在", "now"),
    "then": ("改后", "then"),
    "proof": ("{charged} + 余额 {residual} = {cost}", "lines {charged} + residual {residual} = {cost}"),
    "absent": ("没有此费用池", "no such pool"),
    "more": ("…… 另有 {count} 行", "... {count} lines between"),
    "left_out": ("未计入：{what}", "not computed here: {what}"),
    "took": ("载入 {load} 毫秒，试算 {preview} 毫秒", "loaded in {load} ms, previewed in {preview} ms"),
}


def preview_word(key: str, language: Language) -> str:
    """Give a word about previews."""
    return _WORDS[key][0 if language is Language.ZH else 1]


def preview_lines(preview: Preview, language: Language, took_ms: Sequence[int]) -> Iterator[str]:
    """Tell a preview, and how long loading the period and previewing the rules took."""
    yield from _told(preview, language)
    load, tried = took_ms
    yield preview_word("took", language).format(load=load, preview=tried)


def _told(preview: Preview, language: Language) -> Iterator[str]:
    """Tell each pool with its proof, the parties, and the lines that change most."""
    if preview.refusal:
        yield f"{run_word('refused', language)}: {preview.refusal}"
        return
    if not preview.pools:
        yield run_word("same", language)
        return
    for pool in preview.pools:
        yield f"== {pool.pool}"
        for key, sums in (("now", pool.before), ("then", pool.after)):
            yield f"  {preview_word(key, language)}  {_proof(sums, preview.currency, language)}"
    yield from party_lines((one for one in preview.parties if one.delta_minor), preview.currency, language)
    yield run_word("lines", language)
    yield from _lines(preview, language)
    if preview.left_out:
        yield preview_word("left_out", language).format(what=", ".join(preview.left_out))


def _proof(sums: PoolSum | None, currency: str, language: Language) -> str:
    if sums is None:
        return preview_word("absent", language)
    amounts = {
        name: show_minor(amount, currency)
        for name, amount in (
            ("charged", sums.charged_minor),
            ("residual", sums.residual_minor),
            ("cost", sums.cost_minor),
        )
    }
    return f"{preview_word('proof', language).format(**amounts)} {currency}"


def _lines(preview: Preview, language: Language) -> Iterator[str]:
    changed = [one for one in preview.lines if one.delta_minor]
    hidden = len(changed) - 2 * LINES_SHOWN
    for place, one in enumerate(changed):
        if hidden > 0 and LINES_SHOWN <= place < len(changed) - LINES_SHOWN:
            if place == LINES_SHOWN:
                yield f"  {preview_word('more', language).format(count=hidden)}"
            continue
        before, after = (show_minor(amount, preview.currency) for amount in (one.before_minor, one.after_minor))
        delta = signed(one.delta_minor, preview.currency)
        yield f"  {one.pool}/{one.unit or 'residual'}/{one.party}  {before} -> {after}  {delta} {preview.currency}"
