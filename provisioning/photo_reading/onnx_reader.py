"""The adapter: PP-OCRv6 models (Apache-2.0) out of the wheel `rapidocr`, run by onnxruntime on this machine.

Only the model files of that package are used. Its own code would pull in OpenCV and Shapely, whose wheels carry LGPL
libraries; what is needed of them is little and stands here (docs/adr/0084).

Theory of operation. A detection network says of each pixel whether it belongs to text. Pixels that touch are one row;
the row's main axis says how it is tilted, and it is cut out level. A recognition network gives for each column of the
cut-out a probability of every character it knows; of these only ten digits and the blank are compared, but a digit's
confidence is what the network gives it among all characters, so a letter does not pass for a digit. Equal digits in
neighbouring columns are one, a blank between them makes two (connectionist temporal classification). The picture as a
whole is recognised too: where a photo shows little but the row, that is the better cut.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped,unused-ignore]
from PIL import Image, ImageOps

from provisioning.photo_file import PhotoRefused, PlainPhoto
from provisioning.photo_reading.reader import SeenDigits

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_DETECTION, _RECOGNITION = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
_LONG_SIDE = 1600
"""Pixels: a row of eight digits that fills a quarter of it has 50 a digit."""
_DETECT_LEAST, _DETECT_MOST, _DETECT_STEP = 640, 1280, 32
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
"""Of the pictures that the detection network was trained on."""
_TEXT_FROM = 0.3
_PIXELS_LEAST = 30
_GROW = 0.45
"""The network marks the middle of a row; so much of its height is added on every side."""
_ROW_HEIGHT = 48
_ROW_WIDTH_MAX = 3200
_ROWS_MAX = 40


class OnnxReader:
    """Reads digits with two networks; one photo takes about a tenth of a second."""

    name = "PP-OCRv6 small"

    def __init__(self) -> None:
        folder = _models()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._detection = _session(folder / _DETECTION, options)
        self._recognition = _session(folder / _RECOGNITION, options)
        characters = self._recognition.get_modelmeta().custom_metadata_map["character"].split("\n")
        # Column 0 is the blank.
        self._columns = [0, *(characters.index(digit) + 1 for digit in "0123456789")]

    def read(self, photo: PlainPhoto) -> tuple[SeenDigits, ...]:
        """Give the rows of digits, the surest first; raises PhotoRefused for a photo that cannot be opened."""
        picture = _opened(photo)
        cuts = [picture, *_rows(picture, self._text_pixels(picture))]
        seen = {one for cut in cuts if (one := self._recognised(cut)) is not None}
        return tuple(sorted(seen, key=lambda one: (-one.confidence_pm, one.digits)))

    def _text_pixels(self, picture: Image.Image) -> npt.NDArray[np.bool_]:
        long = max(picture.size)
        scale = max(1.0, _DETECT_LEAST / long) if long < _DETECT_LEAST else min(1.0, _DETECT_MOST / long)
        size = [max(_DETECT_STEP, round(side * scale / _DETECT_STEP) * _DETECT_STEP) for side in picture.size]
        even = ImageOps.autocontrast(picture, cutoff=1).resize((size[0], size[1]), Image.Resampling.BILINEAR)
        levels: Floats = (_colours(even) / np.float32(255) - _MEAN) / _DEVIATION
        found: npt.NDArray[np.bool_] = _run(self._detection, levels)[0, 0] > _TEXT_FROM
        return found

    def _recognised(self, cut: Image.Image) -> SeenDigits | None:
        width = min(_ROW_WIDTH_MAX, max(16, round(cut.width * _ROW_HEIGHT / max(1, cut.height))))
        row = ImageOps.autocontrast(cut, cutoff=1).resize((width, _ROW_HEIGHT), Image.Resampling.BILINEAR)
        chances = _run(self._recognition, _colours(row) / 127.5 - 1)[0][:, self._columns]
        digits: list[str] = []
        confidence: list[float] = []
        last = 0
        for column, best in enumerate(chances.argmax(axis=1).tolist()):
            if best and best != last:
                digits.append(str(best - 1))
                confidence.append(0.0)
            if best:
                confidence[-1] = max(confidence[-1], float(chances[column, best]))
            last = best
        return SeenDigits("".join(digits), math.floor(1000 * min(confidence))) if digits else None


def _models() -> Path:
    found = find_spec("rapidocr")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("rapidocr, which holds the models: run scripts/install_ocr.sh")
    return Path(found.submodule_search_locations[0]) / "models"


def _session(model: Path, options: Any) -> Any:
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _run(session: Any, levels: Floats) -> Floats:
    """Run a network on one picture of shape (height, width, 3)."""
    batch = np.ascontiguousarray(levels.transpose(2, 0, 1)[None], np.float32)
    answer: Floats = session.run(None, {session.get_inputs()[0].name: batch})[0]
    return answer


def _opened(photo: PlainPhoto) -> Image.Image:
    try:
        with Image.open(io.BytesIO(photo.octets), formats=("JPEG", "PNG")) as picture:
            picture.draft("RGB", (_LONG_SIDE, _LONG_SIDE))
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PhotoRefused(f"the photo cannot be opened: {error}; take it again") from error
    upright.thumbnail((_LONG_SIDE, _LONG_SIDE))
    return upright


def _colours(picture: Image.Image) -> Floats:
    """Give shape (height, width, 3), blue first, as the networks were trained."""
    return np.asarray(picture, np.float32)[:, :, ::-1]


def _rows(picture: Image.Image, text: npt.NDArray[np.bool_]) -> Iterator[Image.Image]:
    """Cut out level what hangs together in `text`, the largest first."""
    high, wide = text.shape
    shapes = sorted((one for one in _connected(text) if len(one[0]) >= _PIXELS_LEAST), key=lambda one: -len(one[0]))
    for down, right in shapes[:_ROWS_MAX]:
        x, y = right * (picture.width / wide), down * (picture.height / high)
        spread = np.cov(np.stack([x, y]))
        tilt = 0.5 * math.atan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1])
        centre = float(x.mean()), float(y.mean())
        along = (x - centre[0]) * math.cos(tilt) + (y - centre[1]) * math.sin(tilt)
        across = (y - centre[1]) * math.cos(tilt) - (x - centre[0]) * math.sin(tilt)
        grow = _GROW * float(across.max() - across.min()) + 1
        box = (
            *(round(centre[0] + float(along.min()) - grow), round(centre[1] + float(across.min()) - grow)),
            *(round(centre[0] + float(along.max()) + grow), round(centre[1] + float(across.max()) + grow)),
        )
        level = picture.rotate(math.degrees(tilt), Image.Resampling.BICUBIC, center=centre, fillcolor=(128, 128, 128))
        yield level.crop(box)


def _connected(pixels: npt.NDArray[np.bool_]) -> Iterator[tuple[Ints, Ints]]:
    """Give row and column of the pixels of each connected shape: runs that overlap from line to line are joined."""
    parents: list[int] = []
    runs: list[tuple[int, int, int]] = []
    above: list[int] = []

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    for line, marks in enumerate(pixels):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], marks.astype(np.int8), [0]))))
        here: list[int] = []
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            number = len(runs)
            runs.append((line, start, end))
            parents.append(number)
            for other in above:
                if runs[other][1] < end and runs[other][2] > start:
                    parents[root(other)] = root(number)
            here.append(number)
        above = here
    shapes: dict[int, list[tuple[int, int, int]]] = {}
    for number, run in enumerate(runs):
        shapes.setdefault(root(number), []).append(run)
    for shape in shapes.values():
        down = np.concatenate([np.full(end - start, line) for line, start, end in shape])
        yield down, np.concatenate([np.arange(start, end) for _, start, end in shape])
