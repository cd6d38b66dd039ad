"""The calls that the layers of confinement allow and refuse, each in a separate process."""

from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys

import pytest
from kappi_chassis.confinement import confine as layers
from kappi_chassis.confinement import seccomp

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")
ALLOW, KILL = 0x7FFF0000, 0x80000000
NO_PERMISSION, NOT_THERE = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
THREAD, FORK = 0x3D0F00, 0x11  # the flags of pthread_create and of fork

BEGIN = """
import os, sys, threading
from kappi_chassis.confinement.confine import confine
missing = confine()
print(f"missing: {missing}", file=sys.stderr)
"""


def confined(code: str) -> subprocess.CompletedProcess[str]:
    """Returns the result of a process that ran this code after its confinement."""
    return subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, check=False)


def outcome(machine: str, number: int, argument: int = 0, *, architecture: int | None = None) -> int:
    """Returns the filter's result for a call on a machine: classic BPF, as the kernel runs it."""
    program = seccomp._program(machine)
    code = list(struct.iter_unpack("=HBBI", program))
    data = struct.pack("=IIQQ", number, architecture or ARCHITECTURES[machine], 0, argument)
    at, loaded = 0, 0
    while True:
        kind, if_true, if_false, value = code[at]
        at += 1
        if kind == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        elif kind == 0x06:
            return int(value)
        else:
            holds = loaded == value if kind == 0x15 else bool(loaded & value)
            at += if_true if holds else if_false


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [
        ("x86_64", {"read": 0, "write": 1, "futex": 202, "exit_group": 231, "mmap": 9}),
        ("aarch64", {"read": 63, "write": 64, "futex": 98, "exit_group": 94, "mmap": 222}),
    ],
)
def test_the_filter_allows_the_calls_of_computing(machine: str, numbers: dict[str, int]) -> None:
    assert {outcome(machine, number) for number in numbers.values()} == {ALLOW}


@pytest.mark.parametrize(("machine", "clone", "tgkill"), [("x86_64", 56, 234), ("aarch64", 220, 131)])
def test_the_filter_looks_at_arguments(machine: str, clone: int, tgkill: int) -> None:
    assert outcome(machine, clone, THREAD) == ALLOW
    assert outcome(machine, clone, FORK) == NO_PERMISSION
    assert outcome(machine, 435) == NOT_THERE, "clone3, so that the C library takes clone"
    assert outcome(machine, tgkill, os.getpid()) == ALLOW
    assert outcome(machine, tgkill, os.getppid()) == NO_PERMISSION


@pytest.mark.parametrize(
    ("machine", "column", "by_argument"), [("x86_64", 0, {56, 234, 435}), ("aarch64", 1, {220, 131, 435})]
)
def test_the_filter_refuses_every_other_call(machine: str, column: int, by_argument: set[int]) -> None:
    allowed = {numbers[column] for numbers in seccomp._ALLOWED.values()}
    for number in set(range(1024)) - allowed - by_argument:
        assert outcome(machine, number) == NO_PERMISSION
    assert outcome(machine, 0x40000000) == NO_PERMISSION, "the same call, of x32"


def test_calls_of_another_architecture_end_the_process() -> None:
    assert outcome("x86_64", 0, architecture=0x40000003) == KILL
    assert outcome("aarch64", 63, architecture=0x40000028) == KILL


@linux_only
def test_a_confined_process_computes_in_threads() -> None:
    done = confined(
        "threads = [threading.Thread(target=lambda: sum(range(1000))) for _ in range(4)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "bytearray(64 << 20)\n"
        "print('computed')\n"
    )
    assert (done.returncode, done.stdout) == (0, "computed\n"), done.stderr


@linux_only
def test_a_confined_process_cannot_open_files() -> None:
    done = confined("try:\n    open('/etc/passwd')\nexcept OSError:\n    print('refused')\n")
    assert done.stdout == "refused\n", done.stderr


@linux_only
def test_a_crash_in_confinement_has_its_usual_exit_status() -> None:
    assert confined("os.abort()").returncode == -signal.SIGABRT


def test_a_missing_layer_is_named_and_the_others_apply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    applied = []

    def lacking() -> None:
        raise OSError(errno.ENOSYS, "not on this system")

    monkeypatch.setattr(layers, "LAYERS", {"first": lacking, "second": lambda: applied.append("second")})
    assert layers.confine() == ("first",)
    assert applied == ["second"]


def test_a_machine_without_a_filter_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = os.uname_result(("Linux", "host", "6.1", "1", "riscv64"))
    monkeypatch.setattr(os, "uname", lambda: unknown)
    with pytest.raises(OSError, match="riscv64"):
        seccomp.allow_only_computing()
