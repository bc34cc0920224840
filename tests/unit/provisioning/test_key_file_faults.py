"""A key file is written whole or not at all, whatever call of the operating system fails, and whoever else writes."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provisioning import keys
from provisioning.keys import FileSigner, KeyFileInvalid, make_signing_key, write_signing_key

SEED = bytes(range(32))
CALLS = ("open", "fdopen", "fsync", "link", "close")


class FailingOs:
    """The module `os`, whose n-th call of interest fails."""

    def __init__(self, failing_call: int, code: int) -> None:
        self.calls: list[str] = []
        self._failing_call = failing_call
        self._code = code

    def __getattr__(self, name: str) -> Any:
        genuine = getattr(os, name)
        return self._counted(name, genuine) if name in CALLS else genuine

    def _counted(self, name: str, genuine: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) - 1 == self._failing_call:
                if name in ("close", "fdopen"):
                    # The descriptor is gone even when closing it reports an error.
                    os.close(args[0])
                raise OSError(self._code, os.strerror(self._code))
            return genuine(*args, **kwargs)

        return call


def calls_of_a_good_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which calls a write without trouble makes."""
    watched = FailingOs(-1, 0)
    monkeypatch.setattr(keys, "os", watched)
    write_signing_key(tmp_path / "good.key", SEED)
    monkeypatch.undo()
    return watched.calls


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_each_call_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """For every call: the error is told, no draft stays, and a later attempt succeeds with the same key."""
    calls = calls_of_a_good_write(tmp_path, monkeypatch)
    assert calls == ["open", "fdopen", "fsync", "link", "open", "fsync", "close"]
    for index in range(len(calls)):
        directory = tmp_path / str(index)
        directory.mkdir()
        path = directory / "signing.key"
        monkeypatch.setattr(keys, "os", FailingOs(index, code))
        with pytest.raises(KeyFileInvalid, match="cannot be written"):
            write_signing_key(path, SEED)
        monkeypatch.undo()
        left = list(directory.iterdir())
        assert left in ([], [path]), "no draft stays"
        if left:
            assert FileSigner.read(path).public_key == FileSigner.from_seed(SEED).public_key
        assert write_signing_key(path, SEED).public_key == FileSigner.read(path).public_key


def test_a_name_is_given_only_to_synced_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a named file must hold a key: content first, then the name, then the directory."""
    calls = calls_of_a_good_write(tmp_path, monkeypatch)
    assert calls.index("fsync") < calls.index("link") < len(calls) - 1 - calls[::-1].index("fsync")


def test_many_who_make_a_key_at_once_all_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    barrier = threading.Barrier(8)
    found: list[bytes] = []

    def make() -> None:
        barrier.wait()
        found.append(make_signing_key(path).public_key)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {FileSigner.read(path).public_key}
    assert [each.name for each in tmp_path.iterdir()] == ["signing.key"]
