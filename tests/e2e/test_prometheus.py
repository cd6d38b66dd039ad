"""A real Prometheus scrapes a running stack: every series that a rule or a panel reads exists."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from kappi_chassis.embedded.ports import LOOPBACK
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.deploy.composition import ROOT
from tests.deploy.documents import read_document
from tests.e2e.accounts import ask_for_tokens, sign_up
from tests.e2e.phone import File, Phone
from tests.e2e.prometheus import RULES, ask_prometheus, prometheus
from tests.e2e.stacks import StackUnderTest

_DASHBOARDS = ROOT / "deploy/k8s/components/grafana/dashboards"
_SERIES = re.compile(r"\bkappi[_:][a-zA-Z0-9_:]+")
_LABEL = re.compile(r"\{[^}]*\}|\bby \([^)]*\)|\"[^\"]*\"")
_SEEN_S = 120.0


def read_series(expression: str) -> set[str]:
    """Returns the names of the series that a PromQL expression reads."""
    return set(_SERIES.findall(_LABEL.sub("", expression)))


def rules() -> dict[str, str]:
    """Returns the expressions of all rules, by their names."""
    groups = read_document(RULES)["groups"]
    return {rule.get("alert") or rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> dict[str, str]:
    """Returns the queries of all panels, by dashboard, title and number."""
    return {
        f"{path.stem}: {panel['title']} {number}": target["expr"]
        for path in _DASHBOARDS.glob("*.json")
        for panel in json.loads(path.read_text())["panels"]
        for number, target in enumerate(panel.get("targets", ()))
    }


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_every_series_of_rules_and_panels_exists(
    own_stack: StackUnderTest, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    note = own_stack.running.note
    targets = {name: [f"{LOOPBACK}:{service.ops_port}"] for name, service in note.services.items()}
    quick = re.sub(r"interval: \d+s", "interval: 1s", RULES.read_text())
    with prometheus(tmp_path, targets, rules=quick) as url:
        ask = partial(ask_prometheus, session, url)
        stop = asyncio.Event()
        using = asyncio.create_task(_use(own_stack, stop))
        try:
            named = {**rules(), **panels()}
            wanted = {
                series: name for name, expression in named.items() for series in read_series(expression)
            }
            missing = dict(wanted)

            async def all_exist() -> None:
                for series in [*missing]:
                    if await ask(f'count({{__name__="{series}"}})'):
                        del missing[series]
                assert not missing

            await eventually(all_exist, _SEEN_S)

            async def all_show_something() -> None:
                empty = [
                    name
                    for name, query in panels().items()
                    if not await ask(query.replace("$__rate_interval", "30s"))
                ]
                assert not empty

            await eventually(all_show_something, _SEEN_S)
        finally:
            stop.set()
            await using


async def _use(stack: StackUnderTest, stop: asyncio.Event) -> None:
    """Does what the panels show, until it is told to stop."""
    async with Phone(stack.base_url, secrets=stack.secrets) as phone:
        person = await sign_up(stack, phone, "watched")
        number = 0
        while not stop.is_set():
            number += 1
            gallery = await phone.create_gallery(title="Watched")
            picture = File(f"{number}.jpg", "image/jpeg", encode(quadrants(900, 40 + number), "JPEG"))
            await phone.upload(gallery, picture)
            (item,) = await phone.until_ready(gallery, 1)
            await phone.ask("GET", item["renditions"]["400"]["url"])
            await ask_for_tokens(phone, grant_type="password", username=person.email, password="wrong")
            await phone.insist("DELETE", f"/v1/galleries/{gallery.id}", headers=gallery.key)
            await stack.running.tick(datetime.now(UTC))
