"""When signing keys are made, used and forgotten (pure).

A key is published before it signs, so that every verifier's cached set holds it, and stays published after it
signed, until the last token it signed has expired: nobody is logged out by a rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

KeyState = Literal["next", "active", "retiring"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKey:
    """A signing key without its private half. retire_after: when nothing it signed is valid any more."""

    kid: str
    state: KeyState
    created_at: datetime
    activated_at: datetime | None
    retire_after: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """publish_ahead: how long a key is published before it signs; longer than verifiers cache.

    retire_for: how long a key is published after another one took over; longer than any token lives.
    rotate_every: age at which a key is replaced without anybody asking.
    """

    publish_ahead: timedelta
    retire_for: timedelta
    rotate_every: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySteps:
    """What is due. create: publish a new key. activate, forget: ids of keys."""

    create: bool
    activate: str | None
    forget: tuple[str, ...]


def due_steps(keys: Sequence[PublishedKey], *, policy: KeyPolicy, now: datetime) -> KeySteps:
    """What a replica that looks at the keys at `now` has to do; most often nothing."""
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
