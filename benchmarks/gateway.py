"""`python -m benchmarks.gateway [--against CHECKOUT]`: the processor time of a call that is passed on.

One nginx is the service, or a process as slow as `--service-us` says. In front of it are, in turns: this
gateway, that of another checkout (with its own `.venv`), and another nginx as a bare proxy. Processor time
is that of the process in front alone, from /proc; ratios hold on a busy machine. `-` is the service without
anything in front. The load generator prints its own time, too: it must be less than that of a gateway, or the
calls a second are its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from kappi_chassis.embedded.ports import accepts_tcp

from benchmarks.load import Outcome, closed_loop, fixed_rate, request
from benchmarks.processor import exact_seconds_of

GALLERY = "019c0000-0000-7000-8000-000000000001"
KEY = {"x-gallery-key": "k", "accept": "application/json", "user-agent": "benchmarks/1"}
CALLS = {
    "view with a kept grant": request("GET", "/v1/g/abcd1234", host="kappi.example", headers=KEY),
    "call without a grant": request("GET", f"/v1/galleries/{GALLERY}", host="kappi.example", headers=KEY),
    "change with a small body": request(
        "PATCH",
        f"/v1/galleries/{GALLERY}",
        host="kappi.example",
        headers={**KEY, "content-type": "application/json"},
        body=b'{"title": "Benchmark"}',
    ),
}
STARTUP_S = 60.0

NGINX = """
daemon off; {user} worker_processes 1; pid {folder}/pid; error_log /dev/null crit;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {more}
  server {{ listen 127.0.0.1:{port} backlog=1024; {location} }}
}}
"""
ANSWER = """
default_type application/json;
location /internal/ {{ return 200 '{grant}'; }}
location / {{ return 200 '{body}'; }}
"""
GRANT = f'{{"grant":"{"g" * 700}","expires_in":60,"gallery_id":"{GALLERY}"}}'
BODY = f'{{"title":"{"x" * 1000}"}}'
PROXY = """
location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }}
"""
BUSY = """
import asyncio, os, sys, time, uvloop
from kappi_chassis.http.server import HttpServer
GRANT, BODY, BUSY_S = *(text.encode() for text in sys.argv[1:3]), float(sys.argv[3]) / 1e6
async def app(scope, receive, send):
    until = time.thread_time() + BUSY_S
    while time.thread_time() < until: pass
    body = GRANT if scope["path"].startswith("/internal/") else BODY
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
server = HttpServer(app, host="127.0.0.1", port=int(os.environ["PORT"]))
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(server.serve())
"""
SERVE = """
import os, time
from kappi_chassis.http.connections import ConnectionLimits
from kappi_chassis.runtime import Service
from kappi_gateway.auth.grant_cache import GrantCache
from kappi_gateway.bootstrap import build_app, build_live_streams, build_upstreams
from kappi_gateway.settings import GatewaySettings
settings = GatewaySettings()
process = Service("gateway", settings)
upstreams = build_upstreams(settings)
cache = GrantCache(size=settings.grants_cached, monotonic=time.monotonic)
process.owns(upstreams)
live = build_live_streams(settings, upstreams=upstreams, cache=cache, secret=b"")
app = build_app(settings, upstreams=upstreams, cache=cache, live=live)
process.serves(app, connections=ConnectionLimits(in_all=1000))
process.main()
"""


@dataclass(slots=True)
class Front:
    """A process in front of the service. pid: of the process whose time counts; None for the service."""

    name: str
    port: int
    pid: int | None = None
    us: list[float] = field(default_factory=list)
    client_us: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)


def main() -> int:
    options = _options()
    with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kappi-bench-")))
        fronts = start_fronts(stack, folder, options.against, options.service_us)
        for name, call in CALLS.items():
            for front in fronts:
                front.us.clear()
                front.client_us.clear()
                front.per_second.clear()
            for number in range(options.rounds):
                turn = fronts[number % len(fronts) :] + fronts[: number % len(fronts)]
                for front in turn:
                    runner.run(_round(front, call, options.connections, options.seconds))
            _report(name, fronts)
        if options.half_load:
            runner.run(_half_load(fronts, options.seconds))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.gateway", description=__doc__)
    parser.add_argument("--against", type=Path, action="append", default=[], metavar="CHECKOUT")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    parser.add_argument(
        "--service-us", type=float, help="the service is a Python process that works so long for each call"
    )
    parser.add_argument("--half-load", action="store_true", help="also the latency at half load")
    return parser.parse_args()


def start_fronts(stack: ExitStack, folder: Path, others: list[Path], service_us: float | None) -> list[Front]:
    if service_us is None:
        location = ANSWER.format(grant=GRANT, body=BODY)
        service = stack.enter_context(start_nginx(folder / "service", location=location, more=""))
    else:
        service = stack.enter_context(_busy(service_us))
    up = f"upstream up {{ server 127.0.0.1:{service.port}; keepalive 64; }}"
    fronts = [
        Front("-", service.port),
        stack.enter_context(start_nginx(folder / "proxy", PROXY.format(), up)),
    ]
    for name, python in [("this", sys.executable), *((str(o), str(o / ".venv/bin/python")) for o in others)]:
        fronts.append(stack.enter_context(_gateway(name, python, service.port)))
    return fronts


@contextmanager
def start_nginx(folder: Path, location: str, more: str) -> Iterator[Front]:
    folder.mkdir()
    port = _free_port()
    # Started as root, it would work as another user, which may not write into the folder.
    user = "" if os.getuid() else "user root root;"
    conf = NGINX.format(folder=folder, port=port, location=location, more=more, user=user)
    (folder / "conf").write_text(conf)
    with running_program(["nginx", "-c", str(folder / "conf"), "-e", "/dev/null"], {}, port) as pid:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        yield Front("nginx", port, int(children[0]))


@contextmanager
def _busy(service_us: float) -> Iterator[Front]:
    port = _free_port()
    command = [sys.executable, "-c", BUSY, GRANT, BODY, str(service_us)]
    with running_program(command, {"PORT": str(port)}, port) as pid:
        yield Front("-", port, pid)


@contextmanager
def _gateway(name: str, python: str, service_port: int) -> Iterator[Front]:
    port = _free_port()
    service = f"http://127.0.0.1:{service_port}"
    settings = {
        "KAPPI_GATEWAY_HOST": "127.0.0.1",
        "KAPPI_GATEWAY_PORT": str(port),
        "KAPPI_GATEWAY_OPS_PORT": str(_free_port()),
        "KAPPI_GATEWAY_GALLERIES_URL": service,
        "KAPPI_GATEWAY_MEDIA_URL": service,
    }
    with running_program([python, "-c", SERVE], settings, port) as pid:
        yield Front(name, port, pid)


@contextmanager
def running_program(command: list[str], settings: dict[str, str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL)
    try:
        _until_open(port)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _until_open(port: int) -> None:
    deadline = time.monotonic() + STARTUP_S
    while not accepts_tcp(port):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on port {port}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


async def _round(front: Front, call: bytes, connections: int, seconds: float) -> None:
    before, client_before = _used(front), time.process_time()
    outcome = await closed_loop(
        "127.0.0.1", front.port, lambda _: call, connections=connections, seconds=seconds, warmup_s=0.0
    )
    used_s, client_s = _used(front) - before, time.process_time() - client_before
    _check(outcome)
    calls = len(outcome.latencies_s)
    front.per_second.append(outcome.per_second)
    front.us.append(used_s * 1e6 / calls)
    front.client_us.append(client_s * 1e6 / calls)


def _used(front: Front) -> float:
    return 0.0 if front.pid is None else exact_seconds_of(front.pid)


def _check(outcome: Outcome) -> None:
    if set(outcome.statuses) != {200}:
        raise RuntimeError(f"answered {dict(outcome.statuses)}")


def _report(name: str, fronts: list[Front]) -> None:
    alone, nginx = statistics.median(fronts[0].per_second), statistics.median(fronts[1].us)
    heads = f"{'us a call':>12}{'to nginx':>10}{'client us':>11}{'calls a second':>16}{'to -':>8}"
    print(f"\n{name}\n{'in front':<24}{heads}")
    for front in fronts:
        us, client_us = statistics.median(front.us), statistics.median(front.client_us)
        rate = statistics.median(front.per_second)
        figures = f"{us:>12.1f}{us / nginx:>10.2f}{client_us:>11.1f}{rate:>16,.0f}{rate / alone:>8.2f}"
        print(f"{front.name:<24}{figures}", flush=True)


async def _half_load(fronts: list[Front], seconds: float) -> None:
    call = CALLS["view with a kept grant"]
    rate = min(statistics.median(front.per_second) for front in fronts) / 2
    print(f"\n{rate:,.0f} calls a second\n{'in front':<24}{'p50 ms':>10}{'p99 ms':>10}")
    for front in fronts:
        outcome = await fixed_rate(
            "127.0.0.1", front.port, lambda _: call, per_second=rate, seconds=seconds * 3, connections=16
        )
        _check(outcome)
        print(f"{front.name:<24}{outcome.percentile_ms(50):>10.2f}{outcome.percentile_ms(99):>10.2f}")


if __name__ == "__main__":
    sys.exit(main())
