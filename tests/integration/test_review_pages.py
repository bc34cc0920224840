"""The pages about runs over the real service and a real database: what they say, who may act, what is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import psycopg
import pytest
from httpx import Response

from allocation_engine.run_state import RunState
from ingest.store.database import Database
from ingest.store.erasure import erase_again
from tests.doubles.closed_park import copy_of
from tests.doubles.review_centre import BOOKED_AT, FIRST, NOW, PARK_ID, SECOND, ReviewCentre
from tests.doubles.servers import _database


@pytest.fixture(scope="module")
def filled(postgres_dsn: str, migrated_template: str) -> Iterator[tuple[str, ReviewCentre]]:
    """A database with both days closed, the first published; nobody may write there."""
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=6) as database:
            centre = ReviewCentre(database)
            centre.fill()
            centre.close(SECOND)
        yield dsn, centre


@pytest.fixture(scope="module")
def read(postgres_dsn: str, filled: tuple[str, ReviewCentre]) -> Iterator[ReviewCentre]:
    """The service over a copy of it, for tests that only read."""
    for dsn in copy_of(postgres_dsn, filled[0]):
        with Database(dsn, connections=6) as database, like(filled[1], database).open() as built:
            yield built


@pytest.fixture
def centre(postgres_dsn: str, filled: tuple[str, ReviewCentre]) -> Iterator[ReviewCentre]:
    """The service over a copy that a test may change."""
    for dsn in copy_of(postgres_dsn, filled[0]):
        with Database(dsn, connections=6) as database, like(filled[1], database).open() as built:
            yield built


def like(centre: ReviewCentre, database: Database) -> ReviewCentre:
    """The same books behind another service."""
    return ReviewCentre(database, dict(centre.runs), dict(centre.tokens))


def page(centre: ReviewCentre, path: str, who: str = "bo", **parts: str) -> Response:
    """A page in English."""
    return centre.client.get(path, headers=centre.headers(who) | {"Accept-Language": "en", **parts})


def post(centre: ReviewCentre, path: str, who: str, **fields: str) -> Response:
    """Send a form."""
    return centre.client.post(path, data=fields, headers=centre.headers(who) | {"Accept-Language": "en"})


def text_of(answer: Response) -> str:
    """What a reader sees, without marks."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def review(centre: ReviewCentre, period: str = SECOND) -> str:
    """Address of a review."""
    return f"/runs/{centre.runs[period]}/review"


# What is said -----------------------------------------------------------------------------------------------------


def test_the_first_thing_said_is_whether_it_adds_up_and_what_needs_whom(read: ReviewCentre) -> None:
    told = text_of(page(read, review(read)))
    assert told.index("It adds up to the cent") < told.index("What needs you") < told.index("Findings to explain")
    assert "1 finding needs a reason blocks" in told
    assert "Main meter: loss 871.496 kWh, permitted" in told
    bought, tenants, owner, unpooled = (
        int(sum_.replace(",", "").replace(".", ""))
        for sum_ in re.findall(r"<b>¥([\d,.]+)</b>", page(read, review(read)).text)[:4]
    )
    assert bought == tenants + owner + unpooled


def test_a_published_run_needs_nobody(read: ReviewCentre) -> None:
    told = text_of(page(read, review(read, FIRST)))
    assert "Nothing needs you" in told
    assert "Publish the run" not in told


def test_lines_stand_beside_those_of_the_period_before(read: ReviewCentre) -> None:
    run = read.runs[SECOND]
    told = text_of(page(read, f"/runs/{run}/lines?order=amount"))
    assert "Each beside its line of 2026-07-01" in told
    assert "32 lines" in told
    only = text_of(page(read, f"/runs/{run}/lines?pool=lift-and-fire-pump&text=qinghe"))
    assert "1 lines, ¥7.05 in all" in only
    assert "No line is like that" in text_of(page(read, f"/runs/{run}/lines?text=nobody-at-all"))


