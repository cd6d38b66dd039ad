"""The check of the licences of locked packages in `make lint`."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.ci.scripts import load

_ROOT = Path(__file__).parents[2]
_RULES: dict[str, Any] = {
    "allowed": ["MIT", "Apache-2.0"],
    "names": {"MIT License": "MIT"},
    "licence_files": {},
    "libraries": {"x264": "GPL-2.0-or-later"},
    "exceptions": {},
}


@pytest.fixture
def script() -> ModuleType:
    return load("licences")


def install(folder: Path, name: str, *metadata: str, files: tuple[str, ...] = ()) -> None:
    package = folder / f"{name}-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("\n".join([f"Name: {name}", "Version: 1.0", *metadata, ""]))
    (package / "RECORD").write_text("".join(f"{file},,\n" for file in files))


@pytest.mark.parametrize(
    "metadata",
    [
        "License-Expression: MIT",
        "License-Expression: MIT AND Apache-2.0",
        "License-Expression: GPL-3.0-only OR MIT",
        "License-Expression: (GPL-3.0-only OR MIT) AND Apache-2.0",
        "Classifier: License :: OSI Approved :: MIT License",
        "License: MIT",
    ],
)
def test_an_allowed_licence_passes(script: ModuleType, tmp_path: Path, metadata: str) -> None:
    install(tmp_path, "planted", metadata)
    assert list(script.faults("planted==1.0 \\\n", str(tmp_path), _RULES)) == []


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("License-Expression: GPL-3.0-only", "GPL-3.0-only"),
        ("License-Expression: MIT AND GPL-3.0-only", "GPL-3.0-only"),
        ("License-Expression: GPL-3.0-only OR AGPL-3.0-only", "GPL-3.0-only OR AGPL-3.0-only"),
        ("Classifier: License :: Other/Proprietary License", "Other/Proprietary License"),
        ("License: made up", "made up"),
        ("Summary: says nothing", "no licence"),
    ],
)
def test_another_licence_is_a_fault(script: ModuleType, tmp_path: Path, metadata: str, licence: str) -> None:
    install(tmp_path, "planted", metadata)
    assert list(script.faults("planted==1.0 \\\n", str(tmp_path), _RULES)) == [
        f"planted==1.0: {licence} is not allowed (.ci/licences.toml)"
    ]


def test_a_copyleft_library_in_a_wheel_is_a_fault(script: ModuleType, tmp_path: Path) -> None:
    install(tmp_path, "planted", "License: MIT", files=("planted.libs/libx264-d6533a8d.so.165",))
    assert list(script.faults("planted==1.0 \\\n", str(tmp_path), _RULES)) == [
        "planted==1.0: GPL-2.0-or-later is not allowed (.ci/licences.toml)"
    ]


def test_an_exception_allows_the_named_licence_and_must_be_needed(script: ModuleType, tmp_path: Path) -> None:
    install(tmp_path, "planted", "License: GPL-3.0-only")
    rules = _RULES | {"exceptions": {"planted": {"licences": ["GPL-3.0-only", "AGPL-3.0-only"]}}}
    assert list(script.faults("planted==1.0 \\\n", str(tmp_path), rules)) == [
        "planted==1.0: the exception for AGPL-3.0-only is not needed (.ci/licences.toml)"
    ]


def test_a_missing_package_is_a_fault_unless_it_is_for_another_platform(
    script: ModuleType, tmp_path: Path
) -> None:
    lock = "missing==1.0 \\\n    --hash=sha256:00\nelsewhere==1.0 ; sys_platform == 'win32' \\\n"
    assert list(script.faults(lock, str(tmp_path), _RULES)) == [
        "missing==1.0 is not installed: its licence cannot be read"
    ]


@pytest.mark.parametrize(
    ("package", "licence"),
    [
        ({"license": "MIT"}, None),
        ({"license": "(GPL-3.0-only OR MIT)"}, None),
        ({"license": "GPL-3.0-only"}, "GPL-3.0-only"),
        ({}, "no licence"),
    ],
)
def test_licences_in_a_lock_of_npm(script: ModuleType, package: dict[str, str], licence: str | None) -> None:
    installed = {
        "": {"license": "GPL-3.0-only"},
        "node_modules/a/node_modules/@b/c": {"version": "1.0", **package},
    }
    expected = [f"@b/c==1.0: {licence} is not allowed (.ci/licences.toml)"] if licence else []
    assert list(script.npm_faults(json.dumps({"packages": installed}), _RULES)) == expected


def test_every_exception_has_a_reason_and_is_of_a_locked_package(script: ModuleType) -> None:
    lock = "\n".join(path.read_text() for path in (_ROOT / "requirements.lock", _ROOT / ".ci/docs.lock"))
    exceptions = script.RULES["exceptions"]
    assert exceptions
    assert all(each["reason"] for each in exceptions.values())
    assert exceptions.keys() | script.RULES["licence_files"].keys() <= {
        name for name, _ in script.locked(lock)
    }
