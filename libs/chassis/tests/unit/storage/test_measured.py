"""Calls of the store are measured by operation, and their failures by kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from inspect import getmembers, isfunction
from typing import Any

import pytest
from kappi_chassis.observability import metrics
from kappi_chassis.storage.contract import (
    ObjectMissing,
    ObjectStore,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)
from kappi_chassis.storage.measured import MeasuredStore

UNMEASURED = {"check_room", "ready", "close"}


class Failing:
    """A store whose every call fails with one error, a stream after its first chunk."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.closed = False

    def __getattr__(self, _: str) -> Any:
        async def call(*_: Any, **__: Any) -> None:
            raise self._error

        return call

    async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[bytes]:
        try:
            yield b"first"
            raise self._error
        finally:
            self.closed = True


def failures(operation: str, failure: str) -> float:
    value: float = metrics.STORE_FAILURES.labels(operation, failure)._value.get()
    return value


def calls(operation: str) -> float:
    number: float = sum(bucket.get() for bucket in metrics.STORE_CALL_SECONDS.labels(operation)._buckets)
    return number


def test_every_call_of_the_contract_is_measured() -> None:
    contract = {name for name, _ in getmembers(ObjectStore, isfunction) if not name.startswith("_")}
    assert set(metrics.STORE_OPERATIONS) == contract - UNMEASURED
    assert set(metrics.STORE_OPERATIONS) == {
        name for name, _ in getmembers(MeasuredStore, isfunction) if not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("error", "failure"),
    [(StorageUnavailable(), "unavailable"), (StorageFull(), "full"), (StorageRefused(), "refused")],
)
async def test_a_failure_is_counted_and_raised(error: Exception, failure: str) -> None:
    failed, made = failures("head", failure), calls("head")
    with pytest.raises(type(error)):
        await MeasuredStore(Failing(error)).head("a")
    assert failures("head", failure) == failed + 1
    assert calls("head") == made + 1


async def test_a_missing_object_is_no_failure() -> None:
    before = [failures("head", failure) for failure in ("unavailable", "refused", "full")]
    with pytest.raises(ObjectMissing):
        await MeasuredStore(Failing(ObjectMissing())).head("a")
    assert [failures("head", failure) for failure in ("unavailable", "refused", "full")] == before


async def test_a_stream_is_measured_until_its_first_bytes_and_may_fail_later() -> None:
    failed, made = failures("stream", "unavailable"), calls("stream")
    store = Failing(StorageUnavailable())
    chunks = MeasuredStore(store).stream("a")
    assert await anext(chunks) == b"first"
    assert (calls("stream"), failures("stream", "unavailable")) == (made + 1, failed)
    with pytest.raises(StorageUnavailable):
        await anext(chunks)
    assert (calls("stream"), failures("stream", "unavailable")) == (made + 1, failed + 1)


async def test_a_stream_that_is_left_closes_the_store_s_own() -> None:
    store = Failing(StorageUnavailable())
    chunks = MeasuredStore(store).stream("a")
    await anext(chunks)
    await chunks.aclose()
    assert store.closed
