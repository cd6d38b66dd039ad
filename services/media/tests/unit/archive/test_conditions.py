from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_media.archive.conditions import Outcome, outcome

SIZE = 1000
WHOLE = Outcome(200, 0, SIZE - 1)


def asked(method: str = "GET", **headers: str) -> Outcome:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return outcome(method, named, etag="v1", size_bytes=SIZE)


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, WHOLE),
        ({"range": "bytes=0-"}, Outcome(206, 0, 999)),
        ({"range": "bytes=990-2000"}, Outcome(206, 990, 999)),
        ({"range": "bytes=-1"}, Outcome(206, 999, 999)),
        ({"range": "bytes=-5000"}, Outcome(206, 0, 999)),
        ({"range": "bytes=1000-"}, Outcome(416)),
        ({"range": "bytes=-0"}, Outcome(416)),
        ({"range": "bytes=1-2,4-5"}, WHOLE),
        ({"range": "bytes=7", "if-range": '"v1"'}, WHOLE),
        ({"range": "bytes=5-", "if-range": '"v1"'}, Outcome(206, 5, 999)),
        ({"range": "bytes=5-", "if-range": '"v0"'}, WHOLE),
        ({"range": "bytes=5-", "if-range": 'W/"v1"'}, WHOLE),
        ({"range": "bytes=5-", "if-range": "Fri, 20 Nov 2026 10:00:00 GMT"}, WHOLE),
        # A range outside the archive does not matter if the ETag is of another archive.
        ({"range": "bytes=5000-", "if-range": '"v0"'}, WHOLE),
        ({"if-none-match": '"v1"'}, Outcome(304)),
        ({"if-none-match": 'W/"v1", "x"', "range": "bytes=5-"}, Outcome(304)),
        ({"if-none-match": "*"}, Outcome(304)),
        ({"if-none-match": '"v0"'}, WHOLE),
        ({"if-match": '"v1"', "range": "bytes=5-"}, Outcome(206, 5, 999)),
        ({"if-match": '"v0"', "if-none-match": '"v1"'}, Outcome(412)),
        ({"if-match": 'W/"v1"'}, Outcome(412)),
        ({"if-match": "*"}, WHOLE),
        ({"if-modified-since": "Fri, 20 Nov 2026 10:00:00 GMT"}, WHOLE),
    ],
)
def test_one_request(headers: dict[str, str], answer: Outcome) -> None:
    assert asked(**headers) == answer


def test_head_has_no_ranges() -> None:
    assert asked("HEAD", range="bytes=5-") == WHOLE
    assert asked("HEAD", range="bytes=5000-") == WHOLE
    assert asked("HEAD", if_none_match='"v1"') == Outcome(304)


@given(st.text(max_size=40) | st.from_regex(r"bytes=[0-9]{0,5}-[0-9]{0,5}", fullmatch=True))
def test_no_range_leads_out_of_the_archive(text: str) -> None:
    found = asked(range=text)
    if found.has_body:
        assert 0 <= found.first <= found.last < SIZE
        assert found.length >= 1
    else:
        assert found.status == 416
