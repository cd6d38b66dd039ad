import pytest
from kappi_embedded.client.api import ApiError
from kappi_embedded.client.words import HINTS, REASONS, duration, explained, in_words, refusal
from kappi_mediameta.probing.rejection import RejectReason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ask for 3600 to 2592000 seconds.", "Ask for 1 hour to 30 days."),
        ("The largest file allowed here has 5368709120 bytes.", "The largest file allowed here has 5.4 GB."),
        ("It has 12 bytes.", "It has 12 bytes."),
    ],
)
def test_limits_are_told_in_words(text: str, said: str) -> None:
    assert in_words(text) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 seconds"), (1, "1 second"), (90, "90 seconds"), (120, "2 minutes"), (86_400, "1 day")],
)
def test_a_duration_is_said_in_the_largest_unit_that_fits(seconds: int, said: str) -> None:
    assert duration(seconds) == said


def test_every_reason_has_words() -> None:
    assert {reason.value for reason in RejectReason} <= set(REASONS)


def test_a_refused_file_is_explained() -> None:
    mismatch = ApiError(422, {"code": "content_mismatch", "detail": "Why. (truncated)"})
    assert refusal(mismatch) == "its end is missing (content_mismatch)"
    large = ApiError(413, {"code": "file_too_large", "detail": "The largest file has 2000000 bytes."})
    assert refusal(large) == "The largest file has 2.0 MB. (file_too_large)"


def test_an_error_says_what_to_do_next() -> None:
    busy = ApiError(429, {"code": "too_many_galleries", "detail": "Slow down."}, retry_after_s=120.0)
    assert explained(busy) == "Slow down. (too_many_galleries): try again in 2 minutes"
    unknown = ApiError(404, {"code": "gallery_not_found", "detail": "None."})
    assert explained(unknown).endswith(HINTS["gallery_not_found"])
    fields = [{"field": "title", "message": "A title has at most 200 characters."}]
    invalid = ApiError(422, {"code": "validation_failed", "detail": "Look.", "errors": fields})
    assert explained(invalid) == "title: A title has at most 200 characters. (validation_failed)"
