from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from kappi_chassis.reconcile.runs import Run
from kappi_embedded.commands import reconcile as command
from kappi_embedded.stack import Stack

THEN = datetime(2026, 5, 1, tzinfo=UTC)


def run(found: dict[str, list[int]], *, repair: bool = True, finished_at: datetime | None = THEN) -> Run:
    return Run("numbers", repair, THEN, finished_at, 9, found, (), None)


class Services:
    """Answers each request with the next of some runs."""

    def __init__(self, *answers: Run) -> None:
        self._answers = list(answers)
        self.requests: list[str] = []

    async def check(self, _: str) -> None:
        self.requests.append("check")

    async def repair(self, _: str) -> None:
        self.requests.append("repair")

    async def read(self, _: str) -> list[Run]:
        return [self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]]


class Settled:
    def __init__(self, *_: Any) -> None: ...

    async def __aenter__(self) -> Settled:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def settle(self, *, timeout_s: float) -> bool:
        return timeout_s > 0


async def reconciled(
    monkeypatch: pytest.MonkeyPatch, services: Services, *, repair: bool, agrees: bool = True
) -> list[Run]:
    monkeypatch.setattr(command, "request_check", services.check)
    monkeypatch.setattr(command, "request_repair", services.repair)
    monkeypatch.setattr(command, "read_runs", services.read)
    monkeypatch.setattr(command, "BacklogReader", Settled)
    stack: Any = Stack(connection=None, databases={"media": "postgresql://", "identity": "x"}, note=None)  # type: ignore[arg-type]
    return await command._reconcile(stack, repair=repair, timeout_s=9, confirm=lambda _: agrees)


async def test_a_check_asks_each_service_once(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(run({"odd": [1, 0]}, repair=False))
    assert await reconciled(monkeypatch, services, repair=False) == [run({"odd": [1, 0]}, repair=False)]
    assert services.requests == ["check"], "identity has no checks"


async def test_repairs_go_on_until_a_pass_repairs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(
        run({"odd": [3, 0]}, repair=False),
        run({"odd": [3, 2]}),
        run({"even": [1, 1], "odd": [1, 0]}),
        run({"odd": [1, 0]}),
    )
    (summed,) = await reconciled(monkeypatch, services, repair=True)
    assert services.requests == ["check", "repair", "repair", "repair"]
    assert summed.found == {"odd": [3, 2], "even": [1, 1]}, "one is left"


async def test_nothing_is_removed_without_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(run({"original_missing": [3, 0]}, repair=False))
    with pytest.raises(command.NotDone, match="nothing was repaired"):
        await reconciled(monkeypatch, services, repair=True, agrees=False)
    assert services.requests == ["check"]


async def test_an_unfinished_run_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(run({}, finished_at=None)._replace(last_error="TimeoutError: the store is away"))
    monkeypatch.setattr(command, "read_runs", services.read)
    with pytest.raises(command.NotDone, match="the store is away"):
        await command._run(["postgresql://"], services.check, time.monotonic() - 1)
