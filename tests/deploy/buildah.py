"""Builds and runs an image without a daemon and without a registry of images."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah with its own storage in `folder`."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of programs that call buildah themselves."""
        storage = self.folder / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = ""\ngraphroot = "{self.folder}/root"\nrunroot = "{self.folder}/run"\n'
        )
        return {**os.environ, "BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(storage)}

    def __call__(self, *arguments: str, timeout_s: float = _TIMEOUT_S) -> str:
        """Returns the output. If the command fails, fails the test with the end of the output."""
        done = subprocess.run(
            ["buildah", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.strip()

    def settings(self) -> list[str]:
        """Writes the configuration files that `env` names."""
        return [f"{name}={self.env[name]}" for name in ("BUILDAH_ISOLATION", "CONTAINERS_STORAGE_CONF")]


@dataclass(frozen=True, slots=True)
class InImage:
    """A container of each image, with its file system and user, and with only the container's variables.

    containers: by the image in the compose file.
    """

    buildah: Buildah
    containers: Mapping[str, str]
    secrets: Path

    def files(self, secrets: Path, folder: Path) -> Mapping[str, str]:
        return {}  # the files are where the container expects them

    def argv(self, image: str, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        given = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
        key = self.secrets / "deploy/docker/secrets/grant-key.pem"
        return [
            *("env", *self.buildah.settings(), "buildah", "run", "--network=host", *given),
            *("--volume", f"{key}:/run/secrets/grant_key:ro", self.containers[image]),
            *("--", "entrypoint", *command),
        ]
