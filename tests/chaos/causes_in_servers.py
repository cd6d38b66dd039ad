"""Causes of alerts: a slow database, a store and a broker that are away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.alert_scene import Scene

_DELAY_S = 0.05
_CLIENTS = 4
_RECEIVERS, _ANSWER_S = 8, 12.0


@asynccontextmanager
async def slow_database(scene: Scene) -> AsyncIterator[None]:
    """Each packet to and from PostgreSQL takes longer, while clients change galleries."""
    relay = scene.system.postgres.relay
    relay.delay_s = _DELAY_S
    try:
        async with scene.repeated(scene.rename_gallery, clients=_CLIENTS):
            yield
    finally:
        relay.delay_s = 0.0


@asynccontextmanager
async def store_away(scene: Scene) -> AsyncIterator[None]:
    """The store ends after an upload was completed, and before its worker looks at it.

    Meanwhile clients complete another upload, and a gallery is deleted.
    """
    phone, system = scene.phone, scene.system
    waiting, repeated = scene.picture(), scene.picture()
    first, second = await phone.sign(scene.gallery, [waiting, repeated])
    for upload, file in ((first, waiting), (second, repeated)):
        assert (await phone.put(upload, file.body)).status == 200
    deleted = await phone.create_gallery(title="Deleted")
    await phone.upload(deleted, scene.picture())
    workers = system.of("media", "worker")
    for worker in workers:
        worker.signal(signal.SIGSTOP)
    try:
        await phone.complete(scene.gallery, first)
        await asyncio.to_thread(system.store.stop)
        system.store.relay.cut_all()
    finally:
        for worker in workers:
            worker.signal(signal.SIGCONT)

    async def complete() -> None:
        path = f"/v1/uploads/{second['id']}/complete"
        assert (await phone.ask("POST", path, headers=scene.gallery.key)).status != 200

    try:
        (await phone.insist("DELETE", f"/v1/galleries/{deleted.id}", headers=deleted.key)).ok(204)
        async with scene.repeated(complete, clients=_CLIENTS):
            yield
    finally:
        await asyncio.to_thread(system.store.start)


@asynccontextmanager
async def slow_receivers(scene: Scene) -> AsyncIterator[None]:
    """Receivers of webhooks take long to answer, and there are more than workers call at once."""
    load = scene.load
    for _ in range(_RECEIVERS):
        hook = {"url": load.receiver.url, "events": ["comment.added"]}
        (await scene.phone.insist("POST", "/v1/webhooks", json=hook, headers=load.author)).ok(201)
    load.receiver.pause_s = _ANSWER_S
    try:
        comment = f"/v1/posts/{load.post_id}/comments"
        (await scene.phone.insist("POST", comment, json={"text": "Told"}, headers=load.author)).ok(201)
        yield
    finally:
        load.receiver.pause_s = 0.0


@asynccontextmanager
async def broker_away(scene: Scene) -> AsyncIterator[None]:
    """The broker ends, then a gallery changes."""
    await asyncio.to_thread(scene.system.kafka.kill)
    try:
        assert await scene.rename_gallery() == 200
        yield
    finally:
        await asyncio.to_thread(scene.system.kafka.start)
