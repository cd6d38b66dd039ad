"""Accounts on the measured system."""

from __future__ import annotations

import secrets
from typing import Self
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from benchmarks.load import connect, request
from benchmarks.world import World


class Account:
    """An account that signs up and can log in again, because access tokens last for minutes."""

    def __init__(self, world: World, account_id: UUID, credentials: dict[str, str]) -> None:
        self.id = account_id
        self.world = world
        self._credentials = credentials
        self._token = ""

    @classmethod
    async def sign_up(cls, world: World) -> Self:
        credentials = {"email": f"{secrets.token_hex(8)}@example.com", "password": secrets.token_hex(12)}
        made = await world.ask("POST", f"{world.gateway.url}/v1/accounts", body=credentials)
        account = cls(world, UUID(made["id"]), credentials)
        await account.log_in()
        return account

    async def log_in(self) -> None:
        form = {"username": self._credentials["email"], "password": self._credentials["password"]}
        ask = request(
            "POST",
            "/v1/oauth/token",
            host=self.world.gateway.authority,
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=urlencode({"grant_type": "password", **form}).encode(),
        )
        connection = await connect(self.world.gateway.host, self.world.gateway.port)
        connection.keep_body = True
        assert await connection.ask(ask) == 200
        self._token = msgspec.json.decode(connection.body)["access_token"]
        connection.close()

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"}
