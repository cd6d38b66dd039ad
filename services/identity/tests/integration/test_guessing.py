"""Guessing passwords is limited for each account, and locks out no client that the account knows."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from kappi_identity.bootstrap import build_open_session
from kappi_identity.domain.accounts import SessionPolicy
from kappi_identity.errors import InvalidGrant, TooManyLogins
from kappi_identity.use_cases.password_check import Client

EMAIL, PASSWORD, WRONG = "ada@example.com", "correct horse battery staple", "wrong one"
HOME, ROAD = "192.0.2.1", "198.51.100.7"
NEW = "a different kettle of fish"


@pytest.fixture
def replica(make_http: Any) -> Any:
    """Returns an app where unknown clients have two wrong passwords for an account, and a known client has
    three.
    """
    return make_http(login_burst_per_account=2, login_burst_per_client=3)


@pytest.fixture
def attempt(log_in: Any, replica: Any) -> Any:
    """Returns `await attempt(password, address=…, device_token=…)`: the answer to a login of Ada's."""

    async def attempt(
        password: str = PASSWORD,
        *,
        address: str = HOME,
        device_token: str | None = None,
        email: str = EMAIL,
        http: Any = replica,
    ) -> Any:
        form = {"grant_type": "password", "username": email, "password": password}
        if device_token is not None:
            form["device_token"] = device_token
        return await http("POST", "/v1/oauth/token", form=form, address=address)

    return attempt


@pytest.fixture
def besieged(attempt: Any) -> Any:
    """Returns `await besieged()`: a guesser with many addresses uses up the limit of unknown clients; the
    statuses it got.
    """

    async def besieged(email: str = EMAIL) -> list[int]:
        attempts = (attempt(WRONG, address=f"203.0.113.{number}", email=email) for number in range(8))
        answers = await asyncio.gather(*attempts)
        return sorted(answer.status for answer in answers)

    return besieged


async def test_a_guesser_with_many_addresses_is_bounded_over_all_replicas(
    sign_up: Any, make_http: Any, attempt: Any, clock: Any
) -> None:
    await sign_up()
    replicas = [make_http(login_burst_per_account=4) for _ in range(2)]
    guesses = (
        attempt(WRONG, address=f"203.0.113.{n}", email="Ada@example.com", http=replicas[n % 2])
        for n in range(8)
    )
    answers = await asyncio.gather(*guesses)

    assert sorted(answer.status for answer in answers) == [400] * 4 + [429] * 4
    refused = next(answer for answer in answers if answer.status == 429)
    assert (refused.code, refused.headers["retry-after"]) == ("too_many_logins", "60")
    # An unknown client with the right password has to wait, because a difference would reveal it; then it
    # works.
    assert (await attempt(address=ROAD, http=replicas[0])).status == 429
    clock.pass_by(timedelta(seconds=60))
    assert (await attempt(address=ROAD, http=replicas[1])).status == 200


async def test_an_account_that_does_not_exist_is_counted_alike(besieged: Any) -> None:
    assert await besieged("nobody@example.com") == [400] * 2 + [429] * 6


async def test_a_known_address_gets_in_meanwhile(sign_up: Any, attempt: Any, besieged: Any) -> None:
    await sign_up()
    assert await besieged() == [400] * 2 + [429] * 6

    for _ in range(5):
        assert (await attempt()).status == 200
    assert (await attempt(address=ROAD)).status == 429
    # The owner's successful logins give the guesser no further attempts.
    assert await besieged() == [429] * 8


async def test_a_known_device_gets_in_wherever_it_is(sign_up: Any, attempt: Any, besieged: Any) -> None:
    await sign_up()
    token = (await attempt()).json["device_token"]
    await besieged()

    answer = await attempt(address=ROAD, device_token=token)
    assert answer.status == 200
    again = await attempt(address="198.51.100.8", device_token=answer.json["device_token"])
    assert again.status == 200
    assert (await attempt(address=ROAD)).status == 200, "the address is known by now"


async def test_a_known_client_has_a_limit_of_its_own(sign_up: Any, attempt: Any, clock: Any) -> None:
    await sign_up()
    token = (await attempt()).json["device_token"]
    by_address = [(await attempt(WRONG)).status for _ in range(4)]
    by_device = [(await attempt(WRONG, address=ROAD, device_token=token)).status for _ in range(4)]

    assert by_address == by_device == [400] * 3 + [429]
    assert (await attempt(address=ROAD)).status == 200, "strangers have theirs still"
    clock.pass_by(timedelta(seconds=60))
    assert (await attempt()).status == 200


async def test_a_neighbour_at_a_known_address_does_not_lock_the_device_out(
    sign_up: Any, make_http: Any, attempt: Any
) -> None:
    await sign_up()
    http = make_http(login_burst_per_client=2, login_burst_per_address=2)
    token = (await attempt()).json["device_token"]
    for _ in range(3):
        await attempt(WRONG, http=http)
        await attempt(WRONG, email="nobody@example.com", http=http)
    assert (await attempt(http=http)).status == 429
    assert (await attempt(http=http, device_token=token)).status == 200


async def test_a_device_token_is_of_one_account_and_lasts_ninety_days(
    sign_up: Any, attempt: Any, besieged: Any, clock: Any
) -> None:
    await sign_up()
    await sign_up("eve@example.com")
    others = (await attempt(email="eve@example.com")).json["device_token"]
    old = (await attempt()).json["device_token"]
    clock.pass_by(timedelta(days=90))
    fresh = (await attempt()).json["device_token"]
    await besieged()

    for token in (others, old, fresh[:-1], fresh + "x", "", "kappi_dt_", "\u00e9", "x" * 5_000):
        assert (await attempt(address=ROAD, device_token=token)).status == 429, token
    assert (await attempt(address=ROAD, device_token=fresh)).status == 200


