"""The whole wired service, as a process, on a real database and a real broker."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer
from kappi_chassis.auth import JwksSource
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.auth.verifier import http_fetch
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.clock import utc_now
from kappi_chassis.embedded.ports import free_port
from kappi_contracts.envelope import decode
from kappi_testkit.eventually import eventually
from kappi_testkit.plugin import BrokerUnderTest
from kappi_testkit.processes import ManagedProcess, answers_http

BROKER_TIMEOUT_S = 40.0
PASSWORD = "correct horse battery staple"


@pytest.fixture
def connection(every_broker: BrokerUnderTest, topic_prefix: str) -> KafkaConnection:
    return KafkaConnection(bootstrap=every_broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20)


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    return tmp_path / "mails"


@pytest.fixture
def process(url: str, every_broker: BrokerUnderTest, topic_prefix: str, tmp_path: Path, mails: Path) -> Any:
    """Returns `process()`: the service as its own process, and its address."""

    def make() -> tuple[ManagedProcess, str]:
        port, ops_port = free_port(), free_port()
        managed = ManagedProcess(
            [sys.executable, "-m", "kappi_identity.main"],
            log=tmp_path / "identity.log",
            ready=lambda: answers_http(f"http://127.0.0.1:{ops_port}/readyz"),
            env={
                "KAPPI_LOG_LEVEL": "DEBUG",
                "KAPPI_KAFKA_BOOTSTRAP": every_broker.bootstrap,
                "KAPPI_KAFKA_CREATE_TOPICS": str(every_broker.kind == "kafka"),
                "KAPPI_TOPIC_PREFIX": topic_prefix,
                "KAPPI_IDENTITY_DATABASE_URL": url,
                "KAPPI_IDENTITY_IDEMPOTENCY_SECRET": "0123456789abcdef",
                "KAPPI_IDENTITY_KEY_SECRET": "fedcba9876543210",
                "KAPPI_IDENTITY_MAIL_DIR": os.fspath(mails),
                "KAPPI_IDENTITY_PORT": str(port),
                "KAPPI_IDENTITY_OPS_PORT": str(ops_port),
            },
        )
        return managed, f"http://127.0.0.1:{port}"

    return make


async def _messages(
    connection: KafkaConnection, topic: str, *, until: Callable[[list[Any]], bool]
) -> list[Any]:
    consumer = AIOKafkaConsumer(
        connection.topic(topic),
        **connection.client_options(),
        auto_offset_reset="earliest",
        metadata_max_age_ms=500,
    )
    await consumer.start()
    found: list[Any] = []
    try:
        async with asyncio.timeout(BROKER_TIMEOUT_S):
            while not until(found):
                for messages in (await consumer.getmany(timeout_ms=100)).values():
                    found += messages
    finally:
        await consumer.stop()
    return found


async def _sign_up(session: aiohttp.ClientSession, address: str, email: str) -> Any:
    body = {"email": email, "password": PASSWORD}
    async with session.post(f"{address}/v1/accounts", json=body) as answer:
        assert answer.status == 201, await answer.text()
        return await answer.json()


async def _log_in(session: aiohttp.ClientSession, address: str, email: str) -> Any:
    form = {"grant_type": "password", "username": email, "password": PASSWORD}
    async with session.post(f"{address}/v1/oauth/token", data=form) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_life_of_an_account_on_the_wire(
    process: Any, connection: KafkaConnection, mails: Path
) -> None:
    managed, address = process()
    with managed:
        async with aiohttp.ClientSession() as session:
            account = await _sign_up(session, address, "ada@example.com")
            tokens = await _log_in(session, address, "ada@example.com")
            # Read as every other service reads it.
            verifier = AccountVerifier(
                JwksSource(http_fetch(f"{address}/.well-known/jwks.json")), clock=utc_now
            )
            claims = await verifier.open(tokens["access_token"])
            assert (str(claims.account_id), claims.role, claims.tier) == (account["id"], "user", "Traveller")
            assert claims.expires_at - claims.issued_at == tokens["expires_in"] == 600

            body = {"email": "ada@example.com"}
            async with session.post(f"{address}/v1/password-resets", json=body) as answer:
                assert answer.status == 202

            def arrived() -> Path:
                found = list(mails.glob("*.eml")) if mails.exists() else []
                assert len(found) == 1
                return found[0]

            mail = await eventually(arrived)
            assert mail.stat().st_mode & 0o077 == 0
            read = message_from_bytes(mail.read_bytes(), policy=policy.default)
            assert read["To"] == "ada@example.com"
            text = read.get_content()
            reset = next(line for line in text.splitlines() if line.startswith("kappi_pw_"))

            bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
            async with session.delete(f"{address}/v1/me", headers=bearer) as answer:
                assert answer.status == 204
        (created,) = await _messages(connection, "AccountCreated", until=lambda found: len(found) == 1)
        (deleted,) = await _messages(connection, "AccountDeleted", until=lambda found: len(found) == 1)
        tiers = await _messages(connection, "TierChanged", until=lambda found: len(found) >= 5)
        assert created.key.decode() == deleted.key.decode() == account["id"]
        assert (decode(created.value, created.headers).source, len(tiers)) == ("/identity", 5)
        assert {json.loads(tier.value)["name"] for tier in tiers} == {
            *("Anonymous", "Traveller", "Basic", "Premium", "Enterprise")
        }
        assert await asyncio.to_thread(managed.stop) == 0

    log = managed.log.read_text()
    assert "service.started" in log
    assert "service.stopped" in log
    for secret in (PASSWORD, tokens["access_token"], tokens["refresh_token"], reset, "ada@example.com"):
        assert secret not in log


async def test_what_was_acknowledged_survives_kill_9(process: Any, connection: KafkaConnection) -> None:
    managed, address = process()
    acknowledged: list[str] = []
    numbers = iter(range(10_000))

    async def client(session: aiohttp.ClientSession) -> None:
        try:
            while True:
                email = f"a{next(numbers)}@example.com"
                acknowledged.append((await _sign_up(session, address, email))["id"])
        except aiohttp.ClientError:
            return

    with managed:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as clients:
            for _ in range(4):
                clients.create_task(client(session))

            async def busy() -> None:
                assert len(acknowledged) >= 20

            await eventually(busy, BROKER_TIMEOUT_S)
            managed.kill()
        await asyncio.to_thread(managed.start)
        wanted = set(acknowledged)
        await _messages(
            connection,
            "AccountCreated",
            until=lambda found: wanted <= {message.key.decode() for message in found},
        )
        # The signing key is the same as before, so the login still works.
        async with aiohttp.ClientSession() as session:
            await _log_in(session, address, "a0@example.com")
        assert await asyncio.to_thread(managed.stop) == 0
