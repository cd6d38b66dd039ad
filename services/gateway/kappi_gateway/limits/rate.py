"""The limit of calls in a time, per client address or account."""

from __future__ import annotations

import math

from kappi_gateway import metrics
from kappi_gateway.limits.rules import RateRule
from kappi_gateway.limits.token_buckets import TokenBuckets


class RateLimit:
    """Limits the rate of one kind of calls, or of the things that they make."""

    def __init__(self, buckets: TokenBuckets, rule: RateRule) -> None:
        self._buckets = buckets
        self._rule = rule

    def pay(self, subject: str) -> None:
        """Takes a token before the call.

        Raises the refusal with the seconds until the next call is allowed.
        """
        wait_s = self._buckets.wait_s(subject)
        if wait_s > 0:
            metrics.LIMITED.labels(self._rule.name).inc()
            raise self._rule.refusal("Wait, then try again.", retry_after_s=math.ceil(wait_s))
        self._buckets.take(subject)

    def settle(self, subject: str, *, status: int, code: str, things: int = 1) -> None:
        """Corrects the payment after the call.

        code: problem code where the status alone does not decide. things: number of things made, if each
        counts.
        """
        if self._rule.is_free(status, code):
            self._buckets.give_back(subject)
        elif things > 1:
            self._buckets.owe(subject, things - 1)
