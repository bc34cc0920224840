"""Two sources read at the same time: while one is worked on here, a thread waits for the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Full, Queue
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")

WAITING_MAX = 64
"""Items of the other source that wait: a month of a metering point is 36 KiB."""
LOOK_S = 0.1


def side_by_side(own: Iterable[Item], other: Iterable[Item]) -> Iterator[Item]:
    """Give the items of both, those of each in their order; raises what either raises. A thread reads `other`."""
    waiting: Queue[Item] = Queue(WAITING_MAX)
    nobody_wants_more = Event()
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(_read, other, waiting, nobody_wants_more)
        try:
            for item in own:
                yield item
                yield from _ready(waiting)
            while not reading.done():
                yield from _ready(waiting, LOOK_S)
            yield from _ready(waiting)
            reading.result()
        finally:
            nobody_wants_more.set()


def _ready(waiting: Queue[Item], patience_s: float = 0.0) -> Iterator[Item]:
    """Give what waits; with patience, wait for the first."""
    try:
        if patience_s:
            yield waiting.get(timeout=patience_s)
        while True:
            yield waiting.get_nowait()
    except Empty:
        return


def _read(source: Iterable[Item], waiting: Queue[Item], nobody_wants_more: Event) -> None:
    for item in source:
        is_put = False
        while not is_put:
            if nobody_wants_more.is_set():
                return
            is_put = _put(waiting, item)


def _put(waiting: Queue[Item], item: Item) -> bool:
    try:
        waiting.put(item, timeout=LOOK_S)
    except Full:
        return False
    return True
