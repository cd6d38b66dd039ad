"""The examples of docs/images-with-metadata.md work as the page says, unchanged."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

import pytest
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.programs import require_program

from tests.clients.examples import PAGE, examples
from tests.e2e.accounts import make_admin
from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest


@pytest.mark.timeout(120)
async def test_the_four_operations_work(stack: StackUnderTest, phone: Phone, tmp_path: Path) -> None:
    for program in ("curl", "jq"):
        require_program(program)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encode(quadrants(640, 480), "JPEG"))
    admin = await make_admin(stack, phone)
    password = secrets.token_urlsafe(12)
    stack.secrets.add(password)
    environ = {
        "KAPPI": stack.base_url,
        "EMAIL": f"images-{secrets.token_hex(4)}@example.com",
        "PASSWORD": password,
        "PHOTO": str(photo),
        "ADMIN_TOKEN": admin.access_token,
    }
    blocks = examples("curl", PAGE.with_name("images-with-metadata.md"))
    script = "\n".join(["set -euo pipefail", *blocks, 'echo "token $token"'])
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        cwd=tmp_path,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = (stream.decode() for stream in await process.communicate())
    assert process.returncode == 0, said + complained
    stack.secrets.add(said.rpartition("token ")[2].strip())
    lines = said.splitlines()
    assert lines[:3] == ["1", "sunset.jpg", "Goa: vacation, sunset"]
    assert lines[-3:-1] == ["media_not_found", "media_not_found"]
    assert (tmp_path / "downloaded.jpg").read_bytes() == photo.read_bytes()
