"""Old names are refused, and the paths of the glossary exist; `make lint` runs these tests, too."""

from __future__ import annotations

import io
import re
import tokenize
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_OLD_NAMES: Mapping[str, Mapping[str, str]] = tomllib.loads(
    Path(__file__).with_name("old_names.toml").read_text()
)
_CODE = ("libs", "services", "deploy", "tests", "benchmarks", "clients", ".ci")
_GLOSSARY = (_ROOT / "docs/glossary.md").read_text()
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@cache
def words(name: str) -> str:
    """Returns the words of a name: `check_place_limit`, `CheckPlaceLimit` -> `_check_place_limit_`."""
    return f"_{'_'.join(_WORD.findall(name)).lower()}_"


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    """Yields (line, identifier), without comments and strings."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def old_names(root: Path, path: Path, old: Mapping[str, str]) -> Iterator[str]:
    """Returns where a file has an old name. path: relative to the root. old: new names by old ones."""
    refused = {words(name): (name, new) for name, new in old.items()}
    found = [(1, part) for part in (*path.parent.parts, path.stem)]
    for line, identifier in (*found, *identifiers((root / path).read_text())):
        for each, (name, new) in refused.items():
            if each in words(identifier):
                yield f"{path}:{line}: {identifier} has the old name {name}, which is {new} now"


@pytest.mark.parametrize("folder", _OLD_NAMES)
def test_old_names_are_not_used(folder: str) -> None:
    # A migration is not changed after its release.
    paths = [
        path.relative_to(_ROOT)
        for top in (_CODE if folder == "." else (folder,))
        for path in (_ROOT / top).glob("**/*.py")
        if "versions" not in path.parts
    ]
    assert paths
    found = [line for path in paths for line in old_names(_ROOT, path, _OLD_NAMES[folder])]
    assert not found, "\n".join(found)


def test_every_path_of_the_glossary_exists() -> None:
    paths = re.findall(r"`([\w./-]+/[\w./-]*)`", _GLOSSARY)
    assert len(paths) > 20
    assert not [path for path in paths if not (_ROOT / path).exists()]


def test_the_terms_of_the_glossary_are_sorted_and_unique() -> None:
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", _GLOSSARY, re.MULTILINE)
    assert len(terms) > 20
    assert terms == sorted(set(terms), key=str.casefold)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("media/uses.py", "class PlaceLimit: ..."),
        ("media/uses.py", "def check_place_limit(): ..."),
        ("media/uses.py", "PLACE_LIMIT = 3"),
        ("media/uses.py", "import media.place_limit"),
        ("media/place_limit.py", ""),
        ("place_limit/uses.py", ""),
    ],
)
def test_a_planted_old_name_is_found(tmp_path: Path, path: str, source: str) -> None:
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text(source)
    (found,) = old_names(tmp_path, Path(path), {"place_limit": "ConcurrencyLimit"})
    assert found.startswith(f"{path}:1: ")
    assert found.endswith("has the old name place_limit, which is ConcurrencyLimit now")


@pytest.mark.parametrize(
    "source", ["place_limits = 3", "replace_limit()", "# place_limit", "x = 'place_limit'"]
)
def test_similar_names_are_not_refused(tmp_path: Path, source: str) -> None:
    (tmp_path / "uses.py").write_text(source)
    assert not list(old_names(tmp_path, Path("uses.py"), {"place_limit": "ConcurrencyLimit"}))
