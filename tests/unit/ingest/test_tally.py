"""Durations counted by size."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ingest.api.metrics import Metrics
from ingest.intake import IntakeCounters
from ingest.tally import Tally

BOUNDS_S = (0.1, 1.0, 60.0)


@given(st.lists(st.floats(-10, 1000)))
def test_each_duration_is_counted_once_below_the_bound_it_does_not_pass(durations: list[float]) -> None:
    tally = Tally(BOUNDS_S)
    for seconds in durations:
        tally.add(seconds)
    counts, total_s = tally.read()
    clipped = [max(0.0, seconds) for seconds in durations]
    for index, bound in enumerate((*BOUNDS_S, math.inf)):
        assert sum(counts[: index + 1]) == sum(seconds <= bound for seconds in clipped)
    assert math.isclose(total_s, math.fsum(clipped), abs_tol=1e-6)
    assert tally.count == len(durations)


def test_a_tally_is_shown_as_a_histogram() -> None:
    metrics, counters = Metrics(), IntakeCounters()
    for seconds in (0.2, 0.3, 90_000.0):
        counters.lag_s.add(seconds)
    metrics.follow(counters)
    sample = metrics.registry.get_sample_value
    assert sample("metertree_intake_lag_seconds_bucket", {"le": "0.25"}) == 1
    assert sample("metertree_intake_lag_seconds_bucket", {"le": "86400.0"}) == 2
    assert sample("metertree_intake_lag_seconds_bucket", {"le": "+Inf"}) == 3
    assert sample("metertree_intake_lag_seconds_count") == 3
    assert sample("metertree_intake_lag_seconds_sum") == 90_000.5
