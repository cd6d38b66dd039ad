"""The rules of the limits of calls in a time. Their sizes are settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kappi_chassis.idempotency import IdempotencyKeyReused
from kappi_chassis.problems import TooManyRequests

from kappi_gateway import errors
from kappi_gateway.routes import Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRule:
    """One limit. name: in metrics. refusal: raised beyond the limit.

    is_free: whether a call is not counted, by the status of its answer and the problem code of a 422 ("" for
    any other status).
    """

    name: str
    refusal: type[TooManyRequests]
    is_free: Callable[[int, str], bool]


RULES: Mapping[Limit, RateRule] = {
    # A reused idempotency key and a taken email address reveal something about another call, so neither is
    # free.
    Limit.CREATION: RateRule(
        name="galleries",
        refusal=errors.TooManyGalleries,
        is_free=lambda status, code: status != 201 and code != IdempotencyKeyReused.code,
    ),
    Limit.CONTRIBUTOR: RateRule(
        name="contributors",
        refusal=errors.TooManyContributions,
        is_free=lambda status, code: status != 201 and code != IdempotencyKeyReused.code,
    ),
    Limit.SIGN_UP: RateRule(
        name="accounts",
        refusal=errors.TooManyAccounts,
        is_free=lambda status, code: status not in (201, 409) and code != IdempotencyKeyReused.code,
    ),
    Limit.POST: RateRule(
        name="posts", refusal=errors.TooManyPosts, is_free=lambda status, _: status in (401, 503)
    ),
    Limit.COMMENT: RateRule(
        name="comments", refusal=errors.TooManyComments, is_free=lambda status, _: status != 201
    ),
    Limit.SIGNING: RateRule(
        name="uploads", refusal=errors.TooManyUploads, is_free=lambda status, _: status >= 500
    ),
    Limit.WEBHOOK: RateRule(
        name="webhooks", refusal=errors.TooManyWebhooks, is_free=lambda status, _: status in (401, 503)
    ),
    Limit.GUESS: RateRule(
        name="guesses", refusal=errors.TooManyGuesses, is_free=lambda status, _: status != 404
    ),
}
