"""`kappi doctor`: reports what runs, what can be reached, and which versions are installed."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from kappi_chassis.disk import disk_space
from kappi_chassis.storage import StorageUnavailable
from kappi_chassis.storage.settings import StorageNotConfigured, StorageSettings, build_store

from kappi_embedded.backlog import BacklogReader
from kappi_embedded.commands.terminal import fail, out, plural
from kappi_embedded.data_dir import DataDir, RunNote
from kappi_embedded.plan import WITH_DATABASE, data_dir_from
from kappi_embedded.readiness import ask
from kappi_embedded.stack import NotRunning, Stack, find_stack

_TIMEOUT_S = 5.0
_COUNT_TIMEOUT_S = 20.0  # one call after another, for each group and database
_GIB = 1 << 30
_PACKAGES = (
    "aiohttp",
    "aiokafka",
    "argon2-cffi",
    "asyncpg",
    "confluent-kafka",
    "fastapi",
    "faust-streaming",
    "sqlalchemy",
    "starlette-admin",
    "uvicorn",
)
_OUTAGES = (OSError, TimeoutError, asyncpg.PostgresError, KafkaError, aiohttp.ClientError, StorageUnavailable)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. well: None for what cannot be checked from here. hint: the action to take in
    case of a problem.
    """

    what: str
    well: bool | None
    detail: str
    hint: str = ""


def doctor(environ: Mapping[str, str]) -> int:
    """Prints the report. Returns the exit status: 1 when there is any problem."""
    out.print(f"kappi {version('kappi-embedded')}, Python {platform.python_version()}, {platform.platform()}")
    out.print(f"[dim]{', '.join(_versions())}[/dim]")
    try:
        stack = find_stack(environ)
    except NotRunning as error:
        _print(_space(data_dir_from(environ)))
        return fail(str(error))
    return asyncio.run(_examine(stack, environ))


async def _examine(stack: Stack, environ: Mapping[str, str]) -> int:
    well = True
    async for finding in _findings(stack, environ):
        _print(finding)
        well = well and finding.well is not False
    return 0 if well else 1


async def _findings(stack: Stack, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    if stack.note is None:
        for unchecked in _not_checked(stack):
            yield unchecked
    else:
        yield _space(data_dir_from(environ))
        yield Finding("supervisor", True, f"pid {stack.note.pid}, since {stack.note.started_at}")
        for name in stack.note.services:
            yield await _service(stack.note, name)
        yield await _try("gateway", lambda: _gateway(stack.note), "look at the gateway's log")
    for name, url in stack.databases.items():
        yield await _try(f"database {name}", lambda url=url: _database(url), "is PostgreSQL running there?")  # type: ignore[misc]
    yield await _try("broker", lambda: _broker(stack), "is it running at KAPPI_KAFKA_BOOTSTRAP?")
    if stack.note is not None or _names_a_store(StorageSettings()):
        yield await _try("object store", lambda: _store(stack, environ), "look at KAPPI_S3_* and the store")
    if stack.databases:
        yield await _backlog(stack)


def _not_checked(stack: Stack) -> Iterator[Finding]:
    """Yields what a container cannot say of a stack that runs elsewhere."""
    yield Finding("services", None, "not checked: see `docker compose ps` or `kubectl get pods`")
    for service in WITH_DATABASE:
        if service.name not in stack.databases:
            yield Finding(
                f"database {service.name}", None, f"not checked: {service.database_url_name} is not set here"
            )
    if not _names_a_store(StorageSettings()):
        yield Finding(
            "object store", None, "not checked: KAPPI_S3_* is not set here, but in the containers of media"
        )
    if not stack.databases:
        yield Finding("events", None, "not counted: no database is known here")


def _names_a_store(storage: StorageSettings) -> bool:
    return storage.uses_s3 or storage.local_store_dir is not None


async def _service(note: RunNote, name: str) -> Finding:
    service = note.services[name]
    status, body = await ask(service.ops_port, "/readyz")
    checks = json.loads(body).get("checks", {}) if status else {}
    # A process that answers requests is ready without its consumers.
    failing = ", ".join(f"{check} {state}" for check, state in checks.items() if state != "ok")
    state = {200: "ready", 0: "does not answer"}.get(status, "not ready")
    detail = f"pid {service.pid}, port {service.port}, {state}" + (f": {failing}" if failing else "")
    return Finding(name, status == 200 and not failing, detail, f"look at its log, {name}.log")


async def _try(what: str, check: Callable[[], Awaitable[str]], hint: str) -> Finding:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return Finding(what, True, await check())
    except StorageNotConfigured as error:
        return Finding(what, False, str(error))
    except _OUTAGES as error:
        return Finding(what, False, f"cannot be reached: {str(error) or type(error).__name__}", hint)


async def _gateway(note: RunNote | None) -> str:
    assert note is not None
    async with aiohttp.ClientSession() as session, session.get(f"{note.url}/openapi.json") as answer:
        document = await answer.json()
        return f"{note.url}, {plural(len(document.get('paths', {})), 'path')} in its OpenAPI document"


async def _database(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=_TIMEOUT_S)
    try:
        server = connection.get_server_version()
        revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        size = await connection.fetchval("SELECT pg_size_pretty(pg_database_size(current_database()))")
    finally:
        await connection.close(timeout=2)
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port}"
    return f"PostgreSQL {server.major}.{server.minor} at {where}, schema {revision}, {size}"


