"""Sends bytes of a file to a client in the kernel, without a copy in this process."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from kappi_chassis.http.direct_bytes import Direct, DirectSocket
from kappi_chassis.storage.contract import StorageUnavailable
from kappi_chassis.storage.local_files import OpenObject
from kappi_chassis.storage.local_responses import Abandoned

_TURN_BYTES: Final = 4 << 20
"""The bytes after which a thread goes to the next reader, however fast this one reads."""
_STEP_BYTES: Final = 256 << 10
_CANNOT_SEND: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


async def send_file(
    opened: OpenObject,
    *,
    offset: int,
    length: int,
    to: Direct,
    blocking: Callable[[Callable[[], int]], Awaitable[int]],
) -> None:
    """Sends `length` bytes from `offset`, as fast as the client reads.

    blocking: runs a call on a thread. Raises Abandoned when the client left or the file cannot be read to the
    end: the answer has begun, so the connection must be cut.
    """
    try:
        target = await to.take_answer(length)
    except ConnectionResetError as error:
        raise Abandoned from error
    try:
        while length:
            await target.writable()
            sent = await blocking(partial(_sent, opened, target, offset=offset, length=length))
            offset += sent
            length -= sent
    except StorageUnavailable as error:
        raise Abandoned from error
    finally:
        target.close()


def _sent(opened: OpenObject, target: DirectSocket, *, offset: int, length: int) -> int:
    """Sends what the connection takes now, at most a turn's bytes. Returns their number."""
    done = 0
    try:
        while done < min(length, _TURN_BYTES):
            step = _step(opened, target, offset=offset + done, length=length - done)
            if not step:
                raise Abandoned  # the file is shorter than it was
            done += step
    except BlockingIOError:
        pass
    except ConnectionError as error:
        raise Abandoned from error
    return done


def _step(opened: OpenObject, target: DirectSocket, *, offset: int, length: int) -> int:
    try:
        return os.sendfile(target.socket.fileno(), opened.file.fileno(), offset, length)
    except OSError as error:
        if error.errno not in _CANNOT_SEND:
            raise
    # A few file systems cannot.
    return target.socket.send(opened.read_at(offset, min(length, _STEP_BYTES)))
