"""The limit of failed lookups of codes, per client address."""

from __future__ import annotations

import math
from collections import OrderedDict

from kappi_gateway import metrics
from kappi_gateway.errors import TooManyGuesses
from kappi_gateway.limits.address_key import limit_key
from kappi_gateway.limits.token_buckets import TokenBuckets


class GuessLimit:
    """Limits failed lookups of codes.

    An address without tokens is refused even for codes that exist, otherwise the difference would reveal
    them. Codes that the address found before reveal nothing new and pass, so other clients of a shared
    address can go on while one of them guesses. max_found: codes remembered for all addresses together; the
    least recently used are forgotten first.
    """

    def __init__(self, buckets: TokenBuckets, *, max_found: int = 100_000) -> None:
        self._buckets = buckets
        self._max_found = max_found
        self._found: OrderedDict[tuple[str, str], None] = OrderedDict()

    def check(self, address: str, code: str | None = None) -> None:
        """Raises TooManyGuesses with the seconds until the next guess is allowed.

        code: None for text that cannot be a code.
        """
        wait_s = self._buckets.wait_s(limit_key(address))
        if wait_s > 0 and (code is None or not self.has_found(address, code)):
            metrics.LIMITED.labels("guesses").inc()
            raise TooManyGuesses("Wait, then try again.", retry_after_s=math.ceil(wait_s))

    def found(self, address: str, code: str) -> None:
        """Records that the code exists and that the address has learned so."""
        pair = limit_key(address), code
        self._found[pair] = None
        self._found.move_to_end(pair)
        if len(self._found) > self._max_found:
            self._found.popitem(last=False)

    def has_found(self, address: str, code: str) -> bool:
        return (limit_key(address), code) in self._found

    def missed(self, address: str, code: str) -> None:
        """Records that the code does not exist, or no longer."""
        self._found.pop((limit_key(address), code), None)

    def spend(self, address: str) -> None:
        """Takes a token for a lookup that failed, or is about to be made and may fail."""
        self._buckets.take(limit_key(address))

    def refund(self, address: str) -> None:
        """Returns the token of a lookup that did not fail."""
        self._buckets.give_back(limit_key(address))
