from pathlib import Path

import pytest
from kappi_contracts.services import DATABASES
from kappi_embedded.data_dir import DataDir
from kappi_embedded.environment import Addresses, Environments
from kappi_embedded.plan import BY_NAME, SERVICES, read_plan

FETCH_WAIT = "KAPPI_KAFKA_FETCH_MAX_WAIT_MS"
ADDRESSES = Addresses(
    services={service.name: (number, number + 100) for number, service in enumerate(SERVICES, 2000)},
    kafka_bootstrap="127.0.0.1:9",
    databases={name: f"postgresql://kappi:pw-{name}@127.0.0.1/{name}" for name in DATABASES},
)
S3 = {
    "KAPPI_S3_ENDPOINT": "http://s3.internal:9000",
    "KAPPI_S3_PUBLIC_ENDPOINT": "https://s3.example",
    "KAPPI_S3_BUCKET": "photos",
    "KAPPI_S3_SECRET_KEY": "s3-secret",
}


def environments(tmp_path: Path, environ: dict[str, str]) -> dict[str, dict[str, str]]:
    data = DataDir(tmp_path)
    data.secrets.mkdir(exist_ok=True)
    plan = read_plan(environ)
    builder = Environments(plan, data, environ)
    return {service.name: builder.of_service(service, ADDRESSES) for service in plan.services}


def test_a_service_gets_no_secrets_of_other_services(tmp_path: Path) -> None:
    found = environments(tmp_path, {"KAPPI_GALLERIES_SOMETHING": "x", "PATH": "/bin"})
    media = found["media"]
    assert media["KAPPI_MEDIA_DATABASE_URL"] == ADDRESSES.databases["media"]
    assert media["PATH"] == "/bin"
    assert not [
        name for name in media if name.startswith(("KAPPI_GALLERIES_", "KAPPI_JANITOR_", "KAPPI_GATEWAY_"))
    ]
    assert "KAPPI_GALLERIES_SOMETHING" in found["galleries"]
    gateways = {name for name in found["gateway"] if "SECRET" in name or "DATABASE" in name or "KEY" in name}
    assert gateways == {"KAPPI_INTERNAL_SECRET", "KAPPI_EVENT_SECRET"}
    assert "KAPPI_EVENT_SECRET" not in found["store"], "it neither sends nor reads events"
    assert not [name for name in found["galleries"] if name.startswith("KAPPI_LOCAL_STORE_")]


def test_variables_of_the_caller_replace_defaults(tmp_path: Path) -> None:
    found = environments(tmp_path, {"KAPPI_MEDIA_DATABASE_POOL_SIZE": "3", FETCH_WAIT: "200"})
    assert found["media"]["KAPPI_MEDIA_DATABASE_POOL_SIZE"] == "3"
    assert {env[FETCH_WAIT] for env in found.values()} == {"200"}


def test_only_fetches_of_the_embedded_broker_wait_for_seconds(tmp_path: Path) -> None:
    assert {int(env[FETCH_WAIT]) for env in environments(tmp_path, {}).values()} == {5_000}
    with_kafka = environments(tmp_path, {"KAPPI_KAFKA_BOOTSTRAP": "127.0.0.1:9092"})
    assert not [name for name, env in with_kafka.items() if FETCH_WAIT in env]


def test_only_the_public_port_of_the_gateway_is_open_to_other_machines(tmp_path: Path) -> None:
    found = environments(tmp_path, {"KAPPI_HOST": "0.0.0.0", "KAPPI_PORT": "8080"})
    assert found["gateway"]["KAPPI_GATEWAY_HOST"] == "0.0.0.0"
    assert found["gateway"]["KAPPI_GATEWAY_PORT"] == "8080"
    for name, env in found.items():
        assert env[f"KAPPI_{name.upper()}_OPS_HOST"] == "127.0.0.1"
        if name != "gateway":
            assert f"KAPPI_{name.upper()}_HOST" not in env


