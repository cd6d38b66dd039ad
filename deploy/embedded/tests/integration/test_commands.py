"""The `kappi` commands against a running stack."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from kappi_chassis.bus import DeadLetters, KafkaConnection, Producer, Record
from kappi_chassis.bus.dead_letters import Chosen, DeadLetterAdmin
from kappi_chassis.clock import utc_now
from kappi_contracts.topics import BY_NAME
from kappi_embedded.data_dir import DataDir
from kappi_embedded.replayer import settled_until
from kappi_testkit.eventually import eventually
from kappi_testkit.stack import EmbeddedStack, call_kappi
from PIL import Image

pytestmark = pytest.mark.integration

CAUSE = "the cause, " + "which is a long one " * 20


def kappi(
    stack: EmbeddedStack, *arguments: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return call_kappi(*map(str, arguments), env={**stack.env, **(env or {})})


def photo(path: Path, *, shade: int, size: tuple[int, int] = (320, 240)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 90, 160)).save(path)
    return path


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def trip(tmp_path: Path) -> Path:
    """Returns a folder of photos: two with one name, one with a name in another script, and a text."""
    folder = tmp_path / "my trip"
    photo(folder / "IMG_1.jpg", shade=10)
    photo(folder / "день.png", shade=20)
    photo(folder / "more" / "IMG_1.jpg", shade=30)
    (folder / "notes.txt").write_text("not a photo")
    return folder


def shared(stack: EmbeddedStack, *arguments: str | Path) -> dict[str, str]:
    done = kappi(stack, "share", "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, str] = json.loads(done.stdout)
    return document


def test_shared_files_are_downloaded_bit_for_bit(
    embedded_stack: EmbeddedStack, trip: Path, tmp_path: Path
) -> None:
    done = kappi(embedded_stack, "share", trip, "--title", "Lisboa")
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(line.split(None, 1) for line in done.stdout.splitlines() if line.startswith(("Link", "Code")))
    assert said["Link"] == f"{embedded_stack.base_url}/g/{said['Code']}"
    assert "Access key  kappi_" in done.stdout
    assert "3 items, 3 ready, 0 refused" in done.stdout

    got = kappi(embedded_stack, "get", said["Link"], tmp_path / "got")
    assert got.returncode == 0, got.stdout + got.stderr
    fetched = digests(tmp_path / "got")
    assert set(fetched) == {"IMG_1.jpg", "IMG_1 (2).jpg", "день.png"}
    originals = {**digests(trip), "sub": digests(trip / "more")["IMG_1.jpg"]}
    originals.pop("notes.txt")
    assert sorted(fetched.values()) == sorted(originals.values())

    again = kappi(embedded_stack, "get", said["Code"].upper(), tmp_path / "got")
    assert again.returncode == 0
    assert "0 files saved" in again.stdout
    assert "3 were here already" in again.stdout


def test_a_download_continues(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    original = tmp_path / "noise.png"
    Image.effect_noise((700, 500), 80).save(original)
    gallery = shared(embedded_stack, original)
    body = original.read_bytes()
    folder = tmp_path / "got"
    folder.mkdir()
    (media_id,) = (item["media_id"] for item in gallery["items"])  # type: ignore[index]
    # The part that exists is not fetched again, which shows because its bytes are not the original's.
    (folder / f".{media_id}.kappi-part").write_bytes(b"\0" * 1_000)
    damaged = kappi(embedded_stack, "get", gallery["code"], folder)
    assert damaged.returncode == 1
    assert "its SHA-256 is not the one of the original" in damaged.stdout + damaged.stderr
    (folder / f".{media_id}.kappi-part").write_bytes(body[:1_000])
    assert kappi(embedded_stack, "get", gallery["code"], folder).returncode == 0
    assert (folder / "noise.png").read_bytes() == body
    assert [path.name for path in folder.iterdir()] == ["noise.png"]


def test_an_existing_other_file_is_not_overwritten(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    gallery = shared(embedded_stack, photo(tmp_path / "a.jpg", shade=1))
    folder = tmp_path / "got"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"mine")
    assert kappi(embedded_stack, "get", gallery["code"], folder).returncode == 0
    assert (folder / "a.jpg").read_bytes() == b"mine"
    assert (folder / "a (2).jpg").read_bytes() == (tmp_path / "a.jpg").read_bytes()


def test_refused_files_are_listed_with_their_reason(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    good = photo(tmp_path / "good.jpg", shade=40)
    program, empty, text = tmp_path / "photo.png", tmp_path / "empty.jpg", tmp_path / "notes.txt"
    program.write_bytes(b"MZ" + bytes(2_000))
    empty.write_bytes(b"")
    text.write_text("named by the caller, so asked for")
    done = kappi(embedded_stack, "share", good, program, empty, text)
    assert done.returncode == 1
    assert "1 item, 1 ready, 3 refused" in done.stdout
    for path, reason in (
        (program, "it is not what it claims to be"),
        (empty, "empty"),
        (text, "unsupported_content_type"),
    ):
        line = next(line for line in done.stdout.splitlines() if str(path) in line)
        assert reason in line


def test_a_tick_with_a_future_time_removes_everything(embedded_stack: EmbeddedStack, trip: Path) -> None:
    gallery = shared(embedded_stack, trip, "--expires-in", "2d")
    objects = DataDir(embedded_stack.data_dir).objects / "galleries" / gallery["id"]
    assert list(DataDir(embedded_stack.data_dir).objects.rglob("*original*"))
    early = kappi(embedded_stack, "tick", "--at", "+1d", "--yes")
    assert early.returncode == 0, early.stdout + early.stderr
    assert kappi(embedded_stack, "get", gallery["code"], trip / "got").returncode == 0
    late = kappi(embedded_stack, "tick", "--at", (utc_now() + timedelta(days=3)).isoformat(), "--yes")
    assert late.returncode == 0, late.stdout + late.stderr
    assert "1 gallery deleted" in late.stdout
    assert "6 objects removed" in late.stdout
    gone = kappi(embedded_stack, "get", gallery["code"], trip / "got again")
    assert gone.returncode == 1
    assert "gallery_not_found" in gone.stderr
    assert not objects.exists() or not any(objects.rglob("*"))


async def test_a_tick_without_waiting_has_the_same_effect(embedded_stack: EmbeddedStack, trip: Path) -> None:
    gallery = shared(embedded_stack, trip, "--expires-in", "2d")
    sent = kappi(embedded_stack, "tick", "--at", "+3d", "--no-wait", "--yes")
    assert (sent.returncode, sent.stdout.count("sent.")) == (0, 1), sent.stdout + sent.stderr

    def gone() -> None:
        assert "gallery_not_found" in kappi(embedded_stack, "get", gallery["code"], trip / "got").stderr

    await eventually(gone, 30)
    await embedded_stack.wait_idle()


def test_an_invalid_time_is_explained(embedded_stack: EmbeddedStack) -> None:
    done = kappi(embedded_stack, "tick", "--at", "soon")
    assert done.returncode == 1
    assert "+31d" in done.stderr


async def test_dead_letters_are_listed_and_sent_back(embedded_stack: EmbeddedStack) -> None:
    assert kappi(embedded_stack, "dlq", "list").returncode == 0
    connection = embedded_stack.connection()
    await add_dead_letter(connection)
    listed = kappi(embedded_stack, "dlq", "list", env={"COLUMNS": "40"})
    assert listed.returncode == 1
    assert "MediaReady" in listed.stdout
    assert f"  ValueError: {CAUSE}\n" in listed.stdout, "whole, as the output is not a terminal"
    doctor = kappi(embedded_stack, "doctor")
    assert doctor.returncode == 1
    assert "1 dead letter" in doctor.stdout
    assert "1 dead letter sent back" in kappi(embedded_stack, "dlq", "replay").stdout
    # It is no event, so each consumer sends it to the dead-letter topic again.
    await embedded_stack.wait_idle()
    consumers = {*BY_NAME["MediaReady"].consumers} - {"gateway"}  # which has no dead letters
    assert f"{len(consumers)} dead letters." in kappi(embedded_stack, "dlq", "list").stdout
    assert kappi(embedded_stack, "dlq", "list", "--all").stdout.count(", handled") == 1


async def test_a_forged_dead_letter_is_listed_and_not_sent_back(
    embedded_stack: EmbeddedStack,
) -> None:
    """A client that can write to the broker may be able to write to the dead-letter topics, too."""
    producer = Producer(embedded_stack.connection(), source="/stranger")
    try:
        for mac in (b"", b"0" * 64):
            await producer.send("MediaReady.dlq", key=b"k", value=b"{}", headers=(("kappi_mac", mac),))
    finally:
        await producer.close()
    before = kappi(embedded_stack, "dlq", "list").stdout
    assert "2 more without a MAC of this deployment" in before
    waiting = before.splitlines()[-1].split()[0]
    assert f"{waiting} dead letter" in kappi(embedded_stack, "dlq", "replay").stdout


async def test_a_dead_letter_is_listed_and_shown_as_json(embedded_stack: EmbeddedStack) -> None:
    group = uuid4().hex
    await add_dead_letter(embedded_stack.connection(), group=group)
    listed = kappi(embedded_stack, "dlq", "list", "--json", "--topic", "MediaReady", "--group", group)
    assert listed.returncode == 1
    letter = json.loads(listed.stdout)
    assert letter["id"].startswith("MediaReady/0/")
    assert (letter["group"], letter["error"], letter["key"]) == (group, CAUSE, "k")
    assert (letter["handled"], letter["authentic"]) == (False, True)
    assert f"dlq_error: {CAUSE}\n" in kappi(embedded_stack, "dlq", "show", letter["id"]).stdout
    whole = json.loads(kappi(embedded_stack, "dlq", "show", "--json", letter["id"]).stdout)
    assert whole["value"] == "{"
    assert whole["headers"]["dlq_topic"] == "MediaReady"
    await discard_all(embedded_stack.connection())


async def test_one_dead_letter_is_sent_back_and_one_discarded(embedded_stack: EmbeddedStack) -> None:
    connection, group = embedded_stack.connection(), uuid4().hex
    for _ in range(2):
        await add_dead_letter(connection, group=group)
    async with DeadLetterAdmin(connection) as admin:
        chosen = Chosen(groups=frozenset({group}))
        first, second = [letter.id async for letter in admin.letters(chosen)]
    done = kappi(embedded_stack, "dlq", "discard", "--id", second)
    assert (done.returncode, done.stdout) == (0, "1 dead letter discarded.\n")
    sent = kappi(embedded_stack, "dlq", "replay", "--id", first)
    assert (sent.returncode, sent.stdout) == (0, "1 dead letter sent back.\n")
    again = kappi(embedded_stack, "dlq", "replay", "--id", first, "--id", second)
    assert (again.returncode, again.stdout) == (0, "0 dead letters sent back, 2 handled before.\n")
    listed = kappi(embedded_stack, "dlq", "list", "--group", group)
    assert (listed.returncode, listed.stdout) == (0, "0 dead letters.\n")
    await embedded_stack.wait_idle()  # it is no event, so it becomes a dead letter again
    await discard_all(connection)


async def discard_all(connection: KafkaConnection) -> None:
    async with DeadLetterAdmin(connection) as admin:
        await admin.discard(Chosen())


async def test_a_letter_of_another_writer_cannot_control_the_terminal_and_is_discarded(
    embedded_stack: EmbeddedStack,
) -> None:
    key, headers = uuid4().hex, (("dlq_offset", b"not a number\x1b[2J"),)
    producer = Producer(embedded_stack.connection(), source="/stranger")
    try:
        await producer.send(
            "MediaReady.dlq",
            key=f"\x1b[31m{key}".encode(),
            value=b"\xff\x1b",
            headers=headers,
        )
    finally:
        await producer.close()
    lines = kappi(embedded_stack, "dlq", "list", "--all", "--json").stdout.splitlines()
    [letter] = [found for line in lines if key in (found := json.loads(line))["key"]]
    assert (letter["authentic"], letter["offset"]) == (False, None)
    shown = kappi(embedded_stack, "dlq", "show", letter["id"]).stdout
    assert key in shown
    assert "\x1b" not in shown
    refused = kappi(embedded_stack, "dlq", "replay", "--id", letter["id"])
    assert refused.returncode == 1
    assert "without a MAC" in refused.stderr
    assert kappi(embedded_stack, "dlq", "discard", "--id", letter["id"]).returncode == 0
    left = kappi(embedded_stack, "dlq", "list", "--all", "--json").stdout.splitlines()
    assert [json.loads(line)["handled"] for line in left if key in line] == [True]


async def add_dead_letter(connection: KafkaConnection, *, group: str = "galleries") -> None:
    producer = Producer(connection, source="/test")
    signed = connection.mac.signed(topic="MediaReady", key=b"k", value=b"{", headers=())
    record = Record(topic="MediaReady", partition=0, offset=3, key=b"k", value=b"{", headers=signed)
    try:
        await DeadLetters(producer, connection).send_to_dlq(record, group=group, error=ValueError(CAUSE))
    finally:
        await producer.close()


def test_events_are_sent_again_and_change_nothing(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    gallery = shared(embedded_stack, photo(tmp_path / "a.jpg", shade=5))
    done = kappi(embedded_stack, "replay", "--topic", "MediaReady", "--topic", "GalleryCreated")
    assert done.returncode == 0, done.stderr
    for service in ("media", "galleries"):
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"{service}: "))
        assert int(line.split()[1]) >= 1
    nothing = kappi(embedded_stack, "replay", "--service", "media", "--since", "2999-01-01T00:00:00Z")
    assert nothing.stdout.strip() == "media: 0 events sent again"
    got = kappi(embedded_stack, "get", gallery["code"], tmp_path / "got")
    assert "1 file saved" in got.stdout


async def test_in_a_container_the_doctor_checks_what_its_settings_name(
    embedded_stack: EmbeddedStack, tmp_path: Path
) -> None:
    note = embedded_stack.note
    await discard_all(embedded_stack.connection())
    container = {name: value for name, value in os.environ.items() if not name.startswith("KAPPI_")} | {
        "KAPPI_DATA_DIR": str(tmp_path / "nowhere"),
        "KAPPI_KAFKA_BOOTSTRAP": note.kafka_bootstrap,
        "KAPPI_EVENT_SECRET": note.event_secret,
        "KAPPI_JANITOR_DATABASE_URL": note.databases["janitor"],
    }
    done = call_kappi("doctor", env=container)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {" ".join(line.split()) for line in done.stdout.splitlines()}
    for unchecked in ("services not", "database media not", "object store not"):
        assert any(line.startswith(f"-- {unchecked} checked") for line in lines), done.stdout
    assert any(line.startswith("ok database janitor PostgreSQL 18") for line in lines)
    assert any(line.startswith("ok events 0 to send by janitor") for line in lines)
    assert not any("disk" in line for line in lines), "that of the container says nothing"
    away = call_kappi("doctor", env={**container, "KAPPI_KAFKA_BOOTSTRAP": "127.0.0.1:9"})
    assert away.returncode == 1
    made = call_kappi("admin", "create", "root@example.com", "--password-stdin", env=container)
    assert made.returncode == 1
    assert "KAPPI_IDENTITY_DATABASE_URL" in made.stderr
    assert "make up" not in made.stderr


@pytest.mark.parametrize(
    ("arguments", "explained"),
    [(("--topic", "Nothing"), "MediaReady"), (("--service", "nobody"), "identity, galleries, media")],
)
def test_a_replay_of_unknown_names_is_explained(
    embedded_stack: EmbeddedStack, arguments: tuple[str, ...], explained: str
) -> None:
    done = kappi(embedded_stack, "replay", *arguments)
    assert done.returncode == 1
    assert explained in done.stderr


def test_the_doctor_lists_what_runs(embedded_stack: EmbeddedStack) -> None:
    done = kappi(embedded_stack, "doctor")
    for what in ("supervisor", "gateway", "database media", "broker", "object store", "PostgreSQL 18"):
        assert what in done.stdout
    for url in embedded_stack.note.databases.values():
        assert url.split(":")[2].split("@")[0] not in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "share photo.jpg",
        "get abcd",
        "tick",
        "doctor",
        "dlq list",
        "replay",
        "admin create root@example.com --password-stdin",
        "keys rotate",
    ],
)
def test_without_a_stack_the_next_step_is_explained(tmp_path: Path, command: str) -> None:
    path = photo(tmp_path / "photo.jpg", shade=1)
    nowhere = tmp_path / "nowhere"
    env = {name: value for name, value in os.environ.items() if not name.startswith("KAPPI_")}
    arguments = [str(path) if word == path.name else word for word in command.split()]
    done = call_kappi(*arguments, env={**env, "KAPPI_DATA_DIR": str(nowhere)})
    assert done.returncode == 1
    assert "make up" in done.stderr
    assert not nowhere.exists()


def test_another_deployment_is_reached_by_its_url(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", shade=9)
    env = {"KAPPI_DATA_DIR": str(tmp_path / "nowhere"), "KAPPI_URL": f"{embedded_stack.base_url}/"}
    assert kappi(embedded_stack, "share", path, env=env).returncode == 0
    silent = kappi(embedded_stack, "get", "abcd", "--url", "http://127.0.0.1:9")
    assert silent.returncode == 1
    assert "does not answer" in silent.stderr


async def test_uploads_survive_a_kill_of_all_processes(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    for number in range(12):
        photo(tmp_path / "many" / f"{number}.jpg", shade=number, size=(900, 700))
    gallery = shared(embedded_stack, "--no-wait", tmp_path / "many")
    embedded_stack.crash()
    embedded_stack.start()

    def all_here() -> None:
        got = kappi(embedded_stack, "get", gallery["code"], tmp_path / uuid4().hex)
        assert "12 files saved" in got.stdout

    await eventually(all_here, 30)
    await embedded_stack.wait_idle()
    tick = kappi(embedded_stack, "tick")
    assert tick.returncode == 0


async def test_a_lost_topic_is_sent_again(embedded_stack: EmbeddedStack) -> None:
    data = DataDir(embedded_stack.data_dir)
    (data.signals / "GalleryCreated").touch()
    (data.signals / "no topic at all").touch()

    def closed() -> None:
        assert not list(data.signals.iterdir())
        log = (data.logs / "replayer.log").read_text()
        assert '"topic":"GalleryCreated"' in log
        assert "replayer.gap_closed" in log

    await eventually(closed, 20)


async def test_the_settled_time_is_stored_when_no_work_is_pending(embedded_stack: EmbeddedStack) -> None:
    kappi(embedded_stack, "dlq", "replay")
    data = DataDir(embedded_stack.data_dir)
    data.settled.unlink(missing_ok=True)

    def noted() -> None:
        age = utc_now() - settled_until(data.settled)
        assert timedelta(minutes=1) < age < timedelta(minutes=5)

    if "1 dead letter" in kappi(embedded_stack, "dlq", "list").stdout:
        embedded_stack.restart()  # the broker loses its records
    await eventually(noted, 40)


@pytest.mark.parametrize(
    ("arguments", "explained"),
    [
        (("share", "PHOTO", "--url", "http://"), "is no address"),
        (("share", "PHOTO", "--url", "http://a\\b:1"), "is no address"),
        (("share", "PHOTO", "--url", "BASE/nowhere"), "is this the address of a Kappi"),
        (("share", "PHOTO", "--expires-in", "40d"), "1 hour to 30 days"),
        (("share", "PHOTO", "--expires-in", "1s"), "1 hour to 30 days"),
        (("share", "PHOTO", "--title", "x" * 201), "at most 200 characters"),
        (("share", "PHOTO", "--title", "\udcff"), "control characters"),
        (("share", "PHOTO", "--private"), "kappi login"),
        (("share", "PHOTO", "--password", "-"), "kappi login"),
        (("share", "/dev/null"), "neither a file nor a folder"),
        (("share", "/nowhere.jpg"), "No such file"),
        (("get", "http://[::1/g/abcd"), "is no address"),
        (("get", "zzzzzz"), "look at the code"),
        (("get", "0190a5b0-0000-7000-8000-000000000001"), "kappi login"),
        (("get", "zzzzzz", "--password", "\n"), "control characters"),
        (("tick", "--at", "+999999w"), "too far away"),
        (("tick", "--timeout", "nan"), "--timeout"),
        (("replay", "--service", "gateway"), "identity, galleries, media, janitor"),
        (("replay", "--since", "-999999w"), "too far away"),
        (("login", "nobody@example.com"), "--password-stdin"),
        (("dlq", "show", "MediaReady/0/999999"), "there is no dead letter MediaReady/0/999999"),
        (("dlq", "discard", "--id", "nothing"), "there is no dead letter nothing"),
        (("dlq", "list", "--topic", "Nothing"), "MediaReady"),
    ],
)
def test_invalid_arguments_never_end_in_a_traceback(
    embedded_stack: EmbeddedStack, tmp_path: Path, arguments: tuple[str, ...], explained: str
) -> None:
    path = photo(tmp_path / "photo.jpg", shade=3)
    given = [
        argument.replace("PHOTO", str(path)).replace("BASE", embedded_stack.base_url)
        for argument in arguments
    ]
    done = kappi(embedded_stack, *given, env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert done.returncode in {1, 2}
    assert explained in done.stderr
    for unexplained in ("Traceback", "should not happen"):
        assert unexplained not in done.stderr


def test_an_address_needs_no_scheme(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    address = embedded_stack.base_url.removeprefix("http://")
    gallery = shared(embedded_stack, photo(tmp_path / "a.jpg", shade=6), "--url", address)
    got = kappi(embedded_stack, "get", f"{address}/g/{gallery['code']}", tmp_path / "got")
    assert got.returncode == 0, got.stderr


def test_no_gallery_stays_if_all_files_are_refused(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a text")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    done = kappi(embedded_stack, "share", "--json", tmp_path / "notes.txt", tmp_path / "cut.png")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["id"], document["code"], document["items"]) == (None, None, [])
    reasons = {Path(refused["path"]).name: refused["reason"] for refused in document["rejected"]}
    assert set(reasons) == {"notes.txt", "cut.png"}
    assert "it is not JPEG, PNG" in reasons["notes.txt"]
    said = kappi(embedded_stack, "share", tmp_path / "notes.txt").stdout
    assert "0 items, 0 ready, 1 refused. No gallery was made." in said
    assert "Link" not in said


def test_the_type_of_a_file_is_read_from_its_content(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    picture = photo(tmp_path / "picture.png", shade=7)
    picture.rename(tmp_path / "picture.jpg")
    photo(tmp_path / "other.jpg", shade=8).rename(tmp_path / "other")
    done = kappi(embedded_stack, "share", tmp_path)
    assert "2 items, 2 ready, 0 refused." in done.stdout, done.stdout + done.stderr


def test_a_tick_that_deletes_galleries_early_lists_them_and_asks(
    embedded_stack: EmbeddedStack, tmp_path: Path
) -> None:
    gallery = shared(
        embedded_stack, photo(tmp_path / "a.jpg", shade=2), "--expires-in", "2d", "--title", "A [red] trip"
    )
    asked = kappi(embedded_stack, "tick", "--at", "+3d")
    assert asked.returncode == 1
    line = next(line for line in asked.stderr.splitlines() if gallery["code"] in line)
    assert line.startswith(f"  {gallery['code']} A [red] trip: 1 item, until ")
    assert "--yes" in asked.stderr
    assert kappi(embedded_stack, "tick", "--at", "+1d").returncode == 0, "no gallery would be deleted"
    told = kappi(embedded_stack, "tick", "--at", "+3d", "--yes")
    assert told.returncode == 0
    assert "1 gallery found due\n  1 gallery deleted" in told.stdout
