"""The formula language: what people write about a shared cost, read, checked, proven and evaluated exactly.

Owns           the grammar, units, blocks, the check that a rule conserves, and the arithmetic of its weights
Does not own   what a pool is, prices, files, and how parts become lines
Invariants     nothing is ever `eval`ed; no float; a text and its blocks mean the same; what cannot be shown to
               conserve is refused with its position

Entry points   `syntax.parse_formula` text -> tree, `text.write_formula` tree -> text, `blocks.to_blocks` and
               `from_blocks`, `check.check_formula` tree -> checked formula, `verdict.check_rule_text` all of it for an
               editor, `program.Program` checked formula -> numbers
"""
