"""How rows are dealt out to threads changes no octet of a run."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_engine import blocks
from allocation_engine.close_period import close_period
from allocation_engine.inputs import PeriodInputs
from metering.envelope import encode
from tests.long.divisions import dealt_out
from tests.property.test_allocation_laws import rules_for, sites


@given(sites(), st.sampled_from([2, 3, 16]), st.integers(1, 9))
@settings(deadline=None, max_examples=15)
def test_threads_and_ranges_change_no_octet_of_a_run(inputs: PeriodInputs, threads: int, ranges: int) -> None:
    rules = rules_for(inputs)
    plain = encode(close_period(inputs, rules).to_document())
    with dealt_out(threads):
        blocks.RANGES_PER_THREAD = ranges
        assert encode(close_period(inputs, rules).to_document()) == plain
