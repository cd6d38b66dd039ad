"""A service reports at its start how its decoders are confined, and continues if a layer is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from kappi_chassis.confinement.confine import LAYERS
from kappi_media import metrics
from kappi_media.rendering import process
from kappi_media.rendering.confinement_report import ConfinementReport
from structlog.testing import capture_logs

LACKING_TWO = """
import kappi_chassis.confinement.confine as confinement
def lacking():
    raise OSError("not on this system")
confinement.LAYERS = {**confinement.LAYERS, "landlock": lacking, "seccomp": lacking}
from kappi_media.rendering import worker
worker.main()
"""


@pytest.fixture
def report() -> ConfinementReport:
    return ConfinementReport(memory_bytes=2 << 30)


def gauges() -> dict[str, float]:
    return {layer: metrics.DECODER_CONFINEMENT.labels(layer=layer)._value.get() for layer in LAYERS}


def install(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_decoder.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(process, "_WORKER", "other_decoder")


async def test_what_a_decoder_found_is_logged_once_and_shown(report: ConfinementReport) -> None:
    with capture_logs() as logged:
        await report()
    (line,) = logged
    missing = set(line.get("missing", ()))
    assert line["event"] == ("decoders.confined_in_part" if missing else "decoders.confined")
    assert gauges() == {layer: float(layer not in missing) for layer in LAYERS}


async def test_a_platform_that_lacks_layers_is_named(
    report: ConfinementReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(LACKING_TWO, tmp_path, monkeypatch)
    with capture_logs() as logged:
        await report()
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("decoders.confined_in_part", "warning")
    assert {"landlock", "seccomp"} <= set(line["missing"])
    assert (gauges()["landlock"], gauges()["seccomp"]) == (0.0, 0.0)


async def test_a_decoder_that_does_not_start_is_told_and_ends_nothing(
    report: ConfinementReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("raise SystemExit(3)", tmp_path, monkeypatch)
    with capture_logs() as logged:
        await report()
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("decoders.not_started", "error")
