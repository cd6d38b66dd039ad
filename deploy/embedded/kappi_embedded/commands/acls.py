"""`kappi acls`: prints each user's rights on Kafka as commands of Kafka's own tool."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence

from kappi_contracts.kafka_access import USERS, Rule, rules_of, username

_NAMED = {"topic": "--topic", "group": "--group"}


def acls(*, environ: Mapping[str, str]) -> int:
    """Prints the commands. Returns the exit status. environ: of the deployment, for its topics."""
    store = environ.get("KAPPI_MEDIA_STORE_EVENTS_TOPIC")
    for line in lines(prefix=environ.get("KAPPI_TOPIC_PREFIX", ""), foreign=[store] if store else []):
        sys.stdout.write(f"{line}\n")
    return 0


def lines(*, prefix: str = "", foreign: Sequence[str] = ()) -> Iterator[str]:
    """Yields the lines of a shell script that adds every rule; adding a rule again changes nothing."""
    yield "#!/bin/sh"
    yield "# usage: kappi acls | sh -s -- --bootstrap-server HOST:PORT --command-config ADMIN.PROPERTIES"
    yield "set -eu"
    for user in USERS:
        for rule in rules_of(user, prefix=prefix, foreign=foreign):
            yield f'kafka-acls.sh "$@" --add {shlex.join(_arguments(username(user), rule))}'


def _arguments(name: str, rule: Rule) -> Iterator[str]:
    yield from ("--allow-principal", f"User:{name}")
    for operation in rule.operations:
        yield from ("--operation", operation)
    if rule.resource == "cluster":
        yield "--cluster"
        return
    yield from (_NAMED[rule.resource], rule.name)
    if rule.prefixed:
        yield from ("--resource-pattern-type", "prefixed")
