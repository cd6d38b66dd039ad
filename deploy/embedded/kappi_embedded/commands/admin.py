"""`kappi admin create`: creates administrators."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import asyncpg
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.problems import Problem
from kappi_identity.commands import create_admin
from kappi_identity.domain.accounts import Account, TextRefused
from rich.markup import escape
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from kappi_embedded.commands.passwords import NoPassword
from kappi_embedded.commands.terminal import fail, out
from kappi_embedded.stack import NotRunning, find_database, find_url


def create(email: str, *, read_password: Callable[[], str], environ: Mapping[str, str]) -> int:
    """Creates an administrator. read_password: `prompted_twice` or `from_stdin`. Returns the exit status."""
    configure_logging(service="kappi", level="WARNING", renderer="console")
    try:
        url = find_database(environ, "identity")
        account = asyncio.run(create_admin(url, email=email, password=read_password()))
    except (NotRunning, NoPassword, TextRefused) as error:
        return fail(str(error))
    except Problem as problem:
        return fail(problem.detail or problem.title)
    except ProgrammingError:
        return fail("identity's database has no schema, or a too old one: migrate it first")
    except (OSError, TimeoutError, asyncpg.PostgresError, SQLAlchemyError) as error:
        return fail(f"identity's database does not answer: {type(error).__name__}")
    _print(account, environ)
    return 0


def _print(account: Account, environ: Mapping[str, str]) -> None:
    out.print(f"{escape(account.email or '')} is an administrator.")
    try:
        url = find_url(environ, None)
    except NotRunning:  # a container has the address that the services put into links
        url = environ.get("KAPPI_PUBLIC_URL", "").rstrip("/")
    out.print(f"Log in at {escape(url)}/admin")
