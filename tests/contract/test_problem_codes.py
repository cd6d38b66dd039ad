"""A problem's code is defined in one place, so code, status and title are the same in every service."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator

import pytest
from kappi_chassis.problems import Problem
from kappi_contracts.services import SERVICES

PACKAGES = ("kappi_chassis", *(service.package for service in SERVICES))
STATUSES = {
    "file_too_large": {409, 413},
    "quota_exceeded": {403, 409},
    "unsupported_content_type": {415, 422},
}
"""Codes whose status depends on the operation.

A claim conflicts with the existing contents of the gallery. A file is in the body, or it is declared there.
"""


def kinds(of: type[Problem] = Problem) -> Iterator[type[Problem]]:
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


@pytest.fixture(scope="module")
def declared() -> set[type[Problem]]:
    for package in PACKAGES:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not {"migrations", "__main__"} & set(found.name.split(".")):
                importlib.import_module(found.name)
    return {kind for kind in kinds() if kind.__module__.partition(".")[0] in PACKAGES}


def test_a_code_is_defined_once(declared: set[type[Problem]]) -> None:
    written = Counter(kind.code for kind in declared if "code" in vars(kind))
    assert len(written) > 100
    assert [code for code, times in written.items() if times > 1] == []


def test_a_code_has_one_title(declared: set[type[Problem]]) -> None:
    retitled = [kind for kind in declared if "title" in vars(kind) and "code" not in vars(kind)]
    assert retitled == []


def test_a_code_has_one_status(declared: set[type[Problem]]) -> None:
    found: dict[str, set[int]] = {}
    for kind in declared:
        found.setdefault(kind.code, set()).add(kind.status)
    assert {code: statuses for code, statuses in found.items() if len(statuses) > 1} == STATUSES
