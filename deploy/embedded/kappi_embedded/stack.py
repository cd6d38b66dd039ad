"""Finds the stack that a command addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kappi_chassis.bus import KafkaConnection
from kappi_chassis.settings import PlatformSettings
from kappi_client.addresses import BadAddress, base_url
from pydantic import ValidationError

from kappi_embedded.data_dir import DataDir, RunNote
from kappi_embedded.plan import BY_NAME, WITH_DATABASE, data_dir_from


class NotRunning(RuntimeError):
    """There is no stack to address; the message states what to do."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The stack of a command. connection: to its broker. databases: URLs with passwords, by service."""

    connection: KafkaConnection
    databases: Mapping[str, str]
    note: RunNote | None


def running_note(environ: Mapping[str, str]) -> RunNote | None:
    """Returns the note of what runs in the data folder; None if nothing runs.

    Raises NotRunning while it is not ready or not readable.
    """
    data = DataDir(data_dir_from(environ))
    try:
        note = data.read_note()
        starting = note is None and data.in_use()
    except PermissionError as error:
        raise NotRunning(
            f"{error.filename} belongs to somebody else: call kappi as the user who runs it"
        ) from error
    if starting:
        raise NotRunning("Kappi is starting (or stopping) here: try again in a moment")
    return note


def find_url(environ: Mapping[str, str], given: str | None) -> str:
    """Returns the public address, without a final slash. given: from the command line. Raises NotRunning."""
    if url := given or environ.get("KAPPI_URL"):
        try:
            return base_url(url)
        except BadAddress as error:
            raise NotRunning(str(error)) from error
    if (note := running_note(environ)) is not None:
        return note.url
    raise NotRunning(
        f"Kappi is not running here (in {data_dir_from(environ)}): start it with `make up` or `kappi up`, "
        "set KAPPI_DATA_DIR to the folder of a running one, or name another with --url or KAPPI_URL"
    )


def find_phone_url(environ: Mapping[str, str], given: str | None) -> str | None:
    """Returns the address for other machines in this network of the deployment that `find_url` finds.

    Returns None if it runs elsewhere or is closed to other machines. Raises NotRunning.
    """
    if given or environ.get("KAPPI_URL"):
        return None
    note = running_note(environ)
    return note.phone_url if note is not None else None


def find_stack(environ: Mapping[str, str]) -> Stack:
    """Returns the stack that runs here, otherwise the one the environment names. Raises NotRunning."""
    note = running_note(environ)
    if note is not None:
        found = {"KAPPI_KAFKA_BOOTSTRAP": note.kafka_bootstrap, "KAPPI_EVENT_SECRET": note.event_secret}
        return Stack(KafkaConnection.from_settings(_platform({**environ, **found})), note.databases, note)
    if not environ.get("KAPPI_KAFKA_BOOTSTRAP"):
        raise NotRunning(
            f"Kappi is not running here ({data_dir_from(environ)}): start it with `make up` or `kappi up`, "
            "set KAPPI_DATA_DIR to the folder of a running one, or for a stack elsewhere set "
            "KAPPI_KAFKA_BOOTSTRAP and KAPPI_<SERVICE>_DATABASE_URL"
        )
    databases = {
        service.name: url for service in WITH_DATABASE if (url := environ.get(service.database_url_name))
    }
    return Stack(KafkaConnection.from_settings(_platform(environ)), databases, None)


def find_database(environ: Mapping[str, str], service: str) -> str:
    """Returns the database URL of a service that runs here, otherwise the environment's.

    Raises NotRunning.
    """
    note = running_note(environ)
    name = BY_NAME[service].database_url_name
    url = note.databases.get(service) if note is not None else environ.get(name)
    if url is None and environ.get("KAPPI_KAFKA_BOOTSTRAP"):
        raise NotRunning(
            f"this environment belongs to a stack elsewhere and has no {name}: call the command in a "
            "container that has it, with docker compose in `operator`"
        )
    if url is None:
        raise NotRunning(
            f"Kappi is not running here ({data_dir_from(environ)}): start it with `make up` or `kappi up`, "
            f"set KAPPI_DATA_DIR to the folder of a running one, or {name} for a stack elsewhere"
        )
    return url


def _platform(environ: Mapping[str, str]) -> PlatformSettings:
    """Returns the settings in the given environment, which need not be this process's. Raises NotRunning."""
    names = {field: f"KAPPI_{field.upper()}" for field in PlatformSettings.model_fields}
    given: dict[str, Any] = {field: environ[name] for field, name in names.items() if name in environ}
    try:
        return PlatformSettings(**given)
    except ValidationError as error:
        wrong = "; ".join(f"{names[str(each['loc'][0])]}: {each['msg']}" for each in error.errors())
        raise NotRunning(f"a setting cannot be used: {wrong}") from error
