"""The tree as flows: heights are energies, nothing overlaps, what is small is told together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingest.console.flows import CHILDREN_MAX, LEVELS, ROW, TALL, WIDTH, Branch, Drawing, drawing


def branch(name: str, energy: int, *children: Branch, is_within: bool = True) -> Branch:
    loss = energy - sum(one.energy for one in children) if children else None
    return Branch(name, name, energy, f"{energy} kWh", loss, f"lost {loss}", is_within, children)


def bar(picture: Drawing, node: str) -> tuple[float, float]:
    found = next(one for one in picture.bars if one.node == node)
    return found.y, found.height


def test_a_bar_is_as_tall_as_its_energy() -> None:
    picture = drawing([branch("main", 1000, branch("a", 600), branch("b", 380))], "{count} more")
    assert bar(picture, "main")[1] == TALL
    assert bar(picture, "a")[1] == TALL * 0.6


def test_what_no_child_received_leaves_as_a_stub_in_the_colour_of_its_verdict() -> None:
    within = drawing([branch("main", 1000, branch("a", 990))], "")
    outside = drawing([branch("main", 1000, branch("a", 700), is_within=False)], "")
    assert [one.tone for one in within.flows] == ["", "loss"]
    assert [one.tone for one in outside.flows] == ["", "loss bad"]
    assert next(one.tone for one in outside.bars if one.node == "main") == "bad"


def test_children_with_more_than_their_node_leave_no_stub_and_mark_the_node() -> None:
    picture = drawing([branch("main", 500, branch("a", 400), branch("b", 300), is_within=False)], "")
    assert [one.tone for one in picture.flows] == ["", ""]
    assert next(one.tone for one in picture.bars if one.node == "main") == "bad"


def test_the_smallest_of_many_are_told_as_one() -> None:
    picture = drawing([branch("main", 1000, *(branch(f"n{i}", i + 1) for i in range(40)))], "{count} more")
    names = [one.name for one in picture.bars]
    assert names[-1] == f"{40 - CHILDREN_MAX} more"
    assert len(names) == 1 + CHILDREN_MAX + 1
    assert "n39" in names
    assert "n0" not in names


def test_a_branch_below_the_drawn_levels_leads_on() -> None:
    deep = branch("l0", 9, branch("l1", 9, branch("l2", 9, branch("l3", 9, branch("l4", 9)))))
    picture = drawing([deep], "")
    assert [one.node for one in picture.bars] == ["l0", "l1", "l2", "l3"][: LEVELS + 1]
    assert [one.leads_on for one in picture.bars] == [False, False, False, True]


trees = st.recursive(
    st.integers(-5, 10**9).map(lambda energy: branch("end", energy)),
    lambda below: st.tuples(st.integers(-5, 10**9), st.lists(below, min_size=1, max_size=20)).map(
        lambda made: branch("node", made[0], *made[1])
    ),
    max_leaves=60,
)


@given(st.lists(trees, max_size=4))
def test_bars_lie_in_the_picture_and_labels_of_a_column_do_not_overlap(tops: list[Branch]) -> None:
    picture = drawing(tops, "{count} more")
    columns: dict[float, list[tuple[float, float]]] = {}
    for one in picture.bars:
        assert 0 <= one.x <= WIDTH
        assert one.y >= 0
        assert one.y + one.height <= picture.height
        columns.setdefault(one.x, []).append((one.y, one.y + one.height))
    for spans in columns.values():
        spans.sort()
        middles = [(top + bottom) / 2 for top, bottom in spans]
        assert all(below - above >= ROW - 0.001 for above, below in pairwise(middles))


def test_a_site_without_energy_is_drawn_all_the_same() -> None:
    assert len(drawing([branch("main", 0, branch("a", 0))], "").bars) == 2
