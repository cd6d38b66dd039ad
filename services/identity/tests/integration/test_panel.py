"""The admin panel: its logins and their length, the origin of its forms, and the publication of changes."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest

ORIGIN = "https://kappi.example"
LOGIN = "/admin/login"
PASSWORD = "correct horse battery staple"
_TOKEN = re.compile(r'name="csrftoken" value="([^"]+)"')


class Browser:
    """Keeps cookies, sends its origin and the hidden token of the last form, and follows no redirects."""

    def __init__(self, http: Any, *, origin: str | None = ORIGIN) -> None:
        self._http = http
        self._origin = origin
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self._token = ""

    async def get(self, path: str) -> Any:
        return await self._call("GET", path)

    async def post(self, path: str, form: dict[str, str], *, token: str | None = None) -> Any:
        fields = {"csrftoken": self._token if token is None else token, **form}
        raw = urlencode(fields).encode()
        return await self._call("POST", path, raw=raw)

    async def act(self, path: str) -> Any:
        """Send a request of the page's own script."""
        signed = self.cookies.get("starlette_admin_csrftoken", "")
        return await self._call("POST", path, headers={"x-csrftoken": signed})

    async def _call(
        self, method: str, path: str, *, raw: bytes = b"", headers: dict[str, str] | None = None
    ) -> Any:
        sent = {
            "content-type": "application/x-www-form-urlencoded",
            "cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            **(headers or {}),
        }
        if self._origin is not None and method == "POST":
            sent["origin"] = self._origin
        answer = await self._http(method, path, raw=raw, headers=sent)
        for name, value in answer.headers.items():
            if name == "set-cookie":
                self.set_cookies.append(value)
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
        if found := _TOKEN.search(answer.body.decode(errors="replace")):
            self._token = found[1]
        return answer

    async def log_in(self, email: str = "root@example.com", *, password: str = PASSWORD) -> Any:
        await self.get(LOGIN)
        return await self.post(LOGIN, {"username": email, "password": password})


@pytest.fixture
def browser(http: Any, admin: Any) -> Browser:
    return Browser(http)


async def _inside(browser: Browser) -> bool:
    answer = await browser.get("/admin/tiers/list")
    assert answer.status in (200, 303)
    return bool(answer.status == 200)


async def test_without_a_login_there_is_only_the_login(browser: Browser) -> None:
    for path in ("/admin", "/admin/", "/admin/tiers/list", "/admin/accounts/list", "/admin/tiers/create"):
        answer = await browser.get(path)
        assert answer.status in (303, 307), path
    assert answer.headers["location"].startswith(f"{ORIGIN}/admin/login?next=")
    page = await browser.get(LOGIN)
    assert page.status == 200
    assert b'name="password"' in page.body


async def test_an_administrator_gets_in_and_out(browser: Browser) -> None:
    answer = await browser.log_in()

    assert answer.status == 303
    assert answer.headers["location"].startswith(f"{ORIGIN}/admin")
    (cookie,) = [cookie for cookie in browser.set_cookies if cookie.startswith("kappi_admin=")]
    for attribute in ("HttpOnly", "SameSite=strict", "Secure", "Path=/admin", "Max-Age=28800"):
        assert attribute in cookie
    listed = await browser.get("/admin/tiers/list")
    assert listed.status == 200
    assert b"Enterprise" in listed.body
    assert listed.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in listed.headers["content-security-policy"]

    kept = dict(browser.cookies)
    assert (await browser.post("/admin/logout", {})).status == 303
    assert not await _inside(browser)
    browser.cookies = kept
    assert not await _inside(browser)  # the session is over, not only the cookie


