"""The gateway as a process: settings from the environment, ports, draining."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from kappi_chassis.embedded.ports import free_port
from kappi_testkit.gateway.fake_services import FakeService, serving
from kappi_testkit.gateway.raw_http import exchange, request
from kappi_testkit.processes import ManagedProcess, answers_http


async def test_it_starts_serves_and_stops_without_a_broker(tmp_path: Path) -> None:
    async with serving(FakeService()) as service_port:
        port, ops_port = free_port(), free_port()
        process = ManagedProcess(
            [sys.executable, "-m", "kappi_gateway.main"],
            log=tmp_path / "gateway.log",
            ready=lambda: answers_http(f"http://127.0.0.1:{ops_port}/healthz"),
            env={
                "KAPPI_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
                "KAPPI_GATEWAY_PORT": str(port),
                "KAPPI_GATEWAY_OPS_PORT": str(ops_port),
                "KAPPI_GATEWAY_GALLERIES_URL": f"http://127.0.0.1:{service_port}",
                "KAPPI_GATEWAY_MEDIA_URL": f"http://127.0.0.1:{free_port()}",
                "KAPPI_GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8, ::1/128",
                "KAPPI_GATEWAY_MEDIA_ORIGINS": "https://store.example",
            },
        )
        with process:
            answer = await exchange(port, request("GET", "/"))
            ready = await exchange(ops_port, request("GET", "/readyz"))
            ops_from_outside = await exchange(port, request("GET", "/metrics"))
            status = process.stop()
        assert (answer.status, ready.status, ops_from_outside.status) == (200, 200, 404)
        assert status in (0, -signal.SIGTERM)
        assert "Traceback" not in process.log.read_text()
