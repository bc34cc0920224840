"""Security suite 0 of DLMS/COSEM: AES-128-GCM over APDUs, and HLS mechanism 5 (GMAC). Sans I/O.

Theory of operation (IEC 62056-5-3, 5.7). A protected APDU is security control, invocation counter, content, tag of 12
octets. The nonce is the sender's system title and its counter, so no counter may ever be used twice under one key: the
caller gives each counter from where they are kept across power cuts. Additional data are the security control and the
authentication key, and the content itself where it is only authenticated. A challenge is answered by a tag over it
alone. What a meter sends must be authenticated, and its counter must rise within the association: the answer to our
fresh challenge opens it, so nothing recorded earlier can follow.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from device_profiles.framing.axdr import AxdrReader, length_to_wire
from device_profiles.framing.errors import FrameError
from device_profiles.framing.xdlms import CIPHERED, GENERAL_CIPHERED, PLAIN
from metering.errors import MeterError

AUTHENTICATED = 0x10
ENCRYPTED = 0x20
PROTECTED = AUTHENTICATED | ENCRYPTED
TITLE_OCTETS = 8
KEY_OCTETS = 16
TAG_OCTETS = 12
COUNTER_MAX = 2**32 - 1
_HEADER_OCTETS = 5


class NotAuthentic(FrameError):
    """What came cannot be shown to come from the meter that holds the keys."""


class SecretUnfit(MeterError):
    """A key or title in the gateway's key folder has not the form that the meter's security wants."""


@dataclass(frozen=True, slots=True)
class GmacKeys:
    """Global unicast encryption key and authentication key of one meter (16 octets each); never shown."""

    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.encryption) != KEY_OCTETS or len(self.authentication) != KEY_OCTETS:
            raise SecretUnfit(f"a key of security suite 0 has {KEY_OCTETS} octets: mend it in the key folder")


class GmacSecurity:
    """One side of one association: protects what it sends, opens what the other side sends."""

    def __init__(self, keys: GmacKeys, title: bytes, next_counter: Callable[[], int]) -> None:
        if len(title) != TITLE_OCTETS:
            raise SecretUnfit(f"a system title has {TITLE_OCTETS} octets: mend it in the key folder")
        self._keys = keys
        self.title = title
        self._next_counter = next_counter
        self._peer_title = b""
        self._counter_heard = -1

    def meet(self, peer_title: bytes) -> None:
        """Learn the other side's system title; raises NotAuthentic when it is none, or our own come back."""
        if len(peer_title) != TITLE_OCTETS or peer_title == self.title:
            raise NotAuthentic(f"{peer_title.hex() or 'nothing'} is no system title of a meter")
        self._peer_title = peer_title

    def protect(self, apdu: bytes) -> bytes:
        """Encrypt and authenticate `apdu`."""
        head = self._head(PROTECTED)
        encrypted, tag = self._seal(head, apdu, bytes((PROTECTED,)) + self._keys.authentication)
        return head + encrypted + tag

    def open(self, octets: bytes) -> bytes:
        """Check and decrypt what the other side protected; raises NotAuthentic."""
        control, counter = self._heard(octets)
        if counter <= self._counter_heard:
            raise NotAuthentic(f"invocation counter {counter} was heard already: a repeated message")
        head, content, tag = octets[:_HEADER_OCTETS], octets[_HEADER_OCTETS:-TAG_OCTETS], octets[-TAG_OCTETS:]
        associated = bytes((control,)) + self._keys.authentication
        if control == AUTHENTICATED:
            expected = self._tag(self._peer_title, head, associated + content)
            if not hmac.compare_digest(tag, expected):
                raise NotAuthentic("the tag of an APDU is wrong")
        elif control == PROTECTED:
            content = self._unseal(head, content, tag, associated)
        else:
            raise NotAuthentic(f"security control {control:#04x}: an APDU must be authenticated by suite 0")
        self._counter_heard = counter
        return content

    def open_apdu(self, octets: bytes) -> bytes:
        """Open a whole protected APDU: one for a service, or the general one behind its sender's title.

        Raises NotAuthentic also when the APDU within is not of the kind that the tag outside says.
        """
        reader = AxdrReader(octets)
        tag = reader.octet()
        if tag == GENERAL_CIPHERED and reader.string() == self._peer_title:
            content = self.open(reader.string())
            is_right = content[:1] != octets[:1]
        else:
            content = self.open(reader.string()) if tag in PLAIN else b""
            is_right = content[:1] == bytes((PLAIN.get(tag, 0),))
        reader.require_end()
        if not is_right:
            raise NotAuthentic("an APDU that is not protected, or holds another than it says")
        return content

    def protect_apdu(self, apdu: bytes, *, is_general: bool = False) -> bytes:
        """Protect a whole APDU under the tag of its service, or under the general one."""
        protected = self.protect(apdu)
        head = bytes((CIPHERED[apdu[0]],))
        if is_general:
            head = bytes((GENERAL_CIPHERED, TITLE_OCTETS)) + self.title
        return head + length_to_wire(len(protected)) + protected

    def answer_to(self, challenge: bytes) -> bytes:
        """Give f(challenge): security control, counter and tag over the challenge (17 octets)."""
        head = self._head(AUTHENTICATED)
        return head + self._tag(self.title, head, self._challenged(challenge))

    def check_answer(self, answer: bytes, challenge: bytes) -> None:
        """Check the other side's f(challenge); raises NotAuthentic.

        It may come within a protected APDU whose counter is higher, since it was made first: our challenge is fresh.
        """
        control, counter = self._heard(answer)
        head, tag = answer[:_HEADER_OCTETS], answer[_HEADER_OCTETS:]
        expected = self._tag(self._peer_title, head, self._challenged(challenge))
        if control != AUTHENTICATED or not hmac.compare_digest(tag, expected):
            raise NotAuthentic("the answer to our challenge is wrong: another key, or not the meter")
        self._counter_heard = max(self._counter_heard, counter)

    def _challenged(self, challenge: bytes) -> bytes:
        return bytes((AUTHENTICATED,)) + self._keys.authentication + challenge

    def _head(self, control: int) -> bytes:
        counter = self._next_counter()
        if not 0 <= counter <= COUNTER_MAX:
            raise NotAuthentic("the invocation counter is used up: the meter needs new keys")
        return bytes((control,)) + counter.to_bytes(4)

    def _heard(self, octets: bytes) -> tuple[int, int]:
        if len(octets) < _HEADER_OCTETS + TAG_OCTETS:
            raise NotAuthentic(f"{len(octets)} octets hold no tag")
        return octets[0], int.from_bytes(octets[1:_HEADER_OCTETS])

    def _tag(self, title: bytes, head: bytes, associated: bytes) -> bytes:
        encryptor = Cipher(AES(self._keys.encryption), GCM(title + head[1:])).encryptor()
        encryptor.authenticate_additional_data(associated)
        encryptor.finalize()
        return encryptor.tag[:TAG_OCTETS]

    def _seal(self, head: bytes, content: bytes, associated: bytes) -> tuple[bytes, bytes]:
        encryptor = Cipher(AES(self._keys.encryption), GCM(self.title + head[1:])).encryptor()
        encryptor.authenticate_additional_data(associated)
        encrypted = encryptor.update(content) + encryptor.finalize()
        return encrypted, encryptor.tag[:TAG_OCTETS]

    def _unseal(self, head: bytes, content: bytes, tag: bytes, associated: bytes) -> bytes:
        nonce = self._peer_title + head[1:]
        decryptor = Cipher(AES(self._keys.encryption), GCM(nonce, tag, min_tag_length=TAG_OCTETS)).decryptor()
        decryptor.authenticate_additional_data(associated)
        try:
            return decryptor.update(content) + decryptor.finalize()
        except InvalidTag as error:
            raise NotAuthentic("the tag of an APDU is wrong: another key, or not the meter") from error
