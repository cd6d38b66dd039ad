"""Short codes and access keys: their form, their generation and their parsing."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ALPHABET = "abcdefghkmnopqrstuwxyz23456789"
"""The characters of codes. None of them is easily read or typed as another one."""

LONGEST_CODE = 32
ACCESS_KEY_BYTES = 16
_ACCESS_KEY = re.compile(r"kappi_[a-z2-7]{26}")

Draw = Callable[[str], str]
"""Returns one character of an alphabet, chosen unpredictably."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeScheme:
    """The generation of codes. length: characters of the first attempt. a_day: new codes that a gallery gets
    in a day in place of its old ones.
    """

    alphabet: str = ALPHABET
    length: int = 4
    a_day: int = 24
    draw: Draw = secrets.choice

    def attempts(self) -> Iterator[str]:
        """Yields candidate codes, each one character longer than the one before it.

        Each further character makes a collision thirty times less likely, so a length with few free codes
        never costs a long search. Ends at LONGEST_CODE characters.
        """
        for length in range(self.length, LONGEST_CODE + 1):
            yield "".join(self.draw(self.alphabet) for _ in range(length))


def read_code(text: str) -> str:
    """Returns a typed code in the form in which it is stored."""
    return text.strip().lower()


def new_access_key() -> str:
    """Returns a new access key: 128 random bits behind a prefix that secret scanners can look for."""
    digits = base64.b32encode(secrets.token_bytes(ACCESS_KEY_BYTES)).decode().rstrip("=")
    return f"kappi_{digits.lower()}"


def access_key_hash(access_key: str) -> bytes | None:
    """Returns the hash that is stored of an access key; None where the text cannot be an access key.

    The hash is a plain SHA-256: 128 random bits cannot be searched, so a slow hash would only cost time.
    """
    text = access_key.strip().lower()
    if not _ACCESS_KEY.fullmatch(text):
        return None
    return hashlib.sha256(text.encode()).digest()
