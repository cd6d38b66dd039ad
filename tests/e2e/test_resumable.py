"""Large files over bad links: despite cuts and kills they arrive whole, and are sent only once."""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kappi_chassis.embedded.ports import free_ports
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants

from tests.e2e.phone import Phone
from tests.e2e.rough_network import Roughness, RoughNetwork, rough_network
from tests.e2e.sharing_process import SharingProcess, journal_of, key_of, parts_in
from tests.e2e.stacks import StackUnderTest

MB = 1_000_000
LINK_BYTES_PER_SECOND = 4 * MB
CUT_S = 5.0
"""Age at which a connection is cut, or interval of cuts of all connections."""
AT_MOST = 1.15
"""Maximum ratio of sent bytes to the file's size, over connections that are cut by age."""
PARTS_AT_FIRST = 3
"""Parts that may be on their way at the first cut. Later there is one."""
_CHUNK_BYTES = 1 << 20
# Bytes of requests to the API and of headers.
_TALK_BYTES = MB // 2


@pytest.fixture(scope="module")
def doors() -> tuple[int, int]:
    """Returns the ports of the link on the client's side: to the API (and the local store), to S3."""
    first, second = free_ports(2)
    return first, second


@pytest.fixture(scope="module")
def own_settings(doors: tuple[int, int]) -> Mapping[str, str]:
    """Makes clients use the link, also for signed URLs."""
    return {
        "KAPPI_PUBLIC_URL": f"http://127.0.0.1:{doors[0]}",
        "KAPPI_S3_PUBLIC_ENDPOINT": f"http://127.0.0.1:{doors[1]}",
    }


@pytest.fixture
async def link(own_stack: StackUnderTest, doors: tuple[int, int]) -> AsyncIterator[RoughNetwork]:
    """Yields a good link, which a test may make worse."""
    behind = {doors[0]: ("127.0.0.1", own_stack.running.port)}
    if endpoint := own_stack.s3.get("KAPPI_S3_ENDPOINT"):
        parts = urlsplit(endpoint)
        assert parts.hostname is not None
        assert parts.port is not None
        behind[doors[1]] = (parts.hostname, parts.port)
    async with rough_network(behind, Roughness()) as network:
        yield network


@pytest.fixture
def url(doors: tuple[int, int]) -> str:
    return f"http://127.0.0.1:{doors[0]}"


def film(path: Path, size_bytes: int) -> Path:
    """Makes a film that plays, followed by a box of incompressible noise that players skip."""
    noise = random.Random(size_bytes)
    with path.open("wb") as file:
        file.write(movie(MovieShape(faststart=True, codec="mpeg4")))
        left = size_bytes - file.tell()
        file.write(left.to_bytes(4, "big") + b"mdat")
        left -= 8
        while left:
            left -= file.write(noise.randbytes(min(left, _CHUNK_BYTES)))
    return path


def photo(path: Path, *, shade: int) -> Path:
    path.write_bytes(encode(quadrants(320 + shade, 240), "JPEG"))
    return path


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in folder.iterdir()}


async def arrived(
    stack: StackUnderTest, link: RoughNetwork, code: str, files: list[Path], home: Path
) -> None:
    """Waits until all files can be downloaded bit for bit, each once."""
    link.roughness.bytes_per_second = link.roughness.cut_after_s = link.roughness.cut_every_s = None
    got = await asyncio.to_thread(stack.kappi, "get", code, str(home))
    assert got.returncode == 0, got.stderr
    assert await asyncio.to_thread(digests, home) == {path.name: sha256(path) for path in files}


@dataclass(frozen=True, slots=True)
class Hardship:
    """options: of `kappi share`. part_bytes: size of the parts that these options make."""

    size_bytes: int
    options: Sequence[str] = ()
    part_bytes: int = 8 << 20


