"""Strimzi's topics and users are those of the registry; marks of replayed dead letters are kept."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from kappi_contracts.topics import DLQ_RETENTION, DLQ_SUFFIX, TOPICS
from kappi_embedded.commands.acls import lines

from tests.deploy import kafka_users
from tests.deploy.composition import ROOT, Container
from tests.deploy.documents import documents
from tests.deploy.kafka_topics import document
from tests.deploy.kustomized import build

FILE = ROOT / "deploy/k8s/overlays/production/topics.yaml"
USERS_FILE = ROOT / "deploy/k8s/overlays/production/users.yaml"


@pytest.mark.parametrize(
    ("file", "current"), [(FILE, document()), (USERS_FILE, kafka_users.document())], ids=["topics", "users"]
)
def test_the_file_is_generated_from_the_registry(file: Path, current: str) -> None:
    if os.environ.get("KAPPI_TEST_REFRESH_TOPICS"):
        file.write_text(current)
    assert file.read_text() == current, "run it once with KAPPI_TEST_REFRESH_TOPICS=1"


def test_only_the_owner_of_a_topic_writes_to_it() -> None:
    """The operator's user, which sends dead letters back, is the exception."""
    writers: dict[str, set[str]] = {}
    for each in documents(USERS_FILE.read_text()):
        for acl in each["spec"]["authorization"]["acls"]:
            resource = acl["resource"]
            if resource["type"] == "topic" and "Write" in acl["operations"]:
                assert resource["patternType"] == "literal"
                writers.setdefault(resource["name"], set()).add(each["metadata"]["name"])
    for topic in TOPICS:
        assert writers.pop(topic.name) == {f"kappi-{topic.owner}", "kappi-operator"}
        # A user that reads a topic in a group sends records it cannot handle to the dead-letter topic.
        consumers = {f"kappi-{name}" for name in topic.consumers if name != "gateway"}
        assert writers.pop(topic.name + DLQ_SUFFIX, set()) == consumers
    assert not writers


def test_other_teams_only_read_and_no_dead_letters() -> None:
    (reader,) = [
        each for each in documents(USERS_FILE.read_text()) if each["metadata"]["name"] == "kappi-reader"
    ]
    acls = reader["spec"]["authorization"]["acls"]
    assert {operation for acl in acls for operation in acl["operations"]} == {"Read"}
    topics = [acl["resource"] for acl in acls if acl["resource"]["type"] == "topic"]
    assert {(each["name"], each["patternType"]) for each in topics} == {
        (topic.name, "literal") for topic in TOPICS
    }
    (groups,) = [acl["resource"] for acl in acls if acl["resource"]["type"] == "group"]
    assert (groups["name"], groups["patternType"]) == ("reader.", "prefix")


def test_the_script_for_any_kafka_gives_the_same_rights() -> None:
    said = Counter(
        (line.split("User:")[1].split()[0], tuple(re.findall(r"--operation (\w+)", line)))
        for line in lines()
        if line.startswith("kafka-acls.sh")
    )
    declared = Counter(
        (each["metadata"]["name"], tuple(acl["operations"]))
        for each in documents(USERS_FILE.read_text())
        for acl in each["spec"]["authorization"]["acls"]
    )
    assert said == declared
    assert (
        'kafka-acls.sh "$@" --add --allow-principal User:kappi-identity --operation Read --operation Write '
        "--topic AccountDeleted"
    ) in list(lines())
    assert any(
        line.endswith("User:kappi-media --operation Read --group a.media --resource-pattern-type prefixed")
        for line in lines(prefix="a.")
    )
    assert not [line for line in lines(prefix="a.") if "'*'" in line], "others may share the cluster"


def test_strimzi_declares_the_same_topics() -> None:
    declared = {
        each["spec"]["topicName"]: (each["spec"]["partitions"], each["spec"]["config"]["retention.ms"])
        for each in documents(FILE.read_text())
    }
    dead_letters_ms = DLQ_RETENTION.total_seconds() * 1000
    assert declared == {
        **{topic.name: (topic.partitions, topic.retention.total_seconds() * 1000) for topic in TOPICS},
        **{topic.name + DLQ_SUFFIX: (1, dead_letters_ms) for topic in TOPICS},
    }


def test_the_marks_of_replayed_dead_letters_live_as_long_as_the_letters(
    composition: Mapping[str, Container],
) -> None:
    [strimzi] = build("production").of_kind("Kafka").values()
    [dev] = [pod for pod in build("dev").pods() if pod.owner == "StatefulSet/kafka"]
    in_dev = {each["name"]: each["value"] for each in dev.container["env"]}
    for minutes in (
        strimzi["spec"]["kafka"]["config"]["offsets.retention.minutes"],
        in_dev["KAFKA_OFFSETS_RETENTION_MINUTES"],
        composition["kafka"].environment["KAFKA_OFFSETS_RETENTION_MINUTES"],
    ):
        assert timedelta(minutes=int(minutes)) > DLQ_RETENTION
