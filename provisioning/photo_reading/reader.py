"""The port: a photo in, the rows of digits that are in it out, each with how sure the machine is of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

from provisioning.photo_file import PlainPhoto

NEEDED = ("onnxruntime", "PIL", "numpy", "rapidocr")
"""What the adapter needs to be there; of rapidocr only the files with the models."""
_ADAPTER = "provisioning.photo_reading.onnx_reader"


@dataclass(frozen=True, slots=True)
class SeenDigits:
    """One row of digits in a photo. `confidence_pm`: of the least sure digit, out of 1000."""

    digits: str
    confidence_pm: int


class PhotoReader(Protocol):
    """Reads digits off photos. `name` says by which models, for the record."""

    name: str

    def read(self, photo: PlainPhoto) -> tuple[SeenDigits, ...]:
        """Give the rows of digits, the surest first; raises PhotoRefused for a photo that cannot be opened."""


@lru_cache(maxsize=1)
def installed_reader() -> PhotoReader | None:
    """Give the reader of this machine, or None where the extra is not installed (scripts/install_ocr.sh)."""
    if any(find_spec(name) is None for name in NEEDED):
        return None
    # By name, so that programs which never read photos do not depend on it, the gateway least of all.
    return cast(PhotoReader, import_module(_ADAPTER).OnnxReader())
