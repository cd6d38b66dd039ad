"""Log-ins of accounts by deployment, in a file that only its owner can read.

A refresh token is valid once, so processes lock the file.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kappi_client.api import Api
from kappi_client.errors import ApiError, LoggedOut
from kappi_client.private_file import write_private

_MARGIN_S = 60.0
_LOCK_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A log-in. expires_at: of the access token, in seconds since 1970. device_token: for the next log-in."""

    email: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float
    device_token: str | None = field(default=None, repr=False)


class Logins:
    """The file of all log-ins. clock: seconds since 1970."""

    def __init__(self, folder: Path, *, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._path = folder / "logins.json"
        self._clock = clock

    def find(self, base_url: str) -> Login | None:
        """Returns the log-in, or None where there is none that can be read. Raises OSError."""
        try:
            return Login(**self._read()[base_url])
        except (KeyError, TypeError):
            return None

    async def log_in(self, base_url: str, email: str, password: str) -> Login:
        """Logs in and keeps the tokens. Raises ApiError, Unreachable, OSError."""
        async with self._held(), Api(base_url) as api:
            before = self.find(base_url)
            form = {"grant_type": "password", "username": email, "password": password}
            if before is not None and before.email == email and before.device_token:
                form["device_token"] = before.device_token
            answer = await api.call("POST", "/v1/oauth/token", form=form)
            login = self._keep(base_url, self._login(email, answer, before=None))
            await self._revoke(api, before)
            return login

    async def log_out(self, base_url: str) -> Login | None:
        """Ends the log-in and returns it, if there was one.

        Raises OSError. ApiError and Unreachable are raised after the log-in was removed from the file.
        """
        async with self._held(), Api(base_url) as api:
            before = self.find(base_url)
            if before is not None:
                self._forget(base_url)
                await self._revoke(api, before)
            return before

    async def authorization(self, base_url: str) -> Mapping[str, str]:
        """Returns a header with a token that is valid for a minute or more.

        Raises LoggedOut, ApiError, Unreachable, OSError.
        """
        login = self.find(base_url)
        if login is None or login.expires_at - self._clock() < _MARGIN_S:
            login = await self._refreshed(base_url)
        return {"Authorization": f"Bearer {login.access_token}"}

    async def _refreshed(self, base_url: str) -> Login:
        async with self._held(), Api(base_url) as api:
            login = self.find(base_url)
            if login is None:
                raise LoggedOut("this account was logged out: log in again with `kappi login`")
            if login.expires_at - self._clock() >= _MARGIN_S:
                return login  # another process was first
            form = {"grant_type": "refresh_token", "refresh_token": login.refresh_token}
            try:
                answer = await api.call("POST", "/v1/oauth/token", form=form)
            except ApiError as error:
                if error.code != "invalid_grant":
                    raise
                self._forget(base_url)
                raise LoggedOut(
                    f"the log-in of {login.email} has ended: log in again with `kappi login {login.email}`"
                ) from error
            return self._keep(base_url, self._login(login.email, answer, before=login))

    def _login(self, email: str, answer: Mapping[str, Any], *, before: Login | None) -> Login:
        return Login(
            email=email,
            access_token=answer["access_token"],
            refresh_token=answer["refresh_token"],
            expires_at=self._clock() + answer["expires_in"],
            device_token=answer.get("device_token", before.device_token if before is not None else None),
        )

    async def _revoke(self, api: Api, login: Login | None) -> None:
        if login is not None:
            await api.call("POST", "/v1/oauth/revoke", form={"token": login.refresh_token})

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, base_url: str, login: Login) -> Login:
        write_private(self._path, json.dumps({**self._read(), base_url: asdict(login)}, indent=2))
        return login

    def _forget(self, base_url: str) -> None:
        write_private(
            self._path, json.dumps({url: kept for url, kept in self._read().items() if url != base_url})
        )

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """Holds the lock of the file. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(self._folder / "logins.lock", os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(_LOCK_PAUSE_S)
            yield


def logins_folder(environ: Mapping[str, str]) -> Path:
    """Returns the folder for configuration of the XDG base directory specification."""
    config = environ.get("XDG_CONFIG_HOME", "")
    home = Path(environ.get("HOME") or Path.home())
    return (Path(config) if os.path.isabs(config) else home / ".config") / "kappi"
