from __future__ import annotations

from pathlib import Path

from kappi_embedded.settings_reference import document

PAGE = Path(__file__).resolve().parents[4] / "docs" / "settings.md"


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text() == document(), "run `make schemas` and commit the result"


def test_required_settings_and_shared_ones_are_listed() -> None:
    page = document()
    assert "| `KAPPI_MEDIA_DATABASE_URL` | **required** |" in page
    assert "| `KAPPI_KAFKA_BOOTSTRAP` | `127.0.0.1:9092` |" in page
    assert "or `KAPPI_PUBLIC_URL` |" in page
