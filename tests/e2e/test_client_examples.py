"""The examples of docs/clients.md work as the page says, unchanged."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from kappi_chassis.storage.local_responses import PREFLIGHT
from kappi_testkit.media.corpus.raws import RAWS
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants
from kappi_testkit.programs import require_program

from tests.clients.examples import PAGE, examples
from tests.contract.test_openapi import DOCUMENT
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.test_sidecars import SIDECAR

_TIMEOUT_S = 90
_FILM_BYTES = 24 << 20
# The first part is cut, and the store then lists it as whole, as some stores do.
_CURL_THAT_FAILS_ONCE = """
curl() {
  if [[ "$*" == *"-T part"* && ! -e tripped ]]; then
    head -c "$(stat -c %s part)" /dev/zero >tripped
    command curl -fsS -T tripped "${@: -1}"
    return 22
  fi
  command curl "$@"
}
"""
_EVERY_URL_IS_DEAD = """
declare_file() { echo '{"id": "u", "multipart": {"part_size": 4}}'; }
sleep() { echo "$1" >>slept; }
curl() {
  case "$*" in
    *"-T part"*) return 22 ;;
    */complete*) touch completed ;;
    */parts*) cat >asked; echo '{"parts": [{"number": 1, "url": "dead"}]}' ;;
    *) echo '{"multipart": {"part_count": 1, "parts": [{"number": 1}]}}' ;;
  esac
}
"""
# The note of a process that was killed: one listed part is incomplete, one is complete.
_KILLED_BEFORE = """
first, second = promised["multipart"]["parts"][:2]
part_size = promised["multipart"]["part_size"]
put(second, film, part_size, part_size)
requests.put(first["url"], data=bytes(part_size)).raise_for_status()
"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "Sé.jpg"
    path.write_bytes(encode(quadrants(640, 480), "JPEG"))
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "card" / "IMG_1.dng"
    path.parent.mkdir()
    RAWS["previews.dng"](path)
    path.with_suffix(".xmp").write_bytes(SIDECAR)
    return path


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "trip" / "tram 28.mp4"
    path.parent.mkdir()
    body = movie(MovieShape(faststart=True, codec="mpeg4"))
    noise = random.Random(28).randbytes(_FILM_BYTES - len(body) - 8)
    path.write_bytes(body + (len(noise) + 8).to_bytes(4, "big") + b"mdat" + noise)
    return path


@pytest.fixture
async def gallery(phone: Phone) -> Gallery:
    return await phone.create_gallery(title="Examples")


