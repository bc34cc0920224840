"""A line recomputed before the reader's eyes: every step follows from the one before, in both languages, to the fen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from allocation_engine.run import Line, LineKind
from allocation_engine.statement_content import StatementContent
from allocation_engine.verification import verify_bundle
from ingest.cli import main
from ingest.commands import verify as verify_command
from ingest.explanation import SPANS_SHOWN, Explanation, LineUnknown, Step, _decimal, choose_line
from ingest.inclusion_words import grouped
from metering.envelope import Algorithm
from provisioning.keys import FileSigner, public_verifier
from tests.doubles.memory_centre import bundle_of
from tests.doubles.park_books import CENTRE

PARTIES = ("t-01", "t-04", "t-06", "owner")
LANGUAGES = ("zh", "en")


@pytest.fixture(scope="module")
def contents() -> dict[str, StatementContent]:
    """Proven statements of the park's first day."""
    keys = {CENTRE.key_id: public_verifier(Algorithm.EDDSA, CENTRE.public_key)}
    found = {}
    for party in PARTIES:
        content = verify_bundle(bundle_of(party), keys, public_verifier).content
        assert content is not None
        found[party] = content
    return found


@pytest.fixture
def content(contents: dict[str, StatementContent]) -> StatementContent:
    """The statement of a tenant with a unit of his own and shares of common costs."""
    return contents["t-01"]


def metered(content: StatementContent) -> Line:
    """Its metered line."""
    return next(line for line in content.lines if line.kind is LineKind.METERED)


def shared(content: StatementContent) -> Line:
    """Its first shared line."""
    return next(line for line in content.lines if line.kind is LineKind.SHARE)


def explain(content: StatementContent, line: Line, language: str = "en", *, all_spans: bool = True) -> list[Step]:
    """Give every step."""
    return list(Explanation(content, language, all_spans=all_spans).steps(line))


def texts(steps: list[Step], depth: int) -> list[str]:
    """The texts of one depth."""
    return [step.text for step in steps if step.depth == depth]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("party", PARTIES)
def test_every_line_of_every_statement_can_be_explained(
    contents: dict[str, StatementContent], party: str, language: str
) -> None:
    content = contents[party]
    for line in content.lines:
        steps = explain(content, line, language)
        assert steps[0].depth == 0
        assert all(step.text and "{" not in step.text for step in steps)
        amount = _decimal(line.amount_minor, 2)
        assert amount in steps[-1].text, "the last step ends at the amount of the line"


def test_the_spans_of_a_metered_line_add_up_to_its_energy(content: StatementContent) -> None:
    line = metered(content)
    spans = [step.text for step in explain(content, line) if step.depth == 2]
    energies = [Fraction(found[1]) for text in spans if (found := re.search(r"([\d.]+) kWh$", text))]
    assert len(energies) == len(spans) > 1
    assert sum(energies) * 1000 == sum(line.band_energy_wh)


def test_each_span_is_the_difference_of_its_registers_times_the_multiplier(content: StatementContent) -> None:
    for text in (step.text for step in explain(content, metered(content)) if step.depth == 2):
        found = re.search(r"\(?([\d.]+) − ([\d.]+)\)?(?: × (\d+))? = ([\d.]+) kWh", text)
        assert found is not None, text
        last, first, multiplier, energy = found.groups()
        assert (Fraction(last) - Fraction(first)) * int(multiplier or 1) == Fraction(energy)


def test_the_bands_of_a_metered_line_add_up_to_its_cost(content: StatementContent) -> None:
    line = metered(content)
    priced = [text for text in texts(explain(content, line), 1) if " CNY/kWh = " in text]
    costs = []
    for text in priced:
        found = re.search(r"([\d.]+) kWh x ([\d.]+) CNY/kWh = ([\d.]+)$", text)
        assert found is not None, text
        energy, rate, cost = (Fraction(part) for part in found.groups())
        assert energy * rate == cost
        costs.append(cost)
    assert abs(sum(costs) * 100 - line.amount_minor) <= Fraction(1, 2)
    assert len(priced) == sum(energy > 0 for energy in line.band_energy_wh)


