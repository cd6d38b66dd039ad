"""Tags of films: values that are kept stay where they are, all else is blanked (QuickTime File Format)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.gps_free.box_walk import blank, children, clean_each, erase_handler_name
from kappi_mediameta.gps_free.edits import Region
from kappi_mediameta.gps_free.kept_tags import MAX_VALUE_BYTES, kept_tags

_KEYS_HEADER_BYTES, _VALUE_HEADER_BYTES = 8, 16
_KEY_NAME: Final = b"mdta"
_TEXT_TYPE: Final = b"\0\0\0\1"
_NO_LANGUAGE: Final = 0x55C4
"""`und`, packed."""
_SIGN: Final = b"\xa9"
_MAX_KEY_BYTES: Final = 64


async def keep_user_tags(region: Region, boxes: Sequence[Box]) -> set[Box]:
    """Returns the boxes of user data that stay: texts with a kept value, in no language."""
    found: dict[str, tuple[Box, bytes]] = {}
    for box in boxes:
        if box.name.startswith(_SIGN) and 4 < box.size_bytes <= 4 + MAX_VALUE_BYTES:
            body = await region.read(box.start, box.size_bytes)
            found[box.name.decode("latin-1")] = box, body[4 : 4 + int.from_bytes(body[:2], "big")]
    kept = kept_tags({name: text for name, (_, text) in found.items()})
    for name, value in kept.items():
        box, _ = found[name]
        body = struct.pack(">HH", len(value), _NO_LANGUAGE) + value
        await region.write(box.start, body.ljust(box.size_bytes, b"\0"))
    return {found[name][0] for name in kept}


async def keep_listed_tags(region: Region, meta: Sequence[Box]) -> bool:
    """Keeps the tags of a `meta` box that may stay. Returns False where it has none.

    meta: its boxes. Values are named by `keys`, or as iTunes does by their own boxes.
    """
    by_name = {box.name: box for box in meta}
    keys, values = by_name.get(b"keys"), by_name.get(b"ilst")
    if values is None:
        return False
    keys_at = (0, 0) if keys is None else (keys.start + _KEYS_HEADER_BYTES, keys.end)
    names = [key async for key in children(region, *keys_at)]
    listed = [value async for value in children(region, values.start, values.end)]
    found: dict[str, tuple[Box, bytes]] = {}
    for value in listed:
        name, text = await _name_of(region, value, names), await _text_of(region, value)
        if name and text is not None:
            found[name] = value, text
    kept = kept_tags({name: text for name, (_, text) in found.items()})
    stays = {found[name][0] for name in kept}
    for name, text in kept.items():
        await region.write(found[name][0].start + _VALUE_HEADER_BYTES - 4, bytes(4) + text)
    numbers = {int.from_bytes(value.name, "big") for value in stays}
    stays |= {key for number, key in enumerate(names, start=1) if number in numbers}

    async def clean_value(value: Box) -> None:
        if value not in stays:
            await blank(region, value)

    async def clean_key(key: Box) -> None:
        """Empties a key that goes. Its box stays, because values find their keys by number."""
        await region.write(key.begin + 4, _KEY_NAME)
        if key not in stays:
            await region.erase(key.start, key.size_bytes)

    await clean_each(region, values.start, values.end, clean_value)
    await clean_each(region, *keys_at, clean_key)
    await _clean_others(region, (box for box in meta if box not in (keys, values)))
    return bool(kept)


async def _clean_others(region: Region, boxes: Iterable[Box]) -> None:
    for box in boxes:
        if box.name == b"hdlr":
            await erase_handler_name(region, box)
        else:
            await blank(region, box)


async def _name_of(region: Region, value: Box, names: Sequence[Box]) -> str:
    """Returns the name in lower case, or nothing where it is unknown or too long."""
    if value.name.startswith(_SIGN):
        return value.name.decode("latin-1")
    number = int.from_bytes(value.name, "big")
    if not 1 <= number <= len(names) or names[number - 1].size_bytes > _MAX_KEY_BYTES:
        return ""
    key = names[number - 1]
    return (await region.read(key.start, key.size_bytes)).decode("latin-1").lower()


async def _text_of(region: Region, value: Box) -> bytes | None:
    """Returns the text of a value that holds one text and nothing else."""
    if not _VALUE_HEADER_BYTES < value.size_bytes <= _VALUE_HEADER_BYTES + MAX_VALUE_BYTES:
        return None
    body = await region.read(value.start, value.size_bytes)
    is_text = body[:12] == struct.pack(">I4s4s", value.size_bytes, b"data", _TEXT_TYPE)
    return body[_VALUE_HEADER_BYTES:] if is_text else None
