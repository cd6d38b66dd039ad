"""POST /v1/oauth/token and /v1/oauth/revoke: logging in, refreshing, theft, logging out."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

TOKEN, REVOKE, ME = "/v1/oauth/token", "/v1/oauth/revoke", "/v1/me"
PASSWORD = "correct horse battery staple"
GRACE = timedelta(seconds=10)


async def _works(http: Any, token: str) -> bool:
    answer = await http("GET", ME, token=token)
    assert answer.status in (200, 401)
    return bool(answer.status == 200)


async def test_a_login_brings_tokens_that_work(http: Any, sign_up: Any, log_in: Any, clock: Any) -> None:
    ada = await sign_up()
    answer = await log_in("ADA@example.com ")

    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json
    assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token", "device_token"}
    assert tokens["token_type"] == "Bearer"
    assert jwt.get_unverified_header(tokens["access_token"])["alg"] == "EdDSA"
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert {name: claims[name] for name in ("iss", "aud", "sub", "role", "tier")} == {
        "iss": "kappi-identity",
        "aud": "kappi",
        "sub": ada.id,
        "role": "user",
        "tier": "Traveller",
    }
    assert claims["iat"] == int(clock.now.timestamp())
    assert claims["exp"] - claims["iat"] == tokens["expires_in"]
    assert await _works(http, tokens["access_token"])


async def test_the_password_is_the_same_on_every_keyboard(http: Any, sign_up: Any, log_in: Any) -> None:
    await sign_up(password="Zu\u0308rich im Mai ①")
    assert (await log_in("ada@example.com", password="Z\u00fcrich im Mai 1")).status == 200


@pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com", "no address", "a\x00b"])
async def test_a_wrong_password_and_an_unknown_account_are_told_the_same(
    http: Any, sign_up: Any, log_in: Any, email: str
) -> None:
    await sign_up()
    answer = await log_in(email, password="not the password")

    assert (answer.status, answer.code) == (400, "invalid_grant")
    assert answer.json["error"] == "invalid_grant"
    assert answer.json["error_description"] == answer.json["detail"]
    assert answer.json["detail"] == "Email address or password are not right."


async def test_an_unknown_account_costs_as_much_as_a_wrong_password(
    deps: Any, sign_up: Any, log_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_up()
    hasher = deps.passwords._hasher
    verified: list[str] = []

    class Watching:
        def __getattr__(self, name: str) -> Any:
            return getattr(hasher, name)

        def verify(self, stored: str, password: str) -> bool:
            verified.append(stored.rpartition("p=")[0])
            return bool(hasher.verify(stored, password))

    monkeypatch.setattr(deps.passwords, "_hasher", Watching())
    for email in ("ada@example.com", "nobody@example.com"):
        assert (await log_in(email, password="not the password")).status == 400
    assert len(verified) == 2
    assert verified[0] == verified[1]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password", "username": "a@example.com"}, "invalid_request"),
        ({"grant_type": "password", "password": "x"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "kappi_rt_unknown"}, "invalid_grant"),
        (
            {"grant_type": "refresh_token", "refresh_token": "\udcff".encode(errors="replace").decode()},
            "invalid_grant",
        ),
    ],
)
async def test_a_refusal_is_a_problem_and_an_oauth_error(http: Any, form: dict[str, str], code: str) -> None:
    answer = await http("POST", TOKEN, form=form)
    assert (answer.status, answer.code, answer.json["error"]) == (400, code, code)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "request_",
    [
        {"body": {"grant_type": "password"}},
        {
            "raw": b"grant_type=password&grant_type=password",
            "headers": {"content-type": "application/x-www-form-urlencoded"},
        },
        {"raw": b"grant_type=%ff", "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"raw": b"a=" + b"x" * 20_000, "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {
            "raw": urlencode({str(n): "x" for n in range(50)}).encode(),
            "headers": {"content-type": "application/x-www-form-urlencoded"},
        },
    ],
    ids=["json", "twice", "no utf-8", "large", "many"],
)
@pytest.mark.parametrize("path", [TOKEN, REVOKE])
async def test_a_body_that_is_no_form_is_refused(http: Any, path: str, request_: dict[str, Any]) -> None:
    answer = await http("POST", path, **request_)
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_refresh_tokens_go_round(http: Any, sign_up: Any, refresh: Any, clock: Any) -> None:
    token = (await sign_up()).refresh_token
    seen = {token}
    for _ in range(5):
        clock.pass_by(timedelta(minutes=9))
        answer = await refresh(token)
        assert answer.status == 200
        assert await _works(http, answer.json["access_token"])
        token = answer.json["refresh_token"]
        assert token not in seen
        seen.add(token)


async def test_a_token_used_again_ends_its_whole_session(
    http: Any, sign_up: Any, refresh: Any, clock: Any, log_in: Any
) -> None:
    stolen = (await sign_up()).refresh_token
    elsewhere = (await log_in("ada@example.com")).json
    thief = (await refresh(stolen)).json
    clock.pass_by(GRACE + timedelta(seconds=1))

    answer = await refresh(stolen)

    assert (answer.status, answer.code) == (400, "invalid_grant")
    assert (await refresh(thief["refresh_token"])).code == "invalid_grant"
    assert not await _works(http, thief["access_token"])
    # Other logins of the account are other token families.
    assert (await refresh(elsewhere["refresh_token"])).status == 200


async def test_an_answer_that_got_lost_may_be_asked_for_again(
    http: Any, sign_up: Any, refresh: Any, clock: Any
) -> None:
    token = (await sign_up()).refresh_token
    lost = (await refresh(token)).json
    clock.pass_by(GRACE)
    again = await refresh(token)

    assert again.status == 200
    clock.pass_by(timedelta(minutes=9))
    following = await refresh(again.json["refresh_token"])
    assert following.status == 200
    # The tokens of the first answer are void, and a client that presents them may have stolen them.
    assert (await refresh(lost["refresh_token"])).code == "invalid_grant"
    assert (await refresh(following.json["refresh_token"])).code == "invalid_grant"


async def test_a_repetition_after_the_new_token_was_used_is_theft(sign_up: Any, refresh: Any) -> None:
    token = (await sign_up()).refresh_token
    following = (await refresh((await refresh(token)).json["refresh_token"])).json

    assert (await refresh(token)).code == "invalid_grant"
    assert (await refresh(following["refresh_token"])).code == "invalid_grant"


async def test_the_grace_does_not_grow_with_repetitions(sign_up: Any, refresh: Any, clock: Any) -> None:
    token = (await sign_up()).refresh_token
    for _ in range(3):
        assert (await refresh(token)).status == 200
        clock.pass_by(timedelta(seconds=4))
    assert (await refresh(token)).code == "invalid_grant"


async def test_of_twenty_refreshes_of_one_token_one_token_is_left(
    http: Any, sign_up: Any, refresh: Any, database: Any
) -> None:
    token = (await sign_up()).refresh_token
    answers = await asyncio.gather(*(refresh(token) for _ in range(20)))

    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["refresh_token"] for answer in answers}) == 20
    unused = "SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL AND superseded_at IS NULL"
    assert await database.hot.fetchval(unused) == 1


async def test_a_session_ends_when_it_is_not_used(
    make_http: Any, sign_up: Any, refresh: Any, clock: Any
) -> None:
    ada = await sign_up()
    short = make_http(session_idle=timedelta(hours=1), session_longest=timedelta(hours=2))
    tokens = (await refresh(ada.refresh_token, http=short)).json
    clock.pass_by(timedelta(minutes=59))
    tokens = (await refresh(tokens["refresh_token"], http=short)).json
    clock.pass_by(timedelta(minutes=59))
    tokens = (await refresh(tokens["refresh_token"], http=short)).json
    clock.pass_by(timedelta(minutes=2))
    # Used recently, but begun more than two hours ago.
    assert (await refresh(tokens["refresh_token"], http=short)).code == "invalid_grant"
    assert not await _works(short, tokens["access_token"])


async def test_logging_out_ends_the_session(http: Any, sign_up: Any, refresh: Any) -> None:
    ada = await sign_up()
    tokens = (await refresh(ada.refresh_token)).json

    # An old token of the session works too: its holder can only end the session.
    answer = await http("POST", REVOKE, form={"token": ada.refresh_token})

    assert (answer.status, answer.body) == (200, b"")
    assert (await refresh(tokens["refresh_token"])).code == "invalid_grant"
    assert not await _works(http, tokens["access_token"])
    again = await http("POST", REVOKE, form={"token": ada.refresh_token})
    unknown = await http("POST", REVOKE, form={"token": "kappi_rt_unknown"})
    assert (again.status, unknown.status) == (200, 200)


async def test_no_token_and_no_password_is_stored_or_logged(
    http: Any, sign_up: Any, refresh: Any, database: Any, caplog: Any, capsys: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    ada = await sign_up()
    tokens = (await refresh(ada.refresh_token)).json
    await http("POST", TOKEN, form={"grant_type": "refresh_token", "refresh_token": "kappi_rt_x"})
    await refresh(ada.refresh_token)

    tables = await database.hot.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [
        str(row)
        for table in tables
        for row in await database.hot.fetch(f"SELECT * FROM {table['tablename']}")
    ]
    stored, logged = "".join(rows), caplog.text + capsys.readouterr().out
    assert "session.token_reused" not in logged  # within the grace it counts as a retry
    assert "session.opened" in logged
    for secret in (PASSWORD, ada.refresh_token, tokens["refresh_token"], tokens["access_token"]):
        assert secret not in stored
        assert secret.removeprefix("kappi_rt_") not in stored
        assert secret not in logged
    assert "ada@example.com" in stored
    assert "ada@example.com" not in logged


async def test_hashes_are_made_anew_when_the_parameters_changed(
    make_http: Any, sign_up: Any, log_in: Any, database: Any
) -> None:
    await sign_up()
    stronger = make_http(password_time_cost=2, password_memory_kib=16)

    assert (await log_in("ada@example.com", http=stronger)).status == 200
    rehashed = await database.hot.fetchval("SELECT password_hash FROM accounts")
    assert "m=16,t=2,p=1" in rehashed
    assert (await log_in("ada@example.com", http=stronger)).status == 200
    assert await database.hot.fetchval("SELECT password_hash FROM accounts") == rehashed
    assert (await log_in("ada@example.com", password="wrong one", http=stronger)).status == 400


async def test_an_address_is_throttled_over_accounts_that_need_not_exist(make_http: Any, log_in: Any) -> None:
    http = make_http(login_burst_per_address=3)
    answers = [
        await log_in(f"nobody{n}@example.com", http=http, address=f"2001:db8:1:2::{n}") for n in range(4)
    ]

    assert [answer.status for answer in answers] == [400, 400, 400, 429]
    elsewhere = await log_in("nobody9@example.com", http=http, address="2001:db8:1:3::1")
    assert elsewhere.status == 400


async def test_right_passwords_do_not_count_against_an_address(
    make_http: Any, sign_up: Any, log_in: Any
) -> None:
    await sign_up()
    http = make_http(login_burst_per_address=2)
    for _ in range(6):
        assert (await log_in("ada@example.com", http=http)).status == 200
