"""Numbers of any number of bits, as headers of coded video have them (ITU-T H.264, section 9.1)."""

from __future__ import annotations

from typing import Final

from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason

_MAX_LEADING_ZEROS: Final = 32


class BitReader:
    """Reads bits of a body held in memory, from its start. Raises ProbeRejected `corrupt` past its end."""

    def __init__(self, body: bytes) -> None:
        self._number = int.from_bytes(body, "big")
        self._left = 8 * len(body)

    def bits(self, count: int) -> int:
        if count > self._left:
            raise ProbeRejected(RejectReason.CORRUPT, "the header of a stream ends early")
        self._left -= count
        return self._number >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        return bool(self.bits(1))

    def unsigned(self) -> int:
        """Returns an Exp-Golomb number."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > _MAX_LEADING_ZEROS:
                raise ProbeRejected(RejectReason.CORRUPT, "impossible number")
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed(self) -> int:
        number = self.unsigned()
        return (number + 1) // 2 if number & 1 else -(number // 2)

    def skip(self, numbers: int) -> None:
        """Passes over so many Exp-Golomb numbers."""
        for _ in range(numbers):
            self.unsigned()

    def count(self, most: int) -> int:
        """Returns a number that counts what follows. Raises ProbeRejected for more than `most`."""
        number = self.unsigned()
        if number > most:
            raise ProbeRejected(RejectReason.CORRUPT, "impossible count")
        return number
