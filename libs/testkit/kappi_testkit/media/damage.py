"""Makes damaged copies of files, as broken transfers, disks and attackers do. A seed reproduces them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

# Numbers that confuse readers of sizes, counts and offsets.
_NUMBERS: Final = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEAD_BYTES: Final = 2 << 10
_BLOWS_EACH: Final = (1, 1, 1, 2, 3, 8)
_MAX_SPAN: Final = 64


def damaged(files: Mapping[str, bytes], *, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yields `count` copies, taking the files in turn; each with the name of its original file."""
    rng = random.Random(seed)  # noqa: S311 - reproducible damage, not a secret
    names = list(files)
    bodies = list(files.values())
    for number in range(count):
        name = names[number % len(names)]
        body = bytearray(files[name])
        for _ in range(rng.choice(_BLOWS_EACH)):
            if body:
                rng.choice(_BLOWS)(body, rng, bodies)
        yield name, bytes(body)


def _somewhere(body: bytearray, rng: random.Random) -> int:
    """Returns a position, mostly where headers and indices are: at the start or near the end."""
    reach = min(len(body), _HEAD_BYTES)
    place = rng.random()
    if place < 0.6:
        return rng.randrange(reach)
    return len(body) - 1 - rng.randrange(reach) if place < 0.85 else rng.randrange(len(body))


def _flip(body: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    body[_somewhere(body, rng)] ^= 1 << rng.randrange(8)


def _renumber(body: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """Writes a number of the width and byte order that formats use, or the file's own length."""
    number = rng.choice((*_NUMBERS, len(body), len(body) - 1))
    width = rng.choice((1, 2, 4, 8))
    at = _somewhere(body, rng)
    written = (number % (1 << 8 * width)).to_bytes(width, rng.choice(("big", "little")))
    body[at : at + width] = written


def _scramble(body: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = _somewhere(body, rng)
    span = len(body[at : at + rng.randint(1, _MAX_SPAN)])
    body[at : at + span] = rng.randbytes(span)


def _repeat(body: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = _somewhere(body, rng)
    body[at:at] = body[at : at + rng.randint(1, _MAX_SPAN)] * rng.randint(1, 4)


def _drop(body: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = _somewhere(body, rng)
    del body[at : at + rng.randint(1, _MAX_SPAN)]


def _cut(body: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    if rng.random() < 0.3:  # otherwise most files would only be cut
        del body[rng.randrange(len(body)) :]


def _graft(body: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """Inserts a piece of another file, often of another format."""
    other = rng.choice(others)
    at = rng.randrange(len(other))
    piece = other[at : at + rng.randint(4, 4 * _MAX_SPAN)]
    place = _somewhere(body, rng)
    body[place : place + len(piece)] = piece


def _nest(body: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """Inserts a part of the file within itself: boxes in boxes, elements in elements."""
    start = _somewhere(body, rng)
    end = start + rng.randint(8, 8 * _MAX_SPAN)
    place = rng.randint(start, min(end, len(body)))
    body[place:place] = body[start:end]


_Blow = Callable[[bytearray, random.Random, Sequence[bytes]], None]
_BLOWS: Final[tuple[_Blow, ...]] = (_flip, _renumber, _scramble, _repeat, _drop, _cut, _graft, _nest)