def test_a_script_gets_the_part_and_everybody_else_a_page(read: ReviewCentre) -> None:
    run = read.runs[SECOND]
    part = page(read, f"/runs/{run}/lines", **{"HX-Request": "true"})
    assert part.text.lstrip().startswith('<section id="lines"')
    assert "<html" in page(read, f"/runs/{run}/lines").text


def test_every_table_comes_as_csv_and_its_sum_is_the_runs(read: ReviewCentre) -> None:
    run = read.runs[SECOND]
    lines = page(read, f"/runs/{run}/lines.csv").text.strip().splitlines()
    assert len(lines) == 33
    now = sum(round(float(line.split(",")[6]) * 100) for line in lines[1:])
    assert now == 1610_99
    for name in ("totals", "pools", "residuals", "outliers", "corrections"):
        assert page(read, f"/runs/{run}/review/{name}.csv").status_code == 200
    assert page(read, f"/runs/{run}/review/nonsense.csv").status_code == 404
    assert page(read, "/runs.csv").text.count("\n") == 3


def test_odd_questions_are_answered_with_what_there_is(read: ReviewCentre) -> None:
    run = read.runs[SECOND]
    for query in ("order=nonsense&only=x&percent=-3", "page=99999", "percent=9999", "pool=%00"):
        assert page(read, f"/runs/{run}/lines?{query}").status_code == 200, query
    assert page(read, "/runs?state=nonsense&period=%25").status_code == 200
    for path in ("/runs/nothing/review", "/runs/nothing/lines", "/runs/nothing/what-if", "/jobs/nothing"):
        assert page(read, path).status_code == 404, path


def test_the_list_shows_each_stage_and_is_filtered_by_state_and_period(read: ReviewCentre) -> None:
    told = text_of(page(read, "/runs"))
    for word in ("All 2", "computed 1", "published 1", "Readings complete", "1 to explain", "¥1,610.99"):
        assert word in told
    assert "1 to explain" not in text_of(page(read, "/runs?state=published"))
    assert "No run is like that" in text_of(page(read, "/runs?period=2025"))


def test_names_of_people_are_not_shown_to_who_may_not_see_them(read: ReviewCentre) -> None:
    assert "computed an" in text_of(page(read, "/runs", "bo"))
    finance = page(read, "/runs", "di")
    assert finance.status_code == 200
    assert "computed an" not in text_of(finance)
    assert "review" not in finance.text.split("<main", 1)[1].split("</main>")[0]
    assert ",an," not in page(read, "/runs.csv", "di").text
    assert page(read, review(read), "di").status_code == 403
    assert page(read, review(read), "ed").status_code == 403


def test_what_if_says_who_would_pay_more_and_still_adds_up(read: ReviewCentre) -> None:
    run = read.runs[SECOND]
    told = text_of(page(read, f"/runs/{run}/what-if?pool=lobby-ac&rule=area"))
    assert "tenants change" in told
    assert "Tried, it still adds up" in told
    assert "Choose a pool and a rule" in text_of(page(read, f"/runs/{run}/what-if"))
    changes = page(read, f"/runs/{run}/what-if.csv?pool=lobby-ac&rule=area").text.strip().splitlines()[1:]
    assert sum(round(float(row.split(",")[-1]) * 100) for row in changes) == 0


# Steps ------------------------------------------------------------------------------------------------------------


def test_two_people_take_a_run_to_its_publication(centre: ReviewCentre) -> None:
    run = centre.runs[SECOND]
    assert "Check the run" in text_of(page(centre, review(centre)))
    bare = post(centre, f"/runs/{run}/check", "bo", reason="looked at all of it")
    assert (bare.status_code, bare.headers["location"]) == (303, f"{review(centre)}?told=check")
    refused = post(centre, f"/runs/{run}/approve", "cy")
    assert refused.status_code == 409
    assert "Some findings have no reason yet" in text_of(refused)
    done = post(centre, f"/runs/{run}/approve", "cy", **{"reason-0": "a welder took 9 kWh a quarter hour"})
    assert done.status_code == 303
    assert "Approved. It can be published." in text_of(page(centre, done.headers["location"]))
    assert post(centre, f"/runs/{run}/publish", "cy").status_code == 303
    story = centre.closing.desk.story(run)
    assert [(one.to_state, one.actor) for one in story.steps] == [
        (RunState.COMPUTED, "an"),
        (RunState.CHECKED, "bo"),
        (RunState.APPROVED, "cy"),
        (RunState.PUBLISHED, "cy"),
    ]
    assert {one.acted_at for one in story.steps[1:]} == {NOW}
    assert "a welder took" in text_of(page(centre, review(centre)))


