"""Code that runs in a decoder reaches no secret, no network, no program and no other process."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import uvloop
from kappi_chassis.confinement.confine import ACCOUNT, LAYERS
from kappi_media.rendering import process
from kappi_media.rendering.process import DecoderProcess
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import BytesSource, MediaFormat, Probe, RenderRejected, probe
from kappi_testkit.media.hostile_decoder import ATTEMPTS, Report, Target
from kappi_testkit.media.samples import encode, quadrants

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")

SECRET = "-----BEGIN PRIVATE KEY-----"
BODY = encode(quadrants(300, 200), "JPEG")
# Attempts that need a new descriptor, which the limit of descriptors alone refuses.
NEED_DESCRIPTORS = {
    "read a secret",
    "read a secret by openat",
    "write its own memory as a file",
    "read the users",
    "write a file",
    "make a file in memory",
    "list processes",
    "read the service's environment",
    "write the service's memory",
    "speak over the network",
    "speak over datagrams",
    "speak to local sockets",
    "speak to the kernel",
}
# Attempts that Landlock alone refuses; an account of its own protects the service's files.
TOUCH_FILES = {"read a secret", "read a secret by openat", "read the users", "write a file", "make a folder"}
TOUCH_SECRETS = {"read a secret", "read a secret by openat", "look at a secret"}
RunWith = Callable[[Iterable[str]], None]


@pytest.fixture
def run_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunWith:
    """`run_with(layers)` makes decoders hostile, on a platform with at most these layers."""

    def write(layers: Iterable[str]) -> None:
        (tmp_path / "limited_decoder.py").write_text(
            "import kappi_chassis.confinement.confine as confinement\n"
            "layers = confinement.LAYERS\n"
            f"confinement.LAYERS = {{name: layers[name] for name in layers if name in {set(layers)!r}}}\n"
            "from kappi_testkit.media import hostile_decoder\n"
            "hostile_decoder.main()\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(process, "_WORKER", "limited_decoder")

    return write


@pytest.fixture
def target(tmp_path: Path) -> Target:
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    secret = secrets / "grant-key.pem"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    return Target(secret=str(secret), folder=str(shared), pid=os.getpid())


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=1)
    yield renderer
    await renderer.close()


async def missing_here() -> set[str]:
    """Returns the layers that this platform lacks."""
    decoder = await DecoderProcess.start(memory_bytes=2 << 30)
    missing = set((await decoder.readiness(wall_time_limit=timedelta(minutes=1))).missing)
    await decoder.close()
    for layer in missing:
        print(f"this platform has no {layer}: what it refuses was not tried")  # noqa: T201
    return missing


async def attacked(renderer: Renderer, target: Target) -> Report:
    with pytest.raises(RenderRejected) as refusal:
        await renderer.probe(BytesSource(msgspec.json.encode(target)), MediaFormat.JPEG)
    return msgspec.json.decode(refusal.value.detail, type=Report)


async def facts() -> Probe:
    return await probe(BytesSource(BODY), MediaFormat.JPEG)


async def test_it_reaches_nothing_and_still_decodes(
    run_with: RunWith, renderer: Renderer, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPI_S3_SECRET_KEY", "hunter2-in-the-environment")
    missing = await missing_here()
    run_with(LAYERS)
    report = await attacked(renderer, target)
    if "seccomp" not in missing:
        assert report.reached == {}
        assert set(report.refused) == set(ATTEMPTS)
    assert set(report.refused) >= NEED_DESCRIPTORS
    assert report.read == ""
    assert os.listdir(target.folder) == []
    assert set(report.environment) <= {*process._ENVIRONMENT, *process._SETTINGS, "LC_CTYPE"}
    assert report.descriptors == [0, 1, 2, 3], "its input, two of /dev/null, its output"
    (image,) = await renderer.render(BytesSource(BODY), await facts(), [RenditionSize(height=50)])
    assert image.height == 50


@pytest.mark.parametrize(
    ("layer", "refused"),
    [("account", TOUCH_SECRETS), ("landlock", TOUCH_FILES), ("descriptors", NEED_DESCRIPTORS)],
)
async def test_each_layer_holds_without_the_others(
    run_with: RunWith, renderer: Renderer, target: Target, layer: str, refused: set[str]
) -> None:
    missing = await missing_here()
    run_with({"privileges", layer})
    report = await attacked(renderer, target)
    if layer in missing or (layer == "account" and os.geteuid() != 0):
        print(f"{layer} refuses nothing here")  # noqa: T201
    else:
        assert set(report.refused) >= refused


async def test_the_same_attempts_reach_a_lot_where_nothing_confines_it(
    run_with: RunWith, renderer: Renderer, target: Target
) -> None:
    run_with(())
    report = await attacked(renderer, target)
    assert report.read == SECRET
    assert set(report.reached) >= NEED_DESCRIPTORS | TOUCH_FILES | TOUCH_SECRETS
    assert set(report.reached) >= {"signal the service", "run a program", "start a process", "connect"}


def test_a_decoder_of_a_running_service_holds_no_descriptor_but_its_pipes(
    run_with: RunWith, target: Target
) -> None:
    """Services run on uvloop, which starts processes in its own way."""

    async def attack() -> Report:
        renderer = Renderer(max_parallel=1)
        try:
            return await attacked(renderer, target)
        finally:
            await renderer.close()

    run_with(LAYERS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(attack()).descriptors == [0, 1, 2, 3]


async def test_every_thread_of_a_decoder_is_confined() -> None:
    missing = await missing_here()
    decoder = await DecoderProcess.start(memory_bytes=2 << 30)
    await decoder.readiness(wall_time_limit=timedelta(minutes=1))
    threads = _statuses(decoder.pid)
    await decoder.close()
    assert len(threads) > 1, "libvips works in threads of its own"
    for status in threads:
        assert status["NoNewPrivs"] == "1"
        assert {status[f"Cap{which}"] for which in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}
        if "seccomp" not in missing:
            assert status["Seccomp"] == "2"
        if os.geteuid() == 0 and "account" not in missing:
            assert set(status["Uid"].split() + status["Gid"].split()) == {str(ACCOUNT)}
            assert status["Groups"] == ""


def _statuses(pid: int) -> list[dict[str, str]]:
    """Returns the kernel's `status` of each thread."""
    texts = [thread.read_text() for thread in Path(f"/proc/{pid}/task").glob("*/status")]
    return [dict(re.findall(r"^(\w+):[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)) for text in texts]
