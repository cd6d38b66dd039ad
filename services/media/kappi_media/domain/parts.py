"""The division of a large file into parts. Pure. The limits are S3's, kept for every store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Connection = Literal["slow", "normal", "fast"]

MIB: Final = 1 << 20
SINGLE_PUT_LIMIT_BYTES: Final = 5 << 30
"""The largest file that S3 accepts in one request, whatever a tier allows."""
OBJECT_LIMIT_BYTES: Final = 5 << 40
MIN_PART_BYTES: Final = 5 * MIB
MAX_PARTS: Final = 10_000

# An interrupted connection costs the part that was being sent: small parts lose less, large ones need fewer
# requests.
_WISHED_BYTES: Final[dict[Connection, int]] = {"slow": MIN_PART_BYTES, "normal": 8 * MIB, "fast": 16 * MIB}


@dataclass(frozen=True, slots=True)
class PartPlan:
    """The parts 1 to `count`, each of `part_size_bytes` except the last, which has the rest."""

    size_bytes: int
    part_size_bytes: int

    @property
    def count(self) -> int:
        return -(-self.size_bytes // self.part_size_bytes)

    def length(self, number: int) -> int:
        """Returns the bytes of a part. number: 1 to `count`."""
        return min(self.part_size_bytes, self.size_bytes - (number - 1) * self.part_size_bytes)


def plan_parts(size_bytes: int, connection: Connection) -> PartPlan:
    """Returns the parts of a file of up to 5 TiB, for the quality of the connection that the client reports.

    Beyond that, parts grow with the file, by whole MiB, so that 10,000 are enough.
    """
    if not 1 <= size_bytes <= OBJECT_LIMIT_BYTES:
        raise ValueError(f"An object has 1 to {OBJECT_LIMIT_BYTES} bytes, not {size_bytes}")
    needed = -(-size_bytes // MAX_PARTS)
    return PartPlan(size_bytes, max(_WISHED_BYTES[connection], -(-needed // MIB) * MIB))
