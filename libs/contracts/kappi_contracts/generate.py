"""`python -m kappi_contracts.generate` writes schemas and AsyncAPI, unless they break the last release."""

from __future__ import annotations

import sys
from pathlib import Path

from kappi_contracts.asyncapi import asyncapi
from kappi_contracts.release import RELEASED, broken, current, released, told
from kappi_contracts.schemas import DOCUMENTS, json_schema, rendered
from kappi_contracts.topics import TOPICS


def documents() -> dict[str, str]:
    """Returns the text of every generated file by its relative path."""
    files = {"asyncapi.json": rendered(asyncapi())}
    for topic in TOPICS:
        for version in topic.versions:
            files[f"schemas/{version.document_name()}.json"] = rendered(json_schema(version))
    return files


def main(folder: Path = DOCUMENTS, *, baseline: Path = RELEASED) -> int:
    """Writes the documents, unless they break the last release. Returns the exit status.

    baseline: folder of the released contracts.
    """
    if reasons := broken(released(baseline), current()):
        sys.stderr.write(told(reasons))
        return 1
    for name, text in documents().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
