"""The `kappi` command. Each command imports what it needs when it is called, so that help is fast."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from kappi_embedded.cli_dead_letters import dlq
from kappi_embedded.command_groups import new_group

_NARROWEST_HELP, _WIDEST_HELP = 20, 100


app = new_group(
    "Share photos and videos in original quality by a short link. Run the system, use it, maintain it."
)
app.add_typer(dlq, name="dlq")
admin = new_group("Accounts that may use the admin panel.")
app.add_typer(admin, name="admin")
keys = new_group("Keys that sign access tokens.")
app.add_typer(keys, name="keys")

Url = Annotated[
    str | None,
    typer.Option(help="Address of another deployment (KAPPI_URL); default: this machine's."),
]


Password = Annotated[
    str | None,
    typer.Option(
        help="Password of the gallery. `-` asks for it, or reads the first line of the standard input. A "
        "password on the command line is visible in the list of processes.",
    ),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]
Connection = Annotated[
    Literal["slow", "normal", "fast"] | None,
    typer.Option(
        metavar="SPEED",
        help="Speed of the network: slow, normal or fast. On a slow one, the parts of files are smallest.",
    ),
]


@app.callback(invoke_without_command=True)
def kappi(
    version_only: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version_only:
        version()
        raise typer.Exit


@app.command()
def up() -> None:
    """Start all of Kappi on this machine; Ctrl-C stops it.

    All data is in KAPPI_DATA_DIR (./data). KAPPI_PORT (8000) and KAPPI_HOST (127.0.0.1) are the public
    address. KAPPI_<SERVICE>_DATABASE_URL, KAPPI_KAFKA_BOOTSTRAP and KAPPI_S3_* replace the embedded servers.
    """
    from kappi_embedded.up import up as run

    raise typer.Exit(run(os.environ))


@app.command()
def share(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Photos, videos, or folders of them.")
    ],
    title: Annotated[str | None, typer.Option(help="Title of the gallery.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="Lifetime, e.g. 7d; at most 30d.")] = None,
    private: Annotated[
        bool,
        typer.Option("--private", help="Only the logged-in account sees it; no link opens it."),
    ] = False,
    password: Password = None,
    url: Url = None,
    connection: Connection = None,
    wait: Annotated[bool, typer.Option(help="Wait until every item is ready.")] = True,
    afresh: Annotated[
        bool, typer.Option("--new", help="Start again, without the uploads of an earlier call.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Create a gallery from files, and print its link and, without an account, its access key.

    After `kappi login` the gallery belongs to the account and does not expire. After an interruption, the
    same command continues where it stopped.
    """
    from kappi_client import NewGallery

    from kappi_embedded.commands.share import ShareRequest
    from kappi_embedded.commands.share import share as run

    lifetime_s = None if expires_in is None else _seconds(expires_in, option="--expires-in")
    request = ShareRequest(
        paths=files,
        gallery=NewGallery(title=title, expires_in_s=lifetime_s, private=private, password=password),
        connection=connection,
        wait=wait,
        afresh=afresh,
        as_json=as_json,
    )
    raise typer.Exit(run(request, url=url, environ=os.environ))


def _seconds(duration: str, *, option: str) -> int:
    from kappi_embedded.time_args import BadMoment, parse_duration

    try:
        return int(parse_duration(duration).total_seconds())
    except BadMoment as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


@app.command()
def get(
    code: Annotated[
        str, typer.Argument(help="Code or link of a gallery, or the id of a gallery of your account.")
    ],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Default: named after the code.")
    ] = None,
    password: Password = None,
    url: Url = None,
) -> None:
    """Download all originals of a gallery. Called again, the command continues where it stopped."""
    from kappi_embedded.commands.get import get as run

    raise typer.Exit(run(code, folder, url=url, password=password, environ=os.environ))


@app.command()
def login(
    email: Annotated[str, typer.Argument(help="The account's email address.")],
    password_stdin: PasswordStdin = False,
    url: Url = None,
) -> None:
    """Log in, so that `kappi share` makes galleries of the account. A token is stored, not the password."""
    from kappi_embedded.commands.login import login as run
    from kappi_embedded.commands.passwords import from_stdin, prompted

    read_password = from_stdin if password_stdin else prompted
    raise typer.Exit(run(email, url=url, read_password=read_password, environ=os.environ))


@app.command()
def logout(url: Url = None) -> None:
    """Log out, on this machine and at the deployment."""
    from kappi_embedded.commands.login import logout as run

    raise typer.Exit(run(url=url, environ=os.environ))


@app.command()
def tick(
    at: Annotated[
        str | None, typer.Option(help="Time to act as of: 2027-01-31T12:00:00Z or +31d; default: now.")
    ] = None,
    timeout: Annotated[int, typer.Option(min=1, max=86_400, help="Seconds to wait for the effects.")] = 30,
    wait: Annotated[bool, typer.Option(help="Wait for the effects.")] = True,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before galleries are deleted early.")
    ] = False,
) -> None:
    """Have the janitor process what is due now, or what will be due at a later time.

    Galleries that would be deleted early are listed, and the command asks before it continues.
    """
    from kappi_embedded.commands import tick as command

    confirm = command.agreed if yes else command.asked
    if wait:
        raise typer.Exit(command.tick(at, timeout_s=timeout, confirm=confirm, environ=os.environ))
    raise typer.Exit(command.tick_unwatched(at, confirm=confirm, environ=os.environ))


