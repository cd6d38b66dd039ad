"""The HTTP client of the services: pools of kept connections on asyncio protocols."""

from kappi_gateway.upstream.answer import Answer
from kappi_gateway.upstream.connection import Body, Lost, Silent, Stream
from kappi_gateway.upstream.upstreams import Upstreams, decoded, traced, whole

__all__ = ["Answer", "Body", "Lost", "Silent", "Stream", "Upstreams", "decoded", "traced", "whole"]
