"""`kappi restored`: prepares databases that went back in time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg

from kappi_embedded.commands.terminal import fail, out
from kappi_embedded.plan import WITH_DATABASE
from kappi_embedded.restored import prepare_restored


def restored(services: Sequence[str], *, environ: Mapping[str, str]) -> int:
    """Prepares the databases of these services, whose addresses the environment names. Returns the exit
    status.
    """
    known = {service.name: service.database_url_name for service in WITH_DATABASE}
    if unknown := [name for name in services if name not in known]:
        return fail(f"there is no service {unknown[0]!r} with a database; there are: {', '.join(known)}")
    if missing := [known[name] for name in services if not environ.get(known[name])]:
        return fail(f"set {missing[0]}")
    urls = {name: environ[known[name]] for name in services}
    try:
        asyncio.run(prepare_restored(urls))
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        return fail(f"a database does not answer: {error}")
    out.print(
        f"Prepared: {', '.join(services)}. Start the services, then `kappi replay` and "
        "`kappi reconcile --repair`."
    )
    return 0
