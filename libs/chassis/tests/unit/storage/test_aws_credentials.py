from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from kappi_chassis.storage import StorageUnavailable
from kappi_chassis.storage.aws_credentials import RenewedCredentials, boto3_chain
from kappi_chassis.storage.s3_client import S3Address, make_client
from kappi_chassis.storage.s3_signing import Addressing, S3UrlSigner
from kappi_chassis.storage.sigv4 import Credentials
from kappi_testkit.eventually import eventually

FIRST, SECOND = Credentials("FIRST", "s1", "t1"), Credentials("SECOND", "s2", "t2")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Aws:
    """A source of credentials under the test's control."""

    def __init__(self) -> None:
        self.gives: Credentials | None = FIRST
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = 0
        self.seconds = 0.0

    def begin(self) -> Aws:
        return self

    def __call__(self) -> Credentials:
        self.asked += 1
        assert self.may_answer.wait(10)
        if self.gives is None:
            raise StorageUnavailable("none")
        return self.gives

    def source(self) -> RenewedCredentials:
        return RenewedCredentials(self.begin, clock=lambda: self.seconds)


async def test_credentials_are_renewed_once_a_minute_in_the_background() -> None:
    aws = Aws()
    source = aws.source()
    assert [source() for _ in range(100)] == [FIRST] * 100
    assert aws.asked == 1
    aws.gives = SECOND
    aws.may_answer.clear()
    aws.seconds += 61
    assert [source() for _ in range(100)] == [FIRST] * 100
    aws.may_answer.set()

    async def renewed() -> None:
        assert source() == SECOND

    await eventually(renewed)
    assert aws.asked == 2
    assert source() is source()


async def test_old_credentials_are_kept_until_there_are_new_ones() -> None:
    aws = Aws()
    source = aws.source()
    assert source() == FIRST
    aws.gives = None
    for minute in range(2, 5):
        aws.seconds += 61
        assert source() == FIRST

        async def asked(times: int = minute) -> None:
            assert source() == FIRST
            assert aws.asked == times

        await eventually(asked)
    aws.gives = SECOND

    async def renewed() -> None:
        aws.seconds += 61
        assert source() == SECOND

    await eventually(renewed)


def test_unchanged_credentials_stay_the_same_object() -> None:
    aws = Aws()
    source = aws.source()
    first = source()
    aws.gives = Credentials("FIRST", "s1", "t1")
    for _ in range(50):
        aws.seconds += 61
        assert source() is first


def test_missing_credentials_are_an_error_until_there_are_some() -> None:
    aws = Aws()
    aws.gives = None
    source = aws.source()
    for _ in range(100):
        with pytest.raises(StorageUnavailable, match="none"):
            source()
    assert aws.asked == 1, "each request to the source would delay all calls"
    aws.gives = FIRST
    aws.seconds += 11
    assert source() == FIRST


def test_urls_are_signed_with_the_current_credentials() -> None:
    given = [FIRST]
    signer = S3UrlSigner(
        endpoint="https://s3.example.org",
        region="eu-west-3",
        bucket="photos",
        credentials=lambda: given[0],
        addressing=Addressing.PATH,
    )
    for credentials in (FIRST, FIRST, SECOND, FIRST):
        given[0] = credentials
        fixed = S3UrlSigner(
            endpoint="https://s3.example.org",
            region="eu-west-3",
            bucket="photos",
            credentials=credentials,
            addressing=Addressing.PATH,
        )
        lifetime = timedelta(minutes=5)
        assert signer.sign_get("k", now=NOW, lifetime=lifetime) == fixed.sign_get(
            "k", now=NOW, lifetime=lifetime
        )


def test_client_and_signer_use_the_chain_of_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "CHAIN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    assert boto3_chain()() == Credentials("CHAIN", "secret", None)
    address = S3Address(bucket="photos", region="eu-west-3", endpoint="http://127.0.0.1:1")
    client = make_client(address, credentials=None, connections=1)
    assert "Credential=CHAIN%2F" in client.generate_presigned_url(
        "get_object", Params={"Bucket": "photos", "Key": "k"}
    )
    client.close()


def test_a_machine_without_credentials_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageUnavailable, match="no credentials"):
        boto3_chain()()
