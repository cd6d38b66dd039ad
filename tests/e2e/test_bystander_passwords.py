"""A hostile client causes endless password hashing, or guesses passwords; others can log in as before."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from kappi_identity.settings import IdentitySettings

from tests.e2e.accounts import Person, create_gallery, log_in, make_admin, sign_up
from tests.e2e.phone import Answer, Phone
from tests.e2e.stacks import StackUnderTest

ATTACKER = "127.0.0.66"
LOG_INS = 5
AT_ONCE = 80
A_FEW = 8
"""Passwords hashed between a call and its answer, including its own; the queue has 64 places."""
GUESSERS = [f"127.0.1.{number}" for number in range(1, 31)]
BURST: int = IdentitySettings.model_fields["login_burst_per_account"].default
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_SECRET = ("access_token", "refresh_token", "device_token")
_HASHED = re.compile(r"^kappi_password_seconds_count (\S+)", re.MULTILINE)
_HIDDEN = re.compile(r'name="csrftoken"[^>]*value="([^"]+)"')


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    """Grants expire at once, so each view of an unlocked gallery needs a hash. Concurrent right passwords
    count against the burst per client, so it is off: only the queue limits the attack."""
    return {
        "KAPPI_GALLERIES_PASSWORD_SHARE": "8",
        "KAPPI_GATEWAY_GRANT_LIFETIME": "PT0.000001S",
        "KAPPI_IDENTITY_PASSWORD_SHARE": "8",
        "KAPPI_IDENTITY_LOGIN_BURST_PER_CLIENT": "1000000",
    }


@pytest.fixture
async def attacker(own_stack: StackUnderTest) -> AsyncIterator[Phone]:
    async with Phone(own_stack.base_url, secrets=own_stack.secrets, address=ATTACKER) as phone:
        yield phone


async def _token(phone: Phone, email: str, password: str, **more: str) -> Answer:
    form = {"grant_type": "password", "username": email, "password": password, **more}
    return await phone.ask("POST", "/v1/oauth/token", body=urlencode(form).encode(), headers=_FORM)


async def _panel(phone: Phone, email: str, password: str) -> bool:
    """Returns whether a browser without any cookie can log in to the admin panel."""
    page = await phone.ask("GET", "/admin/login")
    hidden = _HIDDEN.search(page.body.decode())
    assert hidden is not None, page.body[:300]
    cookies = page.headers.getall("Set-Cookie")  # type: ignore[attr-defined]  # a multidict
    answer = await phone.ask(
        "POST",
        "/admin/login",
        body=urlencode({"csrftoken": hidden[1], "username": email, "password": password}).encode(),
        headers={
            **_FORM,
            "Cookie": "; ".join(cookie.partition(";")[0] for cookie in cookies),
            "Origin": phone.base_url,
        },
    )
    assert answer.status in (303, 400), answer.body[:300]
    return answer.status == 303


async def _hashes_for(stack: StackUnderTest, attacker: Phone) -> Callable[[], Coroutine[Any, Any, None]]:
    """Makes the services hash without end: changes of passwords of accounts and galleries, and sign-ups under
    one used key, many of each at the same time."""
    person = await sign_up(stack, attacker, "hasty")
    gallery = await create_gallery(attacker, person, password="hasty too")
    once = {"Idempotency-Key": secrets.token_hex(16)}
    (await attacker.ask("POST", "/v1/accounts", json=_body("first"), headers=once)).ok(201)

    async def change() -> Answer:
        body = {"current_password": person.password, "password": person.password}
        return await attacker.ask("PUT", "/v1/me/password", json=body, headers=person.key)

    async def protect() -> Answer:
        body = {"password": secrets.token_hex(4)}
        return await attacker.ask("PATCH", f"/v1/galleries/{gallery.id}", json=body, headers=gallery.key)

    async def repeat() -> Answer:
        return await attacker.ask("POST", "/v1/accounts", json=_body("other"), headers=once)

    async def attack() -> None:
        while True:
            calls = [call() for call in (change, protect, repeat) for _ in range(AT_ONCE)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert any(isinstance(answer, Answer) for answer in answers)

    return attack


async def _hashed(stack: StackUnderTest, phone: Phone, service: str) -> int:
    """Returns the number of passwords that a service has hashed or checked."""
    page = (await phone.ask("GET", f"{stack.ops_url(service)}/metrics")).body.decode()
    found = _HASHED.search(page)
    assert found is not None
    return int(float(found[1]))


def _body(name: str) -> dict[str, str]:
    return {"email": f"{name}-{secrets.token_hex(4)}@example.com", "password": secrets.token_hex(8)}


@pytest.mark.real_servers
@pytest.mark.timeout(240)
async def test_hashing_for_one_client_does_not_block_others(
    own_stack: StackUnderTest, attacker: Phone
) -> None:
    """The wait is counted in passwords, since the duration of one depends on the load of the machine."""
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        person = await sign_up(own_stack, phone, "bystander")
        gallery = await create_gallery(phone, person, password="open sesame")

        async def log_in_and_open() -> None:
            for _ in range(LOG_INS):
                before = await _hashed(own_stack, phone, "identity")
                tokens = (await _token(phone, person.email, person.password)).ok()
                own_stack.secrets.update(tokens[name] for name in _SECRET)
                assert await _hashed(own_stack, phone, "identity") - before <= A_FEW
                before = await _hashed(own_stack, phone, "galleries")
                headers = {"X-Gallery-Password": "open sesame"}
                (await phone.ask("GET", f"/v1/g/{gallery.code}", headers=headers)).ok()
                assert await _hashed(own_stack, phone, "galleries") - before <= A_FEW

        await log_in_and_open()
        attack = await _hashes_for(own_stack, attacker)
        begun = await _hashed(own_stack, phone, "identity")
        attacking = asyncio.create_task(attack())
        await log_in_and_open()
        assert not attacking.done()
        assert await _hashed(own_stack, phone, "identity") - begun > LOG_INS, (
            "the attack did not cause enough hashing"
        )
        attacking.cancel()
        with suppress(asyncio.CancelledError):
            await attacking
        await log_in_and_open()


async def _guess(stack: StackUnderTest, person: Person, attacker: Phone) -> list[Answer]:
    """Guesses from one address, then from many."""
    answers = [await _token(attacker, person.email, f"guess {number}") for number in range(2 * BURST)]
    async with AsyncExitStack() as phones:
        for address in GUESSERS:
            phone = Phone(stack.base_url, secrets=stack.secrets, address=address)
            answers.append(await _token(await phones.enter_async_context(phone), person.email, "guess"))
    return answers


@pytest.mark.timeout(180)
async def test_guessing_an_owners_password_does_not_lock_the_owner_out(
    own_stack: StackUnderTest, attacker: Phone
) -> None:
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        admin = await make_admin(own_stack, phone)
        tokens = (await _token(phone, admin.email, admin.password)).ok()
        own_stack.secrets.update(tokens[name] for name in _SECRET)

        answers = await _guess(own_stack, admin, attacker)
        refused = [answer for answer in answers if answer.status != 400]
        checked = len(answers) - len(refused)
        assert BURST <= checked <= BURST + 3, "the burst, and the refill during the test"
        for answer in refused:
            answer.problem(429, "too_many_logins")
        assert not await _panel(attacker, admin.email, admin.password), (
            "an unknown client has to wait in the panel, too"
        )

        for _ in range(3):
            await log_in(own_stack, phone, admin.email, admin.password)
            assert await _panel(phone, admin.email, admin.password)
        async with Phone(own_stack.base_url, secrets=own_stack.secrets, address="127.0.0.77") as elsewhere:
            (await _token(elsewhere, admin.email, admin.password)).problem(429, "too_many_logins")
            answer = await _token(elsewhere, admin.email, admin.password, device_token=tokens["device_token"])
            own_stack.secrets.update(answer.ok()[name] for name in _SECRET)


@pytest.mark.timeout(180)
async def test_guessing_a_password_of_a_gallery_does_not_lock_its_viewers_out(
    own_stack: StackUnderTest, attacker: Phone
) -> None:
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        person = await sign_up(own_stack, phone, "host")
        gallery = await create_gallery(phone, person, password="open sesame")
        path = f"/v1/g/{gallery.code}"

        def guess(by: Phone, password: str) -> asyncio.Task[Answer]:
            return asyncio.create_task(by.ask("GET", path, headers={"X-Gallery-Password": password}))

        answers = await asyncio.gather(*(guess(attacker, f"guess {number}") for number in range(20)))
        assert {answer.status for answer in answers} <= {401, 429, 503}
        async with AsyncExitStack() as phones:
            for address in GUESSERS:
                each = Phone(own_stack.base_url, secrets=own_stack.secrets, address=address)
                refused = await guess(await phones.enter_async_context(each), "guess")
                refused.problem(401, "gallery_password_wrong")
        (await guess(phone, "open sesame")).ok()


async def test_an_idempotency_key_of_another_client_returns_no_access_key(own_stack: StackUnderTest) -> None:
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        for key in ("20261129", "0" * 40, "holiday"):
            headers = {"Idempotency-Key": key}
            for path, body in (("/v1/galleries", {}), ("/v1/accounts", _body("short"))):
                answer = await phone.ask("POST", path, json=body, headers=headers)
                detail = answer.problem(400, "idempotency_key_invalid")["detail"]
                assert "128 random bits" in detail
