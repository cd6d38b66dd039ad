"""The production overlay's connection to a real Kafka: TLS by its own authority, SCRAM, and rights."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, but not for mypy
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from kappi_chassis.bus import KafkaConnection, Producer
from kappi_chassis.bus.dead_letters import DeadLetterAdmin
from kappi_chassis.embedded.ports import LOOPBACK, free_ports
from kappi_chassis.settings import PlatformSettings
from kappi_contracts.kafka_access import READER, READER_GROUPS, USERS, rules_of, username
from kappi_contracts.services import NAMES
from kappi_contracts.topics import DLQ_SUFFIX, TOPICS
from kappi_embedded.backlog import BacklogReader
from kappi_testkit.eventually import eventually
from kappi_testkit.plugin import server_plan
from kappi_testkit.processes import ManagedProcess, answers_http
from kappi_testkit.servers.databases import DatabaseMaker

from tests.deploy.composed import InVenv
from tests.deploy.known_settings import only
from tests.deploy.kustomized import build
from tests.deploy.servers import Dependencies, launch_kafka

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

_PASSWORD = "a-password-of-the-cluster"
_CLUSTER_ID = "a2FwcGktc2VjdXJpdHktMQ"


@pytest.fixture
def secured(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[dict[str, str]]:
    """Returns the Kafka settings of a container of the production overlay, with the address of this Kafka."""
    if server_plan(pytestconfig).kafka != "java":
        pytest.skip("no Apache Kafka to start with settings of our own (make real-servers)")
    port, internal, controller = free_ports(3)
    authority = _certificates(tmp_path)
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CLIENTS://{LOOPBACK}:{port},INSIDE://{LOOPBACK}:{internal},"
        f"CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"CLIENTS://{LOOPBACK}:{port},INSIDE://{LOOPBACK}:{internal}",
        "inter.broker.listener.name": "INSIDE",
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",  # the listener INSIDE, which no Kappi client has as an address
        "listener.name.clients.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram."
        "ScramLoginModule required;",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(tmp_path / "broker.pem"),
        "log.dirs": str(tmp_path / "kafka"),
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
    }
    overlay = build("production")
    bus = next(name for name in overlay.of_kind("ConfigMap") if name.startswith("bus-"))
    environment = overlay.config_map(bus)
    assert environment["KAPPI_KAFKA_CA_FILE"] == "/etc/kafka-ca/ca.crt"
    with ExitStack() as running:
        launch_kafka(
            properties,
            cluster_id=_CLUSTER_ID,
            port=port,
            deps=Dependencies(folder=tmp_path, secrets=tmp_path, running=running),
            format_with=[
                part
                for user in USERS
                for part in ("--add-scram", f"SCRAM-SHA-512=[name={username(user)},password={_PASSWORD}]")
            ],
        )
        _give_rights(f"{LOOPBACK}:{internal}")
        yield {
            **environment,
            "KAPPI_KAFKA_BOOTSTRAP": f"{LOOPBACK}:{port}",
            "KAPPI_KAFKA_CA_FILE": str(authority),
            "KAPPI_KAFKA_SASL_PASSWORD": _PASSWORD,
            "KAPPI_KAFKA_REPLICATION_FACTOR": "1",
        }


async def test_jobs_and_services_connect_only_with_the_password(
    secured: dict[str, str], make_database: DatabaseMaker, tmp_path: Path
) -> None:
    operator, janitors = _as(secured, "operator"), _as(secured, "janitor")
    wrong = _run(operator | {"KAPPI_KAFKA_SASL_PASSWORD": "another"}, "create-topics")
    assert wrong.returncode == 1
    assert "another" not in wrong.stdout + wrong.stderr
    stranger = _run(
        {name: value for name, value in operator.items() if name != "KAPPI_KAFKA_CA_FILE"}, "create-topics"
    )
    assert stranger.returncode == 1, "a broker without a trusted certificate was accepted"

    assert _run(janitors, "create-topics").returncode == 1, "a service made topics"
    made = _run(operator, "create-topics")
    assert made.returncode == 0, made.stdout + made.stderr
    database = {"KAPPI_JANITOR_DATABASE_URL": make_database()}
    assert _run(database, "migrate", "janitor").returncode == 0
    ops_port = free_ports(1)[0]
    # The janitor's consumer is Faust's, its relay and its dead letters are Kappi's: every kind of client.
    janitor = ManagedProcess(
        InVenv().argv(
            "kappi",
            ["janitor"],
            {
                **janitors,
                **database,
                "KAPPI_LOCAL_STORE_DIR": str(tmp_path / "objects"),
                "KAPPI_JANITOR_OPS_PORT": str(ops_port),
            },
        ),
        log=tmp_path / "janitor.log",
        ready=lambda: answers_http(f"http://{LOOPBACK}:{ops_port}/readyz"),
    )
    with janitor:
        # The first tick of its timer goes through outbox, relay and broker to its own consumer.
        await eventually(lambda: _swept(janitor.log), deadline_s=30)
    letters = _run(operator, "kappi", "dlq", "list")
    assert letters.returncode == 0, letters.stdout + letters.stderr
    assert _PASSWORD not in janitor.log.read_text()


async def test_each_service_has_only_its_own_rights(secured: dict[str, str]) -> None:
    assert _run(_as(secured, "operator"), "create-topics").returncode == 0
    for user in NAMES:
        with only(_as(secured, user)):
            connection = KafkaConnection.from_settings(PlatformSettings())
        await _check_rights(connection, user)
    with only(_as(secured, "operator")):
        connection = KafkaConnection.from_settings(PlatformSettings())
    async with DeadLetterAdmin(connection) as admin:
        producer = Producer(connection, source="/operator")
        assert (await admin.replay(producer)).done == sum(
            service != "gateway" for topic in TOPICS for service in topic.consumers
        )
        await producer.close()


async def test_other_teams_read_events_in_their_own_groups_and_nothing_else(secured: dict[str, str]) -> None:
    assert _run(_as(secured, "operator"), "create-topics").returncode == 0
    with only(_as(secured, READER)):
        connection = KafkaConnection.from_settings(PlatformSettings())
    group = f"{READER_GROUPS}billing"
    for topic in TOPICS:
        assert await _may_read(connection, topic.name, group=group), topic.name
    letters = TOPICS[0].name + DLQ_SUFFIX
    admin = AIOKafkaAdminClient(**connection.client_options())
    await admin.start()
    try:
        (described,) = await admin.describe_topics([letters])
    finally:
        await admin.close()
    assert described["error_code"] == TopicAuthorizationFailedError.errno
    for foreign in ("galleries", "billing"):
        with pytest.raises(GroupAuthorizationFailedError):
            await _may_read(connection, TOPICS[0].name, group=foreign)
    producer = Producer(connection, source="/billing")
    try:
        for name in (TOPICS[0].name, letters):
            assert await _refusal(producer, name)
    finally:
        await producer.close()


async def _check_rights(connection: KafkaConnection, user: str) -> None:
    """Tries the rights that the registry gives the service, for every topic."""
    producer = Producer(connection, source=f"/{user}")
    try:
        for topic in TOPICS:
            refused = await _refusal(producer, topic.name)
            assert refused is (topic.owner != user), (user, topic.name)
            buries = user in topic.consumers and user != "gateway"
            assert await _refusal(producer, topic.name + DLQ_SUFFIX) is not buries, (user, topic.name)
    finally:
        await producer.close()
    group = None if user == "gateway" else f"{user}-tests"
    for topic in TOPICS:
        readable = user in topic.consumers or user == topic.owner
        assert await _may_read(connection, topic.name, group=group) is readable, (user, topic.name)
    async with BacklogReader(connection, {}) as reader:
        await reader.read()


async def _refusal(producer: Producer, topic: str) -> bool:
    try:
        await producer.send(topic, key=b"k", value=b"{}", headers=())
    except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
        return True  # Kafka answers the latter to users that may write to no topic
    return False


async def _may_read(connection: KafkaConnection, topic: str, *, group: str | None) -> bool:
    consumer = AIOKafkaConsumer(
        **connection.client_options(), group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    partition = TopicPartition(topic, 0)
    await consumer.start()
    try:
        consumer.assign([partition])
        if group is not None:
            await consumer.committed(partition)
        consumer.seek(partition, 0)
        while consumer.highwater(partition) is None:  # until the broker answered a fetch
            await consumer.getmany(partition, timeout_ms=1_000)
    except TopicAuthorizationFailedError:
        return False
    finally:
        await consumer.stop()
    return True


def _as(secured: Mapping[str, str], user: str) -> dict[str, str]:
    return {**secured, "KAPPI_KAFKA_SASL_USERNAME": username(user)}


def _give_rights(bootstrap: str) -> None:
    """Gives the rights as Strimzi's operator does with users.yaml, or an administrator by `kappi acls`."""
    kinds = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER}
    bindings = [
        AclBinding(
            kinds[rule.resource],
            rule.name,
            ResourcePatternType.PREFIXED if rule.prefixed else ResourcePatternType.LITERAL,
            f"User:{username(user)}",
            "*",
            AclOperation[operation.upper()],
            AclPermissionType.ALLOW,
        )
        for user in USERS
        for rule in rules_of(user)
        for operation in rule.operations
    ]
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    for outcome in admin.create_acls(bindings, request_timeout=60).values():
        outcome.result()


def _swept(log: Path) -> None:
    assert "tick.swept" in log.read_text()


def _run(environment: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        InVenv().argv("kappi", command, environment), capture_output=True, text=True, timeout=120, check=False
    )


def _certificates(folder: Path) -> Path:
    """Makes an authority and `broker.pem` signed by it. Returns the authority's certificate."""
    authority_key, broker_key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    authority = _named("authority", "authority", key=authority_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    broker = _named("broker", "authority", key=broker_key).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False
    )
    (folder / "broker.pem").write_bytes(
        broker_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + broker.sign(authority_key, SHA256()).public_bytes(Encoding.PEM)
    )
    path = folder / "ca.crt"
    path.write_bytes(authority.sign(authority_key, SHA256()).public_bytes(Encoding.PEM))
    return path


def _named(name: str, issuer: str, *, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
    )
