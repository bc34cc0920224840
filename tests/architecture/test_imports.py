"""The direction of the house: import-linter's contracts from pyproject.toml, and proof that they can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of the tree at `root`."""
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)


def test_every_import_contract_holds() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


def test_a_database_import_in_the_gateway_is_reported(tmp_path: Path) -> None:
    for name in ("metering", "device_profiles", "provisioning", "allocation_engine", "edge_agent", "ingest"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "edge_agent" / "stray.py").write_text("import psycopg\n")
    result = lint(tmp_path)
    assert result.returncode != 0
    assert "edge_agent.stray" in result.stdout
