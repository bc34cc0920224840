"""Where in a formula something stands: a character of its text, and the block there. Pure.

Faults name characters, people who move blocks look for a block. A block's place is its path: "" is the outermost,
"1.0" the first part of its second part.
"""

from __future__ import annotations

from collections.abc import Iterator

from allocation_engine.formula.terms import Operation, Sentence, Term, parts_of


def block_at(sentence: Sentence | None, position: int) -> str | None:
    """Give the path of the block at character `position` (from 1); None where no block begins there.

    The place of an operation is its sign, as in the message of the fault.
    """
    if sentence is None:
        return None
    return next((path for path, term in walk_paths(sentence.term) if term.position == position), None)


def walk_paths(term: Term, path: str = "") -> Iterator[tuple[str, Term]]:
    """Give every block with its path, parts of operations before the operation only where they begin earlier."""
    parts = [(f"{path}.{number}".lstrip("."), part) for number, part in enumerate(parts_of(term))]
    if isinstance(term, Operation):
        yield from walk_paths(parts[0][1], parts[0][0])
        yield path, term
        yield from walk_paths(parts[1][1], parts[1][0])
        return
    yield path, term
    for inner, part in parts:
        yield from walk_paths(part, inner)