async def test_pages_fetch_nothing_from_elsewhere(browser: Browser) -> None:
    await browser.log_in()
    for path in (LOGIN, "/admin/tiers/list", "/admin/tiers/create", "/admin/accounts/list"):
        page = (await browser.get(path)).body.decode()
        loaded = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(https?://[^"')\s]+)""", page)
        assert not [address for address in loaded if not address.startswith(ORIGIN)], path
    assert (await browser.get("/admin/static/css/vendor/tabler.min.css")).status == 200


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("root@example.com", "wrong one"),
        ("nobody@example.com", PASSWORD),
        ("ada@example.com", PASSWORD),
    ],
)
async def test_everybody_else_is_told_the_same(
    browser: Browser, sign_up: Any, email: str, password: str
) -> None:
    await sign_up()
    answer = await browser.log_in(email, password=password)
    assert answer.status == 400
    assert b"Email address or password are not right." in answer.body
    assert "kappi_admin" not in browser.cookies


async def test_guessing_is_throttled_as_every_login(make_http: Any, admin: Any) -> None:
    browser = Browser(make_http(login_burst_per_client=2))
    for _ in range(2):
        assert b"not right" in (await browser.log_in(password="wrong one")).body
    answer = await browser.log_in()
    assert answer.status == 400
    assert b"Too many attempts to log in" in answer.body


async def test_strangers_do_not_lock_a_browser_out_that_was_inside_before(
    make_http: Any, admin: Any, log_in: Any
) -> None:
    http = make_http(login_burst_per_account=2)
    address = "198.51.100.7"

    async def wherever(method: str, path: str, **named: Any) -> Any:
        return await http(method, path, **{**named, "address": address})

    known, strange = Browser(wherever), Browser(wherever)
    assert (await known.log_in()).status == 303
    (cookie,) = [each for each in known.set_cookies if each.startswith("kappi_admin_device=")]
    for attribute in ("HttpOnly", "SameSite=strict", "Secure", "Path=/admin", "Max-Age=7776000"):
        assert attribute in cookie
    await known.post("/admin/logout", {})
    for number in range(4):
        await log_in("root@example.com", password="wrong one", http=http, address=f"203.0.113.{number}")

    assert (await strange.log_in()).status == 303, "from an address that is known"
    address = "198.51.100.8"
    strange.cookies.clear()
    assert b"Too many attempts" in (await strange.log_in()).body
    assert (await known.log_in()).status == 303, "with the cookie of the device"


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null", "http://kappi.example"])
async def test_a_form_from_elsewhere_is_refused(http: Any, browser: Browser, origin: str | None) -> None:
    await browser.log_in()
    other = Browser(http, origin=origin)
    other.cookies = browser.cookies
    await other.get("/admin/tiers/create")
    for path in ("/admin/tiers/create", LOGIN, "/admin/logout"):
        answer = await other.post(path, {"name": "Evil"})
        assert (answer.status, answer.code) == (403, "origin_refused")
    assert await _inside(browser)


async def test_a_form_without_the_hidden_token_is_refused(browser: Browser) -> None:
    await browser.log_in()
    answer = await browser.post("/admin/tiers/create", {"name": "Evil"}, token="")
    assert answer.status == 403
    forged = await browser.post("/admin/tiers/create", {"name": "Evil"}, token="forged")
    assert forged.status == 403


async def test_the_panel_goes_by_the_address_the_gateway_names(http: Any, admin: Any) -> None:
    forwarded = {"x-forwarded-host": "localhost:8000", "x-forwarded-proto": "http"}

    async def through_the_gateway(method: str, path: str, *, headers: Any = None, **named: Any) -> Any:
        return await http(method, path, headers={**(headers or {}), **forwarded}, **named)

    browser = Browser(through_the_gateway, origin="http://localhost:8000")
    answer = await browser.log_in()
    assert answer.status == 303
    assert answer.headers["location"].startswith("http://localhost:8000/admin")


async def test_a_session_ends_in_time_and_with_the_role(browser: Browser, clock: Any, database: Any) -> None:
    await browser.log_in()
    clock.pass_by(timedelta(hours=8) - timedelta(seconds=1))
    assert await _inside(browser)
    clock.pass_by(timedelta(seconds=1))
    assert not await _inside(browser)
    await browser.log_in()
    assert await _inside(browser)
    await database.hot.execute("UPDATE accounts SET role = 'user'")
    assert not await _inside(browser)


