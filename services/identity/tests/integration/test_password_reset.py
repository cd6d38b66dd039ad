"""A forgotten password: a request reveals nothing, the mail holds a token, and the token is valid once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually

ASK = "/v1/password-resets"
PASSWORD, NEW = "correct horse battery staple", "a different kettle of fish"


@pytest.fixture
def ask(http: Any) -> Any:
    async def ask(email: str = "ada@example.com", **named: Any) -> Any:
        return await http("POST", ASK, body={"email": email}, **named)

    return ask


@pytest.fixture
def deliver(reset_mailer: Any) -> Any:
    """Returns `await deliver()`: the mailer handles the due requests."""

    async def deliver() -> None:
        while await reset_mailer.work_off_one():
            pass

    return deliver


@pytest.fixture
def finish(http: Any) -> Any:
    async def finish(token: str, *, password: str = NEW) -> Any:
        return await http("PUT", f"{ASK}/{token}", body={"password": password})

    return finish


async def test_the_mailed_token_sets_a_new_password_and_ends_every_session(
    sign_up: Any, log_in: Any, refresh: Any, ask: Any, deliver: Any, finish: Any, mailbox: Any
) -> None:
    ada = await sign_up()
    answer = await ask("ADA@Example.com")
    await deliver()

    assert (answer.status, answer.body) == (202, b"")
    (mail,) = mailbox.mails
    assert (mail["To"], mail["From"]) == ("ada@example.com", "Kappi <no-reply@kappi.invalid>")
    text = mail.get_content()
    assert f"https://kappi.example/reset-password#{mailbox.token()}" in text.splitlines()
    assert "within 30 minutes" in text

    assert (await finish(mailbox.token())).status == 204
    assert (await log_in(ada.email)).code == "invalid_grant"
    assert (await log_in(ada.email, password=NEW)).status == 200
    assert (await refresh(ada.refresh_token)).code == "invalid_grant"
    again = await finish(mailbox.token(), password="yet another kettle")
    assert (again.status, again.code) == (404, "reset_token_invalid")


@pytest.mark.parametrize("email", ["nobody@example.com", "no address at all", "a\x00b", "\ud800"])
async def test_for_an_unknown_address_everything_is_the_same_but_the_mail(
    sign_up: Any, ask: Any, deliver: Any, mailbox: Any, database: Any, email: str
) -> None:
    await sign_up()
    known, unknown = await ask(), await ask(email.encode("utf-8", "replace").decode())

    def comparable(answer: Any) -> Any:
        headers = [header for header in answer.headers.items() if header[0] != "x-request-id"]
        return answer.status, headers, answer.body

    assert comparable(known) == comparable(unknown)
    # Before the answer, both cases run the same single insert.
    assert await database.hot.fetchval("SELECT count(*) FROM reset_requests") == 2
    assert await database.hot.fetchval("SELECT count(*) FROM password_resets") == 0
    await deliver()
    assert len(mailbox.mails) == 1
    assert await database.hot.fetchval("SELECT count(*) FROM reset_requests") == 0


async def test_of_the_token_only_its_hash_is_stored(
    sign_up: Any, ask: Any, deliver: Any, mailbox: Any, database: Any, capsys: Any
) -> None:
    await sign_up()
    await ask()
    await deliver()

    rows = [str(row) for row in await database.hot.fetch("SELECT * FROM password_resets")]
    assert len(rows) == 1
    secret = mailbox.token().removeprefix("kappi_pw_")
    assert secret not in rows[0]
    assert secret not in capsys.readouterr().out


async def test_a_token_expires(
    sign_up: Any, ask: Any, deliver: Any, finish: Any, mailbox: Any, clock: Any
) -> None:
    await sign_up()
    await ask()
    await deliver()
    clock.pass_by(timedelta(minutes=30))
    assert (await finish(mailbox.token())).code == "reset_token_invalid"


async def test_a_used_token_makes_the_other_ones_void(
    sign_up: Any, ask: Any, deliver: Any, finish: Any, mailbox: Any
) -> None:
    await sign_up()
    await ask()
    await ask()
    await deliver()
    first, second = mailbox.token(0), mailbox.token(1)
    assert first != second
    assert (await finish(second)).status == 204
    assert (await finish(first)).code == "reset_token_invalid"


async def test_of_many_uses_at_once_one_counts(
    sign_up: Any, log_in: Any, ask: Any, deliver: Any, finish: Any, mailbox: Any
) -> None:
    ada = await sign_up()
    await ask()
    await deliver()
    news = [f"{NEW} {number}" for number in range(6)]
    answers = await asyncio.gather(*(finish(mailbox.token(), password=new) for new in news))

    (winner,) = [new for new, answer in zip(news, answers, strict=True) if answer.status == 204]
    assert {answer.code for answer in answers if answer.status != 204} == {"reset_token_invalid"}
    assert (await log_in(ada.email, password=winner)).status == 200


async def test_a_bad_password_does_not_spend_the_token(
    sign_up: Any, ask: Any, deliver: Any, finish: Any, mailbox: Any
) -> None:
    await sign_up()
    await ask()
    await deliver()
    for bad in ("short", "ada@example.com", "password123"):
        answer = await finish(mailbox.token(), password=bad)
        assert (answer.status, answer.code) == (422, "validation_failed")
        assert [error["field"] for error in answer.json["errors"]] == ["password"]
    assert (await finish(mailbox.token())).status == 204


async def test_an_unknown_token_is_refused_before_its_password_is_hashed(
    finish: Any, deps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deps.passwords, "hash", lambda *_, **__: pytest.fail("hashed"))
    answer = await finish("kappi_pw_unknown")
    assert (answer.status, answer.code) == (404, "reset_token_invalid")


async def test_the_token_of_a_deleted_account_is_void(
    http: Any, sign_up: Any, ask: Any, deliver: Any, finish: Any, mailbox: Any
) -> None:
    ada = await sign_up()
    await ask()
    await deliver()
    await http("DELETE", "/v1/me", token=ada.access_token)
    assert (await finish(mailbox.token())).code == "reset_token_invalid"


async def test_an_address_is_throttled_and_told(make_http: Any) -> None:
    http = make_http(reset_burst_per_address=2)
    answers = [await http("POST", ASK, body={"email": f"a{number}@example.com"}) for number in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 429]
    assert answers[-1].code == "too_many_resets"
    assert answers[-1].headers["retry-after"] == "120"


async def test_an_account_is_throttled_without_a_word(
    sign_up: Any, ask: Any, deliver: Any, mailbox: Any
) -> None:
    await sign_up()
    answers = [await ask(address=f"192.0.2.{number}") for number in range(6)]
    await deliver()
    assert {answer.status for answer in answers} == {202}
    assert len(mailbox.mails) == 3


async def test_what_cannot_be_delivered_is_tried_again_and_given_up_one_day(
    sign_up: Any, ask: Any, deliver: Any, mailbox: Any, clock: Any, database: Any
) -> None:
    await sign_up()
    mailbox.broken = True
    await ask()
    await deliver()
    mailbox.broken = False
    await deliver()
    assert not mailbox.mails  # not yet: unavailable servers are not retried at once
    clock.pass_by(timedelta(seconds=15))
    await deliver()
    assert len(mailbox.mails) == 1

    mailbox.broken = True
    await ask()
    for _ in range(20):
        await deliver()
        clock.pass_by(timedelta(minutes=10))
    assert await database.hot.fetchval("SELECT count(*) FROM reset_requests") == 0


async def test_mailers_of_many_replicas_send_one_mail_each_time(
    reset_mailer: Any, sign_up: Any, ask: Any, mailbox: Any
) -> None:
    people = [f"a{number}@example.com" for number in range(6)]
    for email in people:
        await sign_up(email)
        await ask(email)
    async with Background() as background:
        for _ in range(3):
            background.start(reset_mailer.run())

        def all_sent() -> None:
            assert sorted(mail["To"] for mail in mailbox.mails) == people

        await eventually(all_sent)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "validation_failed"),
        ({"email": 7}, "validation_failed"),
        ({"email": "a" * 2000}, "validation_failed"),
    ],
)
async def test_a_request_without_an_address_is_refused(http: Any, body: Any, code: str) -> None:
    answer = await http("POST", ASK, body=body)
    assert (answer.status, answer.code) == (422, code)
