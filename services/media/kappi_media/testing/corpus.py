"""The corpus: pictures and films as real encoders write them, and photographs that are there anyway."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kappi_media.testing.corpus_movies import MOVIES
from kappi_media.testing.corpus_pictures import PICTURES, Make
from kappi_media.testing.corpus_variants import VARIANTS
from kappi_media.testing.photos import installed_photographs

MADE: Final[Mapping[str, Make]] = {**PICTURES, **VARIANTS, **MOVIES}


def photographs() -> dict[str, Path]:
    """By name, those in the sample data of installed packages."""
    return {path.name: path for path in installed_photographs()}


def make_corpus(folder: Path) -> None:
    """Write every file. Skips the test where a program to make one with is missing."""
    for name, make in MADE.items():
        make(folder / name)
