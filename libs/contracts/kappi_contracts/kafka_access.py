"""Access rules for Kafka from the topic registry: users of services, operators, other teams (ADR-0032)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kappi_contracts.services import NAMES
from kappi_contracts.topics import DLQ_SUFFIX, TOPICS, consumed_by, owned_by

OPERATOR = "operator"
"""Creates topics and manages dead letters: `create-topics`, `kappi dlq`, `kappi tick`."""
DEAD_LETTER_WATCH = "janitor"
"""The service that measures the dead letters of all topics."""
READER = "reader"
"""Reads events for other teams, in groups of its own. It writes nothing and reads no dead letters."""
READER_GROUPS = "reader."
"""Start of the names of these groups, after the deployment's prefix."""
USERS = (*NAMES, OPERATOR, READER)
REPLAY_GROUP = "kappi-dlq-replay"

Operation = Literal["Read", "Write", "Describe", "Create"]


@dataclass(frozen=True, slots=True)
class Rule:
    """An allowed set of operations on a topic, a group or the cluster.

    prefixed: on all names with this prefix.
    """

    resource: Literal["topic", "group", "cluster"]
    name: str
    operations: tuple[Operation, ...]
    prefixed: bool = False


def username(user: str) -> str:
    """Returns the Kafka user name: `kappi-galleries`."""
    return f"kappi-{user}"


def rules_of(user: str, *, prefix: str = "", foreign: Sequence[str] = ()) -> Iterator[Rule]:
    """Yields all rules of a user.

    prefix: of the deployment's topics and groups. foreign: topics that an object store writes to, for media.
    """
    if user == READER:
        yield from _of_reader(prefix)
        return
    # The lag of each group: `kappi replay` adapts its rate to it, in the pod of any service.
    yield Rule("topic", prefix, ("Describe",), prefixed=True) if prefix else Rule("topic", "*", ("Describe",))
    yield Rule("group", prefix, ("Describe",), prefixed=True) if prefix else Rule("group", "*", ("Describe",))
    if user == OPERATOR:
        yield from _of_operator(prefix)
    else:
        yield from _of_service(user, prefix)
    for name in foreign:
        if user == OPERATOR:
            yield Rule("topic", prefix + name, ("Read", "Write"))
            yield Rule("topic", prefix + name + DLQ_SUFFIX, ("Read",))
        elif user == "media":
            yield Rule("topic", prefix + name, ("Read",))
            yield Rule("topic", prefix + name + DLQ_SUFFIX, ("Write",))


def _of_service(service: str, prefix: str) -> Iterator[Rule]:
    for topic in owned_by(service):
        yield Rule("topic", prefix + topic.name, ("Read", "Write"))
    consumed = list(consumed_by(service))
    for topic in consumed:
        if topic.owner != service:
            yield Rule("topic", prefix + topic.name, ("Read",))
    if service == "gateway":
        return  # it reads without a group and writes no dead letters
    for topic in consumed:
        yield Rule("topic", prefix + topic.name + DLQ_SUFFIX, ("Write",))
    if service == DEAD_LETTER_WATCH:
        for topic in TOPICS:
            if topic.consumers:
                yield Rule("topic", prefix + topic.name + DLQ_SUFFIX, ("Read",))
    if consumed:
        # `media`, `media-worker`: each group begins with its service's name.
        yield Rule("group", prefix + service, ("Read",), prefixed=True)


def _of_reader(prefix: str) -> Iterator[Rule]:
    for topic in TOPICS:
        # One by one: a prefix would include the dead letters.
        yield Rule("topic", prefix + topic.name, ("Read",))
    yield Rule("group", prefix + READER_GROUPS, ("Read",), prefixed=True)


def _of_operator(prefix: str) -> Iterator[Rule]:
    yield Rule("cluster", "kafka-cluster", ("Create", "Describe"))
    for topic in TOPICS:
        yield Rule("topic", prefix + topic.name, ("Read", "Write"))
        yield Rule("topic", prefix + topic.name + DLQ_SUFFIX, ("Read",))
    yield Rule("group", prefix + REPLAY_GROUP, ("Read",))
