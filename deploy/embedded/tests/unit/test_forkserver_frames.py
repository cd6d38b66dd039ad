import os
import socket

import pytest
from kappi_embedded.forkserver import receive_frame, send_frame


def test_a_frame_carries_a_message_and_a_descriptor() -> None:
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    with ours, theirs:
        send_frame(ours, {"name": "média", "env": {"A": "1"}}, descriptor=write_end)
        send_frame(ours, {"name": "second"})
        received = receive_frame(theirs)
        assert received is not None
        message, descriptor = received
        assert message == {"name": "média", "env": {"A": "1"}}
        assert descriptor is not None
        os.write(descriptor, b"through")
        assert os.read(read_end, 10) == b"through"
        assert receive_frame(theirs) == ({"name": "second"}, None)
        ours.close()
        assert receive_frame(theirs) is None
    for end in (read_end, write_end, descriptor):
        os.close(end)


def test_half_a_frame_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"\x00\x00\x00\x10half")
        ours.close()
        with pytest.raises(EOFError):
            receive_frame(theirs)