async def _broker(stack: Stack) -> str:
    admin = AIOKafkaAdminClient(**stack.connection.client_options())
    await admin.start()
    try:
        topics = await admin.list_topics()
    finally:
        await admin.close()
    embedded = stack.note is not None and stack.note.embedded_broker
    kind = f"embedded (librdkafka of confluent-kafka {version('confluent-kafka')})" if embedded else "Kafka"
    return f"{kind} at {stack.connection.bootstrap}, {plural(len(topics), 'topic')}"


async def _store(stack: Stack, environ: Mapping[str, str]) -> str:
    storage = StorageSettings()
    if not storage.uses_s3 and storage.local_store_dir is None and stack.note is not None:
        storage = StorageSettings(local_store_dir=DataDir(data_dir_from(environ)).objects)
    store = build_store(storage)
    try:
        await store.ready()
    finally:
        await store.close()
    if storage.uses_s3:
        return f"S3 bucket {storage.s3_bucket} at {storage.s3_endpoint or 'AWS'}"
    return f"folder {storage.local_store_dir}"


async def _backlog(stack: Stack) -> Finding:
    try:
        async with (
            asyncio.timeout(_COUNT_TIMEOUT_S),
            BacklogReader(stack.connection, stack.databases) as reader,
        ):
            backlog = await reader.read()
            letters = await reader.dead_letters()
    except _OUTAGES as error:
        return Finding("events", False, f"cannot be counted: {str(error) or type(error).__name__}")
    known = "" if stack.note is not None else f" by {', '.join(stack.databases)}"
    detail = f"{backlog.unsent} to send{known}, {backlog.behind} to handle, {plural(letters, 'dead letter')}"
    return Finding("events", letters == 0, detail, "look at them with `kappi dlq list`" if letters else "")


def _space(folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    space = disk_space(existing)
    given_bytes = StorageSettings().local_store_reserve_bytes
    reserve_bytes = space.default_reserve_bytes if given_bytes is None else given_bytes
    return Finding(
        "disk",
        space.free_bytes > reserve_bytes,
        f"{space.free_bytes / _GIB:.2f} of {space.total_bytes / _GIB:.2f} GiB free at {existing}",
        f"uploads are refused until {reserve_bytes / _GIB:.2f} GiB are free",
    )


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):  # an image has what its services need
            found.append(f"{package} {version(package)}")
    return found


def _print(finding: Finding) -> None:
    mark = {True: "[green]ok[/green]  ", False: "[red]bad[/red] ", None: "[dim]--[/dim]  "}[finding.well]
    out.print(f"{mark} {finding.what:<20} {finding.detail}", soft_wrap=True)
    if finding.hint and finding.well is False:
        out.print(f"     {'':<20} [yellow]{finding.hint}[/yellow]")
