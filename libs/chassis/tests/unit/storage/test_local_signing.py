from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.storage import ContentBinding, SignedRequest
from kappi_chassis.storage.disposition import attachment
from kappi_chassis.storage.local_signing import (
    LocalUrlSigner,
    LocalUrlVerifier,
    PartBinding,
    SignatureRejected,
    SignedClaims,
    UrlExpired,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIFETIME = timedelta(minutes=10)
SECRET = b"0123456789abcdef"
SIGNER = LocalUrlSigner(base_url="http://host:8000/store/", secret=SECRET)
VERIFIER = LocalUrlVerifier(secret=SECRET)
BINDING = ContentBinding("image/jpeg", 77, bytes(range(32)))

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def verify(request: SignedRequest, *, now: datetime = NOW, http_method: str | None = None) -> SignedClaims:
    url = urlsplit(request.url)
    key = unquote(url.path).removeprefix("/store/")
    return VERIFIER.verify(http_method or request.http_method, key, url.query.encode(), now=now)


@given(
    key=keys, filename=st.none() | st.text(), content_type=st.sampled_from([None, "image/jpeg", "a/b; c=d&e"])
)
def test_a_verified_get_has_its_signed_claims(
    key: str, filename: str | None, content_type: str | None
) -> None:
    request = SIGNER.sign_get(key, now=NOW, lifetime=LIFETIME, filename=filename, content_type=content_type)
    disposition = attachment(filename) if filename is not None else None
    assert verify(request) == SignedClaims(key, content_type=content_type, disposition=disposition)


@given(key=keys, size_bytes=st.integers(0, 1 << 42), sha256=st.none() | st.binary(min_size=32, max_size=32))
def test_a_verified_put_has_its_bound_content(key: str, size_bytes: int, sha256: bytes | None) -> None:
    binding = ContentBinding("video/mp4", size_bytes, sha256)
    assert verify(SIGNER.sign_put(key, binding=binding, now=NOW, lifetime=LIFETIME)).binding == binding


@given(
    key=keys,
    upload_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50),
    number=st.integers(1, 10_000),
    size_bytes=st.integers(0, 1 << 42),
)
def test_a_verified_part_has_its_bound_content(
    key: str, upload_id: str, number: int, size_bytes: int
) -> None:
    request = SIGNER.sign_part(
        key, upload_id=upload_id, number=number, size_bytes=size_bytes, now=NOW, lifetime=LIFETIME
    )
    assert verify(request) == SignedClaims(key, part=PartBinding(upload_id, number, size_bytes))
    with pytest.raises(SignatureRejected):
        verify(request, http_method="GET")


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("&part=3", "&part=4"),
        lambda url: url.replace("&part=3", ""),
        lambda url: url.replace("&upload=u", "&upload=v"),
        lambda url: url.replace("&upload=u", ""),
        lambda url: url.replace("&upload=u&part=3", ""),
        lambda url: url.replace("&size=7", "&size=8"),
        lambda url: url.replace("&size=7", "&size=7&type=a%2Fb"),
    ],
)
def test_the_url_of_one_part_is_not_valid_for_another(change: Callable[[str], str]) -> None:
    request = SIGNER.sign_part("k", upload_id="u", number=3, size_bytes=7, now=NOW, lifetime=LIFETIME)
    verify(request)
    assert change(request.url) != request.url
    with pytest.raises(SignatureRejected):
        verify(request._replace(url=change(request.url)))


@given(data=st.data())
def test_a_url_with_one_changed_character_is_refused(data: st.DataObject) -> None:
    request = SIGNER.sign_put("galleries/a/b", binding=BINDING, now=NOW, lifetime=LIFETIME)
    begin = request.url.index("/store/") + len("/store/")
    at = data.draw(st.integers(begin, len(request.url) - 1))
    char = data.draw(st.sampled_from("0123456789abcdefxyz%&=+/.-").filter(lambda c: c != request.url[at]))
    changed = request._replace(url=request.url[:at] + char + request.url[at + 1 :])
    if unquote(changed.url) == unquote(request.url):  # %2f for %2F: the same URL (RFC 3986, 6.2.2.1)
        assert verify(changed) == verify(request)
        return
    with pytest.raises(SignatureRejected):
        verify(changed)


def test_an_equivalent_spelling_of_a_url_is_accepted() -> None:
    request = SIGNER.sign_put("galleries/a/b", binding=BINDING, now=NOW, lifetime=LIFETIME)
    assert "image%2Fjpeg" in request.url
    assert verify(request._replace(url=request.url.replace("%2F", "%2f"))).binding == BINDING


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url + "&create=false",
        lambda url: url + "&size=99",
        lambda url: url.replace("&size=77", ""),
        lambda url: url.replace("expires=", "expires=9"),
        lambda url: url.replace("&sha256=", "&SHA256="),
        lambda url: url.partition("&signature=")[0],
        lambda url: url.partition("&signature=")[0] + "&signature=",
        lambda url: url.partition("&signature=")[0] + "&signature=%C3%A9",
        lambda url: url + "&expires=1" * 2000,
        lambda url: url + "&%ff=1",
        lambda url: url.partition("?")[0] + "?",
        lambda url: url.partition("?")[0] + "?&&",
    ],
)
def test_changed_queries_are_refused(change: Callable[[str], str]) -> None:
    request = SIGNER.sign_put("k", binding=BINDING, now=NOW, lifetime=LIFETIME)
    verify(request)
    with pytest.raises(SignatureRejected):
        verify(request._replace(url=change(request.url)))


def test_a_url_for_get_is_not_valid_for_put_and_the_reverse() -> None:
    with pytest.raises(SignatureRejected):
        verify(SIGNER.sign_get("k", now=NOW, lifetime=LIFETIME), http_method="PUT")
    with pytest.raises(SignatureRejected):
        verify(SIGNER.sign_put("k", binding=BINDING, now=NOW, lifetime=LIFETIME), http_method="GET")


def test_a_url_expires_to_the_second() -> None:
    request = SIGNER.sign_get("k", now=NOW, lifetime=LIFETIME)
    assert request.expires_at == NOW + LIFETIME
    verify(request, now=NOW + LIFETIME - timedelta(microseconds=1))
    with pytest.raises(UrlExpired):
        verify(request, now=NOW + LIFETIME)


def test_a_url_signed_with_another_secret_is_refused() -> None:
    other = LocalUrlSigner(base_url="http://host:8000/store/", secret=SECRET[::-1])
    with pytest.raises(SignatureRejected):
        verify(other.sign_get("k", now=NOW, lifetime=LIFETIME))


@pytest.mark.parametrize("base_url", ["http://host/store", "/store/", "ftp://host/", "http:///store/"])
def test_invalid_base_urls_are_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        LocalUrlSigner(base_url=base_url, secret=SECRET)


def test_short_secrets_are_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        LocalUrlVerifier(secret=b"short")


@given(key=keys)
def test_a_signature_is_a_plain_hmac(key: str) -> None:
    """Prepared HMAC contexts make signing fast; URLs of earlier versions stay valid."""
    url = urlsplit(SIGNER.sign_get(key, now=NOW, lifetime=LIFETIME).url)
    query, _, signature = url.query.partition("&signature=")
    signing_key = hmac.digest(SECRET, b"kappi local store url v1", "sha256")
    signed = f"GET\n{url.path.removeprefix('/store/')}\n{query}".encode()
    assert signature == hmac.digest(signing_key, signed, "sha256").hex()
