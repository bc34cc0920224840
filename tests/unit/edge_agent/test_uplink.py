"""The uplink's state machine: no socket, no clock, every path."""

from __future__ import annotations

import pytest

from edge_agent.uplink import (
    CONNECT_PATIENCE_S,
    DEAF_MAX,
    LIVE_FIRST,
    LIVE_MAX,
    RECONNECT_S,
    RECONNECT_S_MAX,
    SILENCE_S,
    SILENCE_S_MAX,
    WINDOW,
    WINDOW_MAX,
    WINDOW_MIN,
    Connect,
    GiveUp,
    Link,
    Send,
    Uplink,
    Wait,
)


def uplink(receipted_seq: int = 0, newest_seq: int = 0) -> Uplink:
    """An uplink that has never connected."""
    return Uplink(receipted_seq=receipted_seq, newest_seq=newest_seq, jitter=lambda: 1.0)


def online(receipted_seq: int = 0, newest_seq: int = 0, now: float = 0.0) -> Uplink:
    """An uplink in a session that just began."""
    machine = uplink(receipted_seq, newest_seq)
    assert machine.next_step(now) == Connect()
    machine.connected(now)
    return machine


def behind(newest_seq: int) -> Uplink:
    """An uplink with much to send, whose newest few batches have gone ahead."""
    machine = online(newest_seq=newest_seq)
    assert machine.next_step(0.0) == Send(newest_seq - LIVE_FIRST, LIVE_MAX, live=True)
    machine.sent_live(newest_seq)
    return machine


def test_it_connects_at_once_and_then_waits_for_the_broker() -> None:
    machine = uplink(newest_seq=3)
    assert machine.next_step(10.0) == Connect()
    assert machine.next_step(10.0) == Wait(CONNECT_PATIENCE_S)
    assert machine.link is Link.CONNECTING


def test_a_broker_that_says_nothing_is_given_up() -> None:
    machine = uplink()
    machine.next_step(0.0)
    assert machine.next_step(CONNECT_PATIENCE_S) == GiveUp()


def test_it_sends_what_is_not_receipted_in_order() -> None:
    machine = online(receipted_seq=4, newest_seq=7)
    assert machine.next_step(0.0) == Send(4, 3)
    machine.sent(7, 0.0)
    assert machine.next_step(0.0) == Wait(SILENCE_S)
    machine.receipted(7, (), 1.0)
    assert machine.next_step(1.0) == Wait(None)
    assert machine.is_done


def test_a_new_batch_is_sent_at_once() -> None:
    machine = online(receipted_seq=7, newest_seq=7)
    machine.appended(8)
    assert machine.next_step(3.0) == Send(7, 1)


def test_no_more_than_the_window_is_out() -> None:
    machine = behind(1000)
    machine.sent(WINDOW, 0.0)
    assert machine.next_step(0.0) == Wait(SILENCE_S)
    machine.receipted(10, (), 0.5)
    assert machine.next_step(0.5) == Send(WINDOW, 20)


