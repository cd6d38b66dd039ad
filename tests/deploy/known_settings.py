"""The variables that a container may have and must have, from the classes of the settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from kappi_chassis.settings import PlatformSettings, ServiceSettings
from kappi_chassis.storage.settings import StorageSettings, build_signer, build_store
from kappi_contracts import services
from kappi_embedded.settings_reference import settings_of
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

SERVICES: Mapping[str, type[ServiceSettings]] = {
    service.name: settings_of(service) for service in services.SERVICES
}
STORING = frozenset(service.name for service in services.SERVICES if service.stores_objects)
WITH_DATABASE = frozenset(services.DATABASES)


def variables(settings: type[BaseSettings]) -> set[str]:
    """Returns every name under which a field is read."""
    prefix = str(settings.model_config.get("env_prefix", ""))
    names: set[str] = set()
    for field, info in settings.model_fields.items():
        alias = info.validation_alias
        if isinstance(alias, AliasChoices):
            names |= {choice for choice in alias.choices if isinstance(choice, str)}
        else:
            names.add(alias if isinstance(alias, str) else f"{prefix}{field}".upper())
    return names


def known(service: str) -> set[str]:
    """Returns the variables that the service's process reads."""
    found = variables(PlatformSettings) | variables(SERVICES[service])
    return found | variables(StorageSettings) if service in STORING else found


def stray(environment: Mapping[str, str], allowed: set[str]) -> set[str]:
    """Returns KAPPI_* names that no setting reads: misspelt, or of a removed setting."""
    return {name for name in environment if name.startswith("KAPPI_")} - allowed


def read(service: str, environment: Mapping[str, str]) -> ServiceSettings:
    """Returns the service's settings as it would read them. Raises ValidationError, StorageNotConfigured.

    Fails if the secret of events or of internal calls is missing.
    """
    with only(environment):
        platform = PlatformSettings()
        assert platform.event_secret, service
        assert platform.internal_secret, service
        if service in STORING:
            storage = StorageSettings()
            build_signer(storage)
            build_store(storage)
        return SERVICES[service]()  # type: ignore[call-arg]  # read from the environment


@contextmanager
def only(environment: Mapping[str, str]) -> Iterator[None]:
    """Sets these KAPPI_* variables and removes all others of this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("KAPPI_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield
