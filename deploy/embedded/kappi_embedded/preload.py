"""The module that the forkserver of `multiprocessing` imports before it forks the services.

Five interpreters that each import FastAPI, SQLAlchemy and aiokafka need three times the memory and three
times the start-up CPU of five copies of one (copy-on-write). The forkserver never starts a thread or an event
loop, so forking it is safe. Each service is still a process of its own, killed and restarted alone.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal

from setproctitle import setproctitle

from kappi_embedded.death import die_with

PRELOAD = (
    "aiohttp",
    "asyncpg",
    "kappi_chassis.auth",
    "kappi_chassis.bus",
    "kappi_chassis.db",
    "kappi_chassis.http",
    "kappi_chassis.idempotency",
    "kappi_chassis.inbox",
    "kappi_chassis.outbox",
    "kappi_chassis.runtime",
    "kappi_contracts.topics",
    "kappi_embedded.cli",
    "pydantic_settings",
)
"""The modules that most services import anyway, and the `kappi` command.

`multiprocessing` imports the main script again in each child. None of these modules may start a thread or
draw a random number on import.
"""

FORKSERVER_PID = os.getpid()
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that the forkserver ignores, because it ends with the supervisor, and that its children reset."""


def _prepare() -> None:
    die_with(os.getppid())
    os.setsid()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for module in PRELOAD:
        importlib.import_module(module)
    # Garbage collection writes to the objects it visits, which would unshare these pages one by one.
    gc.collect()
    gc.freeze()
    setproctitle("kappi: forkserver")


_prepare()
