"""Pictures of meter displays, drawn: drums, seven-segment displays, printed plates; sharp, blurred, tilted, dark,
under a reflex, and all of these.

No collection of meter photos may be shipped (docs/adr/0084), so accuracy is measured on drawn ones. What they lack is
dirt and drums between two digits; what they have is what decides most: the form of the digits, how much of the picture
they fill, and light.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter, ImageFont

KINDS = ("drums", "segments", "serial")
FAULTS = ("plain", "blurred", "tilted", "dark", "small", "noisy", "reflex", "all")
_FONTS = {
    "drums": "DejaVuSans-Bold.ttf",
    "serial": "DejaVuSansMono.ttf",
}
_SEGMENTS = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc", "5": "afgcd",
    "6": "afgedc", "7": "abc", "8": "abcdefg", "9": "abcdfg",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MeterPicture:
    """A drawn display: what it shows (digits only), what it is, what is wrong with it, and the octets of a JPEG."""

    digits: str
    kind: str
    fault: str
    octets: bytes


def draw(digits: str, kind: str, fault: str, *, seed: int) -> MeterPicture:
    """Draw one; the same arguments give the same picture."""
    chance = random.Random(f"{digits} {kind} {fault} {seed}")
    face = _FACES[kind](digits, chance)
    return MeterPicture(digits, kind, fault, _jpeg(_spoil(_plate(face, chance), fault, chance)))


def pictures(each: int, *, seed: int = 1) -> Iterator[MeterPicture]:
    """Draw `each` pictures of every kind with every fault."""
    chance = random.Random(seed)
    for kind in KINDS:
        for fault in FAULTS:
            for number in range(each):
                count = 12 if kind == "serial" else chance.choice((5, 6, 7, 8))
                digits = "".join(chance.choice("0123456789") for _ in range(count))
                yield draw(digits, kind, fault, seed=number)


def _drums(digits: str, chance: random.Random) -> Image.Image:
    """Draw white digits on black drums, the last on red, each a little higher or lower than its neighbour."""
    wide, high = 44, 72
    face = Image.new("RGB", (wide * len(digits) + 8, high + 8), (60, 60, 62))
    pen = ImageDraw.Draw(face)
    font = ImageFont.truetype(_FONTS["drums"], 52)
    for place, digit in enumerate(digits):
        last = place == len(digits) - 1
        left = 4 + place * wide
        ground = (150, 20, 20) if last else (16, 16, 18)
        pen.rectangle((left + 1, 4, left + wide - 2, 4 + high), fill=ground)
        pen.text((left + wide / 2, 4 + high / 2 + chance.uniform(-4, 4)), digit, (238, 236, 230), font, anchor="mm")
        pen.line((left, 4, left, 4 + high), fill=(90, 90, 90))
    return face


def _lcd(digits: str, chance: random.Random) -> Image.Image:
    """Draw slanted seven-segment digits, dark on green; segments that are off shine through a little."""
    wide, high, thick = 40, 70, 8
    ground = chance.choice([(176, 190, 160), (190, 200, 190), (150, 190, 120)])
    face = Image.new("RGB", (wide * len(digits) + 40, high + 30), ground)
    pen = ImageDraw.Draw(face)
    off = tuple(one - 9 for one in ground)
    for place, digit in enumerate(digits):
        x, y = 18 + place * wide, 14
        w, h = wide - 14, high
        bars = {
            "a": (x + 3, y, x + w - 3, y + thick), "g": (x + 3, y + h // 2 - 4, x + w - 3, y + h // 2 + 4),
            "d": (x + 3, y + h - thick, x + w - 3, y + h), "f": (x, y + 4, x + thick, y + h // 2 - 3),
            "b": (x + w - thick, y + 4, x + w, y + h // 2 - 3), "e": (x, y + h // 2 + 3, x + thick, y + h - 4),
            "c": (x + w - thick, y + h // 2 + 3, x + w, y + h - 4),
        }  # fmt: skip
        for name, bar in bars.items():
            pen.rectangle(bar, fill=(24, 30, 24) if name in _SEGMENTS[digit] else off)
    slanted = (face.width, face.height)
    return face.transform(slanted, Image.Transform.AFFINE, (1, 0.09, -5, 0, 1, 0), Image.Resampling.BICUBIC, 0, ground)


def _serial(digits: str, chance: random.Random) -> Image.Image:
    """Draw a printed number on white, as on a plate."""
    del chance
    face = Image.new("RGB", (29 * len(digits) + 30, 70), (240, 240, 236))
    pen = ImageDraw.Draw(face)
    pen.text((face.width / 2, 35), digits, (20, 20, 24), ImageFont.truetype(_FONTS["serial"], 46), anchor="mm")
    return face


_FACES = {"drums": _drums, "segments": _lcd, "serial": _serial}


def _plate(face: Image.Image, chance: random.Random) -> Image.Image:
    """Put a face on a plate with little else, as the frame of a camera page would cut it."""
    wide, high = face.width + chance.randint(20, 60), face.height + chance.randint(20, 50)
    grey = chance.randint(170, 215)
    plate = Image.new("RGB", (wide, high), (grey, grey, grey - 6))
    plate.paste(face, ((wide - face.width) // 2, (high - face.height) // 2))
    return plate


def _spoil(plate: Image.Image, fault: str, chance: random.Random) -> Image.Image:
    ground = plate.getpixel((0, 0))
    assert isinstance(ground, tuple)
    if fault == "blurred":
        return plate.filter(ImageFilter.GaussianBlur(chance.uniform(2.0, 3.5)))
    if fault == "tilted":
        angle = chance.choice((-1, 1)) * chance.uniform(3, 7)
        return plate.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=ground)
    if fault == "dark":
        dim = chance.uniform(0.12, 0.25)
        return Image.blend(plate.point(lambda level: level * dim), _noise(plate, chance), 0.06)
    if fault == "small":
        return plate.resize((plate.width // 4, plate.height // 4), Image.Resampling.BILINEAR)
    if fault == "noisy":
        return Image.blend(plate, _noise(plate, chance), 0.4)
    if fault == "reflex":
        return _reflex(plate, chance)
    if fault == "all":
        for one in ("tilted", "blurred", "reflex", "dark"):
            plate = _spoil(plate, one, chance)
    return plate


def _noise(plate: Image.Image, chance: random.Random) -> Image.Image:
    return Image.frombytes("L", plate.size, chance.randbytes(plate.width * plate.height)).convert("RGB")


def _reflex(plate: Image.Image, chance: random.Random) -> Image.Image:
    """Lay the light of a lamp over a digit or two: nearly white in its middle."""
    across = plate.height * chance.uniform(0.5, 0.9)
    left = chance.uniform(0.1, 0.8) * plate.width
    light = Image.new("L", plate.size, 0)
    ImageDraw.Draw(light).ellipse((left, 0.1 * plate.height, left + across, 0.1 * plate.height + across), fill=225)
    return Image.composite(
        Image.new("RGB", plate.size, (250, 250, 245)), plate, light.filter(ImageFilter.GaussianBlur(9))
    )


def _jpeg(picture: Image.Image) -> bytes:
    with io.BytesIO() as buffer:
        picture.save(buffer, "JPEG", quality=80)
        return buffer.getvalue()


def scene(digits: str, serial: str, *, seed: int) -> MeterPicture:
    """Draw a whole meter: maker, display, unit, plate with serial and year, on a wall."""
    chance = random.Random(f"scene {digits} {seed}")
    picture = Image.new("RGB", (1100, 900), (186, 178, 164))
    pen = ImageDraw.Draw(picture)
    pen.rounded_rectangle((200, 90, 900, 820), 40, fill=(232, 232, 228), outline=(90, 90, 90), width=5)
    plain = ImageFont.truetype("DejaVuSans.ttf", 38)
    pen.text((550, 160), "THREE-PHASE METER", (40, 60, 120), plain, anchor="mm")
    face = _drums(digits, chance)
    picture.paste(face, (550 - face.width // 2, 250))
    pen.text((820, 290), "kWh", (20, 20, 20), plain, anchor="mm")
    pen.text(
        (550, 520),
        "3 x 220/380 V   5(60) A   50 Hz",
        (30, 30, 30),
        ImageFont.truetype("DejaVuSans.ttf", 26),
        anchor="mm",
    )
    pen.rectangle((330, 600, 770, 760), fill=(250, 250, 250), outline=(60, 60, 60))
    pen.text((550, 650), serial, (10, 10, 10), ImageFont.truetype(_FONTS["serial"], 40), anchor="mm")
    pen.text((550, 715), "class 1", (10, 10, 10), plain, anchor="mm")
    return MeterPicture(
        digits, "scene", "plain", _jpeg(picture.rotate(2, Image.Resampling.BICUBIC, fillcolor=(186, 178, 164)))
    )