def test_whoever_computed_cannot_approve_and_what_he_typed_is_kept(centre: ReviewCentre) -> None:
    """Planted: a person with both roles. The page offers no button, and the call is refused."""
    run = centre.runs[SECOND]
    with psycopg.connect(centre.database._pool.conninfo) as connection:
        connection.execute("UPDATE operators SET roles = ARRAY['energy-manager', 'approver']")
    post(centre, f"/runs/{run}/check", "bo", **{"reason-0": "first words"})
    shown = text_of(page(centre, review(centre)))
    assert "bo computed or checked this run; somebody else has to approve it" in shown
    refused = post(centre, f"/runs/{run}/approve", "bo", **{"reason-0": "other words", "reason": "quick"})
    assert refused.status_code == 409
    assert "You cannot approve this run" in text_of(refused)
    assert centre.closing.desk.story(run).reasons[0].reason == "first words"
    assert post(centre, f"/runs/{run}/approve", "cy").status_code == 303


def test_nobody_acts_without_the_role_or_without_a_name(centre: ReviewCentre) -> None:
    run = centre.runs[SECOND]
    assert "Your role does not take this step. Ask" in text_of(page(centre, review(centre), "cy"))
    assert post(centre, f"/runs/{run}/check", "cy").status_code == 403
    assert post(centre, f"/runs/{run}/check", "di").status_code == 403
    anonymous = centre.client.get(review(centre), headers={"Accept-Language": "en"})
    assert "Sign in to take a step" in text_of(anonymous)
    assert centre.client.post(f"/runs/{run}/check", data={}).status_code in (401, 403)
    shared = centre.client.post(f"/runs/{run}/check", data={}, headers={"Authorization": "Bearer t0ken"})
    assert shared.status_code == 409
    assert centre.closing.desk.story(run).steps[-1].to_state is RunState.COMPUTED


def test_a_step_that_somebody_else_took_meanwhile_is_told(centre: ReviewCentre) -> None:
    run = centre.runs[SECOND]
    post(centre, f"/runs/{run}/check", "bo", **{"reason-0": "seen"})
    again = post(centre, f"/runs/{run}/check", "an", **{"reason-0": "mine"})
    assert again.status_code == 409
    assert "The run is not at this step any more" in text_of(again)


def test_a_withdrawn_run_is_for_reference(centre: ReviewCentre) -> None:
    run = centre.runs[SECOND]
    assert post(centre, f"/runs/{run}/withdraw", "bo", reason="").status_code == 409
    assert post(centre, f"/runs/{run}/withdraw", "bo", reason="the tap was found").status_code == 303
    told = text_of(page(centre, review(centre)))
    assert "the tap was found" in told
    assert "Check the run" not in told


def test_a_correction_shows_its_lines_with_causes_and_what_it_superseded(centre: ReviewCentre) -> None:
    """The tap is taken out of the main meter's second day: the next run has no case, and other losses."""
    first = centre.runs[SECOND]
    post(centre, f"/runs/{first}/check", "bo", **{"reason-0": "seen"})
    post(centre, f"/runs/{first}/approve", "cy")
    post(centre, f"/runs/{first}/publish", "cy")
    with psycopg.connect(centre.database._pool.conninfo) as connection:
        connection.execute(
            "UPDATE settled_days SET energy[1] = energy[1] + 40000 WHERE node = 'lift' AND day = '2026-07-02'"
        )
    second = centre.close(SECOND)
    assert second != first
    shown = text_of(page(centre, review(centre)))
    assert "Other runs of this period" in shown
    diff = text_of(page(centre, f"/runs/{second}/diff/{first}"))
    assert "reading" in diff
    assert "lift 1 slots have another energy or quality" in diff
    post(centre, f"/runs/{second}/check", "bo", **{"reason-0": "seen again"})
    assert "is superseded; differences are booked" in text_of(
        page(centre, post(centre, f"/runs/{second}/approve", "cy").headers["location"], "cy")
    )
    assert post(centre, f"/runs/{second}/publish", "cy").status_code == 303
    told = text_of(page(centre, review(centre)))
    assert "Correction lines" in told
    rows = page(centre, f"/runs/{second}/review/corrections.csv").text.strip().splitlines()[1:]
    assert rows
    assert all("reading" in row for row in rows)


