"""Limits per address, and the content of the most detailed logs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from kappi_contracts.services import NAMES
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e import evidence
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

BURST = 5
PASSWORD = "hunter2-ocelot"


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    return {
        "KAPPI_LOG_LEVEL": "DEBUG",
        "KAPPI_GATEWAY_GUESS_BURST": str(BURST),
        "KAPPI_GATEWAY_GUESSES_PER_MINUTE": "6",
        "KAPPI_GATEWAY_CREATION_BURST": str(BURST),
        "KAPPI_GATEWAY_CREATIONS_PER_HOUR": "1200",
    }


def _phone(stack: StackUnderTest, address: str) -> Phone:
    return Phone(stack.base_url, secrets=stack.secrets, address=address)


async def test_guessing_is_limited_even_for_codes_that_exist(own_stack: StackUnderTest) -> None:
    async with _phone(own_stack, "127.0.0.21") as owner, _phone(own_stack, "127.0.0.22") as guesser:
        gallery = await owner.create_gallery()
        for number in range(BURST):
            answer = await guesser.ask("GET", f"/v1/g/zzzz{number}")
            answer.problem(404, "gallery_not_found")
        refused = await guesser.ask("GET", "/v1/g/zzzzz9")
        refused.problem(429, "too_many_guesses")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        right = await guesser.ask("GET", f"/v1/g/{gallery.code}")
        right.problem(429, "too_many_guesses")
        for spoofed in ("203.0.113.7", "127.0.0.1, 203.0.113.8", "::1"):
            headers = {
                "X-Forwarded-For": spoofed,
                "Forwarded": f"for={spoofed}",
                "X-Real-IP": spoofed,
                "X-Gallery-Code": "zzzzz8",
            }
            answer = await guesser.ask("GET", f"/v1/g/{gallery.code}", headers=headers)
            answer.problem(429, "too_many_guesses")
            # Another operation with the same guess.
            path = "/v1/media/0199e1a4-5b7c-7d10-8c41-5f2f0f3a9b01"
            (await guesser.ask("GET", path, headers=headers)).problem(429, "too_many_guesses")
        assert (await owner.ask("GET", f"/v1/g/{gallery.code}")).status == 200, (
            "other addresses are not limited"
        )

        async def pardoned() -> None:
            assert (await guesser.ask("GET", f"/v1/g/{gallery.code}")).status == 200

        await eventually(pardoned, 30)


async def test_concurrent_guesses_are_limited_too(own_stack: StackUnderTest) -> None:
    async with _phone(own_stack, "127.0.0.31") as guesser:
        answers = await asyncio.gather(*(guesser.ask("GET", f"/v1/g/yyyy{n:03}") for n in range(60)))
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {404, 429}
    assert statuses.count(404) <= BURST + 2, "the burst, and the refill during the test"


async def test_viewing_existing_galleries_is_not_limited(own_stack: StackUnderTest) -> None:
    async with _phone(own_stack, "127.0.0.41") as owner:
        gallery = await owner.create_gallery()
        for _ in range(4 * BURST):
            assert (await owner.ask("GET", f"/v1/g/{gallery.code}")).status == 200


async def test_anonymous_galleries_are_limited_by_address(own_stack: StackUnderTest) -> None:
    async with _phone(own_stack, "127.0.0.51") as eager, _phone(own_stack, "127.0.0.52") as other:
        before = await evidence.ask_database(own_stack, "galleries", "SELECT count(*) FROM galleries")
        answers = [await eager.ask("POST", "/v1/galleries", json={}) for _ in range(2 * BURST)]
        created = [answer for answer in answers if answer.status == 201]
        own_stack.secrets.update(answer.json()["access_key"] for answer in created)
        refused = [answer for answer in answers if answer.status != 201]
        assert BURST <= len(created) < 2 * BURST
        for answer in refused:
            answer.problem(429, "too_many_galleries")
            assert int(answer.headers["Retry-After"]) >= 1
        after = await evidence.ask_database(own_stack, "galleries", "SELECT count(*) FROM galleries")
        assert after - before == len(created)
        await other.create_gallery()


async def test_no_log_contains_a_secret_at_any_level(own_stack: StackUnderTest) -> None:
    """Sends every kind of secret, in calls that succeed and in calls that fail."""
    picture = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))
    own_stack.secrets.add(PASSWORD)
    async with _phone(own_stack, "127.0.0.61") as phone:
        gallery = await phone.create_gallery()
        await phone.upload(gallery, picture)
        (item,) = await phone.until_ready(gallery, 1)
        url = item["original"]["url"]
        signature = url.rpartition("=")[2]
        own_stack.secrets.add(signature)
        for target in (url, url + "0", item["renditions"]["400"]["url"], url.replace("original", "other")):
            await phone.ask("GET", target)
        protected = {"X-Gallery-Password": PASSWORD, "Authorization": f"Bearer {PASSWORD}"}
        await phone.ask("GET", f"/v1/g/{gallery.code}", headers=protected)
        await phone.ask("POST", "/v1/galleries", json={"password": PASSWORD}, headers=protected)
        cut = b'{"password": "' + PASSWORD.encode()
        await phone.ask("POST", "/v1/galleries", body=cut, headers={"Content-Type": "application/json"})
        await phone.ask("GET", f"/v1/galleries/{gallery.id}?key={gallery.access_key}", headers=protected)
        await phone.ask("GET", f"/v1/media/{gallery.access_key}", headers=gallery.key)
        # A service that crashes logs more than one that runs.
        own_stack.running.kill("media")
        await phone.ask("GET", f"/v1/media/{item['id']}/download", headers=gallery.key)
        await own_stack.running.wait_ready()
        await phone.insist("GET", f"/v1/media/{item['id']}/download", headers=gallery.key)
    assert own_stack.leaks() == []
    logs = own_stack.running.data_dir / "logs"
    assert {path.stem for path in logs.glob("*.log")} >= {*NAMES, "store"}
    # The search itself finds a planted secret.
    planted = logs / "planted.log"
    for secret in (gallery.access_key, PASSWORD, signature):
        planted.write_text(f'{{"event": "http.answered", "of": "{secret}"}}\n')
        assert len(own_stack.leaks()) == 1
        planted.unlink()
