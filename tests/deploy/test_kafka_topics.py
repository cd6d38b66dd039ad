"""The topics that Strimzi declares in production are those of the registry."""

from __future__ import annotations

import os

from kappi_contracts.topics import DLQ_RETENTION, DLQ_SUFFIX, TOPICS

from tests.deploy.composition import ROOT
from tests.deploy.documents import documents
from tests.deploy.kafka_topics import document

FILE = ROOT / "deploy/k8s/overlays/production/topics.yaml"


def test_the_file_is_the_registry() -> None:
    if os.environ.get("KAPPI_TEST_REFRESH_TOPICS"):
        FILE.write_text(document())
    assert FILE.read_text() == document(), "run it once with KAPPI_TEST_REFRESH_TOPICS=1"


def test_strimzi_reads_the_same() -> None:
    declared = {
        each["spec"]["topicName"]: (each["spec"]["partitions"], each["spec"]["config"]["retention.ms"])
        for each in documents(FILE.read_text())
    }
    dead_letters_ms = DLQ_RETENTION.total_seconds() * 1000
    assert declared == {
        **{topic.name: (topic.partitions, topic.retention.total_seconds() * 1000) for topic in TOPICS},
        **{topic.name + DLQ_SUFFIX: (1, dead_letters_ms) for topic in TOPICS},
    }
