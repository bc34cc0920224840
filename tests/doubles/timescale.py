"""TimescaleDB in WebAssembly behind both faces of the store, Database and Connection, so that its own code runs on it.

Arguments are written into the query as literals, since the server in tests/timescale takes whole texts; rows come back
as text and are read by psycopg's own loaders.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.adapt import Transformer
from psycopg.pq import Format

FOLDER = Path(__file__).parents[1] / "timescale"


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
            text = re.sub(r"%\((\w+)\)s", lambda found: sql.Literal(arguments[found[1]]).as_string(), text)
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
