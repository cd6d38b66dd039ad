"""The schedule by which signing keys are created, used and removed (pure).

A key is published before it signs, so that every verifier's cached set holds it. It stays published after it
signed, until the last token it signed has expired. So a rotation logs no client out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

KeyState = Literal["next", "active", "retiring"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKey:
    """A signing key without its private half. retire_after: when no token it signed is valid any more."""

    kid: str
    state: KeyState
    created_at: datetime
    activated_at: datetime | None
    retire_after: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """The durations of the schedule. publish_ahead: how long a key is published before it signs; longer than
    verifiers cache.

    retire_for: how long a key stays published after its successor took over; longer than any token lives.
    rotate_every: the age at which a key is replaced automatically.
    """

    publish_ahead: timedelta
    retire_for: timedelta
    rotate_every: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySteps:
    """The steps that are due. create: publish a new key. activate, forget: ids of keys."""

    create: bool
    activate: str | None
    forget: tuple[str, ...]


def due_steps(keys: Sequence[PublishedKey], *, policy: KeyPolicy, now: datetime) -> KeySteps:
    """Returns the steps that are due at `now`; most often none."""
    upcoming = next((key for key in keys if key.state == "next"), None)
    active = next((key for key in keys if key.state == "active"), None)
    aged = active is not None and (active.activated_at or active.created_at) + policy.rotate_every <= now
    return KeySteps(
        create=upcoming is None and aged,
        activate=upcoming.kid if upcoming and upcoming.created_at + policy.publish_ahead <= now else None,
        forget=tuple(
            key.kid
            for key in keys
            if key.state == "retiring" and key.retire_after is not None and key.retire_after <= now
        ),
    )
