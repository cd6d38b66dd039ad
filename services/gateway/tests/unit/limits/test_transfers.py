"""The slow clients that are disconnected and those that are not, on a simulated clock."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

import pytest
from kappi_gateway.errors import RequestTimeout, TooManyTransfers
from kappi_gateway.limits.minimum_rate import MinimumRate, RateAllowance
from kappi_gateway.limits.transfers import Transfers
from kappi_gateway.settings import GatewaySettings
from prometheus_client import REGISTRY

HOUR_S = 3600.0
PIECE_S = 0.5


@pytest.fixture
def transfers() -> Transfers:
    """Transfers with the settings' defaults."""
    settings = GatewaySettings()
    return Transfers(
        at_once=settings.max_transfers,
        per_address=settings.transfers_per_address,
        bytes_per_s=settings.transfer_bytes_per_s,
        silence_s=settings.client_silence.total_seconds(),
    )


def cut_after_s(rate: MinimumRate, bytes_per_s: float, *, for_s: float = HOUR_S) -> float:
    """Returns the seconds until a client with a steady rate is cut; infinite for never."""
    leeway, passed_s = RateAllowance(rate), 0.0
    while passed_s < for_s:
        if leeway.left_s < PIECE_S:
            return passed_s
        passed_s += PIECE_S
        leeway.moved(int(bytes_per_s * PIECE_S), waited_s=PIECE_S)
    return float("inf")


def test_a_slow_connection_is_never_closed(transfers: Transfers) -> None:
    with transfers.upload("192.0.2.1") as rate:
        assert cut_after_s(rate, 30_000) == float("inf")
    with transfers.download("192.0.2.1") as rate:
        assert cut_after_s(rate, 30_000) == float("inf")


@pytest.mark.parametrize("at_once", [2, 3, 6])
def test_transfers_that_share_a_slow_connection_are_not_closed(transfers: Transfers, at_once: int) -> None:
    with ExitStack() as stack:
        rates = [stack.enter_context(transfers.upload("192.0.2.1")) for _ in range(at_once)]
        assert cut_after_s(rates[0], 30_000 / at_once) == float("inf")


def test_a_slow_connection_may_pause(transfers: Transfers) -> None:
    with transfers.upload("192.0.2.1") as rate:
        leeway = RateAllowance(rate)
        for _ in range(20):
            for _ in range(240):
                leeway.moved(15_000, waited_s=0.5)
            leeway.moved(15_000, waited_s=20.0)  # such as in a tunnel
            assert leeway.left_s > 0


def test_a_very_slow_transfer_is_closed_and_long_ones_sooner(transfers: Transfers) -> None:
    with transfers.upload("192.0.2.1") as rate:
        assert 60 < cut_after_s(rate, 4_000) < 240
        assert 240 < cut_after_s(rate, 16_000) < 1_200
        asked = [rate.bytes_per_s(minute * 60) for minute in range(8)]
        assert asked == [4096 * step for step in (1, 2, 3, 4, 5, 6, 6, 6)]


def test_the_minimum_rate_rises_when_places_are_scarce(transfers: Transfers) -> None:
    with ExitStack() as stack:
        for number in range(4):
            for _ in range(64):
                rate = stack.enter_context(transfers.upload(f"192.0.2.{number}"))
        assert cut_after_s(rate, 5_000) == float("inf"), "half of all places are free"
        stack.enter_context(transfers.download("192.0.2.9"))
        assert cut_after_s(rate, 5_000) < 300


def test_places_of_an_address_are_limited(transfers: Transfers) -> None:
    with ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(transfers.upload("2001:db8::1"))
        with pytest.raises(TooManyTransfers) as refused, transfers.upload("2001:db8::2"):
            pass
        assert refused.value.headers["Retry-After"] == "5"
        for _ in range(64):
            stack.enter_context(transfers.download("2001:db8::2"))
        stack.enter_context(transfers.upload("2001:db8:1::1"))
    for _ in range(64):
        with transfers.upload("2001:db8::1"):
            pass


def test_closed_transfers_are_counted(transfers: Transfers) -> None:
    def count(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"direction": "upload"}) or 0.0

    def stall() -> None:
        with transfers.upload("192.0.2.1"):
            under_way.append(count("kappi_gateway_transfers"))
            raise RequestTimeout

    under_way: list[float] = []
    before = count("kappi_gateway_cut_transfers_total")
    with pytest.raises(RequestTimeout):
        stall()
    assert (under_way, count("kappi_gateway_transfers")) == ([1], 0)
    assert count("kappi_gateway_cut_transfers_total") == before + 1


def test_other_bodies_have_a_constant_minimum_rate() -> None:
    rate = MinimumRate(timedelta(seconds=60).total_seconds())
    assert {rate.bytes_per_s(waited_s) for waited_s in (0, 60, 3600)} == {4096}
    assert cut_after_s(rate, 4_200) == float("inf")
