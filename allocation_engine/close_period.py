"""SPINE: from the facts and rules of one period to its run."""

from __future__ import annotations

from allocation_engine.inputs import PeriodInputs
from allocation_engine.rules import Rules
from allocation_engine.run import Run

ENGINE_VERSION = "1"


def close_period(inputs: PeriodInputs, rules: Rules) -> Run:
    """Balance the tree, price and split every pool; raises PeriodNotReady and other BooksError families."""
    raise NotImplementedError