async def share_over_a_link_that_is_cut(
    stack: StackUnderTest, link: RoughNetwork, url: str, folder: Path, hardship: Hardship
) -> float:
    """Shares and returns the seconds it took."""
    size_bytes = hardship.size_bytes
    path = film(folder / "film.mp4", size_bytes)
    link.roughness.bytes_per_second = LINK_BYTES_PER_SECOND
    process = await SharingProcess.start(stack, url, *hardship.options, path)
    began, traffic = time.monotonic(), link.traffic
    try:
        document = (await process.ended(timeout_s=size_bytes / LINK_BYTES_PER_SECOND * 6 + 60)).document()
    finally:
        seconds, ratio = time.monotonic() - began, traffic.sent_bytes / size_bytes
        print(  # noqa: T201 - the figure is the purpose of the test
            f"\n{stack.kind} {' '.join(hardship.options)}: {size_bytes / MB:.0f} MB in {seconds:.0f} s, "
            f"{traffic.outages} outages, {traffic.cuts} of {traffic.connections} connections cut, "
            f"{traffic.sent_bytes / MB:.1f} MB sent: {ratio:.3f} of the file"
        )
    stack.secrets.add(document["access_key"])
    assert traffic.cuts >= 1, "the link was never cut"
    if link.roughness.cut_every_s is None:
        assert ratio <= AT_MOST
    else:
        lost_bytes = (traffic.outages + PARTS_AT_FIRST) * hardship.part_bytes
        assert traffic.sent_bytes <= size_bytes + lost_bytes, "a cut of the link costs one part at most"
    assert document["stored_bytes"] == size_bytes
    await arrived(stack, link, document["code"], [path], folder / "home")
    return seconds


@pytest.mark.timeout(240)
async def test_a_film_is_uploaded_over_a_link_that_is_cut_every_five_seconds(
    own_stack: StackUnderTest, link: RoughNetwork, url: str, tmp_path: Path
) -> None:
    link.roughness.cut_after_s = CUT_S
    await share_over_a_link_that_is_cut(own_stack, link, url, tmp_path, Hardship(60 * MB))


@pytest.mark.slow
@pytest.mark.timeout(700)
async def test_300_megabytes_are_uploaded_over_connections_that_are_cut_after_five_seconds(
    own_stack: StackUnderTest, link: RoughNetwork, url: str, tmp_path: Path
) -> None:
    link.roughness.cut_after_s = CUT_S
    await share_over_a_link_that_is_cut(own_stack, link, url, tmp_path, Hardship(300 * MB))


