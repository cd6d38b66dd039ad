"""Playlists as RFC 8216 requires them."""

from __future__ import annotations

import pytest
from kappi_media.domain.playlists import FilmStream, media_playlist, multivariant_playlist
from kappi_testkit.media.playlists import media, variants

URL = "https://store.example/galleries/a/b/renditions/playback.mp4?X-Amz-Signature=ab%2Fcd&X-Amz-Expires=900"
STREAM = FilmStream(
    size="playback",
    width=1920,
    height=1080,
    codecs="avc1.640028,mp4a.40.2",
    start=5_000,
    init_bytes=1_200,
    segment_bytes=[4_000_000, 2_000_000, 70_000],
    segment_ticks=[720_000, 720_000, 3_000],
)


def test_segments_follow_each_other_behind_the_initialization() -> None:
    listed = media(media_playlist(STREAM, URL))
    assert listed.init == (URL, 5_000, 1_200)
    assert [(each.url, each.start, each.length) for each in listed.segments] == [
        (URL, 6_200, 4_000_000),
        (URL, 4_006_200, 2_000_000),
        (URL, 6_006_200, 70_000),
    ]
    assert [each.seconds for each in listed.segments] == [8.0, 8.0, 0.03333]


@pytest.mark.parametrize(
    ("ticks", "target"), [(3_000, 1), (764_999, 8), (765_001, 9), (90_000 * 3_600, 3_600)]
)
def test_no_segment_is_longer_than_the_target(ticks: int, target: int) -> None:
    stream = FilmStream("playback", 320, 240, "avc1.64000d", 9, 9, [9], [ticks])
    assert media(media_playlist(stream, URL)).target == target


def test_the_playlist_of_all_sizes_tells_their_rates() -> None:
    small = FilmStream(
        "playback-480", 852, 480, "avc1.64001f,mp4a.40.2", 9, 9, [1_000_000, 200_000], [720_000, 90_000]
    )
    text = multivariant_playlist([STREAM, small], ["a.m3u8?size=playback", "a.m3u8?size=playback-480"])
    assert variants(text) == [
        (
            "a.m3u8?size=playback",
            {
                "BANDWIDTH": "4000000",
                "AVERAGE-BANDWIDTH": "3028691",
                "CODECS": "avc1.640028,mp4a.40.2",
                "RESOLUTION": "1920x1080",
                "CLOSED-CAPTIONS": "NONE",
            },
        ),
        (
            "a.m3u8?size=playback-480",
            {
                "BANDWIDTH": "1066667",
                "AVERAGE-BANDWIDTH": "1066667",
                "CODECS": "avc1.64001f,mp4a.40.2",
                "RESOLUTION": "852x480",
                "CLOSED-CAPTIONS": "NONE",
            },
        ),
    ]


def test_a_film_of_three_hours_has_a_playlist_of_bounded_length() -> None:
    stream = FilmStream("playback", 320, 240, "avc1.64000d", 9, 9, [9] * 1_350, [720_000] * 1_350)
    text = media_playlist(stream, URL)
    assert len(media(text).segments) == 1_350
    assert len(text) < 1_350 * (len(URL) + 100)
