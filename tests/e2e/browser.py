"""A real browser: Chromium without a window, controlled through the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from kappi_testkit.eventually import eventually
from kappi_testkit.processes import ManagedProcess

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ARTEFACTS = Path(__file__).resolve().parents[2] / "test-artefacts"
_TIMEOUT_S = 30.0
_SIZE = "1280,900"
_FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    f"--window-size={_SIZE}",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",  # containers have little shared memory
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
    "--password-store=basic",
)
# The position of a click on an element, once it is visible.
_MIDDLE = """
element => {
  element.scrollIntoView({block: "center", behavior: "instant"});
  const box = element.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}
"""


def find_browser() -> str | None:
    """Returns the program's path."""
    return next((path for name in PROGRAMS if (path := shutil.which(name)) is not None), None)


class Page:
    """One tab.

    complaints: exceptions of scripts, and errors that the browser reported. requested: the URLs of its
    requests. address: of the browser's debugger.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, address: str) -> None:
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self.address = address
        self._socket = socket
        self._session_id: str | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._loaded = asyncio.Event()
        self._crashed = asyncio.Event()

    async def open(self) -> None:
        target = await self._call("Target.createTarget", url="about:blank")
        attached = await self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session_id = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Inspector"):
            await self._call(f"{domain}.enable")

    async def listen(self) -> None:
        """Reads messages until the browser ends."""
        async for message in self._socket:
            document = json.loads(message.data)
            if "id" in document:
                if (answer := self._answers.pop(document["id"], None)) is not None:
                    answer.set_result(document)
            else:
                self._notice(document["method"], document["params"])

    async def to_front(self) -> None:
        """Shows the tab: one in the background is not drawn, and its animations do not end."""
        await self._call("Page.bringToFront")

    async def go(self, url: str) -> None:
        """Opens an address, as typed into the address bar. Returns once the page is loaded."""
        self._loaded.clear()
        went = await self._call("Page.navigate", url=url)
        assert not went.get("errorText"), (url, went["errorText"])
        await self._until_loaded()

    async def ask(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression, as JSON. Waits for a promise."""
        answer = await self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    async def see(self, expression: str) -> Any:
        """Waits until a JavaScript expression is true. Returns its value."""

        async def true() -> Any:
            value = await self.ask(expression)
            assert value, f"not so: {expression}; the page says: {await self._text()}"
            return value

        return await eventually(true, _TIMEOUT_S)

    async def write(self, selector: str, text: str) -> None:
        """Replaces the text of a field."""
        await self.see(f"!!{_element(selector)}")
        await self.ask(f"{_element(selector)}.focus(), {_element(selector)}.select()")
        await self._call("Input.insertText", text=text)

    async def choose(self, selector: str, value: str) -> None:
        """Chooses an option of a list by its value."""
        field = _element(selector)
        await self.see(f"[...{field}.options].some(option => option.value === {json.dumps(value)})")
        await self.ask(
            f"{field}.value = {json.dumps(value)}, "
            f"{field}.dispatchEvent(new Event('change', {{bubbles: true}}))"
        )

    async def click(self, selector: str) -> None:
        """Clicks with the mouse on the middle of an element."""
        await self.see(f"!!{_element(selector)}")
        x, y = await self.ask(f"({_MIDDLE})({_element(selector)})")
        for kind in ("mousePressed", "mouseReleased"):
            await self._call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1, buttons=1
            )

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Presses a key on what has the focus. key: as `KeyboardEvent.key` names it."""
        text = {"Enter": "\r", " ": " "}.get(key)
        code = {"Enter": 13, " ": 32, "Escape": 27, "Tab": 9}.get(key, 0)
        named: dict[str, Any] = {"key": key, "code": "Space" if key == " " else key, "modifiers": 8 * shift}
        typed = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            await self._call(
                "Input.dispatchKeyEvent", type=kind, windowsVirtualKeyCode=code, **named, **typed
            )

    async def drag(self, selector: str, target: str, *, share: float = 0.25) -> None:
        """Drags an element with the mouse onto another. share: where on its width; 0 is its left edge."""
        x, y = await self.ask(f"({_MIDDLE})({_element(selector)})")
        left, top, width, height = await self.ask(
            f"(({{left, top, width, height}}) => [left, top, width, height])"
            f"({_element(target)}.getBoundingClientRect())"
        )
        end = (left + width * share, top + height / 2)
        steps = (("mousePressed", x, y), *(
            ("mouseMoved", x + (end[0] - x) * step / 5, y + (end[1] - y) * step / 5) for step in range(1, 6)
        ), ("mouseReleased", *end))  # fmt: skip
        for kind, at_x, at_y in steps:
            await self._call(
                "Input.dispatchMouseEvent", type=kind, x=at_x, y=at_y, button="left", clickCount=1, buttons=1
            )

    async def put(self, selector: str, *files: Path) -> None:
        """Chooses files in a file input, which may be hidden."""
        await self.see(f"!!{_element(selector)}")
        document = await self._call("DOM.getDocument")
        found = await self._call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector=selector)
        await self._call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(file) for file in files])

    async def drop(self, selector: str, *files: Path) -> None:
        """Drags files from outside over an element and drops them there."""
        x, y = await self.ask(f"({_MIDDLE})({_element(selector)})")
        dragged = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            await self._call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=dragged)

    async def connect(self, *, online: bool) -> None:
        """Takes the network from the page, or gives it back."""
        await self._call(
            "Network.emulateNetworkConditions",
            offline=not online,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    async def crash(self) -> None:
        """Kills the process of the page, as a lack of memory does. The browser goes on."""
        await self._socket.send_json(
            {"id": next(self._numbers), "method": "Page.crash", "sessionId": self._session_id}
        )
        async with asyncio.timeout(_TIMEOUT_S):
            await self._crashed.wait()

    async def drag_by_finger(self, selector: str, target: str, *, share: float = 0.25) -> None:
        """Drags an element with a finger onto another. share: where on its width; 0 is its left edge."""
        (x, y), (left, top, width, height) = await self.ask(
            f"[({_MIDDLE})({_element(selector)}), "
            f"(({{left, top, width, height}}) => [left, top, width, height])"
            f"({_element(target)}.getBoundingClientRect())]"
        )
        end = (left + width * share, top + height / 2)
        await self._call("Emulation.setTouchEmulationEnabled", enabled=True)
        await self._call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        for step in range(1, 6):
            point = {"x": x + (end[0] - x) * step / 5, "y": y + (end[1] - y) * step / 5}
            await self._call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[point])
        await self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        await self._call("Emulation.setTouchEmulationEnabled", enabled=False)

    async def prefer(self, scheme: str) -> None:
        """Sets the colours that the person prefers: `light` or `dark`."""
        await self._call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    async def follow(self, selector: str) -> None:
        """Clicks on a link or button that opens another page. Returns once that page is loaded."""
        self._loaded.clear()
        await self.click(selector)
        await self._until_loaded()

    async def before_each_page(self, script: str) -> None:
        """Runs a script in each page that is opened from now on, before the page's own."""
        await self._call("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def touch(self) -> None:
        """Gives the tab a touch screen."""
        await self._call("Emulation.setTouchEmulationEnabled", enabled=True)

    async def swipe(self, selector: str, *, x_px: float) -> None:
        """Moves a finger over an element, quickly and sideways."""
        x, y = await self.ask(f"({_MIDDLE})({_element(selector)})")
        for kind, moved in (("touchStart", 0.0), ("touchMove", 0.3), ("touchMove", 0.7), ("touchMove", 1.0)):
            points = [{"x": x + moved * x_px, "y": y}]
            await self._call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        await self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    async def slow_down(self, *, bytes_per_s: float, latency_ms: float, processor: float) -> None:
        """Makes the line and the processor of the tab slow, and empties the cache. processor: how many times
        slower."""
        await self._call("Network.clearBrowserCache")
        line = {"downloadThroughput": bytes_per_s, "uploadThroughput": bytes_per_s, "latency": latency_ms}
        await self._call("Network.emulateNetworkConditions", offline=False, **line)
        await self._call("Emulation.setCPUThrottlingRate", rate=processor)

    async def resize(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """Resizes the window, in pixels of the page."""
        await self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=is_phone,
        )

    async def photograph(self, name: str) -> Path:
        """Saves a picture of the page for people to look at. Returns its path."""
        ARTEFACTS.mkdir(exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        await self.to_front()
        shot = await self._call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    async def _text(self) -> str:
        text = await self.ask("document.body.innerText.slice(0, 600)")
        return str(text)

    async def _until_loaded(self) -> None:
        async with asyncio.timeout(_TIMEOUT_S):
            await self._loaded.wait()

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session_id is not None:
            message["sessionId"] = self._session_id
        await self._socket.send_json(message)
        async with asyncio.timeout(_TIMEOUT_S):
            document = await answer
        assert "error" not in document, (method, document["error"])
        result: dict[str, Any] = document["result"]
        return result

    def _notice(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Inspector.targetCrashed":
            self._crashed.set()
        elif method == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            text, url = parameters["entry"]["text"], parameters["entry"].get("url", "")
            if not url.endswith("/favicon.ico"):  # the browser requests it by itself
                self.complaints.append(f"{text} {url}")


@asynccontextmanager
async def browsing(folder: Path, *flags: str) -> AsyncIterator[Page]:
    """Yields a tab of a new browser. folder: for its profile and its log. flags: additional ones."""
    program = find_browser()
    assert program is not None
    profile = folder / "profile"
    # The sandbox needs rights that root in a container lacks, and the tests open only their own pages.
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    address = profile / "DevToolsActivePort"
    process = ManagedProcess(
        [program, *_FLAGS, *sandbox, *flags, f"--user-data-dir={profile}", "about:blank"],
        log=folder / "browser.log",
        ready=lambda: address.exists() and len(address.read_text().splitlines()) == 2,
    )
    await asyncio.to_thread(process.start)
    try:
        port, path = address.read_text().splitlines()
        async with tab(f"ws://127.0.0.1:{port}{path}") as page:
            yield page
    finally:
        await asyncio.to_thread(process.kill)


@asynccontextmanager
async def tab(address: str) -> AsyncIterator[Page]:
    """Yields a new tab of a running browser. address: as of another tab."""
    async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
        page = Page(socket, address)
        listening = asyncio.create_task(page.listen())
        try:
            await page.open()
            yield page
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def _element(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"
