"""One answer for an editor: what a rule text means where it stands, or what is wrong with it and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from allocation_engine.formula.blocks import from_blocks, to_blocks
from allocation_engine.formula.faults import LANGUAGES, FormulaInvalid
from allocation_engine.formula.proven import Formula, check_formula
from allocation_engine.formula.setting import Setting
from allocation_engine.formula.syntax import parse_formula
from allocation_engine.formula.terms import Sentence
from allocation_engine.formula.text import write_formula
from allocation_engine.formula.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: `formula` where the rule may be saved, else `invalid` says why not; `sentence` if it parses."""

    setting: Setting
    sentence: Sentence | None
    formula: Formula | None
    invalid: FormulaInvalid | None

    def to_document(self) -> dict[str, Any]:
        """Give JSON-able content for a console: text and blocks, units, extents, proof, faults in both languages."""
        found = None if self.formula is None else self.formula.typed
        sentence = self.sentence if self.formula is None else self.formula.sentence
        return {
            "holds": self.formula is not None,
            "faults": [] if self.invalid is None else _faults(self.invalid),
            "text": {} if sentence is None else self._texts(sentence),
            "blocks": None if sentence is None else to_blocks(sentence),
            "unit": {} if found is None or found.dimension is None else _by_language(found.dimension.shown),
            "varies": None if found is None else [found.space.name.lower(), found.pace.name.lower()],
            "proof": {} if self.formula is None else _proof(self.formula),
        }

    def _texts(self, sentence: Sentence) -> dict[str, str]:
        vocabulary = self.setting.sources.vocabulary
        return {language: write_formula(sentence, vocabulary, language) for language in LANGUAGES}


def check_rule_text(text: str | Mapping[str, Any], setting: Setting) -> Verdict:
    """Read a formula (text, or blocks) and prove that it conserves in `setting`; a wrong one gives a verdict too.

    Raises BlocksInvalid where blocks are no formula; their faults have positions in the English text.
    """
    sentence: Sentence | None = None
    try:
        sentence = read_formula(text, setting.sources.vocabulary)
        return Verdict(setting, sentence, check_formula(sentence, setting), None)
    except FormulaInvalid as invalid:
        return Verdict(setting, sentence, None, invalid)


def read_formula(written: str | Mapping[str, Any], vocabulary: Vocabulary) -> Sentence:
    """Read text or blocks; raises FormulaInvalid, BlocksInvalid."""
    text = written if isinstance(written, str) else write_formula(from_blocks(written), vocabulary, "en")
    return parse_formula(text, vocabulary)


def _faults(invalid: FormulaInvalid) -> list[dict[str, Any]]:
    return [
        {
            "position": one.position,
            "slip": str(one.slip),
            "problem": _by_language(one.problem),
            "mend": _by_language(one.mend),
        }
        for one in invalid.faults
    ]


def _proof(formula: Formula) -> dict[str, list[str]]:
    return {language: [one[place] for one in formula.proof] for place, language in enumerate(LANGUAGES)}


def _by_language(say: Any) -> dict[str, str]:
    return {language: say(language) for language in LANGUAGES}
