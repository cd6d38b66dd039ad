"""The programs that Kappi is compared with, fetched by pinned versions into `.tools/peers`, and started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from kappi_chassis.embedded.ports import free_port

from benchmarks.footprint import descendants
from benchmarks.gateway import running_program, start_nginx
from benchmarks.world import Endpoint

TUSD_VERSION: Final = "v2.9.1"
SHARP_VERSION: Final = "0.35.5"
_TUSD_MODULE: Final = "github.com/tus/tusd/v2/cmd/tusd"
_FOLDER: Final = Path(__file__).parents[2] / ".tools/peers"
_FILES: Final = """
root {files}; sendfile on; tcp_nopush on; client_max_body_size 0;
client_body_buffer_size 1m; dav_methods PUT; create_full_put_path on;
"""

Pids = Callable[[], set[int]]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. pids: returns its current processes; None when they are not known. files: the folder
    that it serves or writes, if it is known.
    """

    at: Endpoint
    pids: Pids | None
    files: Path | None = None


@dataclass(frozen=True, slots=True)
class Programs:
    """What is on this machine; None: missing. sharp: the folder that it is installed in."""

    nginx: str | None
    tusd: Path | None
    sharp: Path | None

    def versions(self) -> Iterator[tuple[str, str]]:
        """Yields the names of the programs and their versions."""
        yield "Python", sys.version.split()[0]
        yield "pyvips-binary", version("pyvips-binary")
        if self.nginx:
            yield "nginx", _said(self.nginx, "-v").rpartition("/")[2]
        if self.tusd:
            yield "tusd", TUSD_VERSION
        if self.sharp:
            described = json.loads((self.sharp / "node_modules/sharp/package.json").read_text())
            yield "sharp", described["version"]
            yield "Node", _said("node", "--version")
        if found := shutil.which("vipsthumbnail"):
            yield "vipsthumbnail", _said(found, "--version")


def find_programs() -> Programs:
    """Returns the programs of this machine. Builds tusd where Go is at hand, installs sharp where npm is."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        print("Without nginx: it is not installed (Debian: apt-get install nginx-light)")
    return Programs(nginx, _tusd(), _sharp())


def _tusd() -> Path | None:
    program = _FOLDER / f"tusd-{TUSD_VERSION}" / "tusd"
    if not program.exists():
        if not (go := shutil.which("go")):
            print("Without tusd: Go, which builds it, is not installed")
            return None
        print(f"Building tusd {TUSD_VERSION}, which takes minutes the first time …", flush=True)
        command = [go, "install", f"{_TUSD_MODULE}@{TUSD_VERSION}"]
        subprocess.run(command, check=True, env={**os.environ, "GOBIN": str(program.parent)})
    return program


def _sharp() -> Path | None:
    folder = _FOLDER / f"sharp-{SHARP_VERSION}"
    if not (folder / "node_modules/sharp").is_dir():
        if not (npm := shutil.which("npm")):
            print("Without sharp: npm, which installs it, is not installed")
            return None
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--silent", "--no-save", "--no-package-lock", "--no-audit", "--no-fund"]
        command = [npm, "install", *options, "--prefix", str(folder), f"sharp@{SHARP_VERSION}"]
        subprocess.run(command, check=True)
    return folder


@contextmanager
def nginx_with_files(folder: Path) -> Iterator[Server]:
    """Yields an nginx that serves a folder, and writes what is PUT into it."""
    files = folder / "files"
    files.mkdir(parents=True)
    with start_nginx(folder / "nginx", location=_FILES.format(files=files), more="") as front:
        assert front.pid is not None
        yield Server(Endpoint("127.0.0.1", front.port), partial(_only, front.pid), files)


@contextmanager
def running_tusd(program: Path, folder: Path) -> Iterator[Server]:
    """Yields a tusd on a folder, which does not write a line for each request."""
    folder.mkdir(parents=True)
    port = free_port()
    command = [str(program), "-host", "127.0.0.1", "-port", str(port), "-upload-dir", str(folder)]
    with running_program([*command, "-verbose=false", "-show-startup-logs=false"], {}, port) as pid:
        yield Server(Endpoint("127.0.0.1", port), partial(_only, pid), folder)


def given_server(name: str) -> Server | None:
    """Returns the server whose address, `host:port`, is in KAPPI_PEER_<name>; prints when it is unset.

    KAPPI_PEER_<name>_PID names its main process on this machine; without it, wall clock alone is compared.
    """
    variable = f"KAPPI_PEER_{name}"
    address = os.environ.get(variable)
    if not address:
        print(f"Without {name.lower()}: {variable} names no address")
        return None
    host, _, port = address.rpartition(":")
    pid = os.environ.get(f"{variable}_PID")
    pids = None if pid is None else lambda: {int(pid), *descendants(int(pid))}
    return Server(Endpoint(host, int(port)), pids)


def secret_of(name: str) -> str:
    """Returns what KAPPI_PEER_<name> has, which a given server asks for. Raises KeyError when it is unset."""
    return os.environ[f"KAPPI_PEER_{name}"]


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def _only(pid: int) -> set[int]:
    return {pid}
