"""The reader of photos on drawn displays; skipped where its models are not installed (scripts/install_ocr.sh)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from provisioning.hand_reading import SURE_PM
from provisioning.photo_file import PhotoRefused, PlainPhoto, plain_photo
from provisioning.photo_reading.reader import PhotoReader, SeenDigits, installed_reader

if installed_reader() is None:
    pytest.skip("the models are not installed: scripts/install_ocr.sh", allow_module_level=True)

meter_pictures = pytest.importorskip("tests.doubles.meter_pictures")
draw, scene = meter_pictures.draw, meter_pictures.scene


@pytest.fixture(scope="module")
def reader() -> PhotoReader:
    found = installed_reader()
    assert found is not None
    return found


def best_of(rows: tuple[SeenDigits, ...], digits: int) -> SeenDigits | None:
    return max((one for one in rows if len(one.digits) == digits), key=lambda one: one.confidence_pm, default=None)


@pytest.mark.parametrize("fault", ["plain", "tilted", "dark"])
@pytest.mark.parametrize("kind", ["drums", "segments", "serial"])
def test_a_display_is_read_or_not_sure(reader: PhotoReader, kind: str, fault: str) -> None:
    digits = "604819273350" if kind == "serial" else "0174385"
    best = best_of(reader.read(plain_photo(draw(digits, kind, fault, seed=3).octets)), len(digits))
    assert best is not None
    assert best.digits == digits or best.confidence_pm < SURE_PM


def test_the_row_of_the_display_is_found_among_others(reader: PhotoReader) -> None:
    rows = reader.read(plain_photo(scene("0174385", "2026041187", seed=1).octets))
    assert {"0174385", "2026041187"} <= {one.digits for one in rows}


def test_what_shows_nothing_is_no_row(reader: PhotoReader) -> None:
    images = pytest.importorskip("PIL.Image")
    import io

    with io.BytesIO() as buffer:
        images.new("RGB", (300, 200), (120, 120, 120)).save(buffer, "JPEG")
        rows = reader.read(plain_photo(buffer.getvalue()))
    assert not [one for one in rows if one.confidence_pm >= SURE_PM]


def test_a_photo_that_cannot_be_opened_is_refused(reader: PhotoReader) -> None:
    damaged = draw("1", "drums", "plain", seed=1).octets
    with pytest.raises(PhotoRefused, match="take it again"):
        reader.read(PlainPhoto(b"\xff\xd8\xff\xd9", bytes(32), "image/jpeg", 1, 1))
    assert plain_photo(damaged)


def test_without_the_models_there_is_no_reader_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], object] = lambda name: None if name == "rapidocr" else object()  # noqa: E731
    monkeypatch.setattr("provisioning.photo_reading.reader.find_spec", find)
    assert installed_reader.__wrapped__() is None


def test_neither_its_code_nor_its_dependencies_are_taken_from_the_package_of_the_models() -> None:
    code = (
        "import sys; from provisioning.photo_reading.reader import installed_reader; installed_reader();"
        "print(sorted(set(sys.modules) & {'rapidocr', 'cv2', 'shapely', 'requests'}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
