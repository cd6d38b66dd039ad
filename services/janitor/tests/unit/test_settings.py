from __future__ import annotations

from datetime import timedelta

import pytest
from kappi_janitor.settings import JanitorSettings


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPPI_JANITOR_DATABASE_URL", "postgresql://somewhere/janitor")
    settings = JanitorSettings()  # type: ignore[call-arg]  # from the environment
    assert (settings.port, settings.ops_port) == (8004, 9004)
    assert settings.tick_interval == timedelta(hours=1)
    assert settings.resweep_after == (timedelta(minutes=20), timedelta(days=1))


def test_durations_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPPI_JANITOR_DATABASE_URL", "postgresql://somewhere/janitor")
    monkeypatch.setenv("KAPPI_JANITOR_TICK_INTERVAL", "PT5M")
    monkeypatch.setenv("KAPPI_JANITOR_RESWEEP_AFTER", "PT30M, PT2H")
    settings = JanitorSettings()  # type: ignore[call-arg]  # from the environment
    assert settings.tick_interval == timedelta(minutes=5)
    assert settings.resweep_after == (timedelta(minutes=30), timedelta(hours=2))


def test_nothing_need_be_swept_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPPI_JANITOR_DATABASE_URL", "postgresql://somewhere/janitor")
    monkeypatch.setenv("KAPPI_JANITOR_RESWEEP_AFTER", "")
    assert JanitorSettings().resweep_after == ()  # type: ignore[call-arg]  # from the environment
