"""The package kappi-client, used alone against a running stack."""

from __future__ import annotations

import asyncio
import hashlib
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
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants

from tests.e2e.accounts import sign_up
from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest

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
