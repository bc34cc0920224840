"""What is kept of a photo: the picture, which side is up, and nothing else."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.envelope import digest_of
from provisioning.photo_file import JPEG, PHOTO_OCTETS_MAX, PNG, PhotoRefused, plain_photo
from tests.doubles.plain_photos import JFIF, chunk, exif, jpeg, png, segment


def test_a_plain_jpeg_is_kept_as_it_is_and_named_by_its_hash() -> None:
    photo = plain_photo(jpeg(JFIF))
    assert photo.octets == jpeg(JFIF)
    assert (photo.media, photo.width, photo.height, photo.sha256) == (JPEG, 8, 8, digest_of(jpeg(JFIF)))


def test_where_and_by_whom_a_photo_was_taken_does_not_stay_in_it() -> None:
    secrets = (b"GPS 31.2304", b"owner's name", b"taken in flat 301", b"thumbnail")
    told = jpeg(
        segment(0xE0, b"JFIF\0\x01\x01\x00\x00\x48\x00\x48\x01\x01" + b"thumbnail"),
        exif(1, beside=secrets[0]),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + secrets[1]),
        segment(0xED, secrets[1]),
        segment(0xFE, secrets[2]),
        after=b"a second picture with " + secrets[0],
    )
    photo = plain_photo(told)
    assert not [one for one in secrets if one in photo.octets]
    assert photo.octets == jpeg(JFIF)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("side", [3, 6, 8])
def test_which_side_is_up_stays(side: int, order: str) -> None:
    photo = plain_photo(jpeg(JFIF, exif(side, order)))
    assert b"GPS" not in photo.octets
    assert b"\x01\x12\x00\x03\x00\x00\x00\x01" + side.to_bytes(2, "big") in photo.octets
    assert plain_photo(photo.octets) == photo


@pytest.mark.parametrize("odd", [b"Exif\0\0", b"Exif\0\0XX\0*\0\0\0\x08", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exi"])
def test_an_exif_segment_that_is_none_says_nothing(odd: bytes) -> None:
    assert plain_photo(jpeg(segment(0xE1, odd))).octets == jpeg()


def test_colours_that_need_their_transform_keep_it() -> None:
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\x01")
    assert plain_photo(jpeg(adobe)).octets == jpeg(adobe)


def test_fill_octets_before_a_segment_are_passed_over() -> None:
    assert plain_photo(jpeg(b"\xff\xff")).octets == jpeg()


def test_a_png_keeps_its_picture_and_loses_its_texts() -> None:
    photo = plain_photo(png(chunk(b"tEXt", b"Author\0somebody"), chunk(b"eXIf", b"GPS"), chunk(b"tIME", bytes(7))))
    assert photo.octets == png()
    assert (photo.media, photo.width, photo.height) == (PNG, 3, 2)


@pytest.mark.parametrize(
    ("octets", "word"),
    [
        (b"", "JPEG"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "camera"),
        (b"GIF89a" + bytes(30), "JPEG"),
        (b"\xff\xd8\xff\xd9", "no picture"),
        (jpeg()[:-2], "middle of the picture"),
        (jpeg()[:40], "cut off"),
        (b"\xff\xd8" + segment(0xC0, b"\x08"), "frame header"),
        (b"\xff\xd8\x00\x00", "damaged"),
        (b"\xff\xd8\xff\xe0\x00\x01", "damaged"),
        (png()[:-6], "cut off"),
        (png().replace(b"IDAT", b"IDAX"), "damaged"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b""), "size"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"IEND", b""), "no picture"),
        (png(width=20_000, height=1), "pixels"),
        (bytes(PHOTO_OCTETS_MAX + 1), "octets"),
    ],
)
def test_what_is_no_photo_is_refused_in_words(octets: bytes, word: str) -> None:
    with pytest.raises(PhotoRefused, match=word):
        plain_photo(octets)


@given(st.integers(0, 400), st.integers(0, 255), st.booleans())
def test_a_damaged_photo_is_stripped_or_refused_and_stripping_again_changes_nothing(
    place: int, octet: int, is_jpeg: bool
) -> None:
    whole = bytearray(jpeg(JFIF, exif(6), segment(0xFE, b"note")) if is_jpeg else png(chunk(b"tEXt", b"a\0b")))
    whole[place % len(whole)] = octet
    try:
        photo = plain_photo(bytes(whole))
    except PhotoRefused:
        return
    assert plain_photo(photo.octets) == photo


def test_a_real_photo_shows_the_same_pixels_afterwards() -> None:
    images = pytest.importorskip("PIL.Image")
    picture = images.effect_noise((120, 80), 60).convert("RGB")
    exif_of = images.Exif()
    exif_of[0x010F] = "a maker"
    for form, options in (("JPEG", {"progressive": True, "exif": exif_of}), ("JPEG", {}), ("PNG", {})):
        with io.BytesIO() as buffer:
            picture.save(buffer, form, **options)
            octets = buffer.getvalue()
        photo = plain_photo(octets)
        assert b"a maker" not in photo.octets
        with images.open(io.BytesIO(octets)) as before, images.open(io.BytesIO(photo.octets)) as after:
            assert before.tobytes() == after.tobytes()
