"""Writes the topic registry as resources of Strimzi."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from kappi_contracts.topics import DLQ_RETENTION, DLQ_SUFFIX, TOPICS

_HEAD = """\
# The topic registry (libs/contracts/kappi_contracts/topics.py), written by
# KAPPI_TEST_REFRESH_TOPICS=1 .venv/bin/pytest tests/deploy/test_kafka_topics.py
"""
_REPLICAS, _MIN_INSYNC = 3, 2


def document() -> str:
    """Returns one KafkaTopic for each topic, and one for its dead letters."""
    return _HEAD + "---\n".join(_topics())


def _topics() -> Iterator[str]:
    for topic in TOPICS:
        yield _resource(topic.name, partitions=topic.partitions, retention=topic.retention)
        yield _resource(topic.name + DLQ_SUFFIX, partitions=1, retention=DLQ_RETENTION)


def _resource(name: str, *, partitions: int, retention: timedelta) -> str:
    # Names in Kubernetes have no capitals.
    dashed = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
    return f"""\
apiVersion: kafka.strimzi.io/v1
kind: KafkaTopic
metadata:
  name: {dashed}
  labels: {{ strimzi.io/cluster: kappi }}
spec:
  topicName: {name}
  partitions: {partitions}
  replicas: {_REPLICAS}
  config:
    retention.ms: {int(retention.total_seconds() * 1000)}
    min.insync.replicas: {_MIN_INSYNC}
"""
