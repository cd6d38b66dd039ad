"""A real S3 server that checks signatures: the Versity gateway, one program that Go builds.

    python -m kappi_testkit.servers.s3 install    (in the project's root)

builds it into `.tools/bin/`. A run takes the first that exists: the server that `KAPPI_TEST_S3_ENDPOINT`
names, a container if Docker has the image, the program itself. Without them, tests use the local store only.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from kappi_chassis.embedded.ports import LOOPBACK, accepts_tcp, free_port
from kappi_chassis.storage.s3 import S3ObjectStore
from kappi_chassis.storage.s3_client import S3Address, make_client
from kappi_chassis.storage.s3_signing import Addressing, S3UrlSigner
from kappi_chassis.storage.sigv4 import Credentials

from kappi_testkit.processes import ManagedProcess
from kappi_testkit.servers.docker import Container, docker_has

VERSION = "v1.8.0"
ENDPOINT_VARIABLE = "KAPPI_TEST_S3_ENDPOINT"
IMAGE = f"versity/versitygw:{VERSION}"
S3Source = Literal["given", "docker", "binary", "absent"]
_MODULE = "github.com/versity/versitygw/cmd/versitygw"
_BINARY = Path(".tools/bin/versitygw")
_REGION = "us-east-1"
_START_TIMEOUT_S = 15.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server and the account that owns everything on it."""

    endpoint: str
    region: str
    credentials: Credentials

    @classmethod
    def at(cls, address: str) -> Self:
        """Returns the server at an address from `start_s3`."""
        parts = json.loads(address)
        credentials = Credentials(access_key=parts["access_key"], secret_key=parts["secret_key"])
        return cls(endpoint=parts["endpoint"], region=parts["region"], credentials=credentials)

    @property
    def address(self) -> str:
        """Address, region and account in one string, for other processes."""
        return json.dumps(
            {
                "endpoint": self.endpoint,
                "region": self.region,
                "access_key": self.credentials.access_key,
                "secret_key": self.credentials.secret_key,
            }
        )

    def store(self, bucket: str) -> S3ObjectStore:
        """Returns a store on `bucket`; the caller closes it."""
        return S3ObjectStore(self._bucket_address(bucket), credentials=self.credentials)

    def signer(self, bucket: str) -> S3UrlSigner:
        return S3UrlSigner(
            endpoint=self.endpoint,
            region=self.region,
            bucket=bucket,
            credentials=self.credentials,
            addressing=Addressing.PATH,
        )

    def environment(self, bucket: str) -> dict[str, str]:
        """Returns the variables that make a service use `bucket` (see `StorageSettings`)."""
        return {
            "KAPPI_S3_ENDPOINT": self.endpoint,
            "KAPPI_S3_BUCKET": bucket,
            "KAPPI_S3_REGION": self.region,
            "KAPPI_S3_ACCESS_KEY": self.credentials.access_key,
            "KAPPI_S3_SECRET_KEY": self.credentials.secret_key,
        }

    def create_bucket(self, *, versioned: bool = False) -> str:
        """Creates a new bucket with a random name. Blocks."""
        bucket = f"kappi-test-{uuid.uuid4().hex[:20]}"
        client = make_client(self._bucket_address(bucket), credentials=self.credentials, connections=1)
        try:
            client.create_bucket(Bucket=bucket)
            if versioned:
                client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        finally:
            client.close()
        return bucket

    def _bucket_address(self, bucket: str) -> S3Address:
        return S3Address(bucket=bucket, region=self.region, endpoint=self.endpoint)


def s3_source(root: Path | None = None) -> S3Source:
    """Returns the server that a run would use. Starts and fetches nothing. root: the project's."""
    if os.environ.get(ENDPOINT_VARIABLE):
        return "given"
    if docker_has(IMAGE):
        return "docker"
    return "binary" if find_versitygw(root) is not None else "absent"


def find_versitygw(root: Path | None = None) -> Path | None:
    """Returns the program: the project's own, one in PATH, or one that `go install` left."""
    in_path = shutil.which("versitygw")
    places = [(root or Path.cwd()) / _BINARY, *([Path(in_path)] if in_path else []), *_go_binaries()]
    return next((each for each in places if each.is_file() and os.access(each, os.X_OK)), None)


def install_versitygw(target_dir: Path) -> Path:
    """Builds the pinned version into `target_dir`: takes minutes, once.

    Raises CalledProcessError, FileNotFoundError (no Go).
    """
    go = shutil.which("go")
    if go is None:
        raise FileNotFoundError("Go is needed to build versitygw: https://go.dev/doc/install")
    subprocess.run(  # noqa: S603
        [go, "install", f"{_MODULE}@{VERSION}"],
        check=True,
        env={**os.environ, "GOBIN": str(target_dir.resolve())},
    )
    return target_dir / "versitygw"


