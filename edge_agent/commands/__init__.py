"""Commands of `metertree-gateway`, one module each: `register` adds its arguments, `run` does it.

Owns: arguments, and printing for a person or as JSON. Does not own: what a command looks at or changes.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
