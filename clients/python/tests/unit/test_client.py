from pathlib import Path

import pytest
from kappi_client import BadAddress, Client, Gallery, LoggedOut, NewGallery

NO_SERVER = "http://127.0.0.1:9"


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(NO_SERVER, environ={"HOME": str(tmp_path / "home")})


@pytest.mark.parametrize("gallery", [NewGallery(), Gallery("g", "abcd", "http://x/g/abcd", "key")])
async def test_without_photos_there_is_no_call_and_no_journal(
    client: Client, tmp_path: Path, gallery: Gallery | NewGallery
) -> None:
    notes = tmp_path / "trip" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("no picture")
    result = await client.upload(notes.parent, gallery=gallery)
    assert result.gallery == (gallery if isinstance(gallery, Gallery) else None)
    assert (result.uploaded, result.rejected, result.skipped, result.processed) == ([], [], [notes], True)
    assert not (tmp_path / "home").exists()


async def test_a_missing_file_is_an_error_before_any_call(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await client.upload(tmp_path / "none.jpg", gallery=NewGallery())


async def test_a_download_by_id_requires_an_account(client: Client, tmp_path: Path) -> None:
    with pytest.raises(LoggedOut):
        await client.download("0190a5b0-0000-7000-8000-000000000001", tmp_path / "got")


def test_an_address_may_lack_its_scheme() -> None:
    assert Client("localhost:8000").url == "http://localhost:8000"
    with pytest.raises(BadAddress):
        Client("ftp://kappi.example")