def test_the_local_store_is_reached_through_the_gateway(tmp_path: Path) -> None:
    found = environments(tmp_path, {"KAPPI_PUBLIC_URL": "https://kappi.example"})
    assert found["media"]["KAPPI_LOCAL_STORE_URL"] == "https://kappi.example/store/"
    assert found["media"]["KAPPI_LOCAL_STORE_SECRET"] == found["store"]["KAPPI_LOCAL_STORE_SECRET"]
    assert found["gateway"]["KAPPI_GATEWAY_STORE_URL"] == ADDRESSES.url("store")


@pytest.mark.parametrize(
    ("addressing", "origin"), [("path", "https://s3.example"), ("virtual", "https://photos.s3.example")]
)
def test_an_s3_replaces_the_local_store(tmp_path: Path, addressing: str, origin: str) -> None:
    found = environments(tmp_path, {**S3, "KAPPI_S3_ADDRESSING": addressing})
    assert found["media"]["KAPPI_S3_SECRET_KEY"] == "s3-secret"
    assert found["gateway"]["KAPPI_GATEWAY_MEDIA_ORIGINS"] == origin
    for name in ("gateway", "galleries"):
        assert not [key for key in found[name] if key.startswith("KAPPI_S3_")]
    for env in found.values():
        assert not [key for key in env if key.startswith("KAPPI_LOCAL_STORE_") or key.endswith("_STORE_URL")]


def test_a_given_broker_has_no_settings_of_the_embedded_one(tmp_path: Path) -> None:
    given = environments(tmp_path, {"KAPPI_KAFKA_BOOTSTRAP": "kafka:9092"})["media"]
    assert "KAPPI_GAP_SIGNAL_DIR" not in given
    assert "KAPPI_KAFKA_CREATE_TOPICS" not in given
    embedded = environments(tmp_path, {})["media"]
    assert Path(embedded["KAPPI_GAP_SIGNAL_DIR"]) == tmp_path / "signals"


def test_a_grant_key_of_the_caller_is_used(tmp_path: Path) -> None:
    env = environments(tmp_path, {"KAPPI_GALLERIES_GRANT_KEY": "pem"})["galleries"]
    assert env["KAPPI_GALLERIES_GRANT_KEY"] == "pem"
    assert "KAPPI_GALLERIES_GRANT_KEY_FILE" not in env


def test_services_that_call_identity_know_its_address(tmp_path: Path) -> None:
    found = environments(tmp_path, {})
    url = ADDRESSES.url("identity")
    assert found["gateway"]["KAPPI_GATEWAY_IDENTITY_URL"] == url
    assert found["galleries"]["KAPPI_GALLERIES_ACCOUNT_JWKS_URL"] == f"{url}/.well-known/jwks.json"
    assert found["media"]["KAPPI_MEDIA_ACCOUNT_JWKS_URL"] == f"{url}/.well-known/jwks.json"
    assert Path(found["identity"]["KAPPI_IDENTITY_MAIL_DIR"]) == tmp_path / "mail"
    secret = found["identity"]["KAPPI_IDENTITY_KEY_SECRET"]
    assert environments(tmp_path, {})["identity"]["KAPPI_IDENTITY_KEY_SECRET"] == secret
    assert not [name for name, env in found.items() if name != "identity" and secret in env.values()]


def test_an_smtp_server_replaces_the_mail_folder(tmp_path: Path) -> None:
    given = {
        "KAPPI_IDENTITY_SMTP_HOST": "mail.example",
        "KAPPI_IDENTITY_KEY_SECRET": "their own, and long",
    }
    env = environments(tmp_path, given)["identity"]
    assert "KAPPI_IDENTITY_MAIL_DIR" not in env
    assert given.items() <= env.items()
    assert not (tmp_path / "secrets" / "identity-key").exists()


def test_every_service_is_listed_by_name() -> None:
    assert {name: service.name for name, service in BY_NAME.items()} == {name: name for name in BY_NAME}
