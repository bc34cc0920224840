"""The demo's folder: made, kept over restarts, cleared, and never a stranger's."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from ingest.demo.premises import (
    LOCK_FILE,
    PORTS,
    STATE_FILE,
    Playbill,
    Premises,
    PremisesUnfit,
    choose_ports,
    clear,
    open_premises,
    reopen_premises,
    sole_use_of,
)
from provisioning.site_file import read_site

PARK = Path(__file__).parents[2] / "examples" / "park"
PLAYBILL = Playbill("examples/park", "loads.toml", None, 2, {"api": 20_001, "postgres": 20_002, "broker": 20_003})


def test_what_is_played_is_read_again(tmp_path: Path) -> None:
    assert reopen_premises(open_premises(tmp_path, PLAYBILL).directory) == Premises(tmp_path, PLAYBILL)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"site": "x"}'])
def test_a_folder_without_a_demo_cannot_be_resumed(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / STATE_FILE).write_text(content)
    with pytest.raises(PremisesUnfit, match="no demo to resume"):
        reopen_premises(tmp_path)


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with sole_use_of(tmp_path), pytest.raises(PremisesUnfit, match="another demo runs"), sole_use_of(tmp_path):
        pass


def test_a_folder_of_something_else_is_never_cleared(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(PremisesUnfit, match="not a demo's"):
        clear(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_an_earlier_demo_is_cleared_with_all_it_holds(tmp_path: Path) -> None:
    with sole_use_of(tmp_path):
        open_premises(tmp_path, PLAYBILL).furnish(read_site(PARK), ["centre", "gw-a", "gw-b"])
        (tmp_path / "lines" / "line-a").symlink_to("/dev/gone")
        clear(tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == [LOCK_FILE]


def test_furnishing_again_keeps_keys_tokens_and_passwords(tmp_path: Path) -> None:
    premises = open_premises(tmp_path, PLAYBILL)
    site = read_site(PARK)
    users = ["centre", "gw-a", "gw-b"]
    premises.furnish(site, users)
    secret = (premises.token_file, premises.centre_key, *map(premises.password_file, users))
    before = [path.read_bytes() for path in secret]
    premises.furnish(site, users)
    assert [path.read_bytes() for path in secret] == before
    assert len(set(before)) == len(before)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secret)
    assert (tmp_path / "postgres" / "port").read_text() == "20002\n"


def test_signing_keys_are_the_same_in_every_demo(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        open_premises(tmp_path / name, PLAYBILL).furnish(read_site(PARK), [])
    for key in ("keys/centre.key", "keys/salt.key", "gateways/gw-a/signing.key"):
        assert (tmp_path / "one" / key).read_bytes() == (tmp_path / "other" / key).read_bytes()


def test_ports_are_free_all_different_and_below_those_of_outgoing_connections() -> None:
    ports = choose_ports(["api", "broker", "time"], {"api": 8123})
    assert ports["api"] == 8123
    assert len(set(ports.values())) == 3
    assert all(ports[name] in PORTS for name in ("broker", "time"))
    for name in ("broker", "time"):
        with socket.create_server(("127.0.0.1", ports[name])):
            pass