@pytest.mark.parametrize("cookie", ["", "nonsense", "WyJhIiwiYiJd.AAAA"])
async def test_a_cookie_that_is_not_ours_is_nothing(browser: Browser, cookie: str) -> None:
    browser.cookies["kappi_admin"] = cookie
    assert not await _inside(browser)


async def test_a_tier_is_made_changed_and_deleted_and_that_is_told(
    browser: Browser, published: Any, http: Any, admin: Any
) -> None:
    await browser.log_in()
    await browser.get("/admin/tiers/create")
    form = {
        "name": "Studio",
        "rendition_sizes": "777, 123",
        "original_access": "on",
        "max_file_bytes": "1000",
        "quota_bytes": "",
    }
    assert (await browser.post("/admin/tiers/create", form)).status == 303
    made = (await http("GET", "/v1/admin/tiers/studio", token=admin.access_token)).json
    assert made == {
        "name": "Studio",
        "rendition_sizes": [123, 777],
        "original_access": True,
        "expiring_links": False,
        "max_file_bytes": 1000,
        "quota_bytes": None,
    }

    edit = await browser.get("/admin/tiers/edit?pk=Studio")
    assert edit.status == 200
    assert b"123, 777" in edit.body
    del form["original_access"]
    assert (await browser.post("/admin/tiers/edit?pk=Studio", {**form, "quota_bytes": "5"})).status == 303
    changed = (await http("GET", "/v1/admin/tiers/studio", token=admin.access_token)).json
    assert (changed["original_access"], changed["quota_bytes"]) == (False, 5)

    gone = await browser.act("/admin/_api/tiers/row-action?pk=Studio&name=delete")
    assert gone.status == 200
    events = [(sequence, event) for topic, sequence, event in await published() if topic == "TierChanged"]
    assert [(sequence, event["deleted"]) for sequence, event in events] == [(1, False), (2, False), (3, True)]


async def test_what_the_rules_refuse_is_said_beside_the_field(browser: Browser, published: Any) -> None:
    await browser.log_in()
    await browser.get("/admin/tiers/create")
    form = {"name": "Basic", "rendition_sizes": "200", "max_file_bytes": "1"}
    for changed, said in (
        ({}, "There is a tier of this name"),
        ({"name": "7up"}, "is a letter"),
        ({"name": "New", "rendition_sizes": "big"}, "Whole numbers"),
        ({"name": "New", "rendition_sizes": "5"}, "greater than or equal to 16"),
        ({"name": "New", "max_file_bytes": ""}, "required"),
    ):
        answer = await browser.post("/admin/tiers/create", {**form, **changed})
        assert answer.status == 422
        assert said in answer.body.decode()
    refused = await browser.act("/admin/_api/tiers/row-action?pk=Basic&name=delete")
    assert refused.status == 400
    assert "cannot be deleted" in refused.body.decode()
    missing = await browser.get("/admin/tiers/edit?pk=Nothing")
    assert missing.status == 404
    assert "TierChanged" not in [topic for topic, _, _ in await published()]


