"""`kappi admin` and `kappi keys` against a running stack."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from kappi_chassis.testing.eventually import eventually
from kappi_embedded.data_dir import DataDir
from kappi_embedded.testing import GENEROUS, EmbeddedStack, call_kappi

pytestmark = pytest.mark.integration

PASSWORD, OTHER_PASSWORD = "quiet harbour lamp", "another quiet harbour"


@pytest.fixture(scope="module")
def stack_settings() -> Mapping[str, str]:
    """Logging in is how these tests look for a key."""
    return {**GENEROUS, "KAPPI_IDENTITY_LOGIN_BURST_PER_ACCOUNT": "1000000"}


def kappi(stack: EmbeddedStack, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return call_kappi(*arguments, env=stack.env, typed=typed)


def ask(
    stack: EmbeddedStack, path: str, *, form: Mapping[str, str] | None = None, token: str | None = None
) -> tuple[int, Any]:
    """(status, body): a POST with a form, a GET without one."""
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


def test_whoever_has_the_address_becomes_one_with_the_new_password(embedded_stack: EmbeddedStack) -> None:
    make_admin(embedded_stack, "ada@example.com")
    make_admin(embedded_stack, "ADA@example.com", OTHER_PASSWORD)
    assert logged_in(embedded_stack, "ada@example.com", OTHER_PASSWORD)[0] == 200
    status, problem = logged_in(embedded_stack, "ada@example.com")
    assert (status, problem["code"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("email", "typed", "explained"),
    [
        ("root@example.com", "password\n", "first passwords anybody would try"),
        ("root@example.com", "\n", "holds no password"),
        ("no address", f"{PASSWORD}\n", "address"),
    ],
    ids=["a common password", "no password", "no address"],
)
def test_what_makes_no_administrator_is_explained(
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


async def test_keys_are_rotated_and_nobody_is_logged_out(embedded_stack: EmbeddedStack) -> None:
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


def test_the_seal_of_the_keys_stays_over_restarts(embedded_stack: EmbeddedStack) -> None:
    make_admin(embedded_stack, "stays@example.com")
    token = logged_in(embedded_stack, "stays@example.com")[1]["access_token"]
    secret = DataDir(embedded_stack.data_dir).identity_key_secret()
    embedded_stack.restart()
    assert DataDir(embedded_stack.data_dir).identity_key_secret() == secret
    assert ask(embedded_stack, "/v1/me", token=token)[0] == 200
    assert logged_in(embedded_stack, "stays@example.com")[0] == 200
