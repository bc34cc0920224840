"""What an installation is made of: the wheel holds every file that the programs read, and the locks are of one kind."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.deployment import DEPLOY, ROOT

PACKAGES = ("metering", "device_profiles", "provisioning", "allocation_engine", "edge_agent", "ingest")
NOT_READ = {"ingest/store/migrations/CHECKSUMS"}
"""Read by tests alone."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """Names in a wheel of a copy of the source: building leaves things beside it."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    words = ["-c", "from setuptools.build_meta import build_wheel; build_wheel(__import__('sys').argv[1])", str(made)]
    done = subprocess.run(
        [sys.executable, *words], cwd=source, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (file,) = made.glob("metertree-*.whl")
    with zipfile.ZipFile(file) as opened:
        yield set(opened.namelist())


def test_the_wheel_holds_every_file_of_the_programs(wheel: set[str]) -> None:
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git work tree")
    wanted = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    assert sorted(wanted - wheel - NOT_READ) == []


def test_the_wheel_holds_nothing_else(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == set(PACKAGES)


def pins(path: Path) -> dict[str, str]:
    """Version of each package in a lock file."""
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(encoding="utf-8"), re.M))


@pytest.mark.parametrize(("lock", "extra"), [("centre.lock", "central"), ("gateway.lock", "edge")])
def test_what_is_installed_is_what_is_tested(lock: str, extra: str) -> None:
    """The locks of deploy/ are parts of the one that the tests run on: `make lock` makes them together."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tested, installed = pins(ROOT / "requirements.lock"), pins(DEPLOY / lock)
    assert {name: version for name, version in installed.items() if tested.get(name) != version} == {}
    asked = [*project["dependencies"], *project["optional-dependencies"][extra]]
    names = {re.split(r"[\[<>=!~ ]", one)[0] for one in asked}
    assert names <= installed.keys()
    text = (DEPLOY / lock).read_text(encoding="utf-8")
    assert text.count("--hash=sha256:") >= len(installed)


def test_a_gateway_installs_nothing_of_the_centre() -> None:
    assert not pins(DEPLOY / "gateway.lock").keys() & {"numba", "numpy", "psycopg", "fastapi", "uvicorn"}
