"""The running stacks under test, with access to their internals."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kappi_chassis.observability.secret_shapes import holds_secret
from kappi_chassis.storage.contract import ObjectStore, UrlSigner
from kappi_chassis.storage.settings import StorageSettings, build_signer, build_store
from kappi_testkit.servers.s3 import S3Server
from kappi_testkit.stack import GENEROUS, EmbeddedStack

StackKind = Literal["embedded", "real"]

DEFAULTS: Mapping[str, str] = {
    **GENEROUS,
    "KAPPI_IDENTITY_ACCESS_TOKEN_LIFETIME": "PT1H",  # longer than all tests of one stack
    # A gallery can then outlive a tick at the end of the usual thirty days.
    "KAPPI_GALLERIES_ANONYMOUS_LIFETIME_CAP": "P60D",
    # The receivers of webhooks are on this machine.
    "KAPPI_IDENTITY_WEBHOOK_PLAIN_HTTP": "true",
    "KAPPI_IDENTITY_WEBHOOK_PORTS": "",
    "KAPPI_IDENTITY_WEBHOOK_NETWORKS": "127.0.0.0/8",
}
_COMMAND_TIMEOUT_S = 120


@dataclass(slots=True)
class StackUnderTest:
    """kind: embedded, or the same processes on a real Kafka and S3. secrets: texts that no log may have."""

    kind: StackKind
    running: EmbeddedStack
    s3: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: set[str] = field(default_factory=set, repr=False)

    @property
    def base_url(self) -> str:
        return self.running.base_url

    def object_store(self) -> ObjectStore:
        """Returns the store that the services use; the caller closes it."""
        return build_store(self._storage())

    def signer(self) -> UrlSigner:
        """Returns a signer with the services' credentials."""
        return build_signer(self._storage())

    def service_url(self, service: str) -> str:
        """Returns the address of a service's own port, which clients cannot reach."""
        return f"http://127.0.0.1:{self.running.note.services[service].port}"

    def ops_url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.running.note.services[service].ops_port}"

    def kappi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the `kappi` command as an operator of this stack. Blocks."""
        return subprocess.run(
            [sys.executable, "-m", "kappi_embedded.cli", *arguments],
            env={**_without_kappi(os.environ), **self.running.env, "COLUMNS": "200", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )

    def leaks(self) -> list[str]:
        """Returns the lines of all logs that contain a secret, with the secret itself removed."""
        found: list[str] = []
        for path in sorted((self.running.data_dir / "logs").glob("*.log*")):
            lines = path.read_text(errors="replace").splitlines()
            found += [f"{path.name}: {line[:60]} ..." for line in lines if self._holds_secret(line)]
        return found

    def _holds_secret(self, line: str) -> bool:
        return holds_secret(line) or any(secret in line for secret in self.secrets)

    def _storage(self) -> StorageSettings:
        names = {name.removeprefix("KAPPI_").lower(): value for name, value in self.s3.items()}
        if names:
            return StorageSettings(**names)  # type: ignore[arg-type]  # texts, as from the environment
        data_dir = self.running.data_dir
        return StorageSettings(
            local_store_dir=data_dir / "objects",
            local_store_url=f"{self.base_url}/store/",
            local_store_secret=(data_dir / "secrets" / "store").read_text().strip(),  # type: ignore[arg-type]
        )


@contextmanager
def running_stack(
    kind: StackKind,
    folder: Path,
    *,
    settings: Mapping[str, str],
    kafka_bootstrap: str | None = None,
    s3_server: S3Server | None = None,
) -> Iterator[StackUnderTest]:
    """Yields a running stack; afterwards its logs are searched for secrets.

    kafka_bootstrap, s3_server: replace the embedded servers, by settings alone. The bucket keeps versions, so
    that a purge that only hides objects is detected.
    """
    s3 = s3_server.environment(s3_server.create_bucket(versioned=True)) if s3_server is not None else {}
    kafka = (
        {"KAPPI_KAFKA_BOOTSTRAP": kafka_bootstrap, "KAPPI_TOPIC_PREFIX": f"e2e{uuid.uuid4().hex[:8]}."}
        if kafka_bootstrap is not None
        else {}
    )
    running = EmbeddedStack(folder / "data", settings={**DEFAULTS, **settings, **s3, **kafka})
    running.start()
    stack = StackUnderTest(kind, running, s3=s3)
    if "KAPPI_S3_SECRET_KEY" in s3:
        stack.secrets.add(s3["KAPPI_S3_SECRET_KEY"])
    try:
        yield stack
    finally:
        if running.running:
            running.stop()
    leaks = stack.leaks()
    assert not leaks, f"secrets in the logs: {leaks[:10]}"


def _without_kappi(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("KAPPI_")}
