"""/v1/me: the account, its password, its sessions, its deletion."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.auth import SigningKey

ME, SESSIONS, PASSWORD_PATH = "/v1/me", "/v1/me/sessions", "/v1/me/password"
PASSWORD, NEW = "correct horse battery staple", "a different kettle of fish"

CALLS = [
    ("GET", ME, None),
    ("PATCH", ME, {"display_name": "Eve"}),
    ("DELETE", ME, None),
    ("PUT", PASSWORD_PATH, {"current_password": PASSWORD, "password": NEW}),
    ("GET", SESSIONS, None),
    ("DELETE", f"{SESSIONS}/{UUID(int=7)}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_without_a_token_nothing_is_told(http: Any, method: str, path: str, body: Any) -> None:
    answer = await http(method, path, body=body)
    assert (answer.status, answer.code) == (401, "credentials_missing")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_a_token_that_is_not_ours_is_not_valid(
    http: Any, sign_up: Any, method: str, path: str, body: Any
) -> None:
    ada = await sign_up()
    for token in (ada.access_token[:-4] + "AAAA", SigningKey.generate().sign({"sub": ada.id}), "nonsense"):
        answer = await http(method, path, body=body, token=token)
        assert (answer.status, answer.code) == (401, "access_token_invalid")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_an_expired_token_is_not_valid(
    http: Any, sign_up: Any, clock: Any, method: str, path: str, body: Any
) -> None:
    ada = await sign_up()
    clock.pass_by(timedelta(hours=13))
    answer = await http(method, path, body=body, token=ada.access_token)
    assert (answer.status, answer.code) == (401, "access_token_invalid")


async def test_the_account_is_shown_and_renamed(http: Any, sign_up: Any, published: Any) -> None:
    ada = await sign_up()
    renamed = await http("PATCH", ME, body={"display_name": " Ada L. "}, token=ada.access_token)
    untouched = await http("PATCH", ME, body={}, token=ada.access_token)
    read = await http("GET", ME, token=ada.access_token)

    assert renamed.json["display_name"] == "Ada L."
    assert renamed.json == untouched.json == read.json
    assert read.json["id"] == ada.id
    gone = await http("PATCH", ME, body={"display_name": None}, token=ada.access_token)
    assert gone.json["display_name"] is None
    # A change of the name is not published.
    assert [topic for topic, _, _ in await published()] == ["AccountCreated"]


async def test_a_name_that_is_not_valid_is_refused(http: Any, sign_up: Any) -> None:
    ada = await sign_up()
    answer = await http("PATCH", ME, body={"display_name": "a\nb"}, token=ada.access_token)
    assert (answer.status, answer.code) == (422, "validation_failed")
    malformed = await http("PATCH", ME, raw=b"{", token=ada.access_token)
    assert (malformed.status, malformed.code) == (400, "malformed_json")


async def test_another_password_ends_the_other_sessions(
    http: Any, sign_up: Any, log_in: Any, refresh: Any
) -> None:
    ada = await sign_up()
    elsewhere = (await log_in(ada.email)).json
    body = {"current_password": PASSWORD, "password": NEW}
    answer = await http("PUT", PASSWORD_PATH, body=body, token=ada.access_token)

    assert (answer.status, answer.body) == (204, b"")
    assert (await refresh(elsewhere["refresh_token"])).code == "invalid_grant"
    assert (await http("GET", ME, token=elsewhere["access_token"])).code == "access_token_invalid"
    assert (await refresh(ada.refresh_token)).status == 200
    assert (await log_in(ada.email)).code == "invalid_grant"
    assert (await log_in(ada.email, password=NEW)).status == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"current_password": "not it", "password": NEW}, 403, "password_wrong"),
        ({"current_password": PASSWORD, "password": "short"}, 422, "validation_failed"),
        ({"current_password": PASSWORD, "password": "ada@example.com"}, 422, "validation_failed"),
        ({"password": NEW}, 422, "validation_failed"),
    ],
)
async def test_a_password_is_not_changed_without_the_current_and_a_good_one(
    http: Any, sign_up: Any, log_in: Any, body: Any, status: int, code: str
) -> None:
    ada = await sign_up()
    answer = await http("PUT", PASSWORD_PATH, body=body, token=ada.access_token)
    assert (answer.status, answer.code) == (status, code)
    assert (await log_in(ada.email)).status == 200


async def test_guessing_the_current_password_is_throttled_as_a_login(make_http: Any, sign_up: Any) -> None:
    ada = await sign_up()
    http = make_http(login_burst_per_client=3)
    body = {"current_password": "not it", "password": NEW}
    answers = [await http("PUT", PASSWORD_PATH, body=body, token=ada.access_token) for _ in range(4)]
    assert [answer.code for answer in answers] == ["password_wrong"] * 3 + ["too_many_logins"]


async def test_of_two_changes_at_once_one_is_told_that_it_came_late(
    http: Any, sign_up: Any, log_in: Any
) -> None:
    ada = await sign_up()
    news = [f"{NEW} {number}" for number in range(4)]
    answers = await asyncio.gather(
        *(
            http(
                "PUT",
                PASSWORD_PATH,
                body={"current_password": PASSWORD, "password": new},
                token=ada.access_token,
            )
            for new in news
        )
    )
    (winner,) = [new for new, answer in zip(news, answers, strict=True) if answer.status == 204]
    assert {answer.code for answer in answers if answer.status != 204} == {"password_wrong"}
    assert (await log_in(ada.email, password=winner)).status == 200


async def test_sessions_are_listed_with_device_and_last_use(
    http: Any, sign_up: Any, log_in: Any, refresh: Any, clock: Any
) -> None:
    ada = await sign_up()
    clock.pass_by(timedelta(minutes=1))
    phone = (await log_in(ada.email, headers={"user-agent": "Kappi/1.2 (Android 16; Pixel\x7f 10)"})).json
    clock.pass_by(timedelta(minutes=1))
    await refresh(phone["refresh_token"])
    await sign_up("eve@example.com")

    answer = await http("GET", SESSIONS, token=ada.access_token)

    newest, oldest = answer.json["items"]
    assert answer.json["next_cursor"] is None
    assert newest["device"] == "Kappi/1.2 (Android 16; Pixel 10)"
    assert datetime.fromisoformat(newest["last_used_at"]) == clock.now
    assert (newest["current"], oldest["current"]) == (False, True)
    assert oldest["device"] is None


async def test_sessions_come_in_pages(http: Any, sign_up: Any, log_in: Any) -> None:
    ada = await sign_up()
    for _ in range(4):
        await log_in(ada.email)
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await http("GET", f"{SESSIONS}?limit=2{cursor}", token=ada.access_token)).json
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("query", ["cursor=nonsense", "cursor=%E2%82%AC", "limit=0", "limit=101", "limit=x"])
async def test_a_page_that_cannot_be_is_refused(http: Any, sign_up: Any, query: str) -> None:
    ada = await sign_up()
    answer = await http("GET", f"{SESSIONS}?{query}", token=ada.access_token)
    assert (answer.status, answer.code) == (422, "validation_failed")


async def test_a_text_that_is_no_cursor_has_the_code_of_every_list(http: Any, sign_up: Any) -> None:
    answer = await http("GET", f"{SESSIONS}?cursor=nonsense", token=(await sign_up()).access_token)
    assert [error["code"] for error in answer.json["errors"]] == ["cursor_invalid"]


async def test_a_session_is_ended_from_another_one(
    http: Any, sign_up: Any, log_in: Any, refresh: Any
) -> None:
    ada = await sign_up()
    phone = (await log_in(ada.email)).json
    listed = (await http("GET", SESSIONS, token=ada.access_token)).json["items"]
    (other,) = [item["id"] for item in listed if not item["current"]]

    assert (await http("DELETE", f"{SESSIONS}/{other}", token=ada.access_token)).status == 204
    assert (await refresh(phone["refresh_token"])).code == "invalid_grant"
    assert (await http("GET", ME, token=phone["access_token"])).code == "access_token_invalid"
    again = await http("DELETE", f"{SESSIONS}/{other}", token=ada.access_token)
    assert (again.status, again.code) == (404, "session_not_found")


async def test_nobody_ends_somebody_elses_session(http: Any, sign_up: Any, refresh: Any) -> None:
    ada, eve = await sign_up(), await sign_up("eve@example.com")
    (session,) = (await http("GET", SESSIONS, token=ada.access_token)).json["items"]
    answer = await http("DELETE", f"{SESSIONS}/{session['id']}", token=eve.access_token)
    assert (answer.status, answer.code) == (404, "session_not_found")
    assert (await refresh(ada.refresh_token)).status == 200


async def test_a_deleted_account_leaves_a_bare_tombstone(
    http: Any, sign_up: Any, log_in: Any, refresh: Any, database: Any, published: Any
) -> None:
    # A name that neither hexadecimal nor a few letters of base64 contain by chance.
    marguerite = await sign_up("marguerite@example.com")
    await http("PATCH", ME, body={"display_name": "Marguerite L."}, token=marguerite.access_token)
    answer = await http("DELETE", ME, token=marguerite.access_token)

    assert (answer.status, answer.body) == (204, b"")
    assert (await http("GET", ME, token=marguerite.access_token)).code == "access_token_invalid"
    assert (await refresh(marguerite.refresh_token)).code == "invalid_grant"
    assert (await log_in(marguerite.email)).code == "invalid_grant"
    assert [(topic, sequence) for topic, sequence, _ in await published()] == [
        ("AccountCreated", 1),
        ("AccountDeleted", 2),
    ]
    assert set((await published())[-1][2]) == {"account_id", "deleted_at"}
    tables = await database.hot.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for table in tables:
        for row in await database.hot.fetch(f"SELECT * FROM {table['tablename']}"):
            assert "marguerite" not in str(row).lower(), table
    assert await database.hot.fetchval("SELECT count(*) FROM sessions") == 0
    # Another account can use the address again.
    assert (await sign_up(marguerite.email)).id != marguerite.id


async def test_a_login_while_the_account_is_deleted_leaves_no_session(
    http: Any, sign_up: Any, log_in: Any, refresh: Any, database: Any
) -> None:
    ada = await sign_up()
    await asyncio.gather(
        *(log_in(ada.email) for _ in range(6)),
        http("DELETE", ME, token=ada.access_token),
        *(refresh(ada.refresh_token) for _ in range(3)),
    )
    assert await database.hot.fetchval("SELECT count(*) FROM sessions") == 0
    assert await database.hot.fetchval("SELECT count(*) FROM refresh_tokens") == 0


async def test_an_old_log_in_deletes_with_the_password_alone(
    http: Any, sign_up: Any, refresh: Any, clock: Any
) -> None:
    ada = await sign_up()
    clock.pass_by(timedelta(minutes=5, seconds=1))
    token = (await refresh(ada.refresh_token)).json["access_token"]
    required = await http("DELETE", ME, token=token)
    assert (required.status, required.code) == (403, "password_required")
    wrong = await http("DELETE", ME, token=token, body={"password": "not it"})
    assert (wrong.status, wrong.code) == (403, "password_wrong")
    empty = await http("DELETE", ME, token=token, body={})
    assert (empty.status, empty.code) == (422, "validation_failed")
    assert (await http("GET", ME, token=token)).status == 200
    assert (await http("DELETE", ME, token=token, body={"password": PASSWORD})).status == 204
    assert (await http("GET", ME, token=token)).code == "access_token_invalid"


async def test_a_log_in_minutes_old_is_enough(http: Any, sign_up: Any, log_in: Any, clock: Any) -> None:
    ada = await sign_up()
    clock.pass_by(timedelta(hours=1))
    again = (await log_in(ada.email)).json["access_token"]
    clock.pass_by(timedelta(minutes=5))
    assert (await http("DELETE", ME, token=again)).status == 204


async def test_guessing_the_password_by_deleting_is_throttled(
    make_http: Any, sign_up: Any, clock: Any
) -> None:
    ada = await sign_up()
    http = make_http(login_burst_per_client=3)
    guesses = [await http("DELETE", ME, token=ada.access_token, body={"password": "no"}) for _ in range(4)]
    assert [answer.code for answer in guesses] == ["password_wrong"] * 3 + ["too_many_logins"]
    assert (await http("GET", ME, token=ada.access_token)).status == 200
