"""The `kappi up` command: holds the data folder, runs the supervisor, handles signals."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import asyncpg
from kappi_chassis.embedded.accounts import NoAccount
from kappi_chassis.embedded.broker import BrokerUnavailable
from kappi_chassis.embedded.ports import NoFreePorts, can_listen
from kappi_chassis.embedded.postgres import PostgresUnavailable
from kappi_chassis.storage.contract import StorageUnavailable

from kappi_embedded.ballast import Ballast
from kappi_embedded.console import Console
from kappi_embedded.data_dir import DataDir, DataDirInUse, DataDirUnusable
from kappi_embedded.network import phone_url, qr_code
from kappi_embedded.plan import BadSetting, Plan, data_dir_from, read_plan
from kappi_embedded.supervised import ServiceFailed
from kappi_embedded.supervisor import StartFailed, Supervisor

_EXPLAINED = (
    BadSetting,
    BrokerUnavailable,
    DataDirInUse,
    DataDirUnusable,
    NoAccount,
    NoFreePorts,
    PostgresUnavailable,
    ServiceFailed,
    StartFailed,
    StorageUnavailable,
    OSError,
    asyncpg.PostgresError,
)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class PortTaken(StartFailed):
    """Another process listens on the public port."""


def up(environ: Mapping[str, str]) -> int:
    """Runs the whole stack until the process is told to stop. Returns the exit status."""
    console = Console()
    os.umask(0o077)  # only the owner may read the stack's files, whichever of its processes writes them
    try:
        plan = read_plan(environ)
        data = DataDir(plan.data_dir)
        with data.held():
            _check_port(plan)
            return asyncio.run(_run(plan, data, console=console, environ=environ))
    except _EXPLAINED as failure:
        console.fail(str(failure) or type(failure).__name__)
        return 1


async def _run(plan: Plan, data: DataDir, *, console: Console, environ: Mapping[str, str]) -> int:
    console.say(f"Kappi starts in {shown(plan.data_dir)}")
    ballast = Ballast(data.ballast, console=console, reserve_bytes=plan.store_reserve_bytes)
    while not await _run_once(plan, data, ballast, console=console, environ=environ):
        console.warn("Kappi ended because the disk is full, and starts again")
    console.say("Kappi has stopped. Everything is kept.")
    return 0


async def _run_once(
    plan: Plan, data: DataDir, ballast: Ballast, *, console: Console, environ: Mapping[str, str]
) -> bool:
    """Runs the stack once.

    Returns whether it was told to stop; False where it failed because the disk is full.
    """
    supervisor = Supervisor(plan, data, ballast, console=console, environ=environ)
    working = asyncio.create_task(_work(supervisor, plan, console), name="supervisor")
    asked = _listen(console, working, supervisor)
    try:
        await working
    except asyncio.CancelledError:
        if not asked.is_set():
            raise
    except _EXPLAINED as failure:
        if not (plan.needs_postgres and ballast.is_short()):
            raise
        console.warn(str(failure) or type(failure).__name__)
    finally:
        await supervisor.stop()
    return asked.is_set()


async def _work(supervisor: Supervisor, plan: Plan, console: Console) -> None:
    await supervisor.start()
    _welcome(plan, console)
    await supervisor.watch()


def _listen(console: Console, working: asyncio.Task[None], supervisor: Supervisor) -> asyncio.Event:
    """Handles signals: the first one drains, the second one stops without waiting."""
    asked = asyncio.Event()

    def hear() -> None:
        if asked.is_set():
            console.say("Stopping at once.")
            supervisor.kill()
            return
        asked.set()
        console.say("Stopping (once more to force) ...")
        working.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, hear)
    return asked


def _check_port(plan: Plan) -> None:
    error = can_listen(plan.host, plan.port)
    if error is not None:
        raise PortTaken(
            f"cannot listen on {plan.host}:{plan.port}: {error.strerror}. "
            f"Free it, or choose another with KAPPI_PORT, for example: KAPPI_PORT={plan.port + 1} kappi up"
        )


def _welcome(plan: Plan, console: Console) -> None:
    kappi = _command(plan)
    body = '{"title": "Lisbon"}'
    curl = f"curl -sS {plan.public_url}/v1/galleries -H 'content-type: application/json' -d '{body}'"
    console.say(f"""
{console.strong("Kappi is up")} after {console.elapsed_s:.1f} s: {console.strong(plan.public_url)}

  Open    {plan.public_url}/docs   the API, every call explained
          {plan.public_url}/       share files, see a gallery by its code
  Paste   {curl}
          {kappi} share PHOTO...   a gallery from your files, with its link
          {kappi} admin create EMAIL   an administrator of {plan.public_url}/admin
  Stop    Ctrl-C. Data and logs stay in {shown(plan.data_dir)}
""")
    _invite_phones(plan, console)


def _invite_phones(plan: Plan, console: Console) -> None:
    url = phone_url(plan)
    if url is not None:
        console.say(f"  Phone   {url}")
        console.draw(qr_code(url))
    elif plan.is_open:
        console.say("  Phone   this machine is in no network at the moment")
    else:
        console.say("  Phone   start it with KAPPI_HOST=0.0.0.0 to open it on phones in this network")
    console.say()


def _command(plan: Plan) -> str:
    """Returns the command that calls kappi from the caller's shell so that it finds this stack."""
    called = sys.argv[0]
    command = "kappi" if shutil.which("kappi") == called else os.path.relpath(called)
    if not Path(command).name.startswith("kappi"):
        command = "kappi"
    if data_dir_from({}) != plan.data_dir:
        return f"KAPPI_DATA_DIR={shlex.quote(str(plan.data_dir))} {shlex.quote(command)}"
    return shlex.quote(command)


def shown(path: Path) -> str:
    """Returns a path in its shortest form, relative to the current folder where possible."""
    with suppress(ValueError):
        return f"./{path.relative_to(Path.cwd())}"
    return str(path)
