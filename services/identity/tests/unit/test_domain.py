from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_identity.domain.accounts import (
    MAX_DEVICE_CHARACTERS,
    MIN_PASSWORD_CHARACTERS,
    RefreshToken,
    SessionPolicy,
    TextRefused,
    check_password,
    clean_display_name,
    describe_device,
    judge_refresh,
    normal_password,
)
from kappi_identity.domain.common_passwords import common_passwords

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
GRACE = timedelta(seconds=10)
EMAIL = "ada@example.com"


@pytest.mark.parametrize("text", ["family 👨‍👩‍👧", "Ångström", "שלום", "é" * 100])
def test_names_of_any_script_stay_as_they_are(text: str) -> None:
    assert clean_display_name(f"  {text} ") == text


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "a\ud800b", "a\u2028b", "a" * 101])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(TextRefused):
        clean_display_name(text)


def test_no_name_is_none() -> None:
    assert clean_display_name("  ") is None


@given(st.text(max_size=400))
def test_a_device_is_one_short_printable_line(text: str) -> None:
    shown = describe_device(text)
    if shown is not None:
        assert 0 < len(shown) <= MAX_DEVICE_CHARACTERS
        assert "\n" not in shown
        assert "\x00" not in shown


def test_a_device_that_says_nothing_is_none() -> None:
    assert describe_device(None) is None
    assert describe_device(" \x07 ") is None


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("seven77", "too_short"),
        ("x1" * 129, "too_long"),
        ("Password1", "too_common"),
        ("QWERTYUIOP", "too_common"),
        ("zzzzzzzzzzzz", "too_common"),
        ("Ada@Example.com", "is_email"),
        ("half \ud800 a pair", "invalid"),
    ],
)
def test_passwords_that_anybody_would_try_are_refused(password: str, code: str) -> None:
    with pytest.raises(TextRefused) as refused:
        check_password(normal_password(password), email=EMAIL, common=common_passwords())
    assert refused.value.code == code


def test_the_part_before_the_at_sign_is_no_password() -> None:
    with pytest.raises(TextRefused):
        check_password("adalovelace", email="AdaLovelace@example.com", common=frozenset())


@pytest.mark.parametrize("password", ["8 chars!", "Lützelflüh", "👩‍🚀" * 8, "p" * 255 + "!"])
def test_any_other_password_will_do(password: str) -> None:
    check_password(normal_password(password), email=EMAIL, common=common_passwords())


def test_the_list_of_common_passwords_holds_only_what_could_be_chosen() -> None:
    assert len(common_passwords()) > 100
    assert all(len(word) >= MIN_PASSWORD_CHARACTERS for word in common_passwords())
    assert all(word == word.casefold() for word in common_passwords())


def test_a_session_lasts_from_its_last_use_but_not_for_ever() -> None:
    policy = SessionPolicy(idle=timedelta(days=30), longest=timedelta(days=365), retry_grace=GRACE)
    assert policy.deadline(created_at=NOW, now=NOW) == NOW + timedelta(days=30)
    late = NOW + timedelta(days=360)
    assert policy.deadline(created_at=NOW, now=late) == NOW + timedelta(days=365)


@pytest.mark.parametrize(
    ("used_ago", "superseded", "successor_used", "verdict"),
    [
        (None, False, False, "rotate"),
        (timedelta(0), False, False, "retry"),
        (GRACE, False, False, "retry"),
        (GRACE + timedelta(microseconds=1), False, False, "theft"),
        (timedelta(0), False, True, "theft"),
        (None, True, False, "theft"),
        (timedelta(0), True, False, "theft"),
    ],
)
def test_what_presenting_a_refresh_token_means(
    used_ago: timedelta | None, superseded: bool, successor_used: bool, verdict: str
) -> None:
    token = RefreshToken(
        used_at=None if used_ago is None else NOW - used_ago,
        superseded_at=NOW if superseded else None,
        successor_used=successor_used,
    )
    assert judge_refresh(token, now=NOW, grace=GRACE) == verdict
