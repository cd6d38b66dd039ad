"""What every deployment must do: a gallery shared, seen, looked after and gone again."""

from __future__ import annotations

import asyncio
import re

from kappi_media.testing.samples import encode, quadrants

from tests.deploy.composed import Composed
from tests.e2e.accounts import ask_for_tokens
from tests.e2e.phone import File, Phone


async def check_journey(system: Composed) -> None:
    """Upload by signed URL, view, download, rendition, account, operator's commands, expiry."""
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
        await _log_in(phone)
        await asyncio.to_thread(_look_after, system)
        assert (await phone.ask("GET", f"/v1/g/{gallery.code}")).status == 404
        # Of SeaweedFS, too: the object is gone, and with it what the signed URL gave.
        assert (await phone.ask("GET", item["original"]["url"])).status == 404


async def _log_in(phone: Phone) -> None:
    account = {"email": "ada@example.com", "password": "quiet harbour lamp"}
    (await phone.ask("POST", "/v1/accounts", json=account)).ok(201)
    answer = await ask_for_tokens(
        phone, grant_type="password", username=account["email"], password=account["password"]
    )
    token = answer.ok()["access_token"]
    mine = await phone.ask("POST", "/v1/galleries", json={}, headers={"authorization": f"Bearer {token}"})
    mine.ok(201)  # galleries trusts identity's keys


def _look_after(system: Composed) -> None:
    made = system.operator(
        "kappi", "admin", "create", "root@example.com", "--password-stdin", typed="quiet harbour lamp"
    )
    assert made.returncode == 0, made.stdout + made.stderr
    # As the CronJob does, with nothing but the broker's address; nothing is due.
    ticked = system.run(system.composition["topics"], "kappi", "tick")
    assert ticked.returncode == 0, ticked.stdout + ticked.stderr
    ticked = system.operator("kappi", "tick", "--at", "+31d")
    assert ticked.returncode == 0, ticked.stdout + ticked.stderr
    assert re.search(r"1 gallery deleted", ticked.stdout), ticked.stdout
    letters = system.operator("kappi", "dlq", "list")
    assert letters.returncode == 0, letters.stdout + letters.stderr
