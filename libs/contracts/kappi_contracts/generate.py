"""`python -m kappi_contracts.generate [FOLDER]` writes schemas and AsyncAPI; it refuses a breaking change."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kappi_contracts.compatibility import breaking_changes
from kappi_contracts.schemas import Document, asyncapi, json_schema
from kappi_contracts.topics import TOPICS

HOME = Path(__file__).resolve().parent.parent


def rendered(document: Document) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def documents() -> dict[str, str]:
    """Returns the text of every generated file by its relative path."""
    files = {"asyncapi.json": rendered(asyncapi())}
    for topic in TOPICS:
        for version in topic.versions:
            name = f"{topic.name}.v{version.version}.json"
            files[f"schemas/{name}"] = rendered(json_schema(version))
    return files


def main(folder: Path = HOME) -> int:
    """Writes the documents.

    A version without a release is also frozen under `released/`. Returns the exit status.
    """
    for name, text in documents().items():
        if name.startswith("schemas/"):
            released = folder / "released" / name.removeprefix("schemas/")
            if released.exists():
                broken = breaking_changes(json.loads(released.read_text()), json.loads(text))
                if broken:
                    reasons = "\n  ".join(broken)
                    sys.stderr.write(f"{name} breaks its release; make a new version:\n  {reasons}\n")
                    return 1
            else:
                released.parent.mkdir(parents=True, exist_ok=True)
                released.write_text(text)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
