"""Short codes and access keys: what they look like, how they are drawn, how they are read back."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ALPHABET = "abcdefghkmnopqrstuwxyz23456789"
"""No character that is read or typed as another one."""

LONGEST_CODE = 32
ACCESS_KEY_BYTES = 16
_ACCESS_KEY = re.compile(r"kappi_[a-z2-7]{26}")

Draw = Callable[[str], str]
"""Picks one character of an alphabet, unpredictably."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeScheme:
    """How codes are drawn. length: characters of the first attempt. a_day: how many a gallery gets in place
    of others."""

    alphabet: str = ALPHABET
    length: int = 4
    a_day: int = 24
    draw: Draw = secrets.choice

    def attempts(self) -> Iterator[str]:
        """Candidates, each one character longer than the one that was taken.

        Growing makes a collision thirty times less likely each time, so a crowded length never costs a
        long search. Ends at LONGEST_CODE.
        """
        for length in range(self.length, LONGEST_CODE + 1):
            yield "".join(self.draw(self.alphabet) for _ in range(length))


def read_code(text: str) -> str:
    """A code as somebody typed it, in the form it is stored."""
    return text.strip().lower()


def new_access_key() -> str:
    """A fresh access key: 128 random bits behind a prefix that secret scanners can look for."""
    digits = base64.b32encode(secrets.token_bytes(ACCESS_KEY_BYTES)).decode().rstrip("=")
    return f"kappi_{digits.lower()}"


def access_key_hash(access_key: str) -> bytes | None:
    """What is stored of an access key; None where the text cannot be one.

    A plain SHA-256: 128 random bits cannot be searched, so a slow hash would only cost time.
    """
    text = access_key.strip().lower()
    if not _ACCESS_KEY.fullmatch(text):
        return None
    return hashlib.sha256(text.encode()).digest()
