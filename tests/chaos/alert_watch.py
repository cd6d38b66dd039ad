"""Sees which alerts of a Prometheus fire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import aiohttp

from tests.deploy.documents import read_document
from tests.e2e.prometheus import RULES, ask_prometheus

Labels = Mapping[str, str]


def shipped_alerts() -> dict[str, dict[str, Any]]:
    """Returns the alerts of the shipped rules, by name."""
    groups = read_document(RULES)["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


class AlertWatch:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._named_labels = {
            name: set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
            for name, rule in shipped_alerts().items()
        }

    async def until_seen(self, processes: int) -> None:
        """Asserts that so many processes are scraped."""
        found = await ask_prometheus(self._session, self._url, "sum(up)")
        assert [float(each["value"][1]) for each in found] == [processes], found

    async def nothing_fired(self, seconds: int) -> None:
        """Asserts that no alert fired within the last seconds."""
        query = f'count_over_time(ALERTS{{alertstate="firing"}}[{seconds}s])'
        found = await ask_prometheus(self._session, self._url, query)
        assert not found, found

    async def is_silent(self, alert: str, labels: Labels) -> None:
        """Asserts that no alert with this name and these labels fires."""
        assert not await self._firing(alert, labels), (alert, labels)

    async def fires(self, alert: str, labels: Labels) -> None:
        """Asserts that an alert fires with these labels, and has every label that its summary names."""
        found = await self._firing(alert, labels)
        assert found, (alert, labels)
        for each in found:
            missing = [name for name in self._named_labels[alert] if not each["labels"].get(name)]
            assert not missing, (each, missing)

    async def _firing(self, alert: str, labels: Labels) -> list[dict[str, Any]]:
        async with self._session.get(f"{self._url}/api/v1/alerts") as answer:
            found = (await answer.json())["data"]["alerts"]
        wanted = {"alertname": alert, **labels}.items()
        return [each for each in found if each["state"] == "firing" and wanted <= each["labels"].items()]
