"""The code that the forkserver's children run in tests."""

import os
import random
import secrets
import signal
import sys
import threading


def main() -> None:
    what = os.environ["DO"]
    if what == "say":
        from kappi_chassis.clock import new_id

        sys.stdout.write(f"word={os.environ['WORD']}\n")
        for drawn in (random.random(), secrets.token_hex(8), str(new_id()).split("-", 2)[2]):
            sys.stdout.write(f"random={drawn}\n")
    elif what == "fail":
        sys.exit(3)
    elif what == "crash":
        sys.stdout.write(str(1 / 0))
    else:
        told = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: told.set())
        sys.stdout.write("waiting\n")
        sys.stdout.flush()
        told.wait(60)
