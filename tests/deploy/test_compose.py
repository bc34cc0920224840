"""compose.yaml: of the form that Compose reads, pinned, closed, and of commands and settings that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ingest.alert_watch import certificate_ends
from ingest.cli import build_parser
from metering.clock import SystemClock
from provisioning.broker_tls import BrokerTls
from provisioning.keys import FileSigner, read_salt_key
from tests.doubles.deployment import DEPLOY, VARIABLE, compose, settings
from tests.doubles.tls_broker import HAS_OPENSSL, certificates, make_certificates

COMPOSE = compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CENTRE = {name: one for name, one in SERVICES.items() if one["image"].startswith("metertree:")}


def test_it_has_the_form_that_compose_reads() -> None:
    schemas = pytest.importorskip("check_jsonschema.builtin_schemas")
    jsonschema = pytest.importorskip("jsonschema")
    schema = schemas.get_builtin_schema("vendor.compose-spec")
    faults = [f"{one.json_path}: {one.message}" for one in jsonschema.Draft7Validator(schema).iter_errors(COMPOSE)]
    assert faults == []


def test_a_mistake_in_its_form_is_seen() -> None:
    schemas = pytest.importorskip("check_jsonschema.builtin_schemas")
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft7Validator(schemas.get_builtin_schema("vendor.compose-spec"))
    assert not validator.is_valid({**COMPOSE, "services": {"api": {"image": "metertree", "ports": "8080:8080"}}})


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    image = SERVICES[name]["image"].replace("${METERTREE_VERSION:-", "").replace("}", "")
    assert re.search(r":v?\d+\.\d+\.\d+", image), image


def test_the_image_carries_the_version_of_the_project() -> None:
    version = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {one["image"] for one in CENTRE.values()} == {f"metertree:${{METERTREE_VERSION:-{version}}}"}
    for name in ("compose.env", "Dockerfile"):
        assert re.search(rf"(METERTREE_VERSION=|-t metertree:){re.escape(version)}\b", (DEPLOY / name).read_text())


def test_only_the_door_of_gateways_is_open_to_the_world() -> None:
    ports = [port for one in SERVICES.values() for port in one.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == ["8883:8883"]


@pytest.mark.parametrize("name", CENTRE)
def test_every_command_is_one_of_metertree(name: str) -> None:
    build_parser().parse_args(CENTRE[name]["command"])


@pytest.mark.parametrize("name", CENTRE)
def test_what_the_centre_does_not_need_it_cannot_do(name: str) -> None:
    one = CENTRE[name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    cache = re.search(r"NUMBA_CACHE_DIR=(\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    assert cache is not None
    written = [volume for volume in one["volumes"] if not volume.endswith(":ro") and not volume.startswith("./backups")]
    assert written == [f"kernels:{cache[1]}"]


def test_every_variable_is_a_setting() -> None:
    named = {name for one in CENTRE.values() for name in one["environment"]}
    assert named <= settings().keys()
    assert not [name for one in CENTRE.values() for name in one["environment"] if "PASSWORD" in name]


def test_each_share_of_the_gateways_has_one_worker() -> None:
    def shares(profile: str) -> list[str]:
        commands = [one["command"] for one in CENTRE.values() if profile in one.get("profiles", [])]
        return sorted(words[words.index("--intake-share") + 1] for words in commands if "--intake-share" in words)

    split = shares("split")
    assert split == [f"{number}/{len(split)}" for number in range(1, len(split) + 1)]
    assert shares("small") == []
    assert CENTRE["serve"]["profiles"] == ["small"]


def test_what_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for one in SERVICES.values() for volume in one.get("volumes", [])]
    paths = {one for one in mounted if one.startswith("./") and not one.startswith(("./secrets", "./backups"))}
    assert paths
    assert [one for one in paths if not (DEPLOY / one).exists()] == []
    named = {one for one in mounted if not one.startswith("./")}
    assert named == set(COMPOSE["volumes"])


@pytest.mark.skipif(not HAS_OPENSSL, reason="prepare.sh needs openssl")
def test_prepare_makes_every_secret_that_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = ["sh", str(DEPLOY / "prepare.sh"), str(folder), "broker.example"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
    issued = folder / "certificates/issued"
    names = {"broker.metertree", "centre.metertree", "ca.metertree", "gateways-ca.metertree"}
    assert certificate_ends(issued).keys() == names
    assert not [path for path in issued.iterdir() if b"PRIVATE" in path.read_bytes()]
    named = {
        text.replace("/run/metertree", str(folder / "centre"))
        for one in CENTRE.values()
        for text in one["environment"].values()
        if text.startswith("/run/metertree")
    }
    assert [path for path in named if not Path(path).is_file()] == []
    for one in COMPOSE["secrets"].values():
        assert (tmp_path / one["file"]).is_file()
    conf = (DEPLOY / "mosquitto/metertree.conf").read_text()
    for wanted in re.findall(r"/etc/mosquitto/certs/(\S+)", conf):
        assert (folder / "broker" / wanted).is_file(), wanted
    centre = folder / "centre"
    FileSigner.read(centre / "signing.key")
    read_salt_key(centre / "salt.key")
    BrokerTls(centre / "ca.crt", centre / "tls.crt", centre / "tls.key").context()
    assert len((centre / "admin.token").read_text().strip()) >= 20
    assert not [path for path in centre.iterdir() if path.stat().st_mode & 0o077]


@pytest.mark.skipif(not HAS_OPENSSL, reason="certificates.sh needs openssl")
def test_a_gateways_certificate_is_watched_until_it_is_revoked(tmp_path: Path) -> None:
    make_certificates(tmp_path, "gw-a")
    now = SystemClock().now()
    assert (certificate_ends(tmp_path / "issued")["gw-a"] - now).days == 396
    assert certificates(tmp_path, "gateway", "gw-a", days=30).returncode == 0
    assert (certificate_ends(tmp_path / "issued")["gw-a"] - now).days < 31
    assert certificates(tmp_path, "revoke", "gw-a").returncode == 0
    assert "gw-a" not in certificate_ends(tmp_path / "issued")
    assert certificates(tmp_path, "gateway", "../gw-a").returncode == 1


def test_a_second_call_of_prepare_keeps_what_is_there(tmp_path: Path) -> None:
    if not HAS_OPENSSL:
        pytest.skip("prepare.sh needs openssl")
    command = ["sh", str(DEPLOY / "prepare.sh"), str(tmp_path / "s"), "broker.example"]
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()} == before


def test_the_image_is_made_of_what_is_there() -> None:
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    images = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert len({*images}) == 1
    assert re.fullmatch(r"python:3\.1[1-3]\.\d+-slim-\w+", images[0])
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    assert [one for (one,) in copied if not (DEPLOY.parent / one).exists()] == []
    modules = re.findall(r"python -m (ingest\S+|allocation_engine\S+)", "\n".join(lines))
    assert modules
    for module in modules:
        assert (DEPLOY.parent / (module.replace(".", "/") + ".py")).is_file()
    assert lines[-2:] == ['ENTRYPOINT ["metertree"]', 'CMD ["--help"]']
    assert "USER metertree" in lines


@pytest.mark.parametrize("script", [*sorted(DEPLOY.rglob("*.sh"))], ids=lambda path: path.name)
def test_every_script_is_one(script: Path) -> None:
    assert subprocess.run(["sh", "-n", str(script)], check=False, timeout=20).returncode == 0
    assert script.stat().st_mode & 0o111
    if shutil.which("dash"):
        assert subprocess.run(["dash", "-n", str(script)], check=False, timeout=20).returncode == 0


def test_every_variable_in_deploy_is_a_setting() -> None:
    known = settings().keys() | {"METERTREE_VERSION"}
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file() and path.suffix not in {".json", ".lock"}:
            found = set(VARIABLE.findall(path.read_text(encoding="utf-8")))
            assert found <= known, path
