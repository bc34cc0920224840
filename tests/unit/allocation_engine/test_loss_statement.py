"""Lines of losses on a statement: a stranger recomputes them, and every lie about them is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from allocation_engine.loss_trace import LINE_BITS, LossTrace, cost_unit
from allocation_engine.proof import Broken, prove_line
from allocation_engine.run import ANY_LINE, Line
from allocation_engine.run_diff import _exact
from allocation_engine.statement_content import StatementContent
from metering.envelope import decode_canonical, encode
from tests.doubles.loss_site import LOSS, TWO_BANDS, close_site, loss_lines, site_inputs, site_rules, statement_of

NO_LOAD = {"node": "main", "kwh_per_day": "9.6", "key": "area", "source": "nameplate"}


@pytest.fixture
def content() -> StatementContent:
    """The statement of t-1."""
    inputs = site_inputs()
    rules = site_rules(inputs, loss={**LOSS, "no_load": [NO_LOAD]}, prices=TWO_BANDS)
    return statement_of("t-1", inputs, rules)


def loss_line(content: StatementContent) -> Line:
    """The party's line of the losses."""
    return next(line for line in content.lines if line.pool == "loss")


def trace_of(line: Line) -> LossTrace:
    """Its trace."""
    assert isinstance(line.trace, LossTrace)
    return line.trace


def test_a_line_of_losses_is_recomputed_from_its_trace(content: StatementContent) -> None:
    line = loss_line(content)
    # 80 + 410 Wh, half of it at 0.30 and half at 1.00: 31.85 fen
    assert (sum(line.band_energy_wh), line.amount_minor) == (490, 32)
    assert prove_line(content, line) == "0.490 kWh of loss on 4.000 kWh drawn give 0.32"


def test_the_bearers_line_is_recomputed_too() -> None:
    inputs = site_inputs()
    content = statement_of("owner", inputs, site_rules(inputs))
    assert [line.id for line in content.lines if line.pool == "loss"] == ["loss/u-c/owner", "loss/residual/owner"]
    for line in content.lines:
        if line.pool == "loss":
            prove_line(content, line)


def test_credits_of_losses_are_recomputed_too() -> None:
    inputs = site_inputs({"main": 2000, "a": 990, "c": 1010})
    content = statement_of("t-1", inputs, site_rules(inputs))
    assert loss_line(content).amount_minor < 0
    prove_line(content, loss_line(content))


def test_a_statement_with_losses_reads_back_as_it_was(content: StatementContent) -> None:
    assert StatementContent.from_wire(decode_canonical(encode(content.to_wire()))) == content


def test_the_pool_of_losses_says_what_it_cost(content: StatementContent) -> None:
    pool = next(pool for pool in content.pools if pool.id == "loss")
    assert pool.cost_minor == 130


def lied(line: Line, **changes: Any) -> Line:
    """The same line with another trace."""
    return replace(line, trace=replace(trace_of(line), **changes))


@pytest.mark.parametrize("field", ["carried", "no_load"])
@pytest.mark.parametrize("step", [-(1 << LINE_BITS), 1 << LINE_BITS])
def test_a_watt_hour_more_or_less_of_loss_is_found(content: StatementContent, field: str, step: int) -> None:
    line = loss_line(content)
    first, *others = getattr(trace_of(line), field)
    with pytest.raises(Broken, match="is not the loss that the trace states"):
        prove_line(content, lied(line, **{field: (first + 2 * step, *others)}))


def test_a_swapped_band_is_found(content: StatementContent) -> None:
    line = loss_line(content)
    trace = trace_of(line)
    shifted = (trace.carried[0] - (50 << LINE_BITS), trace.carried[1] + (50 << LINE_BITS))
    moved = replace(
        lied(line, carried=shifted), band_energy_wh=(line.band_energy_wh[0] - 50, line.band_energy_wh[1] + 50)
    )
    with pytest.raises(Broken, match=r"gives 0\.36, the line says 0\.32"):
        prove_line(content, moved)


@pytest.mark.parametrize("fen", [-1, 1])
def test_a_lost_fen_is_found(content: StatementContent, fen: int) -> None:
    line = loss_line(content)
    with pytest.raises(Broken, match="the line says"):
        prove_line(content, replace(line, amount_minor=line.amount_minor + fen))


def test_an_odd_fen_for_who_has_none_due_is_found(content: StatementContent) -> None:
    line = loss_line(content)
    trace = trace_of(line)
    other = replace(line, amount_minor=line.amount_minor + (-1 if trace.extra else 1))
    with pytest.raises(Broken):
        prove_line(content, lied(other, extra=not trace.extra))


def test_somebody_elses_trace_is_found(content: StatementContent) -> None:
    with pytest.raises(Broken):
        prove_line(content, lied(loss_line(content), line_id="u-a2/t-2"))


def test_odd_fens_go_to_the_largest_remainders() -> None:
    run = close_site(site_inputs())
    traces = [trace_of(line) for line in loss_lines(run).values()]
    unit = cost_unit("CNY")
    remainders = {trace.line_id: trace.cost_quanta(run.bands) % unit for trace in traces}
    extra = {trace.line_id for trace in traces if trace.extra}
    assert {bool(trace.cut_id) for trace in traces} == {bool(extra)}
    if extra:
        (cut,) = {trace.cut_remainder for trace in traces}
        most = max(remainders[one] for one in remainders.keys() - extra)
        assert most <= cut <= min(remainders[one] for one in extra)
        assert {trace.cut_id == ANY_LINE for trace in traces} == {most < cut}
        assert min(remainders[one] for one in extra) >= max(remainders[one] for one in remainders.keys() - extra)
    assert all(trace.has_its_extra(run.bands, "CNY") for trace in traces)


def test_the_difference_of_two_runs_knows_the_exact_share() -> None:
    run = close_site(site_inputs())
    line = loss_lines(run)["u-a1/t-1"]
    # 620 Wh at 0.50, less the cut
    assert 0 <= 620 * 500_000 - _exact(line, 0, run.bands) < 1
