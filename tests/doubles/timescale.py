"""TimescaleDB behind both faces of the store, Database and Connection, so that its own code runs on it.

In WebAssembly, arguments are written into the query as literals, since the server in tests/timescale takes whole texts;
rows come back as text and are read by psycopg's own loaders. Natively it is the server that METERTREE_TEST_DSN names.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.adapt import Transformer
from psycopg.conninfo import make_conninfo
from psycopg.pq import Format

from tests.doubles.servers import GIVEN_DSN, execute_alone

FOLDER = Path(__file__).parents[1] / "timescale"


class Answer(Protocol):
    """What a query gave."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Give all rows."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """Give the first row."""


class Timescale(Protocol):
    """A database with TimescaleDB that is its own only connection."""

    def fresh(self, *, extension: bool = True) -> Timescale:
        """Begin again with an empty database."""

    def execute(self, query: str | bytes, arguments: Mapping[str, Any] | None = None) -> Answer:
        """Execute one statement with arguments, or several without; raises psycopg's errors."""

    def copy(self, query: bytes, octets: bytes) -> None:
        """Execute a COPY ... FROM STDIN with these octets."""

    def transaction(self) -> Any:
        """Open a transaction, or within one a savepoint."""

    def close(self) -> None:
        """End it."""


def _literal(argument: Any) -> str:
    """Write an argument; psycopg escapes an array of octets once too often where it has no connection."""
    if isinstance(argument, list) and argument and isinstance(argument[0], bytes):
        octets = ", ".join(f"'\\x{one.hex()}'::bytea" for one in argument)
        return f"ARRAY[{octets}]"
    return sql.Literal(argument).as_string()


class Rows:
    """What a query gave."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Give all rows."""
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        """Give the first row."""
        return self._rows[0] if self._rows else None


class WasmTimescale:
    """A database that is its own only connection."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            ["node", "server.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._depth = 0

    def fresh(self, *, extension: bool = True) -> WasmTimescale:
        """Begin again with an empty database."""
        self._ask(fresh=True)
        self.execute("SET timezone = 'UTC'")
        if extension:
            self.execute("CREATE EXTENSION timescaledb")
        return self

    def execute(self, query: str | bytes, arguments: Mapping[str, Any] | None = None) -> Rows:
        """Execute one statement with arguments, or several without; raises psycopg's errors."""
        text = query if isinstance(query, str) else query.decode()
        if arguments is not None:
            text = re.sub(r"%\((\w+)\)s", lambda found: _literal(arguments[found[1]]), text)
            text = text.replace("%%", "%")
        return self._rows(self._ask(sql=text))

    def copy(self, query: bytes, octets: bytes) -> None:
        """Execute a COPY ... FROM STDIN with these octets."""
        text = query.decode().replace("FROM STDIN", "FROM '/dev/blob'")
        self._ask(sql=text, blob=base64.b64encode(octets).decode())

    @contextmanager
    def transaction(self) -> Iterator[WasmTimescale]:
        """Open a transaction, or within one a savepoint."""
        begin, commit, roll_back = (
            (f"SAVEPOINT s{self._depth}", f"RELEASE s{self._depth}", f"ROLLBACK TO s{self._depth}")
            if self._depth
            else ("BEGIN", "COMMIT", "ROLLBACK")
        )
        self.execute(begin)
        self._depth += 1
        try:
            yield self
        except BaseException:
            self.execute(roll_back)
            raise
        else:
            self.execute(commit)
        finally:
            self._depth -= 1

    @contextmanager
    def alone(self) -> Iterator[WasmTimescale]:
        """Give the only connection, outside any transaction."""
        assert not self._depth
        yield self

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.kill()
        self._server.wait()

    def _ask(self, **question: Any) -> dict[str, Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        told: dict[str, Any] = json.loads(self._server.stdout.readline())
        if "error" in told:
            try:
                kind = psycopg.errors.lookup(told["code"])
            except KeyError:
                kind = psycopg.DatabaseError
            raise kind(told["error"])
        return told

    def _rows(self, told: dict[str, Any]) -> Rows:
        transformer = Transformer()
        loaders = [transformer.get_loader(oid, Format.TEXT) for oid in told["oids"]]
        return Rows(
            [
                tuple(
                    None if text is None else loader.load(text.encode())
                    for text, loader in zip(row, loaders, strict=True)
                )
                for row in told["rows"]
            ]
        )


class NativeTimescale:
    """A database of its own on the server that METERTREE_TEST_DSN names."""

    _numbers = itertools.count(1)

    def __init__(self) -> None:
        self._name = ""
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def fresh(self, *, extension: bool = True) -> NativeTimescale:
        """Begin again with an empty database."""
        assert GIVEN_DSN
        self.close()
        self._name = f"metertree_native_{os.getpid()}_{next(self._numbers)}"
        execute_alone(GIVEN_DSN, "CREATE DATABASE {} TEMPLATE template0", self._name)
        dsn = make_conninfo(GIVEN_DSN, dbname=self._name, options="-c TimeZone=UTC")
        self._connection = psycopg.connect(dsn, autocommit=True)
        if extension:
            self.execute("CREATE EXTENSION timescaledb")
            with suppress(psycopg.errors.InsufficientPrivilege):  # policies run when a test runs them
                self.execute("SELECT _timescaledb_functions.stop_background_workers()")
        return self

    def execute(self, query: str | bytes, arguments: Mapping[str, Any] | None = None) -> Answer:
        """Execute one statement with arguments, or several without; raises psycopg's errors."""
        assert self._connection is not None
        return self._connection.execute(query.encode() if isinstance(query, str) else query, arguments)

    def copy(self, query: bytes, octets: bytes) -> None:
        """Execute a COPY ... FROM STDIN with these octets."""
        assert self._connection is not None
        with self._connection.cursor() as cursor, cursor.copy(query) as copying:
            copying.write(octets)

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Open a transaction, or within one a savepoint."""
        assert self._connection is not None
        with self._connection.transaction():
            yield self._connection

    @contextmanager
    def alone(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Give the only connection, outside any transaction."""
        assert self._connection is not None
        yield self._connection

    def close(self) -> None:
        """Drop the database."""
        if self._connection is not None:
            assert GIVEN_DSN
            self._connection.close()
            self._connection = None
            execute_alone(GIVEN_DSN, "DROP DATABASE {} WITH (FORCE)", self._name)
