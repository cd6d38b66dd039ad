"""A real browser, driven over its debugging port (Chrome DevTools Protocol)."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from kappi_testkit.eventually import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_S = 60.0
ANSWER_S = 30.0


def chromium() -> str | None:
    """Returns the browser's path, None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def request(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends one command; events that arrive meanwhile are ignored."""
        number = next(self._numbers)
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(ANSWER_S):
            while True:
                answer: dict[str, Any] = json.loads(await self._socket.receive_str())
                if answer.get("id") == number:
                    assert "error" not in answer, answer
                    result: dict[str, Any] = answer["result"]
                    return result

    async def run(self, script: str) -> Any:
        """Returns the value of an expression in the page; a promise is awaited."""
        answer = await self.request(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def shows(self, script: str, value: object) -> None:
        """Waits until the expression has the value."""

        async def seen() -> None:
            assert await self.run(script) == value

        await eventually(seen, deadline_s=ANSWER_S)

    async def before_each_page(self, script: str) -> None:
        await self.request("Page.enable")
        await self.request("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def open(self, url: str) -> None:
        await self.request("Page.navigate", url=url)


@asynccontextmanager
async def browsing(profile: Path) -> AsyncIterator[Page]:
    """A fresh browser with one page, ended afterwards. profile: an empty folder."""
    program = chromium()
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless=new",
        "--no-sandbox",  # tests run as root in containers, and open only their own pages
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await eventually(lambda: _announced_port(profile), deadline_s=START_S)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = await answer.json()
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        process.kill()
        await process.wait()


def _announced_port(profile: Path) -> int:
    announced = profile / "DevToolsActivePort"
    assert announced.exists()
    port, _, socket_path = announced.read_text().partition("\n")
    assert socket_path
    return int(port)