def test_a_share_is_the_quotient_that_is_written_out(contents: dict[str, StatementContent]) -> None:
    seen = 0
    for content in contents.values():
        for line in content.lines:
            found = re.search(r"([\d.]+) x (\d+) / (\d+) = ([\d.]+), remainder (\d+)", str(explain(content, line)))
            if found is None:
                continue
            cost, weight, total, floor, remainder = (Fraction(part) for part in found.groups())
            assert cost * 100 * weight == floor * 100 * total + remainder
            assert remainder < total
            assert line.amount_minor - floor * 100 in (0, 1)
            seen += 1
    assert seen > 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_spans_beyond_the_first_are_counted_unless_all_are_asked_for(content: StatementContent, language: str) -> None:
    line = metered(content)
    every = texts(explain(content, line, language), 2)
    few = texts(explain(content, line, language, all_spans=False), 2)
    assert len(every) > SPANS_SHOWN
    assert few[:SPANS_SHOWN] == every[:SPANS_SHOWN]
    assert few[SPANS_SHOWN:] == [text for text in few if "--all-spans" in text]
    assert str(len(every) - SPANS_SHOWN) in few[-1]


def test_both_languages_give_the_same_numbers(contents: dict[str, StatementContent]) -> None:
    def numbers(steps: list[Step]) -> list[list[str]]:
        return [sorted(re.findall(r"\d+(?:\.\d+)?", step.text.replace("m2", "").replace("15", ""))) for step in steps]

    for content in contents.values():
        for line in content.lines:
            chinese, english = (explain(content, line, language) for language in LANGUAGES)
            assert [step.depth for step in chinese] == [step.depth for step in english]
            assert numbers(chinese) == numbers(english)


def test_the_line_with_the_largest_metered_amount_is_chosen(contents: dict[str, StatementContent]) -> None:
    for content in contents.values():
        kinds = [line.kind for line in content.lines]
        chosen = choose_line(content, None)
        assert (chosen.kind is LineKind.METERED) == (LineKind.METERED in kinds)
        assert chosen.amount_minor == max(line.amount_minor for line in content.lines if line.kind == chosen.kind)


def test_a_line_is_chosen_by_its_id(content: StatementContent) -> None:
    for line in content.lines:
        assert choose_line(content, line.id) is line


@pytest.mark.parametrize("wrong", ["", "own-use", "lift/a101/t-99", "../../etc"])
def test_a_line_that_is_not_there_is_answered_with_those_there_are(content: StatementContent, wrong: str) -> None:
    with pytest.raises(LineUnknown) as caught:
        choose_line(content, wrong)
    assert all(line.id in str(caught.value) for line in content.lines)


def changed_trace(line: Line, **changes: Any) -> Line:
    return replace(line, trace=replace(line.trace, **changes))


def test_a_share_without_area_tells_no_area(content: StatementContent) -> None:
    plain = shared(content)
    with_area = explain(content, changed_trace(plain, area_cm2=1_264_000, slots=96))
    assert any("126.4" in step.text and "96" in step.text for step in with_area)
    without = explain(content, changed_trace(plain, area_cm2=0, slots=0))
    assert len(without) == len(with_area) - 1
    assert not any("m2" in step.text for step in without)


def test_a_share_of_nothing_tells_no_quotient(content: StatementContent) -> None:
    line = changed_trace(shared(content), weight=0, total_weight=0)
    assert not any(" / " in step.text for step in explain(content, line))


@pytest.mark.parametrize(("extra", "told"), [(True, "this line does ="), (False, "this line does not =")])
def test_who_gets_the_odd_unit_is_told(content: StatementContent, extra: bool, told: str) -> None:
    line = changed_trace(shared(content), extra=extra, cut_remainder=7, cut_id="a101/t-01")
    last = explain(content, line)[-1].text
    assert told in last
    assert last.startswith("remainders from 7 on")


def test_where_nothing_is_left_over_nobody_got_more(content: StatementContent) -> None:
    line = changed_trace(shared(content), extra=False, cut_remainder=0, cut_id="")
    assert explain(content, line)[-1].text.startswith("nothing is left over = ")


def test_a_credit_is_explained_with_its_sign(content: StatementContent) -> None:
    line = shared(content)
    pools = tuple(replace(pool, cost_minor=-301) if pool.id == line.pool else pool for pool in content.pools)
    credit = replace(changed_trace(line, weight=1, total_weight=2), amount_minor=-151)
    steps = [step.text for step in explain(replace(content, pools=pools), credit)]
    assert any("-3.01 x 1 / 2 = -1.50, remainder 1" in text for text in steps)
    assert "-1.51 CNY" in steps[-1]


