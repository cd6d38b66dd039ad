import pytest
from kappi_client.addresses import NotACode, parse_code


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("abcd", (None, "abcd")),
        (" ABcd ", (None, "abcd")),
        ("http://localhost:8000/g/abcd", ("http://localhost:8000", "abcd")),
        ("https://kappi.example/g/abcd/", ("https://kappi.example", "abcd")),
        ("https://example.org/photos/g/abcd?x=1", ("https://example.org/photos", "abcd")),
    ],
)
def test_codes_and_links_are_accepted(text: str, parsed: tuple[str | None, str]) -> None:
    assert parse_code(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "a/b", "../x", "http://localhost:8000/v1/abcd", "file:///g/abcd", "a b"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(NotACode):
        parse_code(text)
