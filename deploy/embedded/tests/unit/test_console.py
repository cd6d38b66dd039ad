from contextlib import suppress
from pathlib import Path

from kappi_embedded.console import Console


def test_an_output_that_cannot_be_written_does_not_end_the_stack() -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails
    Console(full).warn("said to a full disk")
    Console(full).done("postgres")
    with suppress(OSError):
        full.close()
