"""The client as a user has it: one file outside every package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FILE = Path(__file__).parents[2] / "clients" / "python" / "metertree_billing.py"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("metertree_billing", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["metertree_billing"] = module
    spec.loader.exec_module(module)
    return module


metertree_billing = _loaded()