@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.parametrize(
    "hardship",
    [Hardship(300 * MB), Hardship(300 * MB, ("--connection", "slow"), part_bytes=5 << 20)],
    ids=["default", "slow"],
)
async def test_300_megabytes_are_uploaded_over_a_link_that_is_cut_every_five_seconds(
    own_stack: StackUnderTest, link: RoughNetwork, url: str, tmp_path: Path, hardship: Hardship
) -> None:
    """All connections are cut at the same time, also during transfers."""
    link.roughness.cut_every_s = CUT_S
    seconds = await share_over_a_link_that_is_cut(own_stack, link, url, tmp_path, hardship)
    assert link.traffic.outages >= 0.8 * seconds / CUT_S


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_an_upload_stopped_at_random_times_continues_and_sends_no_part_twice(
    own_stack: StackUnderTest, link: RoughNetwork, url: str, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    files = [photo(tmp_path / "a.jpg", shade=seed), film(tmp_path / "film.mp4", 48 * MB)]
    size_bytes = sum(path.stat().st_size for path in files)
    link.roughness.bytes_per_second = 12 * MB
    for stop in chance.sample([signal.SIGINT, signal.SIGKILL, signal.SIGKILL], k=3):
        there = await parts_there(own_stack, files[-1])
        before = len(link.traffic.requests)
        process = await SharingProcess.start(own_stack, url, "--connection", "slow", *files)
        await passed(link, link.traffic.sent_bytes + chance.uniform(0.15, 0.25) * size_bytes)
        ended = await process.stop_with(stop)
        await link.idle()
        assert ended.status == (130 if stop is signal.SIGINT else -stop), ended.errors
        assert ("same command again" in ended.errors) == (stop is signal.SIGINT)
        assert not there & set(parts_in(link.traffic.requests[before:]))
    there = await parts_there(own_stack, files[-1])
    assert there, "no part was left for the next run"
    note = journal_of(own_stack)
    assert note is not None
    assert note.gallery is not None
    before, sent_before = len(link.traffic.requests), link.traffic.sent_bytes
    last = await SharingProcess.start(own_stack, url, "--connection", "slow", *files)
    ended = await last.ended(timeout_s=60)
    document = ended.document()
    own_stack.secrets.add(document["access_key"])
    assert "Going on with what was begun at" in ended.errors
    assert document["id"] == note.gallery["id"]
    assert not there & set(parts_in(link.traffic.requests[before:]))
    assert document["resumed_bytes"] + document["stored_bytes"] == size_bytes
    assert link.traffic.sent_bytes - sent_before <= document["stored_bytes"] + _TALK_BYTES
    assert journal_of(own_stack) is None, "the journal of a complete upload is deleted"
    await arrived(own_stack, link, document["code"], files, tmp_path / "home")


async def passed(link: RoughNetwork, sent_bytes: float) -> None:
    reached = asyncio.Event()

    def look(so_far: int) -> None:
        if so_far >= sent_bytes:
            reached.set()

    link.on_sent = look
    try:
        async with asyncio.timeout(60):
            await reached.wait()
    finally:
        link.on_sent = lambda _: None


async def parts_there(stack: StackUnderTest, path: Path) -> set[int]:
    """Returns the numbers of the film's parts that the store has whole, read without the link.

    versitygw lists the received bytes of a part whose sender was killed as a whole part; the ETag, which is a
    digest of these bytes, shows the difference.
    """
    note = journal_of(stack)
    if note is None or note.gallery is None:
        return set()
    uploads = [known.upload_id for known in note.files.values() if known.size_bytes > 16 * MB]
    if uploads in ([], [None]):
        return set()
    async with Phone(stack.base_url, secrets=stack.secrets) as phone:
        answer = await phone.ask("GET", f"/v1/uploads/{uploads[0]}", headers=key_of(note))
        multipart = answer.ok()["multipart"]
    parts = await asyncio.to_thread(digests_of_parts, path, multipart["part_size"])
    return {part["number"] for part in multipart["present"] if part["etag"] in parts[part["number"] - 1]}


def digests_of_parts(path: Path, part_bytes: int) -> list[set[str]]:
    """Returns the ETags that a whole part may have: of a bucket, and of the embedded store."""
    body = path.read_bytes()
    parts = [body[start : start + part_bytes] for start in range(0, len(body), part_bytes)]
    return [{hashlib.md5(part).hexdigest(), hashlib.sha256(part).hexdigest()[:32]} for part in parts]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("call", ["galleries", "uploads", "complete"])
async def test_a_kill_between_a_call_and_its_answer_creates_nothing_twice(
    own_stack: StackUnderTest, link: RoughNetwork, url: str, tmp_path: Path, call: str
) -> None:
    files = [photo(tmp_path / "a.jpg", shade=len(call)), film(tmp_path / "film.mp4", 20 * MB)]
    process = await SharingProcess.start(own_stack, url, *files)
    killed = asyncio.Event()

    def kill(request: str) -> None:
        if request.startswith("POST ") and request.endswith(f"/{call}"):
            process.kill()
            killed.set()

    link.on_request = kill
    async with asyncio.timeout(60):
        await killed.wait()
    link.on_request = lambda _: None
    assert (await process.ended(timeout_s=20)).status == -signal.SIGKILL
    before = len(link.traffic.requests)
    again = await SharingProcess.start(own_stack, url, *files)
    document = (await again.ended(timeout_s=60)).document()
    own_stack.secrets.add(document["access_key"])
    made = [request for request in link.traffic.requests if request == "POST /v1/galleries"]
    assert len(made) == (2 if call == "galleries" else 1)
    if call == "complete":
        puts = [request for request in link.traffic.requests[before:] if request.startswith("PUT ")]
        assert len(puts) <= 4, "the other file has only its missing parts to send"
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        items = await phone.items(document["code"])
    assert sorted(item["filename"] for item in items) == ["a.jpg", "film.mp4"]
    await arrived(own_stack, link, document["code"], files, tmp_path / "home")


@pytest.mark.timeout(240)
async def test_a_download_continues_over_a_bad_link_and_after_a_kill(
    own_stack: StackUnderTest, link: RoughNetwork, url: str, tmp_path: Path
) -> None:
    path = film(tmp_path / "film.mp4", 40 * MB)
    shared = await (await SharingProcess.start(own_stack, url, path)).ended(timeout_s=60)
    document = shared.document()
    own_stack.secrets.add(document["access_key"])
    link.roughness.bytes_per_second, link.roughness.cut_after_s = 10 * MB, 1.5
    home, before = tmp_path / "home", link.traffic.received_bytes
    first = await SharingProcess.call(own_stack, "get", f"{url}/g/{document['code']}", home)
    await received(link, before + 18 * MB)
    assert (await first.stop_with(signal.SIGKILL)).status == -signal.SIGKILL
    await link.idle()
    second = await SharingProcess.call(own_stack, "get", f"{url}/g/{document['code']}", home)
    ended = await second.ended(timeout_s=60)
    assert ended.status == 0, ended.errors
    assert link.traffic.cuts >= 2
    assert link.traffic.received_bytes - before <= AT_MOST * 40 * MB
    assert await asyncio.to_thread(digests, home) == {path.name: sha256(path)}


async def received(link: RoughNetwork, size_bytes: int) -> None:
    async with asyncio.timeout(60):
        while link.traffic.received_bytes < size_bytes:  # noqa: ASYNC110 - a process receives them
            await asyncio.sleep(0.02)


@pytest.mark.timeout(120)
async def test_a_share_begins_again_if_its_gallery_was_deleted(
    own_stack: StackUnderTest, link: RoughNetwork, url: str, tmp_path: Path
) -> None:
    path = film(tmp_path / "film.mp4", 30 * MB)
    link.roughness.bytes_per_second = 20 * MB
    process = await SharingProcess.start(own_stack, url, path)
    await passed(link, link.traffic.sent_bytes + 10 * MB)
    await process.stop_with(signal.SIGKILL)
    note = journal_of(own_stack)
    assert note is not None
    assert note.gallery is not None
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        gone = await phone.ask("DELETE", f"/v1/galleries/{note.gallery['id']}", headers=key_of(note))
        assert gone.status == 204
    ended = await (await SharingProcess.start(own_stack, url, path)).ended(timeout_s=60)
    document = ended.document()
    own_stack.secrets |= {note.gallery["access_key"], document["access_key"]}
    assert "is gone" in ended.errors
    assert document["id"] != note.gallery["id"]
    assert document["resumed_bytes"] == 0
    await arrived(own_stack, link, document["code"], [path], tmp_path / "home")


@pytest.mark.timeout(120)
async def test_the_option_new_begins_again_although_the_gallery_exists(
    own_stack: StackUnderTest, link: RoughNetwork, url: str, tmp_path: Path
) -> None:
    path = film(tmp_path / "film.mp4", 30 * MB)
    link.roughness.bytes_per_second = 20 * MB
    process = await SharingProcess.start(own_stack, url, path)
    await passed(link, link.traffic.sent_bytes + 10 * MB)
    link.roughness.bytes_per_second = MB  # so that it still runs when the other begins
    meanwhile = await (await SharingProcess.start(own_stack, url, path)).ended(timeout_s=20)
    assert meanwhile.status == 1
    assert "another kappi share" in meanwhile.errors
    await process.stop_with(signal.SIGINT)
    link.roughness.bytes_per_second = None
    note = journal_of(own_stack)
    assert note is not None
    assert note.gallery is not None
    document = (
        await (await SharingProcess.start(own_stack, url, "--new", path)).ended(timeout_s=60)
    ).document()
    own_stack.secrets |= {note.gallery["access_key"], document["access_key"]}
    assert document["id"] != note.gallery["id"]
    assert document["resumed_bytes"] == 0
    assert journal_of(own_stack) is None


@pytest.mark.timeout(240)
async def test_a_share_waits_during_an_outage_of_the_network(
    own_stack: StackUnderTest, link: RoughNetwork, url: str, tmp_path: Path
) -> None:
    path = film(tmp_path / "film.mp4", 30 * MB)
    link.roughness.bytes_per_second = 10 * MB
    process = await SharingProcess.start(own_stack, url, path)
    await passed(link, link.traffic.sent_bytes + 10 * MB)
    link.roughness.cut_after_s = 0.01
    link.cut_all()
    await refused(link, times=6)
    link.roughness.cut_after_s = None
    document = (await process.ended(timeout_s=120)).document()
    own_stack.secrets.add(document["access_key"])
    await arrived(own_stack, link, document["code"], [path], tmp_path / "home")


async def refused(link: RoughNetwork, *, times: int) -> None:
    """Waits until the link was tried that many times without success."""
    until = link.traffic.connections + times
    async with asyncio.timeout(60):
        while link.traffic.connections < until:  # noqa: ASYNC110 - a process comes and goes
            await asyncio.sleep(0.02)
