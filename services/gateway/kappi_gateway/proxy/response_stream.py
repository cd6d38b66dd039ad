"""Streams a service's answer to the client, piece by piece."""

from __future__ import annotations

import asyncio

from kappi_chassis.http.direct_bytes import Direct
from kappi_chassis.http.edge import BODY_FOLLOWS, Message, Send
from kappi_chassis.observability.logs import get_logger

from kappi_gateway import metrics
from kappi_gateway.errors import ClientStalled, UpstreamBroke
from kappi_gateway.http.headers import answering
from kappi_gateway.limits.minimum_rate import MinimumRate, RateAllowance
from kappi_gateway.proxy.spliced import splice_rest
from kappi_gateway.routes import Service
from kappi_gateway.upstream import Answer, Lost, Silent

WITHOUT_BODY = frozenset({204, 304})
_log = get_logger(__name__)


async def stream_response(
    response: Answer,
    send: Send,
    *,
    direct: Direct | None,
    service: Service,
    head_only: bool,
    rate: MinimumRate,
) -> None:
    """Sends the answer on, even if its body was read already.

    direct: of the client's connection, for a download. head_only: the client asked with HEAD. rate: minimum
    rate of a reading client; time in which the service sends nothing does not count. Raises CutOff when it
    had to end early: the connection must then be cut.
    """
    empty = response.status in WITHOUT_BODY
    start: Message = {
        "type": "http.response.start",
        "status": response.status,
        "headers": answering(response.headers, without_length=empty),
    }
    if response.is_complete:
        start[BODY_FOLLOWS] = True
    await send(start)
    try:
        if head_only or empty or response.is_complete:
            body = await response.read()
            await send({"type": "http.response.body", "body": b"" if head_only or empty else body})
        elif direct is None or not await splice_rest(response, direct, send, rate):
            await _pieces(response, send, rate)
    except (Lost, Silent) as error:
        metrics.UPSTREAM_FAILURES.labels(service.value, "broken_off").inc()
        _log.warning("upstream.broke_off", upstream=service.value, error_type=type(error).__name__)
        raise UpstreamBroke from error


async def _pieces(response: Answer, send: Send, rate: MinimumRate) -> None:
    clock = asyncio.get_running_loop().time
    leeway = RateAllowance(rate)
    piece = await response.piece()
    last = response.at_end
    await send({"type": "http.response.body", "body": piece, "more_body": not last})
    while not last:
        piece = await response.piece()
        last = response.at_end
        asked_at = clock()
        try:
            async with asyncio.timeout(leeway.left_s):
                await send({"type": "http.response.body", "body": piece, "more_body": not last})
        except TimeoutError as error:
            metrics.CLIENTS_STALLED.inc()
            raise ClientStalled from error
        leeway.moved(len(piece), waited_s=clock() - asked_at)
