"""A Kafka-protocol broker inside this process: librdkafka's mock cluster, reachable over TCP by any client.

It keeps about 5 MB per partition and nothing over a restart. It does not support CreateTopics: a topic
appears on first use, or by `create_topic`. It is called through librdkafka's C interface, because the Python
interface lacks the needed settings (a topic's partitions, the delay before a group's first assignment).
Clients reach it through `BrokerProxy`, so that a fetch is answered as soon as there is a record.
"""

from __future__ import annotations

import ctypes
import threading
from types import TracebackType
from typing import Self

from kappi_chassis.embedded.broker_proxy import BrokerProxy
from kappi_chassis.embedded.ports import LOOPBACK

# librdkafka's default of 3 s suits many consumers that start together; here a consumer should get its
# partitions at once.
_FIRST_ASSIGNMENT_DELAY_MS = 100
_PRODUCER = 0


class BrokerUnavailable(RuntimeError):
    """The embedded broker cannot run here, or has been closed."""


def _library() -> ctypes.CDLL:
    try:
        from confluent_kafka import cimpl
    except ImportError as missing:
        raise BrokerUnavailable("the embedded broker needs the confluent-kafka package") from missing
    # Symbols are looked up in the module's dependencies, too: librdkafka, wherever the wheel has it.
    lib = ctypes.CDLL(cimpl.__file__)
    handle, text = ctypes.c_void_p, ctypes.c_char_p
    signatures: dict[str, tuple[object, list[object]]] = {
        "rd_kafka_conf_new": (handle, []),
        "rd_kafka_conf_set": (ctypes.c_int, [handle, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (handle, [ctypes.c_int, handle, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [handle]),
        "rd_kafka_mock_cluster_new": (handle, [handle, ctypes.c_int]),
        "rd_kafka_mock_cluster_destroy": (None, [handle]),
        "rd_kafka_mock_cluster_bootstraps": (text, [handle]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [handle, ctypes.c_int32]),
        "rd_kafka_mock_topic_create": (ctypes.c_int, [handle, text, ctypes.c_int, ctypes.c_int]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class EmbeddedBroker:
    """One broker, from construction to `close()`.

    `bootstrap` is its `host:port` on the loopback interface.
    """

    def __init__(self) -> None:
        self._lib = _library()
        self._lock = threading.Lock()
        conf = self._lib.rd_kafka_conf_new()
        self._lib.rd_kafka_conf_set(conf, b"log_level", b"0", None, 0)  # it announces itself on stderr
        reason = ctypes.create_string_buffer(512)
        self._client = self._lib.rd_kafka_new(_PRODUCER, conf, reason, len(reason))
        if not self._client:
            raise BrokerUnavailable(reason.value.decode())
        self._cluster = self._lib.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            self._lib.rd_kafka_destroy(self._client)
            raise BrokerUnavailable("librdkafka could not open a port")
        self._lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, _FIRST_ASSIGNMENT_DELAY_MS)
        upstream: str = self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self._proxy = BrokerProxy(int(upstream.rpartition(":")[2]))
        self._proxy.start()
        self.bootstrap = f"{LOOPBACK}:{self._proxy.port}"

    def create_topic(self, name: str, *, partitions: int) -> None:
        """Creates a topic. An existing topic keeps its partitions."""
        with self._lock:
            self._lib.rd_kafka_mock_topic_create(self._running(), name.encode(), partitions, 1)

    @property
    def waiting_fetches(self) -> int:
        """The number of fetches that wait for a record. For tests of waiting."""
        return self._proxy.waiting_fetches

    def interrupt(self) -> None:
        """Drops every connection and accepts none until `resume()`; topics and offsets stay.

        For tests of outages.
        """
        with self._lock:
            self._running()
            self._proxy.interrupt()

    def resume(self) -> None:
        """Accepts connections again after `interrupt()`."""
        with self._lock:
            self._running()
            self._proxy.resume()

    def close(self) -> None:
        """Ends the broker; all records are lost. A second call does nothing."""
        with self._lock:
            cluster, self._cluster = self._cluster, None
            if cluster:
                self._proxy.close()
                self._lib.rd_kafka_mock_cluster_destroy(cluster)
                self._lib.rd_kafka_destroy(self._client)

    def _running(self) -> int:
        if not self._cluster:
            raise BrokerUnavailable("the broker is closed")
        cluster: int = self._cluster
        return cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
