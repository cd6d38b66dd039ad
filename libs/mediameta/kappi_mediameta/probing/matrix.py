"""Turns and mirrors as 2 x 2 matrices (a, b, c, d): x' = ax + cy, y' = bx + dy, with y pointing down."""

from __future__ import annotations

from typing import Final

Matrix = tuple[int, int, int, int]
IDENTITY: Final[Matrix] = (1, 0, 0, 1)
UPSIDE_DOWN_MIRROR: Final[Matrix] = (1, 0, 0, -1)  # top and bottom are swapped
SIDEWAYS_MIRROR: Final[Matrix] = (-1, 0, 0, 1)
QUARTER_TURN: Final[Matrix] = (0, -1, 1, 0)  # counter-clockwise


def product(first: Matrix, second: Matrix) -> Matrix:
    """Returns `first`, then `second`. The scale does not matter, only signs and relative sizes do."""
    a, b, c, d = first
    e, f, g, h = second
    return (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)


def orientation_of(matrix: Matrix) -> int:
    """Returns the EXIF orientation (1..8) nearest to a matrix."""
    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return {(False, False): 1, (True, False): 2, (True, True): 3, (False, True): 4}[a < 0, d < 0]
    return {(False, False): 5, (False, True): 6, (True, True): 7, (True, False): 8}[b < 0, c < 0]