async def test_with_another_password_all_but_the_client_that_set_it_are_strangers(
    sign_up: Any, attempt: Any, besieged: Any, http: Any
) -> None:
    ada = await sign_up()
    token = (await attempt(address=ROAD)).json["device_token"]
    body = {"current_password": PASSWORD, "password": NEW}
    assert (await http("PUT", "/v1/me/password", body=body, token=ada.access_token)).status == 204
    await besieged()

    assert (await attempt(NEW, address=ROAD)).status == 429
    assert (await attempt(NEW, address=ROAD, device_token=token)).status == 429
    assert (await attempt(NEW)).status == 200


async def test_a_password_that_an_operator_sets_makes_every_client_a_stranger(
    sign_up: Any, attempt: Any, besieged: Any, create_admin: Any
) -> None:
    await sign_up()
    await create_admin(EMAIL, NEW)
    await besieged()
    assert (await attempt(NEW)).status == 429


async def test_an_address_is_forgotten_when_it_was_not_used_for_long(
    sign_up: Any, attempt: Any, besieged: Any, clock: Any
) -> None:
    await sign_up()
    clock.pass_by(timedelta(days=90) - timedelta(seconds=1))
    await besieged()
    assert (await attempt()).status == 200
    clock.pass_by(timedelta(days=90))
    await besieged()
    assert (await attempt()).status == 429


async def test_the_newest_addresses_of_an_account_are_kept(
    sign_up: Any, make_http: Any, attempt: Any, besieged: Any, clock: Any, database: Any
) -> None:
    await sign_up()
    http = make_http(login_known_addresses=3)
    for number in range(5):
        clock.pass_by(timedelta(minutes=1))
        assert (await attempt(address=f"198.51.100.{number}", http=http)).status == 200
    assert await database.hot.fetchval("SELECT count(*) FROM known_addresses") == 3

    await besieged()
    statuses = [(await attempt(address=f"198.51.100.{number}")).status for number in range(5)]
    assert statuses == [429, 429, 200, 200, 200]


async def test_what_is_stored_tells_no_address_and_nothing_in_common(
    sign_up: Any, http: Any, database: Any
) -> None:
    ada, _ = await sign_up(), await sign_up("eve@example.com")
    rows = await database.hot.fetch("SELECT address_hash FROM known_addresses")
    assert len({row["address_hash"] for row in rows}) == len(rows) == 2
    await http("DELETE", "/v1/me", token=ada.access_token)
    assert await database.hot.fetchval("SELECT count(*) FROM known_addresses") == 1


async def test_a_new_password_by_mail_is_a_fresh_start(
    sign_up: Any, attempt: Any, besieged: Any, http: Any, reset_mailer: Any, mailbox: Any
) -> None:
    await sign_up()
    await besieged()
    assert (await attempt(address=ROAD)).status == 429
    # Mails requested by other clients reach the owner, too, so requests cannot use up the owner's.
    for number in range(6):
        await http("POST", "/v1/password-resets", body={"email": EMAIL}, address=f"203.0.113.{number}")
    while await reset_mailer.work_off_one():
        pass
    reset = await http("PUT", f"/v1/password-resets/{mailbox.token()}", body={"password": NEW}, address=ROAD)

    assert reset.status == 204
    assert (await attempt(NEW, address=ROAD)).status == 200
    assert (await attempt(NEW)).status == 429, "a thief of the old password may have made that address known"


async def test_strangers_do_not_keep_the_owner_from_changing_the_password(
    sign_up: Any, besieged: Any, replica: Any
) -> None:
    ada = await sign_up()
    await besieged()
    body = {"current_password": PASSWORD, "password": NEW}
    answer = await replica("PUT", "/v1/me/password", body=body, token=ada.access_token, address=ROAD)
    assert answer.status == 204


async def test_an_account_that_is_no_administrators_pays_for_each_attempt_at_the_panel(
    sign_up: Any, make_deps: Any, make_settings: Any
) -> None:
    """The password is right, so each attempt is hashed."""
    await sign_up()
    limits = {"login_burst_per_client": 2}
    open_session = build_open_session(make_deps(**limits), make_settings(**limits))
    client = Client(address=HOME, device=None)
    hours = timedelta(hours=8)
    policy = SessionPolicy(idle=hours, longest=hours, retry_grace=hours)
    for refusal in (InvalidGrant, InvalidGrant, TooManyLogins):
        with pytest.raises(refusal):
            await open_session(EMAIL, PASSWORD, client=client, policy=policy, role="admin")


async def test_one_account_leaves_the_queue_to_others(sign_up: Any, make_http: Any, attempt: Any) -> None:
    ada, _ = await sign_up(), await sign_up("eve@example.com")
    http = make_http(password_share=4, password_queue=8, login_burst_per_client=100)
    body = {"current_password": PASSWORD, "password": "short of it: the old one stays"}

    def change(number: int) -> Any:
        address = f"203.0.113.{number}"
        return http("PUT", "/v1/me/password", body=body, token=ada.access_token, address=address)

    *changes, login = await asyncio.gather(
        *(change(number) for number in range(40)), attempt(email="eve@example.com", http=http)
    )
    assert login.status == 200
    assert {answer.status for answer in changes} == {204, 403, 503}
    assert {answer.code for answer in changes if answer.status == 503} == {"busy"}
