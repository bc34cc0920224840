"""An intake worker with an error planted in it: `-m tests.trust.faulty_worker ERROR DSN PORT PASSWORD SHARE`.

The long form must find it; each error is given the time to do its harm that it would have under load.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from ingest.store.intake_store import PostgresIntakeStore
from tests.doubles.intake_worker import main
from tests.planted import intake_errors

HARM_S = 0.15
"""How long the commit takes that a receipt or an acknowledgement did not wait for [s]."""


def receipts_go_out_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """As a service would that tells the gateway first and stores afterwards."""
    intake_errors.receipts_go_out_before_the_commit(patch)
    _commits_take_long(patch)


def messages_are_acknowledged_on_arrival(patch: pytest.MonkeyPatch) -> None:
    """As paho does by default, and aiomqtt always."""
    intake_errors.messages_are_acknowledged_on_arrival(patch)
    _commits_take_long(patch)


def _commits_take_long(patch: pytest.MonkeyPatch) -> None:
    group = PostgresIntakeStore.group

    @contextmanager
    def slow(self: PostgresIntakeStore) -> Iterator[object]:
        with group(self) as opened:
            yield opened
            Event().wait(HARM_S)

    patch.setattr(PostgresIntakeStore, "group", slow)


ERRORS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "receipt-before-commit": receipts_go_out_before_the_commit,
    "acknowledge-on-arrival": messages_are_acknowledged_on_arrival,
}

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as planted:
        ERRORS[sys.argv[1]](planted)
        main(*sys.argv[2:])
