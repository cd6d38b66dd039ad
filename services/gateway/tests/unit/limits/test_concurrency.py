from __future__ import annotations

import pytest
from kappi_gateway.errors import TooManyTransfers
from kappi_gateway.limits.concurrency import ConcurrencyLimit


def test_places_are_counted() -> None:
    limit = ConcurrencyLimit(2, name="uploads", refusal=TooManyTransfers)
    with limit.held("192.0.2.1"), limit.held("192.0.2.1"), limit.held("192.0.2.2"):
        assert (limit.running, limit.running_of("192.0.2.1"), limit.running_of("192.0.2.3")) == (3, 2, 0)
        with pytest.raises(TooManyTransfers), limit.held("192.0.2.1"):
            pass
    assert (limit.running, limit.running_of("192.0.2.1")) == (0, 0)
