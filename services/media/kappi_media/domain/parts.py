"""How a large file is cut into parts. Pure. The limits are S3's, kept whatever the store is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Connection = Literal["slow", "normal", "fast"]

MIB: Final = 1 << 20
SINGLE_PUT_LIMIT_BYTES: Final = 5 << 30
"""What S3 takes in one request, whatever a tier allows."""
OBJECT_LIMIT_BYTES: Final = 5 << 40
MIN_PART_BYTES: Final = 5 * MIB
MAX_PARTS: Final = 10_000

# A cut costs the part that was on its way: small ones lose less, large ones wait less for each other.
_WISHED_BYTES: Final[dict[Connection, int]] = {"slow": MIN_PART_BYTES, "normal": 8 * MIB, "fast": 16 * MIB}


@dataclass(frozen=True, slots=True)
class PartPlan:
    """Parts 1 to `count`, each of `part_size_bytes` but the last, which has what is left."""

    size_bytes: int
    part_size_bytes: int

    @property
    def count(self) -> int:
        return -(-self.size_bytes // self.part_size_bytes)

    def length(self, number: int) -> int:
        """Bytes of a part. number: 1 to `count`."""
        return min(self.part_size_bytes, self.size_bytes - (number - 1) * self.part_size_bytes)


def plan_parts(size_bytes: int, connection: Connection) -> PartPlan:
    """Parts of a file of up to 5 TiB, on the line the client reports.

    They grow with the file beyond what suits the line, by whole MiB, so that 10,000 are enough.
    """
    if not 1 <= size_bytes <= OBJECT_LIMIT_BYTES:
        raise ValueError(f"An object has 1 to {OBJECT_LIMIT_BYTES} bytes, not {size_bytes}")
    needed = -(-size_bytes // MAX_PARTS)
    return PartPlan(size_bytes, max(_WISHED_BYTES[connection], -(-needed // MIB) * MIB))
