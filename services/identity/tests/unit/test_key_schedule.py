from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kappi_identity.domain.key_schedule import KeyPolicy, KeySteps, PublishedKey, due_steps

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AHEAD, EVERY = timedelta(minutes=10), timedelta(days=90)
POLICY = KeyPolicy(publish_ahead=AHEAD, retire_for=timedelta(minutes=11), rotate_every=EVERY)
NOTHING = KeySteps(create=False, activate=None, forget=())


def active(age: timedelta) -> PublishedKey:
    since = NOW - age
    return PublishedKey(kid="active", state="active", created_at=since, activated_at=since, retire_after=None)


def upcoming(age: timedelta) -> PublishedKey:
    return PublishedKey(kid="next", state="next", created_at=NOW - age, activated_at=None, retire_after=None)


def retiring(until: datetime) -> PublishedKey:
    return PublishedKey(
        kid="old", state="retiring", created_at=NOW - EVERY, activated_at=None, retire_after=until
    )


def test_most_often_nothing_is_due() -> None:
    tick = timedelta(microseconds=1)
    keys = [active(EVERY - tick), upcoming(AHEAD - tick), retiring(NOW + tick)]
    assert due_steps(keys, policy=POLICY, now=NOW) == NOTHING
    assert due_steps([], policy=POLICY, now=NOW) == NOTHING


def test_a_key_of_age_gets_a_successor_once() -> None:
    assert due_steps([active(EVERY)], policy=POLICY, now=NOW).create
    assert not due_steps([active(EVERY), upcoming(timedelta(0))], policy=POLICY, now=NOW).create


def test_a_successor_takes_over_when_everybody_can_know_it() -> None:
    keys = [active(timedelta(0)), upcoming(AHEAD)]
    assert due_steps(keys, policy=POLICY, now=NOW).activate == "next"


def test_a_key_is_forgotten_when_nothing_it_signed_lasts() -> None:
    assert due_steps([active(timedelta(0)), retiring(NOW)], policy=POLICY, now=NOW).forget == ("old",)
