"""Played time against the world's own time server, and against servers that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import cast

import pytest

from edge_agent.adapters.played_clock import PlayedClock, TimeServerUnfit
from edge_agent.adapters.stoppable_clock import StoppableClock
from edge_agent.ports import Stopped
from ingest.demo.time_server import PlayedTime, TimeServer
from ingest.demo.world import PlayedRegisters
from metering.clock import ClockQuality
from tests.doubles.edge import GATEWAY, QUARTER, START

END = START + 4 * QUARTER


class Hands:
    """All that the time server wants of a gateway's registers."""

    def __init__(self) -> None:
        self.now = START - timedelta(seconds=60)

    def advance_to(self, instant: object) -> bool:
        """Follow up to the end."""
        if instant > END:  # type: ignore[operator]
            return False
        self.now = instant  # type: ignore[assignment]
        return True


def serve(port: int = 0) -> tuple[TimeServer, Hands]:
    """Start a time server that has forgotten everything."""
    hands = Hands()
    server = TimeServer(PlayedTime({GATEWAY: cast(PlayedRegisters, hands)}, lambda *_: None), port)
    server.start()
    return server, hands


@pytest.fixture
def stop() -> threading.Event:
    """What ends every wait."""
    return threading.Event()


@pytest.fixture
def world() -> Iterator[tuple[TimeServer, Hands]]:
    """A time server."""
    server, hands = serve()
    yield server, hands
    server.close()


@pytest.fixture
def clock(world: tuple[TimeServer, Hands], stop: threading.Event) -> Iterator[PlayedClock]:
    """A clock of it."""
    made = PlayedClock("127.0.0.1", world[0].port, GATEWAY, stop)
    yield made
    made.close()


def test_it_begins_at_the_world_s_now(clock: PlayedClock) -> None:
    assert clock.now() == START - timedelta(seconds=60)


def test_a_mark_is_reached_exactly_and_the_world_with_it(clock: PlayedClock, world: tuple[TimeServer, Hands]) -> None:
    clock.sleep_until(START)
    assert clock.now() == START == world[1].now


def test_short_sleeps_move_this_clock_alone(clock: PlayedClock, world: tuple[TimeServer, Hands]) -> None:
    clock.sleep_until(START)
    clock.sleep(0.004)
    assert clock.now() == START + timedelta(milliseconds=4)
    assert world[1].now == START


def test_a_mark_that_is_repeated_begins_at_the_mark_again(clock: PlayedClock) -> None:
    clock.sleep_until(START)
    clock.sleep(0.25)
    clock.sleep_until(START)
    assert clock.now() == START


def test_played_time_is_exact(clock: PlayedClock) -> None:
    assert clock.state().quality is ClockQuality.SYNCHRONISED
    assert clock.state().error_ms == 0


def test_a_world_that_restarts_is_waited_for_and_told_again(stop: threading.Event) -> None:
    server, _ = serve()
    port = server.port
    clock = PlayedClock("127.0.0.1", port, GATEWAY, stop)
    clock.sleep_until(START)
    server.close()
    waiting = threading.Thread(target=clock.sleep_until, args=(START + QUARTER,))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    again, hands = serve(port)
    waiting.join(5)
    assert hands.now == START + QUARTER
    clock.close()
    again.close()


def test_at_the_end_of_the_play_time_stands_still_until_told_to_stop(clock: PlayedClock, stop: threading.Event) -> None:
    raised: list[type[BaseException]] = []

    def wait() -> None:
        try:
            clock.sleep_until(END + QUARTER)
        except Stopped as error:
            raised.append(type(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    stop.set()
    waiting.join(5)
    assert raised == [Stopped]


def test_a_gateway_that_is_stopped_asks_nothing_more(clock: PlayedClock, stop: threading.Event) -> None:
    stop.set()
    with pytest.raises(Stopped):
        clock.sleep_until(START)


def answering(octets: bytes) -> tuple[socket.socket, threading.Thread]:
    """A server that answers everything with the same octets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(octets)

    thread = threading.Thread(target=answer)
    thread.start()
    return listener, thread


@pytest.mark.parametrize(
    "octets",
    [b"noon\n", b"{}\n", b'{"now": 5}\n', b'{"now": "2026-07-01T00:00:00"}\n', b"[1]\n", b" " * 2000],
    ids=["no-json", "no-now", "a-number", "no-zone", "an-array", "endless"],
)
def test_an_answer_that_is_no_instant_is_an_error(octets: bytes, stop: threading.Event) -> None:
    listener, thread = answering(octets)
    clock = PlayedClock("127.0.0.1", listener.getsockname()[1], GATEWAY, stop)
    with pytest.raises(TimeServerUnfit):
        clock.now()
    thread.join()
    clock.close()
    listener.close()


@pytest.fixture
def soon() -> Callable[[float], object]:
    """An instant that many seconds from now on the machine's clock."""
    return lambda seconds: StoppableClock(threading.Event()).now() + timedelta(seconds=seconds)


def test_the_machine_s_clock_waits_until_the_mark(stop: threading.Event, soon: Callable[[float], object]) -> None:
    clock = StoppableClock(stop)
    mark = soon(0.1)
    clock.sleep_until(mark)  # type: ignore[arg-type]
    assert clock.now() >= mark  # type: ignore[operator]


def test_the_machine_s_clock_stops_waiting_when_told(stop: threading.Event, soon: Callable[[float], object]) -> None:
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(Stopped):
        StoppableClock(stop).sleep_until(soon(60))  # type: ignore[arg-type]
