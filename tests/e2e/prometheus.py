"""A real Prometheus that scrapes processes under test each second."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from kappi_chassis.embedded.ports import LOOPBACK, free_port
from kappi_testkit.processes import ManagedProcess, answers_http
from kappi_testkit.programs import require_program

from tests.deploy.composition import ROOT

RULES = ROOT / "deploy/prometheus/rules.yaml"


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, Sequence[str]], *, rules: str) -> Iterator[str]:
    """Yields the address of a Prometheus. targets: `host:port` by the value of `kappi_service`."""
    (folder / "rules.yaml").write_text(rules)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": "kappi",
                "static_configs": [
                    {"targets": [*found], "labels": {"kappi_service": service}}
                    for service, found in targets.items()
                ],
            }
        ],
    }
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    port = free_port()
    process = ManagedProcess(
        [
            require_program("prometheus"),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
        ],
        log=folder / "prometheus.log",
        ready=lambda: answers_http(f"http://{LOOPBACK}:{port}/-/ready"),
    )
    with process:
        yield f"http://{LOOPBACK}:{port}"


async def ask_prometheus(session: aiohttp.ClientSession, url: str, query: str) -> list[Any]:
    """Returns the result of an instant query, with PromQL."""
    async with session.get(f"{url}/api/v1/query", params={"query": query}) as answer:
        found = await answer.json()
    assert found["status"] == "success", (query, found)
    result: list[Any] = found["data"]["result"]
    return result
