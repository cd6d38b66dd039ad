"""Makes the data of the present release: `make release-data`, once for each release.

A folder of `tests/upgrade/` is named after the release and has a dump of each database, the objects and
`facts.json`, which also names the commit of its code. Signing keys are left out, so that no secret is kept;
the identity service makes new ones.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from kappi_contracts.services import DATABASES
from kappi_embedded.backups import run
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.stack import GENEROUS, EmbeddedStack

from tests.e2e.accounts import create_gallery, sign_up
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

HERE: Final = Path(__file__).parent
RELEASES: Final = sorted(path.name for path in HERE.iterdir() if (path / "facts.json").exists())
_CODE: Final = ("libs", "services", "clients/python", "deploy", "docker-compose.yml")


async def fill(stack: StackUnderTest) -> Mapping[str, object]:
    """Returns what must be there after every upgrade. The gallery is an account's: it does not expire."""
    async with Phone(stack.base_url) as phone:
        owner = await sign_up(stack, phone, "alex")
        gallery = await create_gallery(phone, owner, title="Alps")
        pictures = [
            File(f"{size}.jpg", "image/jpeg", encode(quadrants(size, 60), "JPEG")) for size in (80, 90, 100)
        ]
        kept = await phone.upload(gallery, *pictures)
        await phone.until_ready(gallery, 3)
        (await phone.ask("DELETE", f"/v1/media/{kept.pop()}", headers=gallery.key)).ok(204)
        return {"email": owner.email, "password": owner.password, "code": gallery.code, "items": kept}


def dump(stack: EmbeddedStack, folder: Path) -> None:
    for name in DATABASES:
        plain = folder / f"{name}.sql"
        run(
            "pg_dump",
            *("--no-owner", "--no-privileges", "--exclude-table-data=signing_keys", f"--file={plain}"),
            stack.database_url(name),
        )
        plain.with_suffix(".sql.xz").write_bytes(lzma.compress(plain.read_bytes()))
        plain.unlink()
    with tarfile.open(folder / "objects.tar.xz", "w:xz") as archive:
        archive.add(stack.data_dir / "objects", "objects")


def extract_code(release: str, tree: Path) -> bool:
    """Extracts the code of a release. Returns whether it could: its commit may be missing in a clone."""
    commit = json.loads((HERE / release / "facts.json").read_text())["commit"]
    archive = tree.with_suffix(".tar")
    command = ["git", "archive", f"--output={archive}", commit, *_CODE]
    if subprocess.run(command, cwd=HERE.parents[1], capture_output=True, check=False).returncode:
        return False
    with tarfile.open(archive) as opened:
        opened.extractall(tree, filter="data")
    archive.unlink()
    return True


def main() -> None:
    folder = HERE / version("kappi-embedded")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as temporary:
        stack = EmbeddedStack(Path(temporary) / "data", settings=GENEROUS)
        stack.start()
        try:
            commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
            facts = {"commit": commit, **asyncio.run(fill(StackUnderTest("embedded", stack)))}
            asyncio.run(stack.wait_idle())
            dump(stack, folder)
        finally:
            stack.stop()
    (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