@app.command()
def acls() -> None:
    """Print the commands of Kafka's own tool that give each service's user its rights."""
    from kappi_embedded.commands.acls import acls as run

    raise typer.Exit(run(environ=os.environ))


@admin.command("create")
def admin_create(
    email: Annotated[str, typer.Argument(help="Email address of the administrator.")],
    password_stdin: PasswordStdin = False,
) -> None:
    """Create an administrator: a new account, or the existing one with this address. It gets the password."""
    from kappi_embedded.commands.admin import create
    from kappi_embedded.commands.passwords import from_stdin, prompted_twice

    read_password = from_stdin if password_stdin else prompted_twice
    raise typer.Exit(create(email, read_password=read_password, environ=os.environ))


@keys.command("rotate")
def keys_rotate(
    now: Annotated[
        bool,
        typer.Option("--now", help="Sign with the new key at once: the old one must not be used."),
    ] = False,
) -> None:
    """Add a new key. All log-ins stay valid: the old key is published until its last token expires."""
    from kappi_embedded.commands.keys import rotate, rotate_now

    raise typer.Exit((rotate_now if now else rotate)(os.environ))


@app.command()
def replay(
    since: Annotated[
        str | None, typer.Option(help="Start, as 2027-01-31T12:00:00Z or -2h; default: everything kept.")
    ] = None,
    topic: Annotated[list[str] | None, typer.Option(help="Only events of these topics.")] = None,
    service: Annotated[list[str] | None, typer.Option(help="Only events of these services.")] = None,
) -> None:
    """Send the events in the outboxes again. Consumers ignore events that they have already handled."""
    from kappi_embedded.commands.replay import replay as run

    raise typer.Exit(run(since=since, topics=topic or (), services=service or (), environ=os.environ))


@app.command()
def snapshot(
    service: Annotated[
        list[str] | None, typer.Option(help="identity, galleries or media; default: all three.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Go on after this id, which an interrupted snapshot printed.")
    ] = None,
    rate: Annotated[int, typer.Option(min=1, max=100_000, help="Events per second at most.")] = 2_000,
) -> None:
    """Send the current state of accounts, galleries and items, for consumers that missed the earlier events.

    It can be repeated and run while everything is in use. docs/events.md says how consumers use it.
    """
    from kappi_embedded.commands.snapshot import snapshot as run

    raise typer.Exit(run(services=service or (), after=after, rate=rate, environ=os.environ))


@app.command()
def reconcile(
    repair: Annotated[bool, typer.Option("--repair", help="Repair the differences.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before anything is deleted.")] = False,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds to wait for the end.")] = 86_400,
) -> None:
    """Compare the databases with the store and with each other. The exit status is 1 if differences are left.

    The services do it; an interrupted command continues when it is called again. Objects younger than the
    longest upload are never removed.
    """
    from kappi_embedded.commands import reconcile as command

    confirm = command.agreed if yes else command.asked
    raise typer.Exit(
        command.reconcile(
            repair=repair, as_json=as_json, timeout_s=timeout, confirm=confirm, environ=os.environ
        )
    )


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    objects: Annotated[
        Literal["reference", "copy"],
        typer.Option(help="Whether the backup names the folder of the objects, or has a copy of it."),
    ] = "reference",
) -> None:
    """Save all databases of the stack that runs here, as of one instant, with its secrets."""
    from kappi_embedded.commands import backup as command

    save = command.backup_with_objects if objects == "copy" else command.backup
    raise typer.Exit(save(folder, environ=os.environ))


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a backup.")],
    database: Annotated[
        list[str] | None, typer.Option(help="Restore the database of this service alone.")
    ] = None,
) -> None:
    """Put a backup back into the data folder of a stopped stack. The databases before it are kept."""
    from kappi_embedded.commands.backup import restore as run

    raise typer.Exit(run(folder, databases=database or (), environ=os.environ))


@app.command()
def restored(
    services: Annotated[list[str], typer.Argument(metavar="SERVICE...")],
) -> None:
    """Prepare databases that another program restored, before their services start.

    Needs KAPPI_<SERVICE>_DATABASE_URL.
    """
    from kappi_embedded.commands.restored import restored as run

    raise typer.Exit(run(services, environ=os.environ))


@app.command()
def doctor() -> None:
    """Show what runs, what can be reached, and the versions. The exit status is 1 if there is a problem."""
    from kappi_embedded.commands.doctor import doctor as run

    raise typer.Exit(run(os.environ))


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    typer.echo(f"kappi {installed('kappi-embedded')}")


def main() -> None:
    # The width is given explicitly, because click itself uses at least 50 columns.
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST_HELP), _WIDEST_HELP) - 2
    try:
        app(prog_name="kappi", terminal_width=width)
    except Exception as error:
        if os.environ.get("KAPPI_TRACEBACK"):
            raise
        message = f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()
        sys.stderr.write(
            f"Error: this should not happen ({message}). Look at the arguments and at the KAPPI_* settings; "
            "KAPPI_TRACEBACK=1 shows where it happened.\n"
        )
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
