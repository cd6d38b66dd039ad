"""Packs the function for AWS Lambda: `python deploy/aws/build_function.py [FILE]`.

The same sources give the same bytes on any machine, so a changed digest means changed code. The zip therefore
has its files in order, without times or compression.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEDIA = HERE.parents[1] / "services" / "media"
MEDIAMETA = HERE.parents[1] / "libs" / "mediameta"
DEFAULT_TARGET = HERE.parents[1] / "dist" / "metadata-function.zip"
HANDLER = "metadata_function.handler.handle"

# Modules of the service that the function uses. They import the standard library only.
_MODULES = (
    "kappi_media/__init__.py",
    "kappi_media/domain/__init__.py",
    "kappi_media/domain/object_tags.py",
    "kappi_media/domain/store_events.py",
)
_FIRST_DAY_OF_ZIP = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o100644 << 16
_UNIX = 3


def sources() -> Iterator[tuple[str, Path]]:
    """Yields each file of the zip: its name there, and its path."""
    for package in (HERE / "metadata_function", MEDIAMETA / "kappi_mediameta"):
        for path in package.rglob("*.py"):
            yield path.relative_to(package.parent).as_posix(), path
    for name in _MODULES:
        yield name, MEDIA / name


def build(target: Path) -> str:
    """Writes the zip and returns its SHA-256 in hex."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for name, path in sorted(sources()):
            entry = zipfile.ZipInfo(name, date_time=_FIRST_DAY_OF_ZIP)
            entry.external_attr = _PLAIN_FILE
            entry.create_system = _UNIX
            packed.writestr(entry, path.read_bytes())
    return hashlib.sha256(target.read_bytes()).hexdigest()


def main(arguments: list[str]) -> None:
    target = Path(arguments[0]) if arguments else DEFAULT_TARGET
    digest = build(target)
    sys.stdout.write(f"{target}  {target.stat().st_size} bytes  sha256 {digest}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
