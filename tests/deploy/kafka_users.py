"""Writes the users of Kafka and their rights, from the topic registry, as resources of Strimzi."""

from __future__ import annotations

from collections.abc import Iterator

from kappi_contracts.kafka_access import USERS, Rule, rules_of, username

_HEAD = """\
# A user for each service, with the rights that the topic registry gives it (libs/contracts/kappi_contracts/
# kafka_access.py), one for operators and one for other
# teams, which only reads. Each password is in the Secret of the same name. Written by
# KAPPI_TEST_REFRESH_TOPICS=1 .venv/bin/pytest tests/deploy/test_kafka_topics.py
"""


def document() -> str:
    """Returns one KafkaUser for each user."""
    return _HEAD + "---\n".join(map(_resource, USERS))


def _resource(user: str) -> str:
    return "".join(
        (
            "apiVersion: kafka.strimzi.io/v1\nkind: KafkaUser\nmetadata:\n",
            f"  name: {username(user)}\n",
            "  labels: { strimzi.io/cluster: kappi }\n",
            "spec:\n  authentication: { type: scram-sha-512 }\n",
            "  authorization:\n    type: simple\n    acls:\n",
            *_acls(user),
        )
    )


def _acls(user: str) -> Iterator[str]:
    for rule in rules_of(user):
        operations = ", ".join(rule.operations)
        yield f"      - {{ resource: {_named(rule)}, operations: [{operations}] }}\n"


def _named(rule: Rule) -> str:
    if rule.resource == "cluster":
        return "{ type: cluster }"
    pattern = "prefix" if rule.prefixed else "literal"
    name = '"*"' if rule.name == "*" else rule.name
    return f"{{ type: {rule.resource}, name: {name}, patternType: {pattern} }}"
