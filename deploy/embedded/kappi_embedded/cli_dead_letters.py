"""`kappi dlq …`: the commands for records that could not be handled."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from kappi_embedded.command_groups import new_group

dlq = new_group("Records that could not be handled.")

DlqTopic = Annotated[list[str] | None, typer.Option("--topic", help="Only of these topics.")]
DlqGroup = Annotated[list[str] | None, typer.Option("--group", help="Only of these consumer groups.")]
DlqJson = Annotated[bool, typer.Option("--json", help="Print JSON, one letter per line.")]
_LETTER_IDS = "Ids of letters, as `list` shows them, or of events."


@dlq.command("list")
def dlq_list(
    topic: DlqTopic = None,
    group: DlqGroup = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Also letters that were sent back or discarded, and those without a valid MAC."
        ),
    ] = False,
    as_json: DlqJson = False,
) -> None:
    """List dead letters. The exit status is 1 while there are any."""
    from kappi_embedded.commands.dlq import list_letters, print_as_json, print_as_text

    raise typer.Exit(
        list_letters(
            topics=topic or (),
            groups=group or (),
            everything=everything,
            show=print_as_json if as_json else print_as_text,
            environ=os.environ,
        )
    )


@dlq.command("show")
def dlq_show(
    letters: Annotated[list[str], typer.Argument(metavar="ID...", help=_LETTER_IDS)],
    as_json: DlqJson = False,
) -> None:
    """Show dead letters whole: error, headers and content."""
    from kappi_embedded.commands.dlq import print_whole, print_whole_as_json, show_letters

    show = print_whole_as_json if as_json else print_whole
    raise typer.Exit(show_letters(letters, show=show, environ=os.environ))


@dlq.command("replay")
def dlq_replay(
    letters: Annotated[list[str] | None, typer.Option("--id", help=_LETTER_IDS)] = None,
    topic: DlqTopic = None,
    group: DlqGroup = None,
) -> None:
    """Send dead letters back to their topics, after the cause of their failure was fixed; default: all."""
    from kappi_embedded.commands.dlq import replay_letters

    raise typer.Exit(
        replay_letters(ids=letters or (), topics=topic or (), groups=group or (), environ=os.environ)
    )


@dlq.command("discard")
def dlq_discard(letters: Annotated[list[str], typer.Option("--id", help=_LETTER_IDS)]) -> None:
    """Take dead letters off the list without sending them back. Their events are not handled."""
    from kappi_embedded.commands.dlq import discard_letters

    raise typer.Exit(discard_letters(letters, environ=os.environ))