@pytest.mark.timeout(180)
async def test_curl(
    stack: StackUnderTest, phone: Phone, photo: Path, film: Path, raw: Path, tmp_path: Path
) -> None:
    for program in ("curl", "jq", "openssl"):
        require_program(program)
    script = "\n".join(
        ["set -euo pipefail", _CURL_THAT_FAILS_ONCE, *examples("curl"), 'echo "made $id $key"']
    )
    environ = {"KAPPI": stack.base_url, "PHOTO": str(photo), "FILM": str(film), "RAW": str(raw)}
    done = await _run(["bash", "-c", script], environ, tmp_path)
    found = re.search(r"^made (\S+) (\S+)$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout + done.stderr
    stack.secrets.add(found[2])
    assert '"tram 28.mp4"' in done.stdout
    assert "\nIMG_1.xmp\n4\n" in done.stdout
    assert "\ncompleted\n" in done.stdout
    assert (tmp_path / "tripped").exists()
    await _wait_for_files(phone, await _opened(phone, found[1], found[2]), photo, film, raw)


@pytest.mark.timeout(180)
async def test_a_viewer_with_curl(
    stack: StackUnderTest, phone: Phone, gallery: Gallery, photo: Path, tmp_path: Path
) -> None:
    body = await asyncio.to_thread(photo.read_bytes)
    (media_id,) = await phone.upload(gallery, File(photo.name, "image/jpeg", body))
    await phone.until_ready(gallery, 1)
    look, archive = examples("view")
    # The line that continues: its first run is interrupted, and a later run finds nothing missing.
    cut = "cp gallery.zip whole.zip; head -c 300 whole.zip >gallery.zip"
    same, whole = "cmp gallery.zip whole.zip", f"! {archive.strip()} 2>refused; grep -q 416 refused"
    script = "\n".join(["set -euo pipefail", look, archive, cut, archive, same, whole, same])
    environ = {"KAPPI": stack.base_url, "MEDIA": media_id, "CODE": gallery.code}
    await _run(["bash", "-c", script], environ, tmp_path)
    assert (tmp_path / "picture").read_bytes() == body


@pytest.mark.timeout(180)
async def test_a_manager_with_curl(
    stack: StackUnderTest, phone: Phone, gallery: Gallery, photo: Path, tmp_path: Path
) -> None:
    body = await asyncio.to_thread(photo.read_bytes)
    files = [File(name, "image/jpeg", body) for name in ("one.jpg", "two.jpg")]
    first, second = await phone.upload(gallery, *files)
    await phone.until_ready(gallery, 2)
    order, cover = examples("order")
    environ = {
        "KAPPI": stack.base_url,
        "GALLERY": gallery.id,
        "KEY": gallery.access_key,
        "CODE": gallery.code,
        "MEDIA": first,
    }
    done = await _run(["bash", "-c", f"set -euo pipefail\n{order}\n{cover}"], environ, tmp_path)
    assert f'{{"moved":["{first}"],"not_found":[]}}' in done.stdout
    assert f'"cover_media_id":"{first}"' in done.stdout
    assert (tmp_path / "cover.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert [item["id"] for item in await phone.items(gallery.code)] == [first, second]


@pytest.mark.parametrize("example", ["live", "livepassword"])
async def test_a_live_stream_with_curl(
    stack: StackUnderTest, gallery: Gallery, tmp_path: Path, example: str
) -> None:
    (watch,) = examples(example)
    environ = {"KAPPI": stack.base_url, "CODE": gallery.code, "PASSWORD": "needless", "WATCH": watch}
    # The stream itself has no end.
    script = 'timeout 5 bash -c "$WATCH" >told || true; grep "event: reset" told'
    await _run(["bash", "-c", script], environ, tmp_path)


@pytest.mark.timeout(180)
async def test_python(
    stack: StackUnderTest, phone: Phone, gallery: Gallery, film: Path, tmp_path: Path
) -> None:
    client, (declare, rest) = examples("python")[0], _cut_after_declaring(examples("python")[1])
    blocks = [client, declare, _KILLED_BEFORE, rest]
    done = await _python(blocks, _given(stack, gallery, film), tmp_path)
    assert done.stdout.startswith("tram 28.mp4 ")
    await _wait_for_files(phone, gallery, film)


@pytest.mark.timeout(180)
async def test_kappi_client(
    stack: StackUnderTest, phone: Phone, photo: Path, film: Path, tmp_path: Path
) -> None:
    (example,) = examples("client")
    given = {"address": stack.base_url, "photo": str(photo), "folder": str(film.parent)}
    done = await _python([example], given, tmp_path, {"XDG_STATE_HOME": str(tmp_path / "state")})
    link, key = re.findall(r"^link (\S+) access key (\S+)$", done.stdout, re.MULTILINE)[0]
    stack.secrets.add(key)
    assert re.search(r"^tram 28.mp4 \S+ ready$", done.stdout, re.MULTILINE)
    assert "2 saved, 0 failed" in done.stdout
    for path in (photo, film):
        assert (tmp_path / "home" / path.name).read_bytes() == path.read_bytes()
    assert len(await phone.items(link.rpartition("/")[2])) == 2
    assert not list((tmp_path / "state").rglob("*.json")), "the journal of a complete upload is deleted"


@pytest.mark.real_servers(only=True)
@pytest.mark.timeout(180)
async def test_boto3(
    stack: StackUnderTest, phone: Phone, gallery: Gallery, film: Path, tmp_path: Path
) -> None:
    given = {
        **_given(stack, gallery, film),
        "endpoint_url": stack.s3["KAPPI_S3_ENDPOINT"],
        "bucket": stack.s3["KAPPI_S3_BUCKET"],
    }
    blocks = [examples("python")[0], "import secrets", _connect(), *examples("boto3")]
    await _python(blocks, given, tmp_path, _credentials(stack))
    await _wait_for_files(phone, gallery, film)


@pytest.mark.real_servers(only=True)
@pytest.mark.timeout(180)
async def test_aws_cli(
    stack: StackUnderTest, phone: Phone, gallery: Gallery, film: Path, tmp_path: Path
) -> None:
    s3 = stack.s3
    for program in ("aws", "curl"):
        require_program(program)
    (place_of,) = (block.split("def place_of")[1].split("\n\n\n")[0] for block in examples("boto3"))
    declaring = [
        examples("python")[0],
        "import secrets\nfrom urllib.parse import parse_qs, unquote, urlsplit",
        _connect(),
        f"def place_of{place_of}",
        'promised = kappi.declare(film, "video/mp4", key=secrets.token_hex(16))',
        'print(promised["id"], *place_of(promised))',
    ]
    given = {**_given(stack, gallery, film), "bucket": s3["KAPPI_S3_BUCKET"]}
    upload, key, multipart = (await _python(declaring, given, tmp_path)).stdout.split()
    environ = {
        "KAPPI": stack.base_url,
        "FILM": str(film),
        "BUCKET": s3["KAPPI_S3_BUCKET"],
        "KEY": key,
        "MULTIPART": multipart,
        "UPLOAD": upload,
        "ACCESS_KEY": gallery.access_key,
        "AWS_ENDPOINT_URL": s3["KAPPI_S3_ENDPOINT"],
        **_credentials(stack),
    }
    await _run(["bash", "-c", "\n".join(["set -euo pipefail", *examples("aws")])], environ, tmp_path)
    await _wait_for_files(phone, gallery, film)


def _python_client() -> dict[str, Any]:
    made: dict[str, Any] = {}
    exec(examples("python")[0], made)
    return made


@pytest.mark.parametrize(
    "upload",
    [
        {"state": "pending", "size": 4, "single": {}},
        {
            "state": "pending",
            "size": 4,
            "multipart": {"part_size": 4, "part_count": 1, "parts": [{"number": 1}]},
        },
    ],
)
def test_python_pauses_and_ends_if_every_url_is_expired(upload: dict[str, Any]) -> None:
    client = _python_client()
    pauses: list[int] = []
    calls: list[str] = []

    def call(method: str, path: str, **_: Any) -> Any:
        calls.append(path)
        return copy.deepcopy(upload)

    client.update(put=lambda *_: None, pause=pauses.append)
    kappi = client["Kappi"]("http://kappi", "g", "key")
    kappi.call = call
    with pytest.raises(TimeoutError):
        kappi.upload("film", "u")
    assert pauses == list(range(1, 8))
    assert calls == ["/v1/uploads/u"] * 8, "nothing is completed"


def test_python_does_not_hash_parts_with_a_noted_etag() -> None:
    client = _python_client()
    client.update(put=lambda *_: "e2", digests=lambda *_: pytest.fail("it was read again"))
    kappi = client["Kappi"]("http://kappi", "g", "key")
    kappi.acknowledged["u"] = {1: "e1"}
    present = [{"number": 1, "etag": "e1"}]
    multipart = {"part_size": 4, "part_count": 2, "present": present, "parts": [{"number": 2}]}
    assert kappi.send_missing("film", "u", {"size": 8, "multipart": multipart}) == ["e2"]


@pytest.mark.parametrize(
    ("status", "code", "times", "etag"),
    [
        (400, "RequestTimeout", 2, "e"),
        (400, "IncompleteBody", 2, "e"),
        (400, "BadDigest", 2, "e"),
        (408, "", 2, "e"),
        (409, "ConditionalRequestConflict", 2, "e"),
        (429, "", 2, "e"),
        (503, "SlowDown", 2, "e"),
        (403, "AccessDenied", 1, None),
        (400, "ExpiredToken", 1, None),
        (404, "NoSuchUpload", 1, None),
        (412, "PreconditionFailed", 1, "it is there already"),
    ],
)
def test_python_repeats_the_errors_that_the_page_lists(
    monkeypatch: pytest.MonkeyPatch, photo: Path, status: int, code: str, times: int, etag: str | None
) -> None:
    client = _python_client()
    puts: list[str] = []

    def put(url: str, **_: Any) -> requests.Response:
        puts.append(url)
        answer = requests.Response()
        answer.status_code, answer._content = 200, b""
        answer.headers["ETag"] = '"e"'
        if len(puts) == 1:
            answer.status_code, answer._content = status, f"<Error><Code>{code}</Code></Error>".encode()
        return answer

    monkeypatch.setattr(requests, "put", put)
    client["pause"] = lambda *_: None
    assert client["put"]({"url": "there", "headers": {}}, photo, 0, 4) == etag
    assert len(puts) == times


async def test_curl_pauses_and_ends_if_every_url_is_expired(tmp_path: Path) -> None:
    for program in ("bash", "jq"):
        require_program(program)
    script = "\n".join(["set -euo pipefail", _EVERY_URL_IS_DEAD, examples("curl")[1]])
    (tmp_path / "film").write_bytes(b"film")
    environ = {**os.environ, "KAPPI": "http://kappi", "FILM": "film", "key": "k"}
    done = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", script], env=environ, cwd=tmp_path, timeout=_TIMEOUT_S, check=False
    )
    assert done.returncode == 1
    slept = [int(line) for line in (tmp_path / "slept").read_text().split()]
    assert slept == [number**2 for number in range(8)]
    assert not (tmp_path / "completed").exists()


def test_a_bucket_accepts_the_same_cors_requests_as_the_local_store() -> None:
    (rules,) = examples("cors")
    (rule,) = json.loads(rules)["CORSRules"]
    local = {name.decode(): value.decode() for name, value in PREFLIGHT}
    assert rule["AllowedHeaders"] == local["access-control-allow-headers"].split(", ")
    assert rule["AllowedMethods"] == local["access-control-allow-methods"].split(", ")


def test_every_code_on_the_page_is_documented_by_the_api() -> None:
    table = re.search(r"^\| call \| status \| `code`.*?\n\n", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert table is not None
    codes_on_page = {
        code
        for row in table[0].strip().splitlines()[2:]
        for code in re.findall(r"`([a-z]+_[a-z_]+)`", row.split("|")[3])
    }
    documented = {
        code
        for path, operations in DOCUMENT["paths"].items()
        if "upload" in path
        for operation in operations.values()
        for answer in operation["responses"].values()
        for code in answer.get("x-problem-codes", ())
    }
    assert len(codes_on_page) > 10
    assert codes_on_page <= documented


def test_links_within_the_page_have_targets() -> None:
    text = PAGE.read_text()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) == headings


def _credentials(stack: StackUnderTest) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": stack.s3["KAPPI_S3_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": stack.s3["KAPPI_S3_SECRET_KEY"],
        "AWS_DEFAULT_REGION": stack.s3["KAPPI_S3_REGION"],
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _given(stack: StackUnderTest, gallery: Gallery, film: Path) -> dict[str, str]:
    return {
        "address": stack.base_url,
        "gallery_id": gallery.id,
        "access_key": gallery.access_key,
        "film": str(film),
    }


def _cut_after_declaring(block: str) -> tuple[str, str]:
    declared, mark, rest = block.partition("item = ")
    return declared, mark + rest


def _connect() -> str:
    return "kappi = Kappi(address, gallery_id, access_key)"


async def _python(
    blocks: list[str],
    given: Mapping[str, str],
    folder: Path,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    names = "\n".join(f"{name} = {value!r}" for name, value in given.items())
    script = folder / "example.py"
    await asyncio.to_thread(script.write_text, "\n".join([names, *blocks]))
    return await _run([sys.executable, str(script)], environ or {}, folder)


async def _run(
    command: list[str], environ: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env={**os.environ, **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


async def _opened(phone: Phone, gallery_id: str, access_key: str) -> Gallery:
    answer = await phone.ask("GET", f"/v1/galleries/{gallery_id}", headers={"X-Gallery-Key": access_key})
    shown = answer.ok()
    return Gallery(shown["id"], shown["code"], access_key, shown["url"])


async def _wait_for_files(phone: Phone, gallery: Gallery, *files: Path) -> None:
    """Waits until the gallery has these files, bit for bit, and all are ready."""
    items = await phone.until_ready(gallery, len(files))
    assert {item["filename"] for item in items} == {path.name for path in files}
    by_name = {path.name: path for path in files}
    for item in items:
        original = await phone.ask("GET", item["original"]["url"])
        body = await asyncio.to_thread(by_name[item["filename"]].read_bytes)
        assert hashlib.sha256(original.body).digest() == hashlib.sha256(body).digest()
