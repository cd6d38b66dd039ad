import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_client.addresses import BadAddress, NotACode, base_url, parse_code


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("localhost:8110", "http://localhost:8110"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("192.168.1.7:8000", "http://192.168.1.7:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("phone.local", "http://phone.local"),
        ("kappi.example", "https://kappi.example"),
        (" https://example.org/photos/ ", "https://example.org/photos"),
    ],
)
def test_an_address_may_lack_its_scheme(typed: str, address: str) -> None:
    assert base_url(typed) == address


@pytest.mark.parametrize(
    "typed",
    ["", "http://", "ftp://a", "http://a:99999", "http://[::1", "http://a?b", "http://a\n"[:8] + "#c"],
)
def test_the_error_for_an_invalid_address_has_an_example(typed: str) -> None:
    with pytest.raises(BadAddress, match="http://localhost:8000"):
        base_url(typed)


@given(st.text(max_size=60))
def test_any_text_is_accepted_or_raises_a_typed_error(typed: str) -> None:
    for read in (base_url, parse_code):
        try:
            read(typed)
        except (BadAddress, NotACode) as error:
            assert str(error)  # noqa: PT017 - the test finds other exceptions


def test_a_link_without_a_scheme_is_a_link() -> None:
    assert parse_code("localhost:8110/g/ABCD") == ("http://localhost:8110", "abcd")
    assert parse_code("https://example.org/photos/g/abcd?from=mail#top") == (
        "https://example.org/photos",
        "abcd",
    )
