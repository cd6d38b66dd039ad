"""Every kind of issued token is redacted in logs, at any position of a line."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog
from itsdangerous import URLSafeSerializer
from kappi_chassis.auth import SigningKey
from kappi_chassis.observability.logs import configure_logging, get_logger
from kappi_chassis.observability.secret_shapes import holds_secret, without_secrets
from kappi_chassis.storage.local_signing import LocalUrlSigner
from kappi_chassis.storage.s3_signing import Addressing, S3UrlSigner
from kappi_chassis.storage.sigv4 import Credentials
from kappi_galleries.domain.credentials import new_access_key
from kappi_identity.domain.tokens import new_refresh_token, new_reset_token
from kappi_identity.mailer import reset_link
from kappi_identity.panel.login import COOKIE
from kappi_media.use_cases.links import TOKEN_BYTES

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for part in ("services", "libs", "clients", "deploy")
    for path in (ROOT / part).rglob("kappi_*/**/*.py")
]
NOW, LIFETIME = datetime(2026, 6, 1, tzinfo=UTC), timedelta(minutes=5)
KEY = "galleries/1/2/original"
LOCAL = LocalUrlSigner(base_url="https://kappi.example/store/", secret=b"s" * 32)
S3 = S3UrlSigner(
    endpoint="https://s3.example",
    region="eu-central-1",
    bucket="kappi",
    credentials=Credentials(access_key="AKIA5EXAMPLE", secret_key="s", session_token="FwoGZXIvYXdz/token"),
    addressing=Addressing.PATH,
)


def _jwt() -> str:
    return SigningKey.generate().sign({"sub": "1"})


def _cookie() -> str:
    signed = URLSafeSerializer(b"s" * 32).dumps(["1", "2"])
    return f"{COOKIE}={signed}"


def _after(text: str, mark: str) -> str:
    return text.partition(mark)[2]


# By kind: a text, and the part of it that must not be logged.
MADE: dict[str, Callable[[], tuple[str, str]]] = {
    "access key": lambda: _whole(new_access_key()),
    "access key in capitals": lambda: _whole(new_access_key().upper()),
    "refresh token": lambda: _whole(new_refresh_token()),
    "reset token": lambda: _whole(new_reset_token()),
    "reset link": lambda: (reset_link("https://kappi.example", token := new_reset_token()), token),
    "access token or grant": lambda: _whole(_jwt()),
    "link": lambda: (f"https://kappi.example/v1/l/{(token := secrets.token_urlsafe(TOKEN_BYTES))}", token),
    "URL of the local store": lambda: (
        url := LOCAL.sign_get(KEY, now=NOW, lifetime=LIFETIME).url,
        _after(url, "signature="),
    ),
    "URL of S3": lambda: (
        url := S3.sign_get(KEY, now=NOW, lifetime=LIFETIME).url,
        _after(url, "X-Amz-Signature="),
    ),
    "session of S3": lambda: (
        url := S3.sign_get(KEY, now=NOW, lifetime=LIFETIME).url,
        _after(url, "X-Amz-Security-Token=").partition("&")[0],
    ),
    "cookie of the panel": lambda: (cookie := _cookie(), _after(cookie, "=")),
    "database": lambda: ("postgresql://kappi:s3cr3t@db/kappi", "s3cr3t"),
    "private key": lambda: (pem := SigningKey.generate().to_pem(), pem.splitlines()[1]),
    "Basic credentials": lambda: ("authorization: Basic c3RvcmU6c2VjcmV0", "c3RvcmU6c2VjcmV0"),
    "password in JSON": lambda: ('{"email": "a@b.c", "password": "pastel de nata"}', "pastel de nata"),
    "password in a header": lambda: ("X-Gallery-Password: pastel de nata", "pastel de nata"),
}
NOT_IN_URLS = {"database", "private key", "Basic credentials"}
ENDING_WITH_QUOTES = {"password in JSON", "password in a header"}
"""These end with their line or their quotes."""
PLACES: dict[str, Callable[[str], str]] = {
    "alone": lambda text: text,
    "in a sentence": lambda text: f"cannot go on with {text}, giving up",
    "as a parameter": lambda text: f"https://kappi.example/?next={quote(text, safe='')}&limit=5",
    "in a repr": lambda text: repr({"value": text}),
}


def _fail(why: str) -> None:
    raise OSError(why)


def _whole(secret: str) -> tuple[str, str]:
    return secret, secret.removeprefix("kappi_").removeprefix("KAPPI_").removeprefix("eyJ")


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


@pytest.mark.parametrize("kind", MADE)
def test_no_log_line_contains_the_secret(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, secret = MADE[kind]()
    configure_logging(service="test", level="INFO", renderer="json")
    log = get_logger("a")
    for place, put in PLACES.items():
        if (kind in ENDING_WITH_QUOTES and place != "alone") or (
            kind in NOT_IN_URLS and place == "as a parameter"
        ):
            continue
        written = put(text)
        log.warning(written)
        log.warning("event", where=written, nested={"list": [{"deep": written}, (written,)]})
        log.warning("event", error=ValueError(written))
        logging.getLogger("library").warning("it said %s", written)
        try:
            _fail(written)
        except OSError:
            log.exception("event")
            logging.getLogger("library").exception("event")
    lines = capsys.readouterr().out
    assert lines.count("\n") >= 6
    for form in {secret, quote(secret, safe="")}:
        assert form not in lines, kind
    assert not holds_secret(lines)
    assert holds_secret(text), "the search of logs would not find it"


@pytest.mark.parametrize(
    "value",
    [
        [("x-gallery-password", "pastel de nata"), ("accept", "*/*")],
        [(b"x-gallery-password", b"pastel de nata")],
        {"headers": {b"authorization": "pastel de nata"}},
        {new_refresh_token(): "pastel"},
    ],
    ids=["pairs", "pairs of bytes", "names in bytes", "a name"],
)
def test_secret_headers_are_recognised_by_name(value: object, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(service="test", level="INFO", renderer="json")
    get_logger("a").warning("event", value=value)
    line = capsys.readouterr().out
    assert "pastel de nata" not in line
    assert not holds_secret(line)


def test_a_password_hash_is_a_secret() -> None:
    assert without_secrets("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA") == "$argon2id$[redacted]"


@pytest.mark.parametrize(
    "text",
    [
        "kappi_gateway_limited_requests_total is 3",
        "http://127.0.0.1:8000/v1/g/abcd?limit=5",
        "/v1/l/{token}",
        "tier Basic has no links",
        "the database kappi_identity is away: retry in 5 s",
        "KAPPI_IDENTITY_KEY_SECRET has fewer than 32 characters",
    ],
)
def test_other_texts_are_not_redacted(text: str) -> None:
    assert without_secrets(text) == text


def test_long_texts_are_searched_in_linear_time() -> None:
    for piece in ("eyJ", "a", "kappi_", "token", "://:", "\\", "password'", "bearer ", "%25"):
        text = "x=" + piece * (200_000 // len(piece))
        started = datetime.now(UTC)
        without_secrets(text)
        assert datetime.now(UTC) - started < timedelta(seconds=5), piece


def test_each_prefix_of_a_token_has_two_letters() -> None:
    """The redaction would not recognise a kind of token with another prefix."""
    found = {
        prefix
        for path in SOURCES
        for prefix in re.findall(r"""["'](kappi_[a-z0-9]+_)["']""", path.read_text())
    }
    assert {"kappi_rt_", "kappi_pw_"} <= found
    assert all(re.fullmatch(r"kappi_[a-z]{2}_", prefix) for prefix in found), found
