"""`python -m kappi_embedded.settings_reference`: writes docs/settings.md from the settings' classes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from kappi_chassis.settings import PlatformSettings, ServiceSettings
from kappi_chassis.storage.settings import StorageSettings
from kappi_contracts.services import SERVICES, Service
from pydantic import AliasChoices, SecretStr, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

_STORING = ", ".join(service.name for service in SERVICES if service.stores_objects)


def settings_of(service: Service) -> type[ServiceSettings]:
    """Returns the class of a service's settings: the one of its module `settings`."""
    module = import_module(f"{service.package}.settings")
    (found,) = (
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, ServiceSettings) and each.__module__ == module.__name__
    )
    return found


SECTIONS: tuple[tuple[str, type[BaseSettings]], ...] = (
    ("Every service", PlatformSettings),
    (f"Object store ({_STORING})", StorageSettings),
    *((service.name, settings_of(service)) for service in SERVICES),
)
_durations = TypeAdapter(timedelta)
HEAD = """# Settings

Written by `make schemas` from the settings' classes. Everything comes from the environment. Durations are
ISO 8601 (`PT15M`), lists comma-separated. `make up` sets what it needs itself; a value that is
given wins.
"""


def document() -> str:
    """Returns the whole page."""
    parts = [HEAD]
    for title, settings in SECTIONS:
        parts.append(f"## {title}\n")
        parts.append("| variable | default | |\n|---|---|---|")
        parts += [*_rows(settings), ""]
    return "\n".join(parts)


def _rows(settings: type[BaseSettings]) -> Iterator[str]:
    prefix = str(settings.model_config.get("env_prefix", ""))
    for name, field in settings.model_fields.items():
        description = (field.description or "").replace("|", "\\|")
        yield f"| {_variables(prefix, name, field)} | {_default(field)} | {description} |"


def _variables(prefix: str, name: str, field: FieldInfo) -> str:
    """Returns the variable's names in writing order; the first that is set wins."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return " or ".join(f"`{choice}`" for choice in alias.choices if isinstance(choice, str))
    return f"`{alias}`" if isinstance(alias, str) else f"`{prefix}{name}`".upper()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value: Any = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or value in ("", ()):
        return ""
    if isinstance(value, SecretStr):
        return "a secret"
    if isinstance(value, frozenset):
        return f"`{','.join(sorted(map(_word, value)))}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(_word, value))}`"
    return f"`{_word(value)}`"


def _word(value: Any) -> str:
    return str(_durations.dump_python(value, mode="json")) if isinstance(value, timedelta) else str(value)


def main(target: Path) -> None:
    target.write_text(document())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/settings.md"))
