from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.s3 import S3ObjectStore
from kappi_chassis.storage.settings import StorageNotConfigured, StorageSettings, build_signer, build_store

NOW = datetime(2026, 5, 1, tzinfo=UTC)
FromEnvironment = Callable[..., StorageSettings]
S3 = {
    "KAPPI_S3_ENDPOINT": "http://s3.internal:9000",
    "KAPPI_S3_BUCKET": "photos",
    "KAPPI_S3_ACCESS_KEY": "AK",
    "KAPPI_S3_SECRET_KEY": "hidden-secret-key",
}
LOCAL = {
    "KAPPI_LOCAL_STORE_DIR": "/var/kappi",
    "KAPPI_LOCAL_STORE_URL": "http://localhost:8000/store/",
    "KAPPI_LOCAL_STORE_SECRET": "hidden-local-secret",
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> FromEnvironment:
    def from_environment(*environments: dict[str, str]) -> StorageSettings:
        for name in (*S3, *LOCAL, "KAPPI_S3_PUBLIC_ENDPOINT", "KAPPI_S3_ADDRESSING", "KAPPI_S3_REGION"):
            monkeypatch.delenv(name, raising=False)
        for environment in environments:
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
        return StorageSettings()

    return from_environment


def url(settings: StorageSettings) -> str:
    return build_signer(settings).sign_get("a/b", now=NOW, lifetime=timedelta(minutes=1)).url


def test_a_folder_means_the_local_store(settings: FromEnvironment) -> None:
    chosen = settings(LOCAL)
    assert isinstance(build_store(chosen), LocalObjectStore)
    assert url(chosen).startswith("http://localhost:8000/store/a/b?expires=")
    assert chosen.local_store_dir == Path("/var/kappi")


def test_s3_wins_over_the_folder(settings: FromEnvironment) -> None:
    chosen = settings(LOCAL, S3)
    assert isinstance(build_store(chosen), S3ObjectStore)
    assert url(chosen).startswith("http://s3.internal:9000/photos/a/b?X-Amz-Algorithm=")


def test_clients_may_use_another_address_of_s3(settings: FromEnvironment) -> None:
    chosen = settings(
        S3, {"KAPPI_S3_PUBLIC_ENDPOINT": "https://s3.example.org", "KAPPI_S3_ADDRESSING": "virtual"}
    )
    assert url(chosen).startswith("https://photos.s3.example.org/a/b?")


def test_a_bucket_alone_means_aws(settings: FromEnvironment) -> None:
    without_endpoint = {name: value for name, value in S3.items() if name != "KAPPI_S3_ENDPOINT"}
    chosen = settings(without_endpoint, {"KAPPI_S3_REGION": "eu-west-1", "KAPPI_S3_ADDRESSING": "virtual"})
    assert isinstance(build_store(chosen), S3ObjectStore)
    assert url(chosen).startswith("https://photos.s3.eu-west-1.amazonaws.com/a/b?")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "KAPPI_LOCAL_STORE_DIR"),
        ({"KAPPI_S3_ENDPOINT": "http://x"}, "KAPPI_S3_BUCKET"),
        ({"KAPPI_S3_BUCKET": "x", "KAPPI_S3_ACCESS_KEY": "k"}, "KAPPI_S3_SECRET_KEY"),
        ({"KAPPI_S3_BUCKET": "x", "KAPPI_S3_SECRET_KEY": "k"}, "KAPPI_S3_ACCESS_KEY"),
        ({"KAPPI_S3_BUCKET": "x", "KAPPI_S3_SESSION_TOKEN": "t"}, "KAPPI_S3_ACCESS_KEY"),
    ],
)
def test_an_incomplete_configuration_is_refused(
    settings: FromEnvironment, environment: dict[str, str], message: str
) -> None:
    chosen = settings(environment)
    with pytest.raises(StorageNotConfigured, match=message):
        build_store(chosen)
    with pytest.raises(StorageNotConfigured, match=message):
        build_signer(chosen)


def test_without_keys_the_aws_chain_provides_them(settings: FromEnvironment) -> None:
    chosen = settings(
        {"KAPPI_S3_BUCKET": "photos"},
        {"AWS_ACCESS_KEY_ID": "OF-THE-POD", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "temporary"},
    )
    assert isinstance(build_store(chosen), S3ObjectStore)
    signed = url(chosen)
    assert "X-Amz-Credential=OF-THE-POD%2F" in signed
    assert "X-Amz-Security-Token=temporary" in signed


@pytest.mark.parametrize("missing", ["KAPPI_LOCAL_STORE_URL", "KAPPI_LOCAL_STORE_SECRET"])
def test_a_folder_needs_an_address_and_a_secret_to_sign(settings: FromEnvironment, missing: str) -> None:
    chosen = settings({name: value for name, value in LOCAL.items() if name != missing})
    with pytest.raises(StorageNotConfigured, match=missing):
        build_signer(chosen)


def test_settings_are_frozen_and_keep_their_secrets(settings: FromEnvironment) -> None:
    chosen = settings(S3, LOCAL)
    assert "hidden" not in repr(chosen)
    with pytest.raises(ValueError, match="frozen"):
        setattr(chosen, "s3_bucket", "other")  # noqa: B010  # mypy sees that it is frozen too


def test_the_local_store_does_not_load_boto3() -> None:
    import subprocess

    program = (
        "import sys; from kappi_chassis.storage.settings import *; "
        "build_store(StorageSettings()); build_signer(StorageSettings()); "
        "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], env=LOCAL, check=False)
    assert ended.returncode == 0