# Long work --------------------------------------------------------------------------------------------------------


def test_a_closing_is_ordered_with_a_form_and_told_event_by_event(centre: ReviewCentre) -> None:
    fields = {"site": PARK_ID, "period": FIRST, "booked_at": "2026-08-01T09:00"}
    answer = post(centre, "/runs/close", "bo", **fields)
    assert answer.status_code == 303
    address = answer.headers["location"]
    events = page(centre, f"{address}/events", Accept="text/event-stream")
    assert events.headers["content-type"].startswith("text/event-stream")
    numbers = [int(one) for one in re.findall(r"^id: (\d+)$", events.text, re.M)]
    assert numbers == sorted(numbers)
    assert "event: end" in events.text
    assert '"text": "Settling what arrived"' in events.text
    resumed = page(centre, f"{address}/events", **{"Last-Event-ID": "4"})
    assert "id: 4\nevent: progress" not in resumed.text
    assert "id: 5\nevent: progress" in resumed.text
    assert "The same run as before" in text_of(page(centre, address))
    assert "Closing 2026-07-01" in text_of(page(centre, "/jobs"))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"period": "last month"}, "That is no period"),
        ({"booked_at": "soon"}, "Write it as"),
        ({"site": "nowhere"}, "Choose a site"),
    ],
)
def test_a_form_that_cannot_be_read_is_shown_again_with_what_was_typed(
    read: ReviewCentre, fields: dict[str, str], told: str
) -> None:
    sent = {"site": str(PARK_ID), "period": FIRST, "booked_at": "2026-08-01T09:00", **fields}
    answer = post(read, "/runs/close", "bo", **sent)
    assert answer.status_code == 422
    assert told in text_of(answer)
    assert all(f'value="{text}"' in answer.text for name, text in sent.items() if name != "site")


def test_a_refused_closing_says_why_and_that_nothing_was_stored(centre: ReviewCentre) -> None:
    fields = {"site": PARK_ID, "period": "2026-07", "booked_at": "2026-08-01T09:00"}
    address = post(centre, "/runs/close", "bo", **fields).headers["location"]
    page(centre, f"{address}/events")
    told = text_of(page(centre, address))
    assert "refused" in told
    assert "Nothing was stored" in told
    assert len(centre.closing.desk.database and page(centre, "/runs.csv").text.strip().splitlines()) == 3


def test_only_who_may_close_orders_it(read: ReviewCentre) -> None:
    fields = {"site": str(PARK_ID), "period": FIRST, "booked_at": BOOKED_AT.isoformat()}
    assert {post(read, "/runs/close", who, **fields).status_code for who in ("cy", "di", "ed")} == {403}
    assert page(read, "/jobs", "di").status_code == 403


def test_a_name_that_was_erased_is_gone_from_a_review_that_was_kept(centre: ReviewCentre) -> None:
    """Planted: names kept under the run alone. The page was looked at before, so its names lie in memory."""
    path = f"/runs/{centre.runs[SECOND]}/lines"
    assert "Qinghe Tea" in text_of(page(centre, path))
    with centre.database.transaction() as connection:
        assert erase_again(connection, [("party", PARK_ID, "t-01", "moved out", NOW)])
    assert "Qinghe Tea" not in text_of(page(centre, path))
    assert "Qinghe" not in text_of(page(centre, review(centre)))
