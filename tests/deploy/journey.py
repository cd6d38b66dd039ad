"""The behaviour that every deployment must show: a gallery is shared, viewed, maintained and deleted."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace

from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.stack import call_kappi
from PIL import Image

from tests.deploy.composed import Composed
from tests.e2e.accounts import ask_for_tokens
from tests.e2e.phone import File, Phone


async def check_journey(system: Composed) -> None:
    """Checks signed uploads, whole and in parts, view, download, rendition, account, operator and expiry."""
    await asyncio.to_thread(_share_in_parts, system)
    async with Phone(system.base_url) as phone:
        picture = File("tram.jpg", "image/jpeg", encode(quadrants(1200, 900), "JPEG"))
        gallery = await phone.create_gallery(title="Lisbon")
        await phone.upload(gallery, picture)
        (item,) = await phone.until_ready(gallery, 1)
        assert (item["width"], item["height"]) == (1200, 900)
        for url in (item["original"]["url"], item["renditions"]["400"]["url"]):
            assert url.startswith(f"http://{system.addresses['localhost:8333']}/kappi/")
        assert (await phone.ask("GET", item["original"]["url"])).body == picture.body
        assert (await phone.ask("GET", item["renditions"]["400"]["url"])).body[:2] == b"\xff\xd8"
        await _left_to_the_store(phone)
        await _log_in(phone)
        await asyncio.to_thread(_look_after, system)
        assert (await phone.ask("GET", f"/v1/g/{gallery.code}")).status == 404
        # The object is deleted in SeaweedFS too, so the signed URL returns nothing.
        assert (await phone.ask("GET", item["original"]["url"])).status == 404


def _share_in_parts(system: Composed) -> None:
    """Uploads and downloads, by the command, a picture larger than the threshold of multipart uploads."""
    folder = system.deps.folder / "large"
    folder.mkdir()
    picture = folder / "noise.png"
    # Noise does not compress: about 21 MiB.
    Image.frombytes("RGB", (2700, 2700), os.urandom(2700 * 2700 * 3)).save(picture, compress_level=1)
    assert picture.stat().st_size > 16 << 20
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "COLUMNS": "200",
        "KAPPI_DATA_DIR": str(folder / "none"),
    }
    shared = call_kappi("share", "--url", system.base_url, str(picture), env=env)
    assert shared.returncode == 0, shared.stdout + shared.stderr
    code = re.search(r"^Code\s+(\S+)", shared.stdout, re.MULTILINE)
    assert code is not None, shared.stdout
    home = folder / "home"
    got = call_kappi("get", f"{system.base_url}/g/{code[1]}", str(home), env=env)
    assert got.returncode == 0, got.stdout + got.stderr
    assert (home / picture.name).read_bytes() == picture.read_bytes()


async def _left_to_the_store(phone: Phone) -> None:
    """Checks an upload whose client ends before `complete`: the store notifies media."""
    picture = File("last.png", "image/png", encode(quadrants(64, 48), "PNG"))
    gallery = await phone.create_gallery()
    [upload] = await phone.sign(gallery, [picture])
    assert (await phone.put(upload, picture.body)).status == 200
    await phone.until_ready(gallery, 1)


async def _log_in(phone: Phone) -> None:
    account = {"email": "ada@example.com", "password": "quiet harbour lamp"}
    (await phone.ask("POST", "/v1/accounts", json=account)).ok(201)
    answer = await ask_for_tokens(
        phone, grant_type="password", username=account["email"], password=account["password"]
    )
    token = answer.ok()["access_token"]
    mine = await phone.ask("POST", "/v1/galleries", json={}, headers={"authorization": f"Bearer {token}"})
    mine.ok(201)  # galleries accepts identity's keys


def _look_after(system: Composed) -> None:
    made = system.operator(
        "kappi", "admin", "create", "root@example.com", "--password-stdin", typed="quiet harbour lamp"
    )
    assert made.returncode == 0, made.stdout + made.stderr
    # As the CronJob does, with only the broker's address and the secret of events. No gallery is due.
    janitor = system.composition["janitor"]
    needed = {
        name: value
        for name, value in janitor.environment.items()
        if name.startswith(("KAPPI_KAFKA_", "KAPPI_EVENT_"))
    }
    ticked = system.run(replace(janitor, environment=needed), "kappi", "tick")
    assert ticked.returncode == 0, ticked.stdout + ticked.stderr
    ticked = system.operator("kappi", "tick", "--at", "+31d", "--yes")
    assert ticked.returncode == 0, ticked.stdout + ticked.stderr
    assert re.search(r"3 galleries deleted", ticked.stdout), ticked.stdout
    letters = system.operator("kappi", "dlq", "list")
    assert letters.returncode == 0, letters.stdout + letters.stderr
    # Each container reports what it can reach, and names the rest.
    found = system.operator("kappi", "doctor")
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("PostgreSQL 18") == 4
    assert re.search(r"-- +object store +not checked", found.stdout), found.stdout
    found = system.run(janitor, "kappi", "doctor")
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(r"ok +object store +S3 bucket kappi", found.stdout), found.stdout
    assert re.search(r"-- +database media +not checked", found.stdout), found.stdout
