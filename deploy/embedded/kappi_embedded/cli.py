"""The `kappi` command. Each command imports what it needs when it is called, so that help comes at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="kappi",
    help="Share photos and videos in original quality by a short link: run the stack, use it, look after it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dlq = typer.Typer(help="Records that could not be handled.", no_args_is_help=True)
app.add_typer(dlq, name="dlq")
admin = typer.Typer(help="People who may use the admin panel.", no_args_is_help=True)
app.add_typer(admin, name="admin")
keys = typer.Typer(help="Keys that sign access tokens.", no_args_is_help=True)
app.add_typer(keys, name="keys")

Url = Annotated[
    str | None, typer.Option(help="Address of another deployment (KAPPI_URL); default: the one running here.")
]


@app.command()
def up() -> None:
    """Start all of Kappi on this machine; Ctrl-C stops it.

    KAPPI_DATA_DIR (./data) holds everything, KAPPI_PORT (8000) and KAPPI_HOST (127.0.0.1) are the one public
    address. KAPPI_<SERVICE>_DATABASE_URL, KAPPI_KAFKA_BOOTSTRAP and KAPPI_S3_* replace the embedded pieces.
    """
    from kappi_embedded.up import up as run

    raise typer.Exit(run(os.environ))


@app.command()
def share(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Photos, videos, or folders of them.")
    ],
    title: Annotated[str | None, typer.Option(help="What the gallery is called.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="Life of the gallery, e.g. 7d; at most 30d.")] = None,
    url: Url = None,
    connection: Annotated[
        Literal["slow", "normal", "fast"] | None,
        typer.Option(help="How good the line is: on a slow one, files go in the smallest parts."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until every item is ready.")] = True,
    afresh: Annotated[
        bool, typer.Option("--new", help="Begin anew, whatever an earlier call has uploaded.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Create a gallery from files; prints its link and its access key.

    Interrupted, by whatever it may be, the same command goes on where it stopped.
    """
    from kappi_embedded.commands.share import Wish
    from kappi_embedded.commands.share import share as run
    from kappi_embedded.moments import BadMoment, parse_duration

    try:
        expires_in_s = int(parse_duration(expires_in).total_seconds()) if expires_in is not None else None
    except BadMoment as error:
        raise typer.BadParameter(str(error), param_hint="--expires-in") from error
    wish = Wish(
        paths=files,
        title=title,
        expires_in_s=expires_in_s,
        connection=connection,
        wait=wait,
        afresh=afresh,
        as_json=as_json,
    )
    raise typer.Exit(run(wish, url=url, environ=os.environ))


@app.command()
def get(
    code: Annotated[str, typer.Argument(help="A gallery's code, or its link.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Default: named after the code.")
    ] = None,
    url: Url = None,
) -> None:
    """Download everything in a gallery; called again, it goes on where it stopped."""
    from kappi_embedded.commands.get import get as run

    raise typer.Exit(run(code, folder, url=url, environ=os.environ))


@app.command()
def tick(
    at: Annotated[
        str | None, typer.Option(help="2027-01-31T12:00:00Z, or +31d from now; default: now.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the effects.")] = 30.0,
    wait: Annotated[bool, typer.Option(help="Wait for the effects.")] = True,
) -> None:
    """Have the janitor do what is due, now or as if it were later."""
    from kappi_embedded.commands import tick as command

    if wait:
        raise typer.Exit(command.tick(at, timeout_s=timeout, environ=os.environ))
    raise typer.Exit(command.tick_unwatched(at, environ=os.environ))


@dlq.command("list")
def dlq_list(
    include_replayed: Annotated[bool, typer.Option("--all", help="Those already sent back, too.")] = False,
) -> None:
    """Show dead letters; exit status 1 while there are any."""
    from kappi_embedded.commands.dlq import list_letters

    raise typer.Exit(list_letters(include_replayed=include_replayed, environ=os.environ))


@dlq.command("replay")
def dlq_replay() -> None:
    """Send dead letters back to their topics, once what made them fail is mended."""
    from kappi_embedded.commands.dlq import replay_letters

    raise typer.Exit(replay_letters(environ=os.environ))


@app.command()
def acls() -> None:
    """Print the commands of Kafka's own tool that give each service's user its rights."""
    from kappi_embedded.commands.acls import acls as run

    raise typer.Exit(run(environ=os.environ))


@admin.command("create")
def admin_create(
    email: Annotated[str, typer.Argument(help="Their email address.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password's line from the standard input.")
    ] = False,
) -> None:
    """Make an administrator: a new account, or the one that has the address, with this password."""
    from kappi_embedded.commands.admin import create, from_stdin, prompted

    read_password = from_stdin if password_stdin else prompted
    raise typer.Exit(create(email, read_password=read_password, environ=os.environ))


@keys.command("rotate")
def keys_rotate(
    now: Annotated[
        bool, typer.Option("--now", help="Sign with it at once: the old one must not sign any more.")
    ] = False,
) -> None:
    """Bring in a new key. Nobody is logged out: the old one is known until its last token expires."""
    from kappi_embedded.commands.keys import rotate, rotate_now

    raise typer.Exit((rotate_now if now else rotate)(os.environ))


@app.command()
def replay(
    since: Annotated[
        str | None, typer.Option(help="2027-01-31T12:00:00Z, or -2h; default: everything kept.")
    ] = None,
    topic: Annotated[list[str] | None, typer.Option(help="Only these topics.")] = None,
    service: Annotated[list[str] | None, typer.Option(help="Only these services' events.")] = None,
) -> None:
    """Have events sent again from the outboxes; consumers that had them do nothing."""
    from kappi_embedded.commands.replay import replay as run

    raise typer.Exit(run(since=since, topics=topic or (), services=service or (), environ=os.environ))


@app.command()
def doctor() -> None:
    """Say what runs, what can be reached and which versions; exit status 1 if anything is not well."""
    from kappi_embedded.commands.doctor import doctor as run

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
