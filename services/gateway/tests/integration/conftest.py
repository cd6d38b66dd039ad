from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kappi_gateway.auth.grant_cache import GrantCache
from kappi_gateway.bootstrap import build_app, build_live_streams, build_upstreams
from kappi_gateway.settings import GatewaySettings
from kappi_testkit.gateway.fake_services import FakeService, grant_reply, serving
from kappi_testkit.gateway.stack import ManualTime, Stack, StackFactory

from .chromium import Page, browsing


@asynccontextmanager
async def running(task: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    started = asyncio.create_task(task())
    try:
        yield
    finally:
        started.cancel()
        await asyncio.wait([started])


@pytest.fixture
async def make_stack() -> AsyncIterator[StackFactory]:
    """Starts a stack; keywords are settings. accounts: with an identity service."""
    async with AsyncExitStack() as open_servers:

        async def make(*, accounts: bool = False, **settings: Any) -> Stack:
            services = {name: FakeService() for name in ("identity", "galleries", "media", "store")}
            urls: dict[str, Any] = {}
            for name, service in services.items():
                port = await open_servers.enter_async_context(serving(service))
                service.url = urls[f"{name}_url"] = f"http://127.0.0.1:{port}"
            if not accounts:
                del urls["identity_url"]
            services["galleries"].always(grant_reply())
            configured = GatewaySettings(**{**urls, **settings})
            time = ManualTime()
            cache = GrantCache(size=configured.grants_cached, monotonic=time)
            upstreams = build_upstreams(configured)
            await upstreams.start()
            open_servers.push_async_callback(upstreams.close)
            live = build_live_streams(configured, upstreams=upstreams, cache=cache, secret=b"")
            await open_servers.enter_async_context(running(live.run))
            app = build_app(configured, upstreams=upstreams, cache=cache, live=live, monotonic=time)
            port = await open_servers.enter_async_context(serving(app))
            stack = Stack(
                port=port,
                identity=services["identity"],
                galleries=services["galleries"],
                media=services["media"],
                store=services["store"],
                cache=cache,
                time=time,
                upstreams=upstreams,
                live=live,
            )
            stack.publish_keys(stack.issuer)
            return stack

        yield make


@pytest.fixture
async def stack(make_stack: StackFactory) -> Stack:
    return await make_stack()


@pytest.fixture
async def with_accounts(make_stack: StackFactory) -> Stack:
    """A stack with an identity service."""
    return await make_stack(accounts=True)


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A tab of a fresh browser."""
    async with browsing(tmp_path) as page:
        yield page
