"""The account of a server that root starts: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from kappi_chassis.embedded.child import Account

# An account of PostgreSQL's own if the machine has one; `nobody` exists on nearly every machine.
_CANDIDATES = ("postgres", "nobody", "daemon")


class NoAccount(RuntimeError):
    """Raised when root starts a server on a machine without any other account for it."""


def server_account(data_dir: Path, *, needed: tuple[Path, ...]) -> Account | None:
    """Returns the account for a server that owns data_dir and reads `needed`; None for the caller's own.

    The owner of existing data stays its owner, even if the machine has gained better accounts since. Raises
    NoAccount.
    """
    if os.geteuid() != 0:
        return None
    uid, gid = _owner(data_dir) or _first_candidate()
    reach = not all(_reachable(path, uid=uid, gid=gid) for path in (data_dir, *needed))
    return Account(uid=uid, gid=gid, reach=reach)


def give(path: Path, account: Account | None) -> None:
    """Makes the account the owner of a folder and all its content."""
    if account is None:
        return
    for folder, _, files in os.walk(path):
        for each in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(each, account.uid, account.gid, follow_symlinks=False)


def _owner(path: Path) -> tuple[int, int] | None:
    if not path.exists():
        return None
    found = path.stat()
    return (found.st_uid, found.st_gid) if found.st_uid != 0 else None


def _first_candidate() -> tuple[int, int]:
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise NoAccount(
        "PostgreSQL refuses to run as root, and this machine has no account named "
        f"{' or '.join(_CANDIDATES)}: add one (useradd --system postgres), or start as a normal user"
    )


def _reachable(path: Path, *, uid: int, gid: int) -> bool:
    """Whether the account may pass every folder above path."""
    for folder in path.resolve().parents:
        if not folder.exists():
            continue
        found = folder.stat()
        bit = stat.S_IXUSR if found.st_uid == uid else stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH
        if not found.st_mode & bit:
            return False
    return True
