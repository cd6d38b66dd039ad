from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kappi_chassis.settings import PlatformSettings
from kappi_chassis.storage.settings import StorageNotConfigured, StorageSettings
from kappi_media.consumers import GROUP, WORKER_GROUP
from kappi_media.domain.shares import DecoderBudget
from kappi_media.main import FINDER_MEMORY_BYTES, build
from kappi_media.rendering.renderer import Renderer, RenderLimits
from kappi_media.settings import MediaSettings

HEAVY = ("av", "pyvips", "PIL", "boto3", "botocore", "alembic", "numpy")


def settings(**changed: object) -> MediaSettings:
    values: dict[str, object] = {
        "database_url": "postgresql://nobody@127.0.0.1:1/none",
        "idempotency_secret": "0123456789abcdef",
        "grant_jwks_url": "http://127.0.0.1:1/jwks.json",
        **changed,
    }
    return MediaSettings(**values)  # type: ignore[arg-type]  # validated by pydantic


def storage(folder: Path) -> StorageSettings:
    return StorageSettings(
        s3_endpoint=None,
        s3_bucket=None,
        local_store_dir=folder,
        local_store_url="http://127.0.0.1:1/store/",
        local_store_secret="0123456789abcdef",  # type: ignore[arg-type]  # validated by pydantic
    )


def test_the_service_is_wired_without_touching_anything(tmp_path: Path) -> None:
    service = build(PlatformSettings(), settings(), storage(tmp_path / "store"))
    assert service.name == "media"


def test_decoders_get_what_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RenderLimits] = []

    def remembered(*, max_parallel: int, limits: RenderLimits, budget: DecoderBudget) -> Renderer:
        made.append(limits)
        return Renderer(max_parallel=max_parallel, limits=limits, budget=budget)

    monkeypatch.setattr("kappi_media.main.Renderer", remembered)
    build(PlatformSettings(), settings(decoder_memory_bytes=1 << 30), storage(tmp_path / "store"))
    assert [limits.memory_bytes for limits in made] == [1 << 30, FINDER_MEMORY_BYTES]


@pytest.mark.parametrize(("roles", "told"), [("api", True), ("worker", True), ("relay", False)])
def test_a_service_that_decodes_says_what_confines_its_decoders(
    tmp_path: Path, roles: str, told: bool
) -> None:
    service = build(PlatformSettings(), settings(roles=roles), storage(tmp_path / "store"))
    assert ("decoder confinement" in [name for name, _ in service._tasks]) is told


def test_a_store_that_is_not_named_is_said_so() -> None:
    nothing = StorageSettings(s3_endpoint=None, s3_bucket=None, local_store_dir=None)
    with pytest.raises(StorageNotConfigured):
        build(PlatformSettings(), settings(), nothing)


def test_two_groups_so_that_slow_work_delays_no_deletion() -> None:
    assert GROUP != WORKER_GROUP


def test_an_idle_service_loads_no_decoder_and_no_s3_client() -> None:
    program = f"import kappi_media.main, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
