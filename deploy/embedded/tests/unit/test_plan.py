from pathlib import Path

import pytest
from kappi_embedded.plan import SERVICES, BadSetting, data_dir_from, read_plan


def test_without_settings_all_servers_are_embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    plan = read_plan({})
    assert plan.data_dir == tmp_path / "data"
    assert (plan.host, plan.port, plan.public_url) == ("127.0.0.1", 8000, "http://localhost:8000")
    assert plan.needs_postgres
    assert plan.needs_broker
    assert plan.services == SERVICES


def test_each_server_is_replaced_separately() -> None:
    with_kafka = read_plan({"KAPPI_KAFKA_BOOTSTRAP": "kafka:9092"})
    assert not with_kafka.needs_broker
    assert with_kafka.needs_postgres
    with_s3 = read_plan({"KAPPI_S3_BUCKET": "photos"})
    assert "store" not in {service.name for service in with_s3.services}
    assert with_s3.needs_broker


def test_postgres_runs_unless_every_service_has_a_given_database() -> None:
    some = {"KAPPI_MEDIA_DATABASE_URL": "postgresql://a/media"}
    every = {
        **some,
        "KAPPI_IDENTITY_DATABASE_URL": "postgresql://a/identity",
        "KAPPI_GALLERIES_DATABASE_URL": "postgresql://a/galleries",
        "KAPPI_JANITOR_DATABASE_URL": "postgresql://a/janitor",
    }
    assert read_plan(some).needs_postgres
    assert read_plan(some).database_urls == {"media": "postgresql://a/media"}
    assert not read_plan(every).needs_postgres


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "80 00", "٨٠"])
def test_an_invalid_port_is_named(text: str) -> None:
    with pytest.raises(BadSetting, match="KAPPI_PORT"):
        read_plan({"KAPPI_PORT": text})


def test_the_public_url_follows_host_and_port_unless_given() -> None:
    assert read_plan({"KAPPI_HOST": "0.0.0.0", "KAPPI_PORT": "81"}).public_url == "http://localhost:81"
    assert read_plan({"KAPPI_HOST": "10.1.2.3"}).public_url == "http://10.1.2.3:8000"
    assert read_plan({"KAPPI_PUBLIC_URL": "https://kappi.example/"}).public_url == "https://kappi.example"
    with pytest.raises(BadSetting, match="KAPPI_PUBLIC_URL"):
        read_plan({"KAPPI_PUBLIC_URL": "kappi.example"})


@pytest.mark.parametrize(
    ("given", "direct"),
    [
        ({}, True),
        ({"KAPPI_HOST": "0.0.0.0"}, True),
        ({"KAPPI_PUBLIC_URL": "http://127.0.0.1:8000"}, True),
        ({"KAPPI_HOST": "10.1.2.3"}, False),
        ({"KAPPI_PUBLIC_URL": "https://kappi.example"}, False),
        # A proxy on this machine, which may name the gateway by its own address.
        ({"KAPPI_PUBLIC_URL": "https://localhost:8000"}, False),
        ({"KAPPI_PUBLIC_URL": "http://localhost:8080"}, False),
        ({"KAPPI_PUBLIC_URL": "http://localhost"}, False),
        ({"KAPPI_PUBLIC_URL": "http://localhost:8000/kappi"}, False),
    ],
)
def test_without_a_proxy_any_address_of_the_machine_is_accepted(given: dict[str, str], direct: bool) -> None:
    assert read_plan(given).has_no_other_name is direct


@pytest.mark.parametrize(
    "public_url", ["kappi.example", "https://kappi.example/v1", "https://kappi.example/?a", "https:///kappi"]
)
def test_an_invalid_public_url_is_refused_with_a_sentence(public_url: str) -> None:
    with pytest.raises(BadSetting, match=r"KAPPI_PUBLIC_URL: .* \w+") as refused:
        read_plan({"KAPPI_PUBLIC_URL": public_url})
    assert public_url in str(refused.value)


def test_a_relative_data_dir_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_dir_from({"KAPPI_DATA_DIR": "my photos/data"}) == tmp_path / "my photos" / "data"


def test_an_invalid_reserve_is_named() -> None:
    assert read_plan({}).store_reserve_bytes is None
    assert read_plan({"KAPPI_LOCAL_STORE_RESERVE_BYTES": "1000"}).store_reserve_bytes == 1000
    with pytest.raises(BadSetting, match="KAPPI_LOCAL_STORE_RESERVE_BYTES"):
        read_plan({"KAPPI_LOCAL_STORE_RESERVE_BYTES": "1 GB"})
