"""Run as `python -O -m tests.planted.without_asserts`: which planted errors the engine itself stops, as JSON.

Under -O no assert of any test or module exists, so what is told here is the engine's own doing.
"""

from __future__ import annotations

import json
import sys

import pytest

from metering.errors import MeteringError
from tests.planted.errors import STOPPED, Planted
from tests.planted.named import named_test


def refusal(planted: Planted) -> str:
    """Name what the engine raises with the error in it; empty if it goes on as if nothing were."""
    with pytest.MonkeyPatch.context() as patch:
        planted.plant(patch)
        try:
            named_test(planted.caught_by)()
        except MeteringError as error:
            return type(error).__name__
    return ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"asserts": __debug__, "refused": {one.error: refusal(one) for one in STOPPED}}))
