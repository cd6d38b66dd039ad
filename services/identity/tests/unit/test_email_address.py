from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_identity.domain.accounts import TextRefused
from kappi_identity.domain.email_address import normal_form, read_email


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", " Ada@EXAMPLE.com\n"),
        ("zu\u0308rich@example.com", "ZÜRICH@example.com"),
        ("a@bücher.example.com", "a@xn--bcher-kva.example.com"),
        ("STRASSE@example.com", "straße@example.com"),
    ],
)
def test_addresses_that_read_alike_are_one(one: str, other: str) -> None:
    assert read_email(one).normalised == read_email(other).normalised == normal_form(other)


@pytest.mark.parametrize(("one", "other"), [("a.b@example.com", "ab@example.com"), ("a+b@x.com", "a@x.com")])
def test_nothing_is_assumed_of_how_a_provider_delivers(one: str, other: str) -> None:
    assert read_email(one).normalised != read_email(other).normalised


@pytest.mark.parametrize(
    "text",
    [
        *("", "ada", "@example.com", "ada@", "a b@example.com", "ada@localhost", "a@[127.0.0.1]"),
        *("a@b@example.com", "a@example.com\nBcc: eve@example.com", "a\x00@example.com"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(TextRefused) as refused:
        read_email(text)
    assert refused.value.code == "invalid_email"


@given(st.text())
def test_any_text_can_be_looked_up(text: str) -> None:
    assert "\x00" not in normal_form(text)
