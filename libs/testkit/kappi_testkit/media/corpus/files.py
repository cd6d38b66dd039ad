"""All files of the corpus: made ones, and photographs in installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kappi_testkit.media.corpus.movies import MOVIES
from kappi_testkit.media.corpus.newer_jpegs import NEWER_JPEGS
from kappi_testkit.media.corpus.pictures import PICTURES, Make
from kappi_testkit.media.corpus.raws import RAWS
from kappi_testkit.media.corpus.variants import VARIANTS
from kappi_testkit.media.photos import installed_photographs

MADE: Final[Mapping[str, Make]] = {**PICTURES, **VARIANTS, **NEWER_JPEGS, **RAWS, **MOVIES}


def photographs() -> dict[str, Path]:
    """Returns the photographs in the sample data of installed packages, by name."""
    return {path.name: path for path in installed_photographs()}


def make_corpus(folder: Path) -> None:
    """Writes every file. Skips the test if a program that makes one is missing."""
    for name, make in MADE.items():
        make(folder / name)
