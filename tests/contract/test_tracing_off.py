"""Without a collector, no process loads the SDK of the traces."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kappi_contracts.services import SERVICES

PROGRAM = """
import sys
from importlib import import_module
from kappi_chassis.observability.configure import configure_observability
from kappi_chassis.settings import PlatformSettings
for module in sys.argv[2:]:
    import_module(module)
configure_observability("test", PlatformSettings(otlp_endpoint=sys.argv[1]))
print(*[name for name in sys.modules if name in ("opentelemetry.sdk.trace", "google.protobuf", "requests")])
"""


@pytest.mark.parametrize(("endpoint", "loaded"), [("", False), ("http://127.0.0.1:1", True)])
def test_the_sdk_is_loaded_for_a_collector_only(endpoint: str, loaded: bool) -> None:
    mains = [f"kappi_{service.name}.main" for service in SERVICES if service.name != "store"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, endpoint, *mains, "kappi_embedded.store"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert bool(done.stdout.strip()) is loaded, done.stdout
