"""What of a run nobody has approved, as a table in both languages. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from ingest.console.tables import Cell, Table, table, words_cell
from ingest.console.words import Language
from ingest.store.bindings import Unapproved
from provisioning.binding_words import binding_word

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("待批准的安装（暂定）", "Installations not approved yet (provisional)"),
    "note": (
        "{bindings} 项安装尚无第二人批准，{lines} 行分摊因此为暂定；批准之前不能发布",
        "{bindings} acts at the site have no second person's approval, so {lines} lines are provisional; the run "
        "cannot be published before",
    ),
    "what": ("安装事项", "Act"),
    "meter": ("电表", "Meter"),
    "node": ("节点", "Node"),
    "unit": ("单元", "Unit"),
    "since": ("自", "From"),
    "by": ("安装人", "Done by"),
    "stands": ("状态", "Stands"),
    "mark": ("安装待批", "not approved"),
}


def provisional_word(key: str, language: Language) -> str:
    """Give a word about what is provisional, or about bindings."""
    known = _WORDS.get(key)
    return binding_word(key, str(language)) if known is None else known[0 if language is Language.ZH else 1]


def provisional_lines(found: Sequence[Unapproved], language: Language) -> Iterator[str]:
    """Tell what a run rests on that nobody has approved, a line each; nothing where everything is."""
    if found:
        yield provisional_word("title", language)
    for one in found:
        words = (provisional_word(one.kind, language), one.meter or one.node, provisional_word(one.state, language))
        yield f"  {one.binding or '–'}  {'  '.join(words)}"


def provisional_table(
    found: Sequence[Unapproved], lines: int, language: Language, told: Callable[[datetime], str] = str
) -> Table:
    """Show what a run rests on that nobody has approved; `lines` is how many lines that touches."""
    columns = (provisional_word(one, language) for one in ("what", "meter", "node", "unit", "since", "by", "stands"))
    rows = (list(_cells(one, language, told)) for one in found)
    note = provisional_word("note", language).format(bindings=len(found), lines=lines)
    return table("provisional", provisional_word("title", language), columns, rows, note=note)


def _cells(one: Unapproved, language: Language, told: Callable[[datetime], str]) -> Iterable[Cell]:
    yield words_cell(provisional_word(one.kind, language), one.kind)
    for text in (one.meter, one.node, one.unit):
        yield words_cell(text or "–", text or "")
    yield words_cell("–", "") if one.begins_at is None else words_cell(told(one.begins_at), one.begins_at.isoformat())
    yield words_cell(one.done_by or "–", one.done_by or "")
    yield words_cell(provisional_word(one.state, language), one.state, "warn")
