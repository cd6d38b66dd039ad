"""A consumer without a past reads a snapshot while everything is in use, and ends equal to the databases."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from kappi_chassis.bus import KafkaConnection
from kappi_contracts.topics import DLQ_SUFFIX, TOPICS
from kappi_embedded.stack import find_stack
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.processes import ManagedProcess

from tests.clients.examples import EVENTS_PAGE, examples, has_tables
from tests.e2e.accounts import Person, create_gallery, make_admin, move_to_tier, sign_up
from tests.e2e.evidence import database
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

_PHOTO = File("a.jpg", "image/jpeg", encode(quadrants(64, 48), "JPEG"))
_ROUNDS_WHILE_IT_RUNS = 5
_STORED = {
    "gallery": (
        "galleries",
        "SELECT id, owner_id, visibility, expires_at FROM galleries WHERE deleted_at IS NULL",
    ),
    "item": ("media", "SELECT id, gallery_id, size_bytes FROM items WHERE status = 'ready'"),
    "account": ("identity", "SELECT id, tier FROM accounts WHERE deleted_at IS NULL"),
}


@pytest.mark.real_servers
@pytest.mark.timeout(300)
async def test_a_newcomer_ends_equal_to_the_databases_while_writes_go_on(
    stack: StackUnderTest, phone: Phone, tmp_path: Path
) -> None:
    admin = await make_admin(stack, phone)
    past = [await _change_much(stack, phone, admin) for _ in range(3)]
    connection = find_stack(stack.running.env).connection
    await _lose_the_past(connection)
    script = tmp_path / "state.py"
    script.write_text(examples("state", EVENTS_PAGE)[0])
    newcomer = ManagedProcess(
        [sys.executable, str(script)],
        log=tmp_path / "state.log",
        ready=lambda: has_tables(tmp_path / "state.db"),
        env={"KAFKA": connection.bootstrap, "KAPPI_TOPIC_PREFIX": connection.prefix},
        cwd=tmp_path,
    )
    with newcomer:
        canary = await phone.create_gallery()
        await eventually(lambda: _is_known(tmp_path, canary), deadline_s=60)
        assert not _known(tmp_path) & {gallery.id for gallery in past}, "the past was not lost"
        writing = asyncio.create_task(_go_on_changing(stack, phone, admin))
        await _snapshot(stack)
        # What changes after a snapshot of it is newer than the snapshot.
        deleted, changed, stays = past
        await _ok(phone, "DELETE", f"/v1/galleries/{deleted.id}", deleted)
        await _snapshot(stack)
        await _ok(phone, "PATCH", f"/v1/galleries/{changed.id}", changed, json={"expires_in": 7_200})
        await writing
        await eventually(lambda: _is_equal(stack, tmp_path), deadline_s=90)
    assert {gallery.id for gallery in past} & _known(tmp_path) == {changed.id, stays.id}


async def _snapshot(stack: StackUnderTest) -> None:
    done = await asyncio.to_thread(stack.kappi, "snapshot", "--rate", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "galleries: " in done.stdout


async def _go_on_changing(stack: StackUnderTest, phone: Phone, admin: Person) -> None:
    for _ in range(_ROUNDS_WHILE_IT_RUNS):
        await _change_much(stack, phone, admin)


async def _change_much(stack: StackUnderTest, phone: Phone, admin: Person) -> Gallery:
    """Creates, changes, moves and deletes. Returns a gallery that stays."""
    stays, goes = await phone.create_gallery(title="stays"), await phone.create_gallery()
    for gallery in (stays, goes):
        kept, removed = await phone.upload(gallery, _PHOTO, _PHOTO)
        await phone.until_ready(gallery, 2)
        await _ok(phone, "DELETE", f"/v1/media/{removed}", gallery)
        assert kept != removed
    await _ok(phone, "PATCH", f"/v1/galleries/{stays.id}", gallery=stays, json={"expires_in": 86_400})
    await _ok(phone, "DELETE", f"/v1/galleries/{goes.id}", goes)
    person = await sign_up(stack, phone, "newcomer")
    private = await create_gallery(phone, person, visibility="private")
    await _ok(phone, "PATCH", f"/v1/galleries/{private.id}", private, json={"visibility": "shared"})
    await move_to_tier(phone, admin, person, "Premium")
    return stays


async def _ok(phone: Phone, method: str, url: str, gallery: Gallery, json: Any = None) -> None:
    answer = await phone.insist(method, url, json=json, headers=gallery.key)
    assert answer.status in (200, 204), (method, url, answer.status, answer.body)


async def _lose_the_past(connection: KafkaConnection) -> None:
    """Sets the consumer's offsets to the ends, as if the broker had removed all records by their age."""
    admin = AIOKafkaAdminClient(**connection.client_options())
    consumer = AIOKafkaConsumer(
        **connection.client_options(),
        group_id=f"{connection.prefix}reader.state",
        enable_auto_commit=False,
    )
    await admin.start()
    await consumer.start()
    try:
        wanted = {connection.topic(topic.name) for topic in TOPICS} & set(await admin.list_topics())
        described = await admin.describe_topics(sorted(wanted))
        partitions = [
            TopicPartition(topic["topic"], entry["partition"])
            for topic in described
            if not topic["topic"].endswith(DLQ_SUFFIX)
            for entry in topic["partitions"]
        ]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()
        await admin.close()


def _living(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    state = sqlite3.connect(folder / "state.db", timeout=10)
    try:
        return {
            (kind, found): json.loads(fields)
            for kind, found, fields in state.execute("SELECT kind, id, fields FROM living")
        }
    finally:
        state.close()


def _known(folder: Path) -> set[str]:
    return {found for _, found in _living(folder)}


def _is_known(folder: Path, gallery: Gallery) -> None:
    assert gallery.id in _known(folder)


async def _is_equal(stack: StackUnderTest, folder: Path) -> None:
    found = _living(folder)
    for kind, (service, statement) in _STORED.items():
        async with database(stack, service) as connection:
            rows = [dict(row) for row in await connection.fetch(statement)]
        stored = {str(row.pop("id")): _plain(row) for row in rows}
        assert {each: _plain(fields) for (of, each), fields in found.items() if of == kind} == stored


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns ids as texts, and times as times, whichever form they have."""
    return {
        name: str(value)
        if isinstance(value, UUID)
        else datetime.fromisoformat(value)
        if name == "expires_at" and isinstance(value, str)
        else value
        for name, value in fields.items()
    }
