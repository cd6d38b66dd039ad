"""The check of a content type before a signer puts it into a header."""

from __future__ import annotations

import re
from functools import lru_cache

_visible_ascii = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*").fullmatch


@lru_cache(maxsize=256)
def header_content_type(content_type: str) -> str:
    """Returns `content_type`. Raises ValueError if it cannot be a header (control characters, non-ASCII)."""
    if len(content_type) > 255 or not _visible_ascii(content_type):
        raise ValueError("A content type is at most 255 visible ASCII characters with single spaces")
    return content_type
