"""The door to PostgreSQL: a bounded pool of connections, and named queries from `queries/*.sql`.

A query file holds statements that each begin with a line `-- name: <name>`; comments below it belong to the query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import resources
from types import TracebackType
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from metering.errors import MeteringError

Connection = psycopg.Connection[tuple[Any, ...]]
CHECKOUT_S = 10.0
"""Longest wait for a free connection: longer than a restart of the server, shorter than a client's patience."""
_SESSION = (
    "-c TimeZone=UTC -c synchronous_commit=on"
    " -c client_connection_check_interval=10s"
    " -c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)
"""The last two lines: the server notices that a client was killed or its machine lost, and frees what that held."""
CONNECT_S = 5
"""Longest wait for the server's answer to a new connection [s]."""
_ALIVE: dict[str, Any] = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}
"""The same from this end: a server whose machine is lost is noticed after 50 s."""
ANSWER_S = 3.0
"""Longest wait for a connection that only tells whether the database is there: shorter than a probe's patience."""
SPARE_S = 1.0
"""Longest wait for a connection that would only save time: a new one takes a few hundredths of a second."""
_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class QueryUnknown(MeteringError):
    """A query file does not hold a query of this name, or holds a name twice."""


class DatabaseUnreachable(MeteringError):
    """The database does not answer, or refuses this user."""


class Queries(Mapping[str, bytes]):
    """The named queries of one file. Octets, because psycopg takes text only as a literal."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        parts = _NAME.split(text)
        names = parts[1::2]
        if len(set(names)) != len(names):
            raise QueryUnknown(f"queries/{name}.sql names a query twice")
        self._queries = {key: body.strip().encode() for key, body in zip(names, parts[2::2], strict=True)}

    def __getitem__(self, key: str) -> bytes:
        if key not in self._queries:
            raise QueryUnknown(f"queries/{self._name}.sql has no query {key!r}")
        return self._queries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._queries)

    def __len__(self) -> int:
        return len(self._queries)


@cache
def load_queries(name: str) -> Queries:
    """Load `queries/<name>.sql`; raises QueryUnknown if a name stands there twice."""
    return Queries(name, resources.files(__package__).joinpath("queries", f"{name}.sql").read_text("utf-8"))


def connect_alone(dsn: str) -> Connection:
    """Open a connection outside any pool, to listen or to hold a lock; every statement is a transaction of its own."""
    return psycopg.connect(dsn, options=_SESSION, connect_timeout=CONNECT_S, autocommit=True, **_ALIVE)


class Database:
    """A pool of at most `connections` connections to one database; opened lazily, closed by `close`.

    Every session runs in UTC and with synchronous_commit on: what `transaction` returned from is on disk.
    """

    def __init__(self, dsn: str, *, connections: int) -> None:
        self._pool = ConnectionPool(
            dsn,
            min_size=0,
            max_size=connections,
            timeout=CHECKOUT_S,
            open=False,
            check=ConnectionPool.check_connection,
            kwargs={"options": _SESSION, "connect_timeout": CONNECT_S, **_ALIVE},
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Lend a connection inside one transaction: committed on leaving, rolled back on an error.

        Raises DatabaseUnreachable if no connection can be had within 10 s; psycopg's errors pass through.
        """
        with self._lent(CHECKOUT_S) as connection:
            yield connection

    @contextmanager
    def _lent(self, wait_s: float) -> Iterator[Connection]:
        connection = self._taken(wait_s)
        try:
            with connection.transaction():
                yield connection
        finally:
            self._pool.putconn(connection)

    def _taken(self, wait_s: float) -> Connection:
        self._pool.open()
        try:
            return self._pool.getconn(wait_s)
        except psycopg.OperationalError as error:
            raise DatabaseUnreachable(f"no connection to the database: {error}") from error

    @contextmanager
    def spare(self) -> Iterator[Connection | None]:
        """Lend another connection inside a transaction of its own, or None if there is none to spare at once."""
        try:
            connection = self._taken(SPARE_S)
        except DatabaseUnreachable:
            yield None
            return
        try:
            with connection.transaction():
                yield connection
        finally:
            self._pool.putconn(connection)

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """Lend a connection on which each statement is its own transaction, for what cannot run inside one.

        Raises DatabaseUnreachable.
        """
        connection = self._taken(CHECKOUT_S)
        try:
            connection.autocommit = True
            yield connection
        finally:
            if not connection.closed:
                connection.autocommit = False
            self._pool.putconn(connection)

    def answers(self) -> bool:
        """Say whether the database answers a query now; takes a few seconds to say that it does not."""
        try:
            with self._lent(ANSWER_S) as connection:
                return connection.execute(load_queries("database")["ping"]).fetchone() == (1,)
        except (psycopg.Error, DatabaseUnreachable):
            return False

    def identity(self) -> str:
        """Name the database itself, however it is reached; raises DatabaseUnreachable."""
        with self.transaction() as connection:
            row = connection.execute(load_queries("database")["identity"]).fetchone()
        assert row is not None
        return str(row[0])

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
