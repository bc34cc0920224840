"""The units of systemd: accepted by it, closed, and of commands and settings that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent import cli as gateway_cli
from edge_agent.installation.home import DEFAULT_HOME
from edge_agent.page.server import PageAddress
from ingest.cli import build_parser
from tests.doubles.deployment import DEPLOY, UNITS, command_of, settings, unit

ANALYZE = shutil.which("systemd-analyze")
OTHERS = sorted([*(DEPLOY / "systemd").glob("*.timer"), *(DEPLOY / "systemd").glob("*.target")])
EXPOSURE_MAX = 25
"""Of 100 (`systemd-analyze security`); a unit without any of these settings has 96."""
names = pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)


def copied(folder: Path) -> list[Path]:
    """The units with programs that are here: systemd asks whether they can be run."""
    made = []
    for path in (*UNITS, *OTHERS):
        copy = folder / path.name.replace("@", "@1-2")
        copy.write_text(path.read_text().replace("/opt/metertree/bin", str(Path(sys.executable).parent)))
        made.append(copy)
    return made


@pytest.mark.skipif(ANALYZE is None, reason="no systemd on this machine")
def test_systemd_accepts_them(tmp_path: Path) -> None:
    assert ANALYZE is not None
    paths = copied(tmp_path)
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", *paths], capture_output=True, text=True, check=False, timeout=60
    )
    ours = [line for line in done.stderr.splitlines() if "metertree" in line]
    assert ours == []


@pytest.mark.skipif(ANALYZE is None, reason="no systemd on this machine")
def test_a_mistake_in_a_unit_is_seen(tmp_path: Path) -> None:
    assert ANALYZE is not None
    broken = tmp_path / "metertree-broken.service"
    broken.write_text("[Service]\nExecStart=/nowhere/metertree\nProtectSystem=strict\nRestartSecs=2\n")
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", broken], capture_output=True, text=True, check=False, timeout=60
    )
    assert "metertree-broken" in done.stderr


@pytest.mark.skipif(ANALYZE is None, reason="no systemd on this machine")
def test_what_a_program_does_not_need_it_cannot_do(tmp_path: Path) -> None:
    assert ANALYZE is not None
    for path in copied(tmp_path):
        if path.suffix != ".service":
            continue
        command = [ANALYZE, "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if "Unknown" in done.stderr or "unrecognized option" in done.stderr:
            pytest.skip("this systemd cannot look at a unit that is not loaded")
        assert done.returncode == 0, f"{path.name}: {done.stdout.splitlines()[-1:]}"


@names
def test_each_runs_a_command_that_is_there(path: Path) -> None:
    program, *words = command_of(path)
    assert Path(program).parent == Path("/opt/metertree/bin")
    assert Path(program).name in {"metertree", "metertree-gateway"}
    (build_parser() if program.endswith("metertree") else gateway_cli._parser()).parse_args(words)


@names
def test_each_variable_is_a_setting(path: Path) -> None:
    given = {line.partition("=")[0] for line in unit(path).get("Environment", [])}
    assert given - {"NUMBA_CACHE_DIR"} <= settings().keys()


def test_the_file_of_settings_holds_settings_and_no_secret() -> None:
    lines = (DEPLOY / "systemd/metertree.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert given.keys() <= settings().keys()
    assert not re.search(r"://\w+:\w+@", given["METERTREE_DSN"])


@names
def test_each_can_keep_its_kernels(path: Path) -> None:
    """Where the compiler cannot write it refuses to work."""
    found = unit(path)
    if command_of(path)[0].endswith("metertree"):
        assert "NUMBA_CACHE_DIR=/var/cache/metertree" in found["Environment"]
        assert found["CacheDirectory"] == ["metertree"]


@names
def test_each_comes_back_and_ends_in_time(path: Path) -> None:
    found = unit(path)
    if found["Type"] == ["oneshot"]:
        return
    assert found["Restart"] == ["always"]
    assert int(found["TimeoutStopSec"][0]) >= 20
    assert "WantedBy" in found


def test_a_gateway_that_is_installed_at_the_site_has_its_home_where_its_unit_may_write() -> None:
    added = unit(DEPLOY / "systemd/metertree-gateway.service.d/home.conf")["ExecStart"]
    assert added[0] == "", "the command of the unit is replaced, not joined by another"
    args = gateway_cli._parser().parse_args(added[1].split()[1:])
    (folder,) = unit(DEPLOY / "systemd/metertree-gateway.service")["StateDirectory"]
    assert args.home == DEFAULT_HOME == Path("/var/lib") / folder
    assert PageAddress.parse(args.page).is_loopback is False
