"""One address reaches the limit of open uploads and gets no more; another address is not affected."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.phone import Answer, File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

PICTURE = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))
OF_GALLERY, OF_ADDRESS, SIGNING_BURST = 10, 25, 150
ATTACKER, BYSTANDER = "127.0.0.66", "127.0.0.1"


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    return {
        "KAPPI_MEDIA_PROMISED_FILES_PER_GALLERY": str(OF_GALLERY),
        "KAPPI_MEDIA_PROMISED_FILES_PER_ADDRESS": str(OF_ADDRESS),
        "KAPPI_GATEWAY_SIGNING_BURST": str(SIGNING_BURST),
        "KAPPI_GATEWAY_SIGNINGS_PER_MINUTE": "60",
    }


def phone_at(stack: StackUnderTest, address: str) -> Phone:
    return Phone(stack.base_url, secrets=stack.secrets, address=address)


async def sign(
    phone: Phone, gallery: Gallery, number: int = 1, *, headers: Mapping[str, str] | None = None
) -> Answer:
    return await phone.ask(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        json={"files": [PICTURE.declaration()] * number},
        headers={**gallery.key, **(headers or {})},
    )


async def upload_until(stopped: asyncio.Event, phone: Phone, gallery: Gallery) -> int:
    """Returns the number of completed uploads. Raises AssertionError for a refused call."""
    done = 0
    while not stopped.is_set():
        upload = (await sign(phone, gallery)).ok(201)["uploads"][0]
        assert (await phone.put(upload, PICTURE.body)).status == 200
        (await phone.ask("POST", f"/v1/uploads/{upload['id']}/complete", headers=gallery.key)).ok()
        done += 1
        await asyncio.sleep(0.1)
    return done


@pytest.mark.real_servers
@pytest.mark.timeout(240)
async def test_only_the_address_that_completes_nothing_is_limited(
    own_stack: StackUnderTest,
) -> None:
    async with phone_at(own_stack, ATTACKER) as attacker, phone_at(own_stack, BYSTANDER) as bystander:
        galleries = [await attacker.create_gallery() for _ in range(4)]
        own = await bystander.create_gallery()
        stopped = asyncio.Event()
        going_on = asyncio.create_task(upload_until(stopped, bystander, own))

        taken: list[dict[str, Any]] = []
        for gallery in galleries:
            for _ in range(OF_GALLERY + 5):
                answer = await sign(attacker, gallery)
                if answer.status == 201:
                    taken += [{**upload, "gallery": gallery} for upload in answer.ok(201)["uploads"]]
                else:
                    answer.problem(429, "too_much_promised")
        assert len(taken) == OF_ADDRESS
        for spoofed in ({"X-Forwarded-For": "203.0.113.7"}, {"X-Real-Ip": "203.0.113.8"}):
            refused = await sign(attacker, galleries[-1], headers=spoofed)
            assert "this address" in refused.problem(429, "too_much_promised")["detail"]
        posted = await attacker.ask(
            "POST",
            f"/v1/galleries/{galleries[-1].id}/media",
            json={"filename": "a.png", "content_base64": b64encode(PICTURE.body).decode()},
            headers=galleries[-1].key,
        )
        posted.problem(429, "too_much_promised")

        # Stored or aborted uploads still count, since their URLs are valid.
        for upload in taken[:3]:
            assert (await attacker.put(upload, PICTURE.body)).status == 200
        for upload in taken[3:6]:
            path = f"/v1/uploads/{upload['id']}"
            assert (await attacker.ask("DELETE", path, headers=upload["gallery"].key)).status == 204
        (await sign(attacker, galleries[-1])).problem(429, "too_much_promised")
        await attacker.complete(taken[0]["gallery"], taken[0])
        (await sign(attacker, galleries[-1])).ok(201)
        (await sign(attacker, galleries[-1])).problem(429, "too_much_promised")

        await asyncio.sleep(1)
        stopped.set()
        assert await going_on >= 5

        metrics = (await bystander.ask("GET", f"{own_stack.ops_url('media')}/metrics")).body.decode()
        for whose in ("address", "gallery"):
            counted = re.search(
                rf'^kappi_media_promises_refused_total{{whose="{whose}"}} (\d+)', metrics, re.MULTILINE
            )
            assert counted is not None
            assert int(counted[1]) > 0

        # Abandoned uploads expire, and a tick deletes them.
        await own_stack.running.tick(datetime.now(UTC) + timedelta(hours=25))
        (await sign(attacker, galleries[1], OF_GALLERY)).ok(201)


@pytest.mark.real_servers
@pytest.mark.timeout(240)
async def test_only_the_address_that_signs_too_often_is_limited(own_stack: StackUnderTest) -> None:
    async with phone_at(own_stack, "127.0.0.67") as attacker, phone_at(own_stack, BYSTANDER) as bystander:
        gallery, own = await attacker.create_gallery(), await bystander.create_gallery()
        first = await sign(attacker, gallery, OF_GALLERY)
        for upload in first.ok(201)["uploads"]:
            await attacker.ask("DELETE", f"/v1/uploads/{upload['id']}", headers=gallery.key)
        answers = [await sign(attacker, gallery) for _ in range(SIGNING_BURST + 10)]
        codes = [answer.status for answer in answers]
        assert set(codes) == {429}
        answers[0].problem(429, "too_much_promised")
        answers[-1].problem(429, "too_many_uploads")
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert "X-Kappi-Signed" not in first.headers
        (await sign(bystander, own, OF_GALLERY)).ok(201)
