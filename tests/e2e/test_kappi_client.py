"""The package kappi-client, used alone against a running stack."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from pathlib import Path

import pytest
from kappi_client import (
    ApiError,
    Client,
    Gallery,
    LoggedOut,
    NewGallery,
    NotACode,
    UploadProgress,
    UploadRunning,
)
from kappi_testkit.media.corpus.raws import RAWS
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants
from PIL import Image

from tests.e2e.accounts import sign_up
from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.test_sidecars import SIDECAR

_FILM_BYTES = 24 << 20


class Interrupting(UploadProgress):
    """Interrupts the upload after the store has acknowledged the first part."""

    def __init__(self) -> None:
        self.task: asyncio.Task[object] | None = None

    def stored(self, count: int) -> None:
        if self.task is not None and count > 0:
            self.task.cancel()


class Counting(UploadProgress):
    def __init__(self) -> None:
        self.stored_bytes = 0
        self.resumed_bytes = 0
        self.begun_at: str | None = None
        self.gallery: Gallery | None = None

    def continued(self, begun_at: str) -> None:
        self.begun_at = begun_at

    def started(self, gallery: Gallery) -> None:
        self.gallery = gallery

    def stored(self, count: int) -> None:
        self.stored_bytes += count

    def resumed(self, count: int) -> None:
        self.resumed_bytes += count


async def test_a_contributor_adds_to_a_gallery_by_its_link(
    stack: StackUnderTest, client: Client, phone: Phone, photo: Path, tmp_path: Path
) -> None:
    gallery = await phone.create_gallery(contributions="drop")
    joined = await client.join(gallery.url, name="Grace")
    assert joined.contributor_key is not None
    stack.secrets.add(joined.contributor_key)
    assert joined.contributor_key not in repr(joined)
    result = await client.upload(photo, gallery=joined)
    assert [uploaded.status for uploaded in result.uploaded] == ["ready"]
    view = (await phone.ask("GET", f"/v1/g/{gallery.code}", headers=gallery.key)).ok()
    assert [item["contributor"]["name"] for item in view["items"]] == ["Grace"]
    with pytest.raises(ApiError, match="gallery_not_found"):
        await client.join("zzzzzzzz")


@pytest.fixture
def client(stack: StackUnderTest, tmp_path: Path) -> Client:
    return new_client(stack, tmp_path / "home")


def new_client(stack: StackUnderTest, home: Path) -> Client:
    """A client of a person whose log-ins and journals are in `home`."""
    return Client(stack.base_url, environ={"HOME": str(home)})


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(quadrants(640, 480), "JPEG"))
    return path


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    body = movie(MovieShape(faststart=True, codec="mpeg4"))
    noise = random.Random(7).randbytes(_FILM_BYTES - len(body) - 8)
    path.write_bytes(body + (len(noise) + 8).to_bytes(4, "big") + b"mdat" + noise)
    return path


@pytest.mark.timeout(180)
@pytest.mark.parametrize("new", [True, False], ids=["new gallery", "existing gallery"])
async def test_an_interrupted_upload_continues_with_the_same_call(
    stack: StackUnderTest, client: Client, phone: Phone, film: Path, tmp_path: Path, new: bool
) -> None:
    wanted = NewGallery(title="Lisbon")
    gallery = wanted if new else await client.create_gallery(wanted)
    interrupting = Interrupting()
    interrupting.task = asyncio.create_task(
        client.upload(film, gallery=gallery, connection="slow", progress=interrupting)
    )
    with pytest.raises(asyncio.CancelledError):
        await interrupting.task
    progress = Counting()
    result = await client.upload(film, gallery=gallery, connection="slow", progress=progress)
    assert progress.begun_at is not None
    assert progress.resumed_bytes > 0
    assert progress.resumed_bytes + progress.stored_bytes == _FILM_BYTES
    assert result.processed
    assert [(each.path, each.status) for each in result.uploaded] == [(film, "ready")]
    assert result.gallery is not None
    assert result.gallery == progress.gallery
    assert result.gallery.code is not None
    stack.secrets.add(result.gallery.access_key or "")
    items = await phone.items(result.gallery.code)
    assert [(item["filename"], item["sha256"]) for item in items] == [("film.mp4", _sha256(film))]
    got = await client.download(result.gallery, tmp_path / "got")
    assert [_sha256(path) for path in got.saved] == [_sha256(film)]
    elsewhere = Client("https://kappi.invalid", journal=False)
    again = await elsewhere.download(f"{stack.base_url}/g/{result.gallery.code}", tmp_path / "got")
    assert (again.saved, len(again.kept)) == ([], 1)


@pytest.mark.timeout(180)
async def test_sidecars_go_and_come_back_with_their_pictures(
    stack: StackUnderTest, client: Client, phone: Phone, tmp_path: Path
) -> None:
    trip, home = tmp_path / "trip", tmp_path / "back"
    for day in ("monday", "tuesday"):
        (trip / day).mkdir(parents=True)
        RAWS["previews.dng"](trip / day / "IMG_1.dng")
        (trip / day / "IMG_1.dng").write_bytes((trip / day / "IMG_1.dng").read_bytes() + day.encode())
        (trip / day / "IMG_1.xmp").write_bytes(SIDECAR + day.encode())
    (trip / "lonely.xmp").write_bytes(SIDECAR)
    (trip / "broken.jpg").write_bytes(encode(quadrants(64, 48), "JPEG"))
    (trip / "broken.jpg.xmp").write_bytes(b"no XMP")

    shared = await asyncio.to_thread(stack.kappi, "share", "--json", str(trip))
    assert shared.returncode == 1, shared.stderr
    assert "lonely.xmp" in shared.stderr
    told = json.loads(shared.stdout)
    stack.secrets.add(told["access_key"])
    assert [Path(each["path"]).name for each in told["items"]] == ["broken.jpg", "IMG_1.dng", "IMG_1.dng"]
    assert [Path(each["path"]).name for each in told["rejected"]] == ["broken.jpg.xmp"]
    items = await phone.items(told["code"])
    assert [item["sidecar"] and item["sidecar"]["filename"] for item in items] == [
        *(None, "IMG_1.xmp", "IMG_1.xmp")
    ]
    assert items[1]["rating"] == 4

    home.mkdir()
    (home / "IMG_1.xmp").write_bytes(b"of somebody else")
    got = await asyncio.to_thread(stack.kappi, "get", told["url"], str(home))
    assert got.returncode == 0, got.stderr
    brought = {path.name: path.read_bytes() for path in home.iterdir()}
    assert brought.keys() == {
        *("broken.jpg", "IMG_1.dng", "IMG_1 (2).dng"),
        *("IMG_1.xmp", "IMG_1 (2).xmp", "IMG_1 (3).xmp"),
    }
    for name, day in (("IMG_1", "monday"), ("IMG_1 (2)", "tuesday")):
        assert brought[f"{name}.dng"] == (trip / day / "IMG_1.dng").read_bytes()
    assert brought["IMG_1 (2).xmp"] == SIDECAR + b"tuesday"
    assert brought["IMG_1 (3).xmp"] == SIDECAR + b"monday"
    again = await client.download(told["url"], home)
    assert (again.saved, len(again.kept), again.failed) == ([], 5, [])


@pytest.mark.timeout(180)
async def test_a_pair_of_which_one_was_declared_begins_anew(
    client: Client, phone: Phone, stack: StackUnderTest, tmp_path: Path
) -> None:
    trip = tmp_path / "pair"
    trip.mkdir()
    picture, beside = trip / "a.jpg", trip / "a.xmp"
    noise = Image.effect_noise((1600, 1200), 90).convert("RGB")
    body = encode(noise, "JPEG", options={"quality": 97})
    picture.write_bytes(body + bytes(20_000_000 - len(body)))
    gallery = await client.create_gallery(NewGallery())
    stack.secrets.add(gallery.access_key or "")
    interrupting = Interrupting()
    interrupting.task = asyncio.create_task(
        client.upload(trip, gallery=gallery, connection="slow", progress=interrupting)
    )
    with pytest.raises(asyncio.CancelledError):
        await interrupting.task
    beside.write_bytes(SIDECAR)

    result = await client.upload(trip, gallery=gallery, connection="slow")

    assert [(each.path, each.status) for each in result.uploaded] == [(picture, "ready")]
    assert result.rejected == []
    (item,) = await phone.items(gallery.code or "")
    assert item["sidecar"]["filename"] == "a.xmp"


@pytest.mark.timeout(120)
async def test_a_second_upload_of_the_same_files_is_refused_while_one_runs(
    client: Client, photo: Path
) -> None:
    errors: list[UploadRunning] = []

    class Second(UploadProgress):
        def started(self, gallery: Gallery) -> None:
            try:
                with client._journal([photo], NewGallery()):
                    pass
            except UploadRunning as error:
                errors.append(error)

    result = await client.upload(photo, gallery=NewGallery(), progress=Second())
    assert result.gallery is not None
    assert len(errors) == 1
    await client.delete_gallery(result.gallery)
    with pytest.raises(ApiError) as gone:
        await client.download(result.gallery, photo.parent / "gone")
    assert gone.value.code == "gallery_not_found"


@pytest.mark.timeout(120)
async def test_a_gallery_whose_files_are_all_refused_is_deleted(
    client: Client, phone: Phone, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 and nothing that is a picture")
    progress = Counting()
    result = await client.upload(broken, gallery=NewGallery(), progress=progress)
    assert result.gallery is None
    assert [file.path for file, _ in result.rejected] == [broken]
    assert progress.gallery is not None
    assert (await phone.ask("GET", f"/v1/g/{progress.gallery.code}")).status == 404


@pytest.mark.timeout(180)
async def test_a_private_gallery_is_downloaded_by_its_id_after_a_log_in(
    stack: StackUnderTest, client: Client, phone: Phone, photo: Path, tmp_path: Path
) -> None:
    person = await sign_up(stack, phone, "lib")
    assert client.account is None
    login = await client.login(person.email, person.password)
    stack.secrets |= {login.access_token, login.refresh_token}
    assert login.access_token not in repr(login)
    result = await client.upload(photo, gallery=NewGallery(private=True))
    assert result.gallery is not None
    assert (result.gallery.code, result.gallery.access_key) == (None, None)
    got = await client.download(result.gallery.id, tmp_path / "got")
    assert [_sha256(path) for path in got.saved] == [_sha256(photo)]
    with pytest.raises(LoggedOut):
        await new_client(stack, tmp_path / "other").download(result.gallery.id, tmp_path / "none")
    ended = await client.logout()
    assert ended is not None
    assert client.account is None


@pytest.mark.timeout(120)
async def test_a_gallery_with_a_password_is_downloaded_with_it(
    stack: StackUnderTest, client: Client, phone: Phone, photo: Path, tmp_path: Path
) -> None:
    person = await sign_up(stack, phone, "pass")
    await client.login(person.email, person.password)
    wanted = NewGallery(password="open sesame")
    assert "sesame" not in repr(wanted)
    result = await client.upload(photo, gallery=wanted)
    assert result.gallery is not None
    assert result.gallery.code is not None
    viewer = new_client(stack, tmp_path / "viewer")
    with pytest.raises(ApiError) as refused:
        await viewer.download(result.gallery.code, tmp_path / "got")
    assert refused.value.code == "gallery_password_required"
    got = await viewer.download(result.gallery.code, tmp_path / "got", password="open sesame")
    assert len(got.saved) == 1
    with pytest.raises(NotACode):
        await viewer.download("no code", tmp_path / "got")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
