import pytest
from kappi_client.errors import ApiError
from kappi_client.refusals import duration, in_words, refusal


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ask for 3600 to 2592000 seconds.", "Ask for 1 hour to 30 days."),
        ("The largest file allowed here has 5368709120 bytes.", "The largest file allowed here has 5.4 GB."),
        ("It has 12 bytes.", "It has 12 bytes."),
    ],
)
def test_limits_are_written_in_words(text: str, said: str) -> None:
    assert in_words(text) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 seconds"), (1, "1 second"), (90, "90 seconds"), (120, "2 minutes"), (86_400, "1 day")],
)
def test_a_duration_is_written_in_the_largest_unit_that_divides_it(seconds: int, said: str) -> None:
    assert duration(seconds) == said


def test_a_refused_file_is_explained() -> None:
    mismatch = ApiError(422, {"code": "content_mismatch", "detail": "Why. (truncated)"})
    assert refusal(mismatch) == "its end is missing (content_mismatch)"
    large = ApiError(413, {"code": "file_too_large", "detail": "The largest file has 2000000 bytes."})
    assert refusal(large) == "The largest file has 2.0 MB. (file_too_large)"