def start_s3(*, folder: Path, running: ExitStack, root: Path | None = None) -> str:
    """Returns the address of a real server, for `S3Server.at`.

    The callback that ends it is pushed on `running`. folder: for its data.
    Raises FileNotFoundError if `s3_source` finds none.
    """
    source = s3_source(root)
    if source == "given":
        return _given(os.environ).address
    server = S3Server(
        endpoint=f"http://{LOOPBACK}:{free_port()}",
        region=_REGION,
        credentials=Credentials(access_key=secrets.token_hex(10).upper(), secret_key=secrets.token_hex(20)),
    )
    if source == "docker":
        _start_container(server, running=running)
    else:
        program = find_versitygw(root)
        if program is None:
            raise FileNotFoundError("There is no versitygw here: install it as this module's docstring says")
        _start_program(program, server, folder=folder, running=running)
    return server.address


@contextmanager
def running_s3_server(root: Path | None = None) -> Iterator[S3Server | None]:
    """Runs a server for the caller while the context lasts; yields None if there is none. Prints its kind."""
    source = s3_source(root)
    sys.stderr.write(f"S3 server: {source}\n")
    if source == "absent":
        yield None
        return
    with (
        tempfile.TemporaryDirectory(prefix="kappi-s3-", ignore_cleanup_errors=True) as folder,
        ExitStack() as running,
    ):
        yield S3Server.at(start_s3(root=root, folder=Path(folder), running=running))


def _given(environment: Mapping[str, str]) -> S3Server:
    try:
        credentials = Credentials(
            access_key=environment["KAPPI_TEST_S3_ACCESS_KEY"],
            secret_key=environment["KAPPI_TEST_S3_SECRET_KEY"],
        )
    except KeyError as missing:
        raise RuntimeError(f"{ENDPOINT_VARIABLE} is set, but {missing.args[0]} is not") from missing
    return S3Server(
        endpoint=environment[ENDPOINT_VARIABLE],
        region=environment.get("KAPPI_TEST_S3_REGION", _REGION),
        credentials=credentials,
    )


def _start_container(server: S3Server, *, running: ExitStack) -> None:
    port = _port(server)
    container = Container(
        IMAGE,
        container_port=7070,
        host_port=port,
        # Everything is in the image's own writable folders: metadata beside the data, as an overlay file
        # system may refuse extended attributes.
        env={**_root_account(server), "VGW_PORT": ":7070", "VGW_META_SIDECAR": "/mnt"},
        command="--keep-alive posix --versioning-dir /opt /srv",
    )
    running.callback(container.stop)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _answers_http(port):  # Docker accepts connections on the port long before
        if time.monotonic() > deadline:
            raise TimeoutError(f"{IMAGE} did not answer within {_START_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)


def _start_program(program: Path, server: S3Server, *, folder: Path, running: ExitStack) -> None:
    port = _port(server)
    data, versions, metadata = (folder / name for name in ("data", "versions", "metadata"))
    for each in (data, versions, metadata):
        each.mkdir()
    beside = [] if _keeps_attributes(data) else ["--sidecar", str(metadata)]
    process = ManagedProcess(
        [
            *(str(program), "--port", f"{LOOPBACK}:{port}", "--quiet", "--keep-alive"),
            *("posix", "--versioning-dir", str(versions), *beside, str(data)),
        ],
        log=folder / "versitygw.log",
        ready=lambda: accepts_tcp(port),
        env=_root_account(server),
        start_timeout_s=_START_TIMEOUT_S,
    )
    process.start()
    running.callback(process.kill)  # its data is not needed: no orderly shutdown


def _root_account(server: S3Server) -> dict[str, str]:
    return {
        "ROOT_ACCESS_KEY": server.credentials.access_key,
        "ROOT_SECRET_KEY": server.credentials.secret_key,
    }


def _port(server: S3Server) -> int:
    return int(server.endpoint.rpartition(":")[2])


def _answers_http(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def _keeps_attributes(folder: Path) -> bool:
    """Whether files here may have extended attributes, in which the gateway keeps its metadata."""
    if not hasattr(os, "setxattr"):
        return False
    try:
        os.setxattr(folder, "user.kappi-test", b"1")
    except OSError:
        return False
    return True


def _go_binaries() -> list[Path]:
    go = shutil.which("go")
    if go is None:
        return []
    printed = subprocess.run([go, "env", "GOPATH"], capture_output=True, text=True, check=False)  # noqa: S603
    return [Path(each) / "bin" / "versitygw" for each in printed.stdout.strip().split(os.pathsep) if each]


def main(arguments: list[str]) -> int:
    if arguments != ["install"]:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    sys.stdout.write(f"versitygw {VERSION}: {install_versitygw(_BINARY.parent)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
