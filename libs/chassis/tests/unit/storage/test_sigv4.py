"""The signer compared with botocore's own, on a frozen clock, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from unittest.mock import patch
from urllib.parse import quote

import boto3
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kappi_chassis.storage import ContentBinding
from kappi_chassis.storage.s3_signing import Addressing, S3UrlSigner
from kappi_chassis.storage.sigv4 import MAX_EXPIRES_S, Credentials, QuerySigner, encode_path

NOW = datetime(2026, 2, 28, 23, 59, 59, 987_000, tzinfo=UTC)
NASTY = [
    "a//b",
    "/lead",
    "trail/",
    "%2F%zz%",
    "a b+c~d",
    "😀/👩‍👩‍👧",
    "a/../b/./c",
    "\u202e\x01\n",
    "ключ",
    "'\"()*!",
    "?#[]@&=;",
]

keys = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
header_values = st.text(st.sampled_from("abcXYZ019/+=-*;.\"'%_~"), min_size=1, max_size=30)
header_names = st.sampled_from(
    [
        "cache-control",
        "content-length",
        "content-type",
        "if-none-match",
        "range",
        "x-amz-checksum-sha256",
        "x-zz",
    ]
)
# Lower-case ones as S3 has them; the others sort before, between and after the signature's own.
query_names = st.sampled_from(
    [
        "response-content-disposition",
        "response-content-type",
        "partNumber",
        "uploadId",
        "versionId",
        "a b",
        "A-first",
        "X-Amz-Meta",
        "X-Amz-Zone",
        "Zulu",
        "é",
    ]
)
instants = st.datetimes(
    datetime(2001, 1, 1),  # noqa: DTZ001  # the strategy adds the zone
    datetime(2099, 1, 1),  # noqa: DTZ001  # as above
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))]),
)
endpoints = st.sampled_from(
    [
        "https://s3.eu-central-1.amazonaws.com",
        "http://127.0.0.1:9000",
        "https://Store.Example.org:443",
        "http://host:80",
        "http://[::1]:9000",
        "https://bucket.s3.example.org:8443/",
    ]
)
tokens = st.sampled_from([None, "FwoGZXIvYXdzEJr//////////wEaDP+token=="])


def oracle(
    method: str,
    url: str,
    *,
    credentials: Credentials,
    region: str,
    now: datetime,
    expires_s: int,
    headers: dict[str, str],
    query: dict[str, str],
) -> str:
    request = AWSRequest(method=method, url=url, headers=headers, params=query)
    boto_credentials = BotoCredentials(
        credentials.access_key, credentials.secret_key, credentials.session_token
    )
    with patch("botocore.auth.get_current_datetime", return_value=now.astimezone(UTC)):
        S3SigV4QueryAuth(boto_credentials, "s3", region, expires=expires_s).add_auth(request)
    assert request.url is not None
    return request.url


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    key=keys,
    method=st.sampled_from(["GET", "PUT", "HEAD", "POST", "DELETE"]),
    endpoint=endpoints,
    now=instants,
    expires_s=st.integers(1, MAX_EXPIRES_S),
    headers=st.dictionaries(header_names, header_values),
    query=st.dictionaries(query_names, values, max_size=4),
    token=tokens,
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
)
def test_byte_identical_to_botocore(
    key: str,
    method: str,
    endpoint: str,
    now: datetime,
    expires_s: int,
    headers: dict[str, str],
    query: dict[str, str],
    token: str | None,
    region: str,
) -> None:
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    signer = QuerySigner(endpoint=endpoint, region=region, credentials=credentials)
    path = "/bucket/" + encode_path(key)
    assert path == "/bucket/" + quote(key, safe="/~")  # as botocore's serializer encodes a key
    ordered = sorted(headers.items())
    ours = signer.presign(
        method,
        path,
        now=now,
        expires_s=expires_s,
        header_names=tuple(name for name, _ in ordered),
        header_values=tuple(value for _, value in ordered),
        query=tuple(query.items()),
    )
    base = ours[: ours.index(path)]
    theirs = oracle(
        method,
        base + path,
        credentials=credentials,
        region=region,
        now=now,
        expires_s=expires_s,
        headers=headers,
        query=query,
    )
    assert ours == theirs


@pytest.mark.parametrize("token", [None, "session/token+="])
@pytest.mark.parametrize("addressing", list(Addressing))
@pytest.mark.parametrize("sha256", [None, bytes(range(32))])
@pytest.mark.parametrize("key", ["galleries/1/2/original", *NASTY])
def test_signed_requests_are_botocores(
    token: str | None, addressing: Addressing, sha256: bytes | None, key: str
) -> None:
    credentials = Credentials("AK", "SK", token)
    signer = S3UrlSigner(
        endpoint="https://s3.example.org",
        region="eu-west-3",
        bucket="photos",
        credentials=credentials,
        addressing=addressing,
    )
    base = {
        Addressing.PATH: "https://s3.example.org/photos/",
        Addressing.VIRTUAL: "https://photos.s3.example.org/",
    }[addressing]
    url = base + quote(key, safe="/~")
    theirs = partial(oracle, credentials=credentials, region="eu-west-3", now=NOW, expires_s=600)
    lifetime = timedelta(minutes=10)
    put = signer.sign_put(
        key, binding=ContentBinding("image/svg+xml; a=b", 1234, sha256), now=NOW, lifetime=lifetime
    )
    assert put.url == theirs("PUT", url, headers={**put.headers, "content-length": "1234"}, query={})
    get = signer.sign_get(key, now=NOW, lifetime=lifetime, filename='"é".jpg', content_type="image/jpeg")
    expected = {
        "response-content-disposition": "attachment; filename=\"_e_.jpg\"; filename*=UTF-8''%22%C3%A9%22.jpg",
        "response-content-type": "image/jpeg",
    }
    assert get.url == theirs("GET", url, headers={}, query=expected)
    plain = signer.sign_get(key, now=NOW, lifetime=lifetime)
    assert plain.url == theirs("GET", url, headers={}, query={})
    assert (plain.headers, plain.expires_at) == ({}, NOW + lifetime)


@pytest.mark.parametrize("token", [None, "session/token+="])
@pytest.mark.parametrize("addressing", list(Addressing))
@pytest.mark.parametrize("key", ["galleries/1/2/original", *NASTY])
def test_a_signed_part_is_botocores(token: str | None, addressing: Addressing, key: str) -> None:
    signer = S3UrlSigner(
        endpoint="https://s3.example.org",
        region="eu-west-3",
        bucket="photos",
        credentials=Credentials("AK", "SK", token),
        addressing=addressing,
    )
    client = boto3.session.Session("AK", "SK", token).client(
        "s3",
        endpoint_url="https://s3.example.org",
        region_name="eu-west-3",
        config=Config(signature_version="s3v4", s3={"addressing_style": addressing.value}),
    )
    ours = signer.sign_part(
        key,
        upload_id="2~a+b/c=é",
        number=10_000,
        size_bytes=5 << 30,
        now=NOW,
        lifetime=timedelta(minutes=10),
    )
    parameters = {
        "Bucket": "photos",
        "Key": key,
        "UploadId": "2~a+b/c=é",
        "PartNumber": 10_000,
        "ContentLength": 5 << 30,
    }
    with patch("botocore.auth.get_current_datetime", return_value=NOW):
        theirs = client.generate_presigned_url("upload_part", Params=parameters, ExpiresIn=600)
    client.close()
    assert ours.url == theirs
    assert "SignedHeaders=content-length%3Bhost" in ours.url
    assert (ours.headers, ours.expires_at) == ({}, NOW + timedelta(minutes=10))


def test_the_derived_key_changes_with_the_day() -> None:
    """One signer is used over midnight in both directions: only this reveals a stale derived key."""
    credentials = Credentials("AK", "SK")
    signer = QuerySigner(endpoint="https://h", region="r", credentials=credentials)
    for now in (NOW, NOW + timedelta(seconds=2), NOW):
        ours = signer.presign("GET", "/b/k", now=now, expires_s=60)
        assert ours == oracle(
            "GET",
            "https://h/b/k",
            credentials=credentials,
            region="r",
            now=now,
            expires_s=60,
            headers={},
            query={},
        )


def test_cached_instants_are_bounded() -> None:
    signer = QuerySigner(endpoint="https://h", region="r", credentials=Credentials("AK", "SK"))
    urls = {signer.presign("GET", "/b/k", now=NOW + timedelta(seconds=n), expires_s=60) for n in range(500)}
    assert len(urls) == 500
    assert len(signer._frames) <= 128


@pytest.mark.parametrize(
    "endpoint", ["s3.example.org", "ftp://host", "https://", "https://host/path", "https://host/path/"]
)
def test_invalid_endpoints_are_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        QuerySigner(endpoint=endpoint, region="r", credentials=Credentials("AK", "SK"))


@pytest.mark.parametrize("names", [("range", "content-type"), ("Range",), ("host",)])
def test_header_names_must_be_canonical(names: tuple[str, ...]) -> None:
    signer = QuerySigner(endpoint="https://h", region="r", credentials=Credentials("AK", "SK"))
    with pytest.raises(ValueError, match="sorted"):
        signer.presign(
            "GET", "/b/k", now=NOW, expires_s=60, header_names=names, header_values=("x",) * len(names)
        )


def test_the_repr_of_credentials_contains_no_secret() -> None:
    shown = repr(Credentials("AKID", "secret", "token"))
    assert not any(part in shown for part in ("AKID", "secret", "token"))