def test_registers_that_were_not_read_are_not_invented(content: StatementContent) -> None:
    line = metered(content)
    points = tuple(replace(point, readings=()) for point in content.points)
    steps = explain(replace(content, points=points), line)
    assert "0 readings, first -, last -" in steps[1].text
    assert not any("−" in step.text for step in steps)


def test_readings_without_an_envelope_name_none(content: StatementContent) -> None:
    line = metered(content)
    bare = tuple(
        replace(point, readings=tuple(replace(one, envelope=None) for one in point.readings))
        for point in content.points
    )
    assert "[gw-a 1/" in explain(content, line)[1].text
    assert "[" not in explain(replace(content, points=bare), line)[1].text


@pytest.mark.parametrize(
    ("number", "digits", "text"),
    [
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (-5, 2, "-0.05"),
        (623800, 6, "0.6238"),
        (1_000_000, 6, "1.00"),
        (1, 9, "0.000000001"),
        (-1_500_000_000, 9, "-1.50"),
        (10**20 + 1, 9, "100000000000.000000001"),
    ],
)
def test_numbers_are_written_exactly(number: int, digits: int, text: str) -> None:
    assert _decimal(number, digits) == text
    assert Fraction(text) * 10**digits == number


def test_a_fingerprint_is_grouped_for_two_people_on_the_telephone() -> None:
    assert grouped(bytes.fromhex("00ff12ab")) == "00ff 12ab"
    assert grouped(b"") == ""
    assert len(grouped(bytes(32)).split()) == 16


# The command around it


@pytest.fixture
def file(tmp_path: Any) -> Any:
    """A statement as downloaded, with the centre's key beside it."""
    (tmp_path / "centre.pub").write_text(CENTRE.public_key.hex(), encoding="ascii")
    path = tmp_path / "statement.json"
    path.write_bytes(bundle_of("t-01"))
    return path


def run(file: Any, *words: str) -> int:
    """Call `metertree verify`."""
    return main(["verify", str(file), "--key", str(file.parent / "centre.pub"), *words])


@pytest.mark.parametrize(("language", "verdict"), [("en", "Everything holds."), ("zh", "一切成立。")])
def test_an_honest_file_ends_with_code_0(
    file: Any, language: str, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(file, "--lang", language) == 0
    printed = capsys.readouterr()
    assert printed.out.rstrip().splitlines()[-1].startswith(verdict)
    assert "✗" not in printed.out
    assert printed.err == ""


def test_every_line_can_be_asked_for(file: Any, content: StatementContent, capsys: pytest.CaptureFixture[str]) -> None:
    for line in content.lines:
        assert run(file, "--line", line.id) == 0
        assert f"\n{line.id}\n" in capsys.readouterr().out


def test_a_line_that_is_not_there_ends_with_code_1(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(file, "--line", "none") == 1
    assert "no line 'none'" in capsys.readouterr().err


def test_a_file_with_another_key_ends_with_code_1_and_explains_nothing(
    file: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    other = FileSigner.from_seed(bytes(32)).public_key.hex()
    (file.parent / "centre.pub").write_text(other, encoding="ascii")
    assert run(file) == 1
    printed = capsys.readouterr().out
    assert "✗ statement key" in printed
    assert "own-use/" not in printed
    assert run(file, "--lang", "zh") == 1
    assert "不成立：" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    file: Any, spoil: Callable[[Any], Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(file)
    assert run(file) == 1
    shown = capsys.readouterr().err
    assert told in shown
    assert str(file) in shown


def test_a_file_of_any_size_cannot_fill_the_memory(
    file: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify_command, "BUNDLE_OCTETS_MAX", file.stat().st_size - 1)
    monkeypatch.setattr(type(file), "read_bytes", lambda _: pytest.fail("it was read"))
    assert run(file) == 1
    assert "is larger than" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "not hexadecimal", "00" * 31, "00" * 33])
def test_a_key_that_is_none_is_refused(file: Any, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "centre.pub").write_text(text, encoding="ascii")
    assert run(file) == 1
    assert capsys.readouterr().err.startswith("metertree: ")


def test_a_call_without_a_key_is_a_wrong_call(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(file)])
    assert ended.value.code == 2
    assert "--key" in capsys.readouterr().err


def test_every_link_has_a_chinese_name(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run(file, "--lang", "zh")
    checks = [line for line in capsys.readouterr().out.splitlines() if line.lstrip().startswith(("✓", "✗"))]
    assert len(checks) > 6
    assert all(re.search(r"[\u4e00-\u9fff]", line) for line in checks)
