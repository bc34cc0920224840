"""DL/T 645: the codecs of both editions, and the 2007 one as plain functions. The theory stands in dlt645_codec.py."""

from __future__ import annotations

from device_profiles.framing.dlt645_codec import NO_SUCH_ITEM, Dlt645Codec, FollowUp
from device_profiles.framing.dlt645_dialect import EDITION_1997, EDITION_2007
from device_profiles.framing.dlt645_frame import (
    ANY_METER,
    BROADCAST,
    START,
    WAKE_UP,
    Dlt645Frame,
    frame_at,
    request_end,
    scan,
)
from device_profiles.framing.dlt645_requests import (
    Dlt645Freeze,
    Dlt645Read,
    Dlt645ReadAddress,
    Dlt645Request,
    Dlt645SetTime,
)

CODEC_2007 = Dlt645Codec(EDITION_2007)
CODEC_1997 = Dlt645Codec(EDITION_1997)

check_address = CODEC_2007.check_address
build_request = CODEC_2007.build_request
octets_expected = CODEC_2007.octets_expected
parse_reply = CODEC_2007.parse_reply
converse = CODEC_2007.converse
parse_request = CODEC_2007.parse_request
build_reply = CODEC_2007.build_reply
build_exception = CODEC_2007.build_exception

__all__ = [
    "ANY_METER",
    "BROADCAST",
    "CODEC_1997",
    "CODEC_2007",
    "NO_SUCH_ITEM",
    "START",
    "WAKE_UP",
    "Dlt645Frame",
    "Dlt645Freeze",
    "Dlt645Read",
    "Dlt645ReadAddress",
    "Dlt645Request",
    "Dlt645SetTime",
    "FollowUp",
    "build_exception",
    "build_reply",
    "build_request",
    "check_address",
    "converse",
    "frame_at",
    "octets_expected",
    "parse_reply",
    "parse_request",
    "request_end",
    "scan",
]
