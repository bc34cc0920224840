"""What can be wrong with a frame. All are the meter's or the line's fault; none is ever taken for a number."""

from __future__ import annotations

from metering.errors import MeterError, MeteringError


class FrameError(MeterError):
    """The octets are not the whole, well-formed answer to the request."""


class CrcError(FrameError):
    """The check octets do not fit the frame."""


class AddressMismatch(FrameError):
    """Another meter's frame."""


class AnswerMismatch(FrameError):
    """The meter's frame, but the answer to another request: another function, length or data identifier."""


class ExceptionReply(MeterError):
    """The meter refused. `code` is the Modbus exception code, or the error word of DL/T 645-2007."""

    def __init__(self, code: int, meaning: str) -> None:
        super().__init__(f"the meter refused: code {code:#04x}, {meaning}")
        self.code = code


class AddressInvalid(MeteringError):
    """A text is not a meter address of its protocol."""


class NotInProtocol(MeteringError):
    """A protocol has no such command."""
