"""Seals the statements of a run one after the other, or on several processes: same octets, same order.

A worker is a fork of the closing process, so it has the whole run before it without a copy of it. It seals every n-th
handful of parties and writes them into a pipe; the pipes are emptied in turn, which gives the order of the run, and a
worker that is ahead waits until its pipe has room. Whatever ends a worker early ends the closing, which stores nothing.
"""

from __future__ import annotations

import multiprocessing
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from allocation_engine.statement import Statement
from metering.errors import BooksError, MeteringError
from metering.identity import PartyId

HANDFUL = 32
"""Parties sealed at a time: the pipe is then seldom the bottleneck, and at most a few MiB wait in it."""

Seal = Callable[[PartyId], Statement]


class SealingStopped(BooksError):
    """A process that sealed statements ended before it was done."""


def seal_all(parties: Sequence[PartyId], seal: Seal, processes: int) -> Iterator[Statement]:
    """Give the statement of each party, in their order; raises what `seal` raises, and SealingStopped.

    processes   how many seal at the same time; 1 seals here. More need a system that forks, and a program that holds
                no lock in another thread: a command does, a service does not.
    """
    wanted = min(processes, -(-len(parties) // HANDFUL))
    if wanted <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(seal, parties)
        return
    with ExitStack() as stack:
        workers = [stack.enter_context(_Worker(parties, seal, number, wanted)) for number in range(wanted)]
        for handful in count():
            if handful * HANDFUL >= len(parties):
                return
            sealed = workers[handful % wanted].next_handful()
            # What cannot be sealed is tried once more here, so that the error is the one it would be without workers.
            yield from map(seal, parties[handful * HANDFUL :][:HANDFUL]) if sealed is None else sealed


class _Worker:
    """One process, from its start to its end."""

    def __init__(self, parties: Sequence[PartyId], seal: Seal, number: int, of: int) -> None:
        fork = multiprocessing.get_context("fork")
        self._pipe, theirs = fork.Pipe(duplex=False)
        self._process = fork.Process(target=_work, args=(theirs, parties, seal, number, of), daemon=True)
        with warnings.catch_warnings():
            # The threads there are wait for work: the pool of connections, which a worker never touches.
            warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
            self._process.start()
        theirs.close()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def next_handful(self) -> list[Statement] | None:
        """Wait for the next statements of this worker; None where one of them cannot be sealed."""
        try:
            told: list[Statement] | None = pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError) as error:
            self._process.join()
            raise SealingStopped(
                f"a process that sealed statements ended with {self._process.exitcode}; nothing was stored, close again"
            ) from error
        return told


def _work(pipe: Connection[Any, Any], parties: Sequence[PartyId], seal: Seal, number: int, of: int) -> None:
    """Seal every `of`-th handful from the `number`-th on."""
    for first in range(number * HANDFUL, len(parties), of * HANDFUL):
        try:
            told: list[Statement] | None = [seal(party) for party in parties[first : first + HANDFUL]]
        except MeteringError:
            told = None
        pipe.send_bytes(pickle.dumps(told))
