"""`kappi admin` and `kappi keys` against a running stack."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from kappi_embedded.data_dir import DataDir
from kappi_testkit.eventually import eventually
from kappi_testkit.stack import GENEROUS, EmbeddedStack, call_kappi
from PIL import Image

pytestmark = pytest.mark.integration

PASSWORD, OTHER_PASSWORD = "quiet harbour lamp", "another quiet harbour"


@pytest.fixture(scope="module")
def stack_settings() -> Mapping[str, str]:
    """Raises the limits of logins, because these tests log in to find out which key signs."""
    return {**GENEROUS, "KAPPI_IDENTITY_LOGIN_BURST_PER_ACCOUNT": "1000000"}


def kappi(
    stack: EmbeddedStack, *arguments: str, typed: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return call_kappi(*arguments, env={**stack.env, **(env or {})}, typed=typed)


def ask(
    stack: EmbeddedStack, path: str, *, form: Mapping[str, str] | None = None, token: str | None = None
) -> tuple[int, Any]:
    """Returns (status, body) of a POST with a form, or of a GET without one."""
    request = urllib.request.Request(
        stack.base_url + path,
        data=urllib.parse.urlencode(form).encode() if form is not None else None,
        headers={"Authorization": f"Bearer {token}"} if token is not None else {},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def logged_in(stack: EmbeddedStack, email: str, password: str = PASSWORD) -> tuple[int, Any]:
    form = {"grant_type": "password", "username": email, "password": password}
    return ask(stack, "/v1/oauth/token", form=form)


def make_admin(stack: EmbeddedStack, email: str, password: str = PASSWORD) -> None:
    done = kappi(stack, "admin", "create", email, "--password-stdin", typed=f"{password}\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{email.lower()} is an administrator" in done.stdout
    assert f"{stack.base_url}/admin" in done.stdout
    assert password not in done.stdout + done.stderr


def test_an_administrator_is_made(embedded_stack: EmbeddedStack) -> None:
    make_admin(embedded_stack, "root@example.com")
    status, tokens = logged_in(embedded_stack, "root@example.com")
    assert status == 200
    status, me = ask(embedded_stack, "/v1/me", token=tokens["access_token"])
    assert (status, me["role"]) == (200, "admin")
    assert ask(embedded_stack, "/v1/admin/tiers", token=tokens["access_token"])[0] == 200


def test_an_existing_account_becomes_an_administrator_with_the_new_password(
    embedded_stack: EmbeddedStack,
) -> None:
    make_admin(embedded_stack, "ada@example.com")
    make_admin(embedded_stack, "ADA@example.com", OTHER_PASSWORD)
    assert logged_in(embedded_stack, "ada@example.com", OTHER_PASSWORD)[0] == 200
    status, problem = logged_in(embedded_stack, "ada@example.com")
    assert (status, problem["code"]) == (400, "invalid_grant")


def test_in_a_container_an_administrator_is_made_by_its_settings(
    embedded_stack: EmbeddedStack, tmp_path: Path
) -> None:
    container = {name: value for name, value in os.environ.items() if not name.startswith("KAPPI_")} | {
        "KAPPI_DATA_DIR": str(tmp_path / "nowhere"),
        "KAPPI_KAFKA_BOOTSTRAP": "kafka:9092",
        "KAPPI_PUBLIC_URL": "https://kappi.example/",
    }

    def create(database: str) -> subprocess.CompletedProcess[str]:
        return call_kappi(
            *("admin", "create", "operator@example.com", "--password-stdin"),
            env={**container, "KAPPI_IDENTITY_DATABASE_URL": database},
            typed=f"{PASSWORD}\n",
        )

    made = create(embedded_stack.note.databases["identity"])
    assert made.returncode == 0, made.stderr
    assert "Log in at https://kappi.example/admin" in made.stdout
    assert logged_in(embedded_stack, "operator@example.com")[0] == 200
    empty = create(embedded_stack.note.databases["janitor"])
    assert empty.returncode == 1
    assert "no schema" in empty.stderr


@pytest.mark.parametrize(
    ("email", "typed", "explained"),
    [
        ("root@example.com", "password\n", "first passwords anybody would try"),
        ("root@example.com", "\n", "password is empty"),
        ("no address", f"{PASSWORD}\n", "address"),
    ],
    ids=["a common password", "no password", "no address"],
)
def test_the_error_for_an_administrator_that_cannot_be_created_is_explained(
    embedded_stack: EmbeddedStack, email: str, typed: str, explained: str
) -> None:
    done = kappi(embedded_stack, "admin", "create", email, "--password-stdin", typed=typed)
    assert done.returncode == 1
    assert explained in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_is_not_prompted_for_without_a_terminal(embedded_stack: EmbeddedStack) -> None:
    done = kappi(embedded_stack, "admin", "create", "root@example.com", typed=f"{PASSWORD}\n")
    assert done.returncode == 1
    assert "--password-stdin" in done.stderr


async def test_keys_are_rotated_and_log_ins_stay_valid(embedded_stack: EmbeddedStack) -> None:
    make_admin(embedded_stack, "keys@example.com")
    old = logged_in(embedded_stack, "keys@example.com")[1]["access_token"]
    announced = kappi(embedded_stack, "keys", "rotate")
    assert announced.returncode == 0, announced.stderr
    assert announced.stdout.split()[1] in published(embedded_stack)

    replaced = kappi(embedded_stack, "keys", "rotate", "--now")
    assert replaced.returncode == 0, replaced.stderr
    kid = replaced.stdout.split()[1]

    def signs() -> None:
        new = logged_in(embedded_stack, "keys@example.com")[1]["access_token"]
        assert jwt.get_unverified_header(new)["kid"] == kid
        for token in (old, new):
            assert ask(embedded_stack, "/v1/galleries", token=token)[0] == 200

    await eventually(signs, 40)


def published(stack: EmbeddedStack) -> set[str]:
    keys = ask(stack, "/.well-known/jwks.json")[1]["keys"]
    return {key["kid"] for key in keys}


def test_the_secret_of_the_keys_is_kept_over_restarts(embedded_stack: EmbeddedStack) -> None:
    make_admin(embedded_stack, "stays@example.com")
    token = logged_in(embedded_stack, "stays@example.com")[1]["access_token"]
    secret = DataDir(embedded_stack.data_dir).identity_key_secret()
    embedded_stack.restart()
    assert DataDir(embedded_stack.data_dir).identity_key_secret() == secret
    assert ask(embedded_stack, "/v1/me", token=token)[0] == 200
    assert logged_in(embedded_stack, "stays@example.com")[0] == 200


def config(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def sign_up(stack: EmbeddedStack, email: str) -> str:
    """Returns the account's id."""
    request = urllib.request.Request(
        f"{stack.base_url}/v1/accounts",
        data=json.dumps({"email": email, "password": PASSWORD}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        account_id: str = json.load(answer)["id"]
    return account_id


def give_originals(stack: EmbeddedStack, account_id: str) -> None:
    """Gives the account a tier with access to originals."""
    make_admin(stack, "tiers@example.com")
    request = urllib.request.Request(
        f"{stack.base_url}/v1/admin/accounts/{account_id}/tier",
        data=b'{"tier": "Premium"}',
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {logged_in(stack, 'tiers@example.com')[1]['access_token']}",
        },
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def log_in(stack: EmbeddedStack, email: str, tmp_path: Path) -> Path:
    """Returns the file of the stored logins."""
    done = kappi(stack, "login", email, "--password-stdin", typed=f"{PASSWORD}\n", env=config(tmp_path))
    assert done.returncode == 0, done.stderr
    return tmp_path / "config" / "kappi" / "logins.json"


def picture(path: Path) -> Path:
    Image.new("RGB", (64, 48), (9, 90, 160)).save(path)
    return path


def test_a_log_in_is_stored_privately_without_its_password(
    embedded_stack: EmbeddedStack, tmp_path: Path
) -> None:
    sign_up(embedded_stack, "kept@example.com")
    path = log_in(embedded_stack, "kept@example.com", tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert PASSWORD not in path.read_text()

    (kept,) = json.loads(path.read_text()).values()
    assert kappi(embedded_stack, "logout", env=config(tmp_path)).stdout.startswith(
        "Logged out kept@example.com"
    )
    assert json.loads(path.read_text()) == {}
    form = {"grant_type": "refresh_token", "refresh_token": kept["refresh_token"]}
    assert ask(embedded_stack, "/v1/oauth/token", form=form)[1]["code"] == "invalid_grant"
    again = kappi(embedded_stack, "logout", env=config(tmp_path))
    assert (again.returncode, "No account" in again.stdout) == (0, True)


def test_a_wrong_password_is_explained(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    done = kappi(
        embedded_stack, "login", "who@example.com", "--password-stdin", typed="no\n", env=config(tmp_path)
    )
    assert done.returncode == 1
    assert "look at both and try again" in done.stderr


def test_a_gallery_shared_after_a_log_in_belongs_to_the_account(
    embedded_stack: EmbeddedStack, tmp_path: Path
) -> None:
    account_id = sign_up(embedded_stack, "owner@example.com")
    give_originals(embedded_stack, account_id)
    log_in(embedded_stack, "owner@example.com", tmp_path)
    path = picture(tmp_path / "a.png")
    env = config(tmp_path)

    private = json.loads(kappi(embedded_stack, "share", "--private", "--json", str(path), env=env).stdout)
    assert (private["code"], private["url"], private["access_key"]) == (None, None, None)
    assert [item["status"] for item in private["items"]] == ["ready"]
    got = kappi(embedded_stack, "get", private["id"], str(tmp_path / "own"), env=env)
    assert got.returncode == 0, got.stderr
    assert (tmp_path / "own" / "a.png").read_bytes() == path.read_bytes()

    done = kappi(embedded_stack, "share", "--password", "-", str(path), typed="pastel de nata 東\n", env=env)
    assert done.returncode == 0, done.stderr
    assert "Account     owner@example.com" in done.stdout
    assert "Access key" not in done.stdout
    code = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("Code"))
    refused = kappi(embedded_stack, "get", code, str(tmp_path / "locked"), env=env)
    assert (refused.returncode, "--password" in refused.stderr) == (1, True)
    wrong = kappi(embedded_stack, "get", code, "--password", "no", env=env)
    assert "gallery_password_wrong" in wrong.stderr
    opened = kappi(
        embedded_stack, "get", code, str(tmp_path / "open"), "--password", "-", typed="pastel de nata 東\n"
    )
    assert opened.returncode == 0, opened.stderr
    assert (tmp_path / "open" / "a.png").read_bytes() == path.read_bytes()

    ends = kappi(embedded_stack, "share", "--expires-in", "2d", str(path), env=env)
    assert (ends.returncode, "do not expire" in ends.stderr) == (1, True)


def test_tokens_are_refreshed_by_processes_in_turn(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    sign_up(embedded_stack, "turns@example.com")
    path = log_in(embedded_stack, "turns@example.com", tmp_path)
    logins = json.loads(path.read_text())
    logins[embedded_stack.base_url]["expires_at"] = 0
    path.write_text(json.dumps(logins))
    before = logins[embedded_stack.base_url]["refresh_token"]
    pictures = [picture(tmp_path / f"{number}.png") for number in range(3)]
    with ThreadPoolExecutor() as pool:
        done = list(
            pool.map(lambda each: kappi(embedded_stack, "share", str(each), env=config(tmp_path)), pictures)
        )
    assert [each.returncode for each in done] == [0, 0, 0], [each.stderr for each in done]
    after = json.loads(path.read_text())[embedded_stack.base_url]["refresh_token"]
    assert after != before


def test_a_log_in_that_was_ended_by_another_client_is_explained(
    embedded_stack: EmbeddedStack, tmp_path: Path
) -> None:
    sign_up(embedded_stack, "ended@example.com")
    path = log_in(embedded_stack, "ended@example.com", tmp_path)
    logins = json.loads(path.read_text())
    logins[embedded_stack.base_url] |= {"expires_at": 0, "refresh_token": "kappi_rt_nonsense"}
    path.write_text(json.dumps(logins))
    done = kappi(embedded_stack, "share", str(picture(tmp_path / "a.png")), env=config(tmp_path))
    assert done.returncode == 1
    assert "kappi login ended@example.com" in done.stderr
    assert json.loads(path.read_text()) == {}
