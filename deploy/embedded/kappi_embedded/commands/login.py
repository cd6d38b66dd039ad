"""`kappi login` and `kappi logout`: the account of `kappi share` and `kappi get`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from kappi_client import ApiError, Client, Unreachable
from kappi_client.logins import logins_folder
from rich.markup import escape

from kappi_embedded.commands.passwords import NoPassword
from kappi_embedded.commands.terminal import fail, failed, out
from kappi_embedded.stack import NotRunning, find_url


def login(
    email: str, *, url: str | None, read_password: Callable[[], str], environ: Mapping[str, str]
) -> int:
    """Logs in and returns the exit status. read_password: `prompted` or `from_stdin`."""
    folder = logins_folder(environ)
    try:
        base_url = find_url(environ, url)
        asyncio.run(Client(base_url, environ=environ).login(email, read_password()))
    except (NotRunning, NoPassword, ApiError, Unreachable) as error:
        return failed(error)
    except OSError as error:
        return fail(f"cannot write to {folder}: {error.strerror or error}")
    out.print(
        f"Logged in at {escape(base_url)} as {escape(email)}: `kappi share` makes galleries of this account."
    )
    return 0


def logout(*, url: str | None, environ: Mapping[str, str]) -> int:
    """Logs out and returns the exit status."""
    folder = logins_folder(environ)
    try:
        base_url = find_url(environ, url)
        ended = asyncio.run(Client(base_url, environ=environ).logout())
    except NotRunning as error:
        return fail(str(error))
    except (ApiError, Unreachable) as error:
        return fail(f"logged out here, but {error}: the log-in there ends by itself")
    except OSError as error:
        return fail(f"cannot write to {folder}: {error.strerror or error}")
    out.print(
        f"Logged out {escape(ended.email)}." if ended else f"No account was logged in at {escape(base_url)}."
    )
    return 0