async def test_accounts_are_searched_and_moved_and_nothing_else(
    browser: Browser, sign_up: Any, http: Any, published: Any
) -> None:
    ada, _ = await sign_up(), await sign_up("eve@example.com")
    await browser.log_in()
    listed = (await browser.get("/admin/accounts/list")).body.decode()
    assert ada.email in listed
    assert "argon2" not in listed
    found = (await browser.get(f"/admin/accounts/list?q={quote('ada@')}")).body.decode()
    assert ada.email in found
    assert "eve@example.com" not in found

    edit = (await browser.get(f"/admin/accounts/edit?pk={ada.id}")).body.decode()
    assert "Premium" in edit
    assert 'value="Anonymous"' not in edit
    form = {"tier": "Premium", "role": "admin", "email": "x@example.com"}
    assert (await browser.post(f"/admin/accounts/edit?pk={ada.id}", form)).status == 303
    account = (await http("GET", "/v1/me", token=ada.access_token)).json
    assert (account["tier"], account["role"], account["email"]) == ("Premium", "user", ada.email)
    assert [topic for topic, _, _ in await published()][-1] == "AccountTierChanged"

    anonymous = await browser.post(f"/admin/accounts/edit?pk={ada.id}", {"tier": "Anonymous"})
    assert anonymous.status == 422
    assert (await browser.get("/admin/accounts/create")).status == 403
    deletion = await browser.act(f"/admin/_api/accounts/row-action?pk={ada.id}&name=delete")
    assert deletion.status == 400
    assert (await http("GET", "/v1/me", token=ada.access_token)).status == 200
    for way in ("export", "import"):
        assert (await browser.get(f"/admin/accounts/{way}")).status in (403, 404)


@pytest.mark.parametrize(
    "query",
    [
        "accounts/list?q=%00",
        "accounts/list?page=99999999999999999999",
        "tiers/detail?pk=%00",
        "_api/accounts/relation-lookup?skip=9223372036854775808",
    ],
)
async def test_what_the_database_cannot_take_is_refused(browser: Browser, query: str) -> None:
    await browser.log_in()
    answer = await browser.get(f"/admin/{query}")
    assert (answer.status, answer.code) == (422, "validation_failed")


async def test_the_page_for_a_new_password_names_its_own_script_alone(http: Any) -> None:
    answer = await http("GET", "/reset-password")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "'unsafe-inline'" not in policy
    assert policy.count("'sha256-") == 2
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_an_account_is_suspended_and_reinstated(browser: Browser, sign_up: Any, log_in: Any) -> None:
    ada = await sign_up()
    await browser.log_in()
    await browser.get(f"/admin/accounts/edit?pk={ada.id}")
    form = {"tier": "Basic", "suspension_reason": "Reported as spam"}
    assert (await browser.post(f"/admin/accounts/edit?pk={ada.id}", form)).status == 303
    assert (await log_in(ada.email)).code == "account_suspended"
    shown = (await browser.get(f"/admin/accounts/edit?pk={ada.id}")).body.decode()
    assert "Reported as spam" in shown
    assert (
        await browser.post(f"/admin/accounts/edit?pk={ada.id}", {**form, "suspension_reason": ""})
    ).status == 303
    assert (await log_in(ada.email)).status == 200


async def test_a_gallery_is_taken_down_and_that_is_lifted(
    browser: Browser, published: Any, http: Any, admin: Any
) -> None:
    await browser.log_in()
    await browser.get("/admin/takedowns/create")
    refused = await browser.post("/admin/takedowns/create", {"gallery": "no gallery", "reason": " "})
    assert refused.status == 422
    assert "Give the id or the code" in refused.body.decode()
    form = {"gallery": "K7WQ", "reason": "Reported as spam"}
    assert (await browser.post("/admin/takedowns/create", form)).status == 303
    listed = (await browser.get("/admin/takedowns/list")).body.decode()
    assert "k7wq" in listed
    assert "Reported as spam" in listed
    (made,) = (await http("GET", "/v1/admin/takedowns", token=admin.access_token)).json["items"]
    gone = await browser.act(f"/admin/_api/takedowns/row-action?pk={made['id']}&name=delete")
    assert gone.status == 200
    (lifted,) = (await http("GET", "/v1/admin/takedowns", token=admin.access_token)).json["items"]
    assert lifted["lifted_by"] == lifted["ordered_by"]
    told = [event["lifted"] for topic, _, event in await published() if topic == "GalleryTakedownChanged"]
    assert told == [False, True]
    assert (await browser.get(f"/admin/takedowns/edit?pk={made['id']}")).status == 403