def test_the_window_grows_by_what_receipts_cover_and_halves_with_each_silence() -> None:
    machine = behind(10_000)
    sent, now, limits = 0, 0.0, []
    for _ in range(5):
        step = machine.next_step(now)
        assert isinstance(step, Send)
        limits.append(step.limit)
        sent = step.after_seq + step.limit
        machine.sent(sent, now)
        machine.receipted(sent, (), now)
    assert limits == [WINDOW, 2 * WINDOW, 4 * WINDOW, WINDOW_MAX, WINDOW_MAX]
    limits = []
    for silence in (5.0, 10.0, 20.0, 40.0, 60.0, 60.0):
        machine.sent(sent + 1, now)
        now += silence
        step = machine.next_step(now)
        assert isinstance(step, Send)
        limits.append(step.limit)
    assert limits == [WINDOW_MAX // 2, WINDOW_MAX // 4, WINDOW_MAX // 8, WINDOW_MAX // 16, WINDOW_MIN, WINDOW_MIN]


def test_what_stays_unreceipted_is_sent_again_after_silence() -> None:
    machine = online(newest_seq=3)
    machine.sent(3, 0.0)
    assert machine.next_step(SILENCE_S - 0.1) == Wait(pytest.approx(0.1))
    assert machine.next_step(SILENCE_S) == Send(0, 3)


def test_a_receipt_restarts_the_silence() -> None:
    machine = online(newest_seq=3)
    machine.sent(3, 0.0)
    machine.receipted(1, (), 4.0)
    assert machine.next_step(SILENCE_S) == Wait(4.0)
    assert machine.next_step(4.0 + SILENCE_S) == Send(1, 2)


def test_new_batches_do_not_hide_a_broker_that_loses_everything() -> None:
    machine = online(newest_seq=1)
    machine.sent(1, 0.0)
    for seq in range(2, 12):
        now = float(seq) / 2
        machine.appended(seq)
        if now < SILENCE_S:
            assert machine.next_step(now) == Send(seq - 1, 1)
            machine.sent(seq, now)
    assert machine.next_step(SILENCE_S) == Send(0, 11)


def test_silence_is_met_with_growing_patience_until_a_receipt_moves_something() -> None:
    machine = online(newest_seq=2)
    now = 0.0
    for expected in (5.0, 10.0, 20.0, 40.0, 60.0, 60.0):
        machine.sent(2, now)
        assert machine.next_step(now) == Wait(pytest.approx(expected))
        now += expected
        assert machine.next_step(now) == Send(0, 2)
    assert SILENCE_S_MAX == 60.0
    machine.sent(2, now)
    machine.receipted(1, (), now)
    assert machine.next_step(now) == Wait(SILENCE_S)


def test_a_repeated_receipt_moves_nothing() -> None:
    machine = online(newest_seq=5)
    machine.sent(5, 0.0)
    machine.receipted(3, (), 1.0)
    machine.receipted(3, (), 5.0)
    machine.receipted(2, (), 5.5)
    assert machine.receipted_seq == 3
    assert machine.next_step(1.0 + SILENCE_S) == Send(3, 2)


def test_a_new_session_starts_from_the_first_unreceipted_batch() -> None:
    machine = online(newest_seq=9)
    machine.sent(9, 0.0)
    machine.receipted(4, (), 0.5)
    machine.lost(1.0)
    assert machine.next_step(1.0) == Wait(RECONNECT_S)
    assert machine.next_step(1.0 + RECONNECT_S) == Connect()
    machine.connected(2.0)
    assert machine.next_step(2.0) == Send(4, 5)


def test_pauses_between_sessions_double_up_to_a_bound() -> None:
    machine = uplink()
    now, pauses = 0.0, []
    for _ in range(12):
        assert machine.next_step(now) == Connect()
        machine.lost(now)
        step = machine.next_step(now)
        assert isinstance(step, Wait)
        assert step.seconds is not None
        pauses.append(step.seconds)
        now += step.seconds
    assert pauses[:4] == [RECONNECT_S, 2 * RECONNECT_S, 4 * RECONNECT_S, 8 * RECONNECT_S]
    assert pauses[-1] == RECONNECT_S_MAX


def test_a_session_that_came_about_makes_the_next_pause_short_again() -> None:
    machine = uplink()
    for now in (0.0, 100.0, 200.0):
        machine.next_step(now)
        machine.lost(now)
    machine.next_step(300.0)
    machine.connected(300.0)
    machine.lost(301.0)
    assert machine.next_step(301.0) == Wait(RECONNECT_S)


def test_jitter_keeps_a_fleet_out_of_step() -> None:
    machine = Uplink(receipted_seq=0, newest_seq=0, jitter=lambda: 0.5)
    machine.next_step(0.0)
    machine.lost(0.0)
    assert machine.next_step(0.0) == Wait(RECONNECT_S / 2)


def test_a_refused_batch_is_not_sent_for_ever_and_holds_up_nothing() -> None:
    machine = behind(200)
    machine.sent(WINDOW, 0.0)
    machine.receipted(9, [10], 1.0)
    machine.sent(18 + WINDOW, 1.0)
    assert machine.next_step(1.0) == Wait(SILENCE_S)
    assert machine.next_step(1.0 + SILENCE_S) == Send(18 + WINDOW, (WINDOW + 9) // 2)


def test_past_a_hole_a_new_session_does_not_start_over() -> None:
    machine = behind(200)
    machine.sent(WINDOW, 0.0)
    machine.receipted(9, [10], 1.0)
    machine.lost(2.0)
    machine.next_step(4.0)
    machine.connected(4.0)
    assert machine.next_step(4.0) == Send(200 - LIVE_FIRST, LIVE_MAX, live=True)
    machine.sent_live(200)
    assert machine.next_step(4.0) == Send(WINDOW, WINDOW + 9)


def test_a_centre_that_counts_past_refused_batches_leaves_no_hole() -> None:
    machine = online(newest_seq=20)
    machine.sent(20, 0.0)
    machine.receipted(15, [10], 1.0)
    assert machine.next_step(1.0 + SILENCE_S) == Send(15, 5)


def test_evicted_batches_that_nothing_tells_of_are_skipped() -> None:
    machine = behind(100)
    assert machine.next_step(0.0) == Send(0, WINDOW)
    machine.evicted(30)
    machine.sent(31, 0.0)
    assert machine.next_step(0.0) == Send(31, WINDOW - 1)
    machine.sent(30 + WINDOW, 0.0)
    assert machine.next_step(SILENCE_S) == Send(30 + WINDOW, WINDOW // 2)


def test_a_tombstone_is_receipted_as_any_batch() -> None:
    machine = online(newest_seq=20)
    machine.told(1)
    machine.sent(20, 0.0)
    assert machine.next_step(0.0) == Wait(SILENCE_S)
    assert machine.next_step(SILENCE_S) == Send(0, WINDOW // 2)
    machine.sent(20, SILENCE_S)
    machine.receipted(20, (), 6.0)
    assert machine.is_done


def test_a_centre_that_does_not_know_tombstones_holds_up_nothing() -> None:
    machine = online(newest_seq=20)
    now = 0.0
    for silence in range(1, DEAF_MAX + 1):
        machine.told(1)
        machine.sent(20, now)
        now += 60.0
        assert isinstance(machine.next_step(now), Send) == (silence < DEAF_MAX)
    assert machine.is_done
    machine.appended(21)
    assert machine.next_step(now) == Send(20, 1)


def test_a_new_session_tells_a_deaf_centre_once_more() -> None:
    machine = online(newest_seq=20)
    for now in (60.0, 120.0, 180.0):
        machine.told(1)
        machine.sent(20, now - 60.0)
        machine.next_step(now)
    assert machine.is_done
    machine.connected(200.0)
    assert machine.next_step(200.0) == Send(0, WINDOW_MIN)


def test_a_chain_that_diverged_is_sent_once_and_never_again() -> None:
    machine = online(newest_seq=20)
    machine.sent(20, 0.0)
    machine.diverged()
    for now in (60.0, 120.0, 3600.0):
        assert machine.next_step(now) == Wait(None)
    machine.lost(4000.0)
    machine.next_step(4100.0)
    machine.connected(4100.0)
    assert machine.next_step(4100.0) == Wait(None)
    machine.appended(21)
    assert machine.next_step(4200.0) == Send(20, 1)


def test_what_is_read_while_history_is_on_its_way_goes_out_at_once() -> None:
    machine = behind(1000)
    machine.sent(WINDOW, 0.0)
    machine.appended(1001)
    assert machine.next_step(1.0) == Send(1000, LIVE_MAX - LIVE_FIRST, live=True)
    machine.sent_live(1001)
    assert machine.next_step(1.0) == Wait(SILENCE_S - 1.0)


def test_history_goes_on_behind_what_went_ahead() -> None:
    machine = behind(WINDOW + 10)
    machine.sent(WINDOW, 0.0)
    machine.receipted(WINDOW, (), 1.0)
    assert machine.next_step(1.0) == Send(WINDOW, 10 - LIVE_FIRST)
    machine.sent(WINDOW + 10 - LIVE_FIRST, 1.0)
    assert machine.next_step(1.0) == Wait(SILENCE_S)
    machine.receipted(WINDOW + 10, (), 2.0)
    assert machine.is_done
    assert machine.next_step(2.0) == Wait(None)


def test_what_goes_ahead_is_bounded_while_no_receipt_comes() -> None:
    machine = behind(1000)
    machine.sent(WINDOW, 0.0)
    machine.appended(1200)
    assert machine.next_step(0.0) == Send(1000, LIVE_MAX - LIVE_FIRST, live=True)
    machine.sent_live(1000 + LIVE_MAX - LIVE_FIRST)
    assert machine.next_step(0.0) == Wait(SILENCE_S)


def test_a_centre_that_fell_back_gets_everything_again_from_there() -> None:
    machine = online(receipted_seq=50, newest_seq=60)
    machine.sent(60, 0.0)
    machine.recalled(12, 1.0)
    assert machine.receipted_seq == 12
    assert machine.next_step(1.0) == Send(12, WINDOW)


def test_an_epoch_is_done_when_what_is_left_went_out_behind_a_hole() -> None:
    machine = online(newest_seq=3)
    machine.evicted(1)
    machine.sent(3, 0.0)
    assert not machine.is_done
    machine.next_step(SILENCE_S)
    assert machine.is_done


def test_the_next_epoch_uses_the_same_session() -> None:
    machine = online(newest_seq=3)
    machine.sent(3, 0.0)
    machine.receipted(3, (), 0.0)
    machine.begin(receipted_seq=0, newest_seq=2)
    assert machine.link is Link.ONLINE
    assert machine.next_step(0.0) == Send(0, 2)
