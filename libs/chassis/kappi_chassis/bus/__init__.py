"""Kafka: sending, consuming, and the three outcomes of a record (ADR-0004)."""

from kappi_chassis.bus.connection import KafkaConnection
from kappi_chassis.bus.consumer import Consumer
from kappi_chassis.bus.dead_letters import DeadLetters
from kappi_chassis.bus.processor import Poison, Processor, Record, Transient
from kappi_chassis.bus.producer import Producer

__all__ = [
    "Consumer",
    "DeadLetters",
    "KafkaConnection",
    "Poison",
    "Processor",
    "Producer",
    "Record",
    "Transient",
]
