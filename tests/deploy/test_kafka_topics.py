"""Strimzi declares the topics of the registry, and every Kafka remembers what was sent back of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta

from kappi_contracts.topics import DLQ_RETENTION, DLQ_SUFFIX, TOPICS

from tests.deploy.composition import ROOT, Container
from tests.deploy.documents import documents
from tests.deploy.kafka_topics import document
from tests.deploy.kustomized import build

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


def test_what_was_sent_back_is_known_for_as_long_as_it_is_there(composition: Mapping[str, Container]) -> None:
    [strimzi] = build("production").of_kind("Kafka").values()
    [dev] = [pod for pod in build("dev").pods() if pod.owner == "StatefulSet/kafka"]
    in_dev = {each["name"]: each["value"] for each in dev.container["env"]}
    for minutes in (
        strimzi["spec"]["kafka"]["config"]["offsets.retention.minutes"],
        in_dev["KAFKA_OFFSETS_RETENTION_MINUTES"],
        composition["kafka"].environment["KAFKA_OFFSETS_RETENTION_MINUTES"],
    ):
        assert timedelta(minutes=int(minutes)) > DLQ_RETENTION
