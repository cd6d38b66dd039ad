"""The `kappi` command. Each command imports what it needs when it is called, so that help comes at once."""

from __future__ import annotations

import os

import typer

app = typer.Typer(
    name="kappi",
    help="Share photos and videos in original quality by a short link: run the stack, use it, look after it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def up() -> None:
    """Start all of Kappi on this machine; Ctrl-C stops it.

    KAPPI_DATA_DIR (./data) holds everything, KAPPI_PORT (8000) and KAPPI_HOST (127.0.0.1) are the one public
    address. KAPPI_<SERVICE>_DATABASE_URL, KAPPI_KAFKA_BOOTSTRAP and KAPPI_S3_* replace the embedded pieces.
    """
    from kappi_embedded.up import up as run

    raise typer.Exit(run(os.environ))


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    typer.echo(f"kappi {installed('kappi-embedded')}")


def main() -> None:
    app()


if __name__ == "__main__":
    main()
