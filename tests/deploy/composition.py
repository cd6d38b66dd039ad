"""Reads docker-compose.yml, with secrets of the test."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.documents import read_document

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
JOBS = frozenset({"migrate", "create-topics", "create-bucket"})
_PLACEHOLDER = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Container:
    """A service of the file, with variables filled in. command: arguments of the image's entry point."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    depends_on: Mapping[str, str]
    definition: Mapping[str, Any]

    @property
    def runs_kappi(self) -> bool:
        return "build" in self.definition

    @property
    def is_job(self) -> bool:
        return self.runs_kappi and self.command[0] in JOBS


def make_secrets(folder: Path) -> Path:
    """Copies the files that `make-env` reads, runs it on the copy, and returns the folder."""
    (folder / "deploy").mkdir()
    shutil.copytree(
        ROOT / "deploy/docker", folder / "deploy/docker", ignore=shutil.ignore_patterns("secrets")
    )
    shutil.copy(ROOT / ".env.example", folder)
    shutil.copy(COMPOSE_FILE, folder)
    subprocess.run([folder / "deploy/docker/make-env"], check=True, capture_output=True)
    return folder


def read_env(path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, sign, value in lines if sign and not name.startswith("#")}


def read_composition(variables: Mapping[str, str], file: Path = COMPOSE_FILE) -> dict[str, Container]:
    """Returns the containers by name. variables: of .env. Raises LookupError if a required one is not set."""
    document = _filled(read_document(file), variables)
    return {
        name: Container(
            name=name,
            image=definition["image"],
            command=tuple(definition.get("command", ())),
            environment=definition.get("environment", {}),
            depends_on={other: how["condition"] for other, how in definition.get("depends_on", {}).items()},
            definition=definition,
        )
        for name, definition in document["services"].items()
    }


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    def fill(found: re.Match[str]) -> str:
        name, operator, text = found.groups()
        if given := variables.get(name):
            return given
        if operator == "-":
            return str(text)
        raise LookupError(f"{name} is not set: {text}")

    if isinstance(value, str):
        return _PLACEHOLDER.sub(fill, value)
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    if isinstance(value, dict):
        return {key: _filled(each, variables) for key, each in value.items()}
    return value
