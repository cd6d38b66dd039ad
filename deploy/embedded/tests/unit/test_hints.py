from kappi_client import ApiError
from kappi_embedded.commands.hints import HINTS, explained


def test_an_error_has_the_next_step() -> None:
    busy = ApiError(429, {"code": "too_many_galleries", "detail": "Slow down."}, retry_after_s=120.0)
    assert explained(busy) == "Slow down. (too_many_galleries): try again in 2 minutes"
    unknown = ApiError(404, {"code": "gallery_not_found", "detail": "None."})
    assert explained(unknown).endswith(HINTS["gallery_not_found"])
    fields = [{"field": "title", "message": "A title has at most 200 characters."}]
    invalid = ApiError(422, {"code": "validation_failed", "detail": "Look.", "errors": fields})
    assert explained(invalid) == "title: A title has at most 200 characters. (validation_failed)"
