"""Checks the licences of locked packages against .ci/licences.toml.

Usage: .ci/licences.py LOCK [SITE_PACKAGES]. The packages are read where they are installed: in this Python's
own environment, or in the folder SITE_PACKAGES. A LOCK of npm (`package-lock.json`) names the licences
itself. The exit status is 1 when a licence is not allowed.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
RULES: Mapping[str, Any] = tomllib.loads((ROOT / ".ci/licences.toml").read_text())
_PIN = re.compile(r"^[A-Za-z0-9][^\\\n]*==[^\\\n]*", re.MULTILINE)
_LIBRARY = re.compile(r"lib([^-.]+).*\.(so|dylib|dll)")


def locked(lock: str) -> Iterator[tuple[str, str]]:
    """Returns the names and versions that the lock installs on this platform."""
    for pin in _PIN.findall(lock):
        requirement = Requirement(pin)
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement.name, next(iter(requirement.specifier)).version


def stated(package: Distribution, name: str, rules: Mapping[str, Any]) -> set[str]:
    """Returns the licences in the package's metadata. An alternative (`MIT OR GPL-3.0-only`) is one entry."""
    metadata = package.metadata.json
    if expression := metadata.get("license_expression"):
        assert isinstance(expression, str)
        return {part.strip("() ") for part in expression.split(" AND ")}
    if name in rules["licence_files"]:
        return {rules["licence_files"][name]}
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get("classifier", ())
        if line.startswith("License ::") and not line.endswith(" approved")
    ]
    texts = classifiers or [str(metadata.get("license", "no licence"))]
    return {rules["names"].get(text, text) for text in texts}


def carried(package: Distribution, rules: Mapping[str, Any]) -> set[str]:
    """Returns the licences of the copyleft libraries in the package's wheel."""
    found = (_LIBRARY.match(file.name) for file in package.files or ())
    return {rules["libraries"][each[1]] for each in found if each and each[1] in rules["libraries"]}


def stated_by_npm(lock: str) -> Iterator[tuple[str, str, str]]:
    """Returns name, version and licence of each package in a `package-lock.json`, also of tools."""
    for path, package in json.loads(lock)["packages"].items():
        if path:  # the first one is the project itself
            name = path.rpartition("node_modules/")[2]
            yield name, package["version"], package.get("license", "no licence").strip("()")


def npm_faults(lock: str, rules: Mapping[str, Any]) -> Iterator[str]:
    for name, version, licence in stated_by_npm(lock):
        if not any(choice in rules["allowed"] for choice in licence.split(" OR ")):
            yield f"{name}=={version}: {licence[:80]} is not allowed (.ci/licences.toml)"


def faults(lock: str, site_packages: str | None, rules: Mapping[str, Any]) -> Iterator[str]:
    found = distributions(path=[site_packages]) if site_packages else distributions()
    installed = {re.sub(r"[-_.]+", "-", each.name).lower(): each for each in found}
    for name, version in locked(lock):
        package = installed.get(name)
        if package is None or package.version != version:
            yield f"{name}=={version} is not installed: its licence cannot be read"
            continue
        beyond = {
            licence
            for licence in stated(package, name, rules) | carried(package, rules)
            if not any(choice in rules["allowed"] for choice in licence.split(" OR "))
        }
        excepted = set(rules["exceptions"].get(name, {}).get("licences", ()))
        for licence in sorted(beyond - excepted):
            yield f"{name}=={version}: {licence[:80]} is not allowed (.ci/licences.toml)"
        for licence in sorted(excepted - beyond):
            yield f"{name}=={version}: the exception for {licence} is not needed (.ci/licences.toml)"


def main(lock: str, site_packages: str | None = None) -> int:
    text = Path(lock).read_text()
    found = list(npm_faults(text, RULES) if lock.endswith(".json") else faults(text, site_packages, RULES))
    print("\n".join(found) or f"Licences of {lock}: all allowed.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
