"""A decoder process that a file has compromised.

`python -m kappi_testkit.media.hostile_decoder` runs in place of `kappi_media.rendering.worker`. Its "file" is
a `Target`. It answers a `ProbeJob` with the results of its attempts, in the detail of a refusal. It does
every other job correctly, to show that it still can.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from kappi_chassis.confinement.linux import call
from kappi_media.rendering import worker
from kappi_media.rendering.ranged_file import Fetch
from kappi_media.rendering.wire import Answer, Job, ProbeJob, Refused
from kappi_mediameta.probing.rejection import RejectReason

REFUSED: Final = frozenset({errno.EPERM, errno.EACCES, errno.EMFILE, errno.ENOSYS})
"""Errors of a call that is not allowed. After any other error the kernel has begun the call."""
_AT_FDCWD: Final = (1 << 64) - 100
_O_CREAT_WRONLY: Final = os.O_CREAT | os.O_WRONLY
_PTRACE_PEEKDATA: Final = 2
# Calls without a function in the C library: the number on x86_64, on aarch64.
_NUMBERS: Final = {
    "execveat": (322, 281),
    "bpf": (321, 280),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "seccomp": (317, 277),
    # The same on all architectures.
    "pidfd_open": (434, 434),
    "openat2": (437, 437),
    "io_uring_setup": (425, 425),
    "fsopen": (430, 430),
    "clone3": (435, 435),
}


class Target(msgspec.Struct, frozen=True):
    """The targets of the attempts.

    secret: a file that only the service may read. folder: writable by every account. pid: of the service.
    """

    secret: str
    folder: str
    pid: int


class Report(msgspec.Struct, frozen=True):
    """The results.

    reached: attempts that succeeded, or failed for another reason than a missing permission. refused: the
    others. environment: names. descriptors: open ones. read: the content of the secret, if it could be read.
    """

    reached: dict[str, str]
    refused: list[str]
    environment: list[str]
    descriptors: list[int]
    read: str = ""


def _by_number(name: str, *arguments: int) -> int:
    number = _NUMBERS[name][platform.machine() == "aarch64"]
    return call("syscall", number, *arguments, *[0] * (5 - len(arguments)))


def _start_process() -> int:
    pid = call("fork")
    if pid == 0:
        os._exit(0)
    return pid


def _open(path: str, flags: int = os.O_RDONLY) -> int:
    return call("open", path.encode(), flags, 0o600)


ATTEMPTS: Final[Mapping[str, Callable[[Target], int]]] = MappingProxyType(
    {
        "read a secret": lambda t: _open(t.secret),
        "read a secret by openat": lambda t: call("openat", _AT_FDCWD, t.secret.encode(), 0),
        "read a secret by openat2": lambda t: _by_number("openat2", _AT_FDCWD, 0, 0, 24),
        "look at a secret": lambda t: call("access", t.secret.encode(), os.R_OK),
        "write its own memory as a file": lambda t: _open("/proc/self/mem", os.O_RDWR),
        "read the users": lambda t: _open("/etc/passwd"),
        "write a file": lambda t: _open(f"{t.folder}/written", _O_CREAT_WRONLY),
        "make a folder": lambda t: call("mkdir", f"{t.folder}/made".encode(), 0o700),
        "link a secret": lambda t: call("symlink", t.secret.encode(), f"{t.folder}/link".encode()),
        "make a file in memory": lambda t: call("memfd_create", b"file", 0),
        "list processes": lambda t: _open("/proc", os.O_DIRECTORY),
        "read the service's environment": lambda t: _open(f"/proc/{t.pid}/environ"),
        "write the service's memory": lambda t: _open(f"/proc/{t.pid}/mem", os.O_RDWR),
        "read the service's memory": lambda t: call("process_vm_readv", t.pid, 0, 0, 0, 0, 0),
        "trace the service": lambda t: call("ptrace", _PTRACE_PEEKDATA, t.pid, 0, 0),
        "signal the service": lambda t: call("kill", t.pid, 0),
        "signal a thread of the service": lambda t: call("tgkill", t.pid, t.pid, 0),
        "signal every process": lambda t: call("kill", (1 << 64) - 1, 0),
        "hold the service": lambda t: _by_number("pidfd_open", t.pid),
        "limit the service": lambda t: call("prlimit", t.pid, 7, 0, 0),
        "speak over the network": lambda t: call("socket", 2, 1, 0),
        "speak over datagrams": lambda t: call("socket", 2, 2, 0),
        "speak to local sockets": lambda t: call("socket", 1, 1, 0),
        "speak to the kernel": lambda t: call("socket", 16, 3, 0),
        "connect": lambda t: call("connect", 0, bytes(16), 16),
        "bind": lambda t: call("bind", 0, bytes(16), 16),
        "run a program": lambda t: call("execve", b"/no/such/program", 0, 0),
        "run a program by descriptor": lambda t: _by_number("execveat", 0, 0),
        "start a process": lambda t: _start_process(),
        "start a process by clone3": lambda t: _by_number("clone3", 0, 0),
        "use io_uring": lambda t: _by_number("io_uring_setup", 1, 0),
        "use bpf": lambda t: _by_number("bpf", 0, 0, 0),
        "use keys": lambda t: _by_number("keyctl", 0, 0),
        "watch the processor": lambda t: _by_number("perf_event_open", 0),
        "handle page faults": lambda t: _by_number("userfaultfd", 0),
        "mount": lambda t: call("mount", 0, 0, 0, 0, 0),
        "mount by fsopen": lambda t: _by_number("fsopen", 0),
        "leave a namespace": lambda t: call("unshare", 0x10000000),
        "enter a namespace": lambda t: call("setns", 0, 0),
        "change root": lambda t: call("chroot", b"/"),
        "become root": lambda t: call("setresuid", 0, 0, 0),
        "lift the limit of descriptors": lambda t: call("setrlimit", 7, (1024).to_bytes(8, "little") * 2),
        "become traceable": lambda t: call("prctl", 4, 1, 0, 0, 0),
        "lift the filter": lambda t: _by_number("seccomp", 1, 0, 0),
    }
)


def _report(target: Target) -> Report:
    reached: dict[str, str] = {}
    refused: list[str] = []
    for name, attempt in ATTEMPTS.items():
        try:
            reached[name] = str(attempt(target))
        except OSError as failure:
            if failure.errno in REFUSED:
                refused.append(name)
            else:
                reached[name] = errno.errorcode[failure.errno or 0]
    opened = reached.get("read a secret", "")
    read = os.read(int(opened), 100).decode() if opened.isdigit() else ""
    return Report(
        reached=reached,
        refused=refused,
        environment=sorted(os.environ),
        descriptors=[number for number in range(1024) if _is_open(number)],
        read=read,
    )


def _is_open(descriptor: int) -> bool:
    """Returns whether a descriptor is open, by allowed calls: reading or writing no bytes."""
    libc = ctypes.CDLL(None)
    return bool(libc.read(descriptor, None, 0) == 0 or libc.write(descriptor, None, 0) == 0)


_honest = worker.answer


def _answer(job: Job, fetch: Fetch) -> Answer:
    if not isinstance(job, ProbeJob):
        return _honest(job, fetch)
    target = msgspec.json.decode(fetch(0, job.size_bytes), type=Target)
    return Refused(reason=RejectReason.CORRUPT, detail=msgspec.json.encode(_report(target)).decode())


def main() -> None:
    worker.answer = _answer  # type: ignore[assignment]
    worker.main()


if __name__ == "__main__":
    main()
