"""The data folder: its lock, its secrets, and the note by which other commands find the stack.

lock            locked by the running supervisor
run.json        addresses and pids while it runs (only for its owner: it contains database passwords and a
                secret)
secrets/        made once: the grant key, the seal of identity's keys, the secrets of idempotency, of the
                store, of internal calls and of events
mail/           emails as .eml files, if there is no SMTP server
shares/         the journals of `kappi share`, with which it continues after an interruption
ballast         reserved space, released when a full disk keeps PostgreSQL from starting
objects/files/  the uploaded files as plain files, and their renditions
postgres/ logs/ signals/
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

_SECRET_BYTES = 32
_LOCK_ATTEMPTS, _LOCK_PAUSE_S = 50, 0.02


class DataDirInUse(RuntimeError):
    """Another `kappi up` runs on this folder."""


class DataDirUnusable(RuntimeError):
    """The folder cannot be created or written; the message states the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningService:
    """One running service. port: its own port. ops_port: health and metrics. pid 0: it is not running now."""

    pid: int
    port: int
    ops_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNote:
    """The content of `run.json`, written once everything is ready. s3_endpoint: None where the store is a
    folder.

    phone_url: address for other machines in the network, None if they cannot reach it. event_secret: the one
    in the environment of the running services.
    """

    pid: int
    url: str
    started_at: str
    kafka_bootstrap: str
    embedded_broker: bool
    embedded_postgres: bool
    event_secret: str
    s3_endpoint: str | None
    phone_url: str | None = None
    postgres_pid: int | None = None
    databases: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, RunningService] = field(default_factory=dict)


class DataDir:
    """The paths and small files of one data folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.postgres = root / "postgres"
        self.objects = root / "objects"
        self.logs = root / "logs"
        self.signals = root / "signals"
        self.mail = root / "mail"
        self.secrets = root / "secrets"
        self.settled = root / "settled-until"
        self.run_note = root / "run.json"
        self.ballast = root / "ballast"
        self._lock = root / "lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Creates the folder and holds its lock within the context. Raises DataDirInUse, DataDirUnusable."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for private in (self.objects, self.logs, self.signals, self.mail, self.secrets):
                private.mkdir(mode=0o700, exist_ok=True)
            lock = self._lock.open("ab")
        except OSError as error:
            raise DataDirUnusable(
                f"cannot use the data folder {self.root}: {error.strerror}. "
                "Set KAPPI_DATA_DIR to a folder you may write to"
            ) from error
        with lock:
            if not _locked(lock):
                raise DataDirInUse(
                    f"Kappi already runs on {self.root}: stop it first, "
                    "or set KAPPI_DATA_DIR to another folder"
                )
            self.run_note.unlink(missing_ok=True)  # left behind by a killed supervisor
            try:
                yield
            finally:
                self.run_note.unlink(missing_ok=True)

    def in_use(self) -> bool:
        """Whether a supervisor holds the folder now."""
        try:
            with self._lock.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def secret(self, name: str) -> str:
        """Returns a random text that is created once and kept."""
        return self._kept(name, lambda: secrets.token_urlsafe(_SECRET_BYTES)).read_text().strip()

    def identity_key_secret(self) -> str:
        """Returns the secret that seals identity's signing keys in its database; created once and kept."""
        return self.secret("identity-key")

    def event_secret(self) -> str:
        """Returns the secret that signs the stack's events; created once and kept."""
        return self.secret("events")

    def grant_key(self) -> Path:
        """Returns the file of an Ed25519 private key in PEM, created once and kept."""
        return self._kept("grant-key.pem", _new_ed25519)

    def write_note(self, note: RunNote) -> None:
        write_private(self.run_note, json.dumps(asdict(note), indent=2))

    def read_note(self) -> RunNote | None:
        """Returns the note; None where nothing runs. The note of a killed supervisor does not count."""
        if not self.in_use():
            return None
        try:
            found = json.loads(self.run_note.read_text())
        except FileNotFoundError:
            return None
        if not _runs(found["pid"]):
            return None  # the supervisor's successor holds the folder already and will remove the note
        services = {name: RunningService(**service) for name, service in found.pop("services").items()}
        return RunNote(**found, services=services)

    def _kept(self, name: str, make: Callable[[], str]) -> Path:
        path = self.secrets / name
        if not path.exists():
            write_private(path, make())
        return path


def write_private(path: Path, text: str) -> None:
    """Replaces a file in one step; only its owner can read it from the first byte on."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _locked(file: IO[bytes]) -> bool:
    # Several attempts, because a command that checks whether the folder is in use holds the lock for an
    # instant.
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
        else:
            return True
    return False


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it belongs to another user
    return True


def _new_ed25519() -> str:
    # Imported here: it runs once in the life of a data folder and is not worth memory in every supervisor.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
