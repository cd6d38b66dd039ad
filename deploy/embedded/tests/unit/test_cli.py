"""The command's output without a stack."""

import os
from importlib.metadata import version
from pathlib import Path

import pytest
import typer.main
from kappi_embedded import cli
from kappi_testkit.stack import call_kappi
from typer.core import TyperGroup
from typer.testing import CliRunner

ENV = {name: value for name, value in os.environ.items() if not name.startswith("KAPPI_")}


def _commands(group: TyperGroup, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        found += _commands(command, (*path, name)) if isinstance(command, TyperGroup) else [(*path, name)]
    return found


ROOT = typer.main.get_command(cli.app)
assert isinstance(ROOT, TyperGroup)


@pytest.mark.parametrize("path", _commands(ROOT), ids=" ".join)
def test_help_fits_a_narrow_terminal_completely(path: tuple[str, ...]) -> None:
    narrow, wide = (
        CliRunner().invoke(cli.app, [*path, "--help"], prog_name="kappi", terminal_width=columns).stdout
        for columns in (38, 198)
    )
    assert max(map(len, narrow.splitlines())) <= 40
    assert "".join(narrow.split()) == "".join(wide.split())


def test_help_uses_the_width_of_the_terminal() -> None:
    told = call_kappi("--help", env={**ENV, "COLUMNS": "40"}).stdout
    assert max(map(len, told.splitlines())) <= 40
    assert call_kappi("--help", env={**ENV, "COLUMNS": "1"}).returncode == 0


def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    env = {**ENV, "KAPPI_DATA_DIR": str(tmp_path), "KAPPI_KAFKA_BOOTSTRAP": "127.0.0.1:9"}
    done = call_kappi("tick", env={**env, "KAPPI_KAFKA_SECURITY_PROTOCOL": "nope"})
    assert done.returncode == 1
    assert done.stderr.startswith("Error: a setting cannot be used: KAPPI_KAFKA_SECURITY_PROTOCOL: ")


def test_the_version_is_an_option_and_a_command() -> None:
    expected = f"kappi {version('kappi-embedded')}\n"
    assert call_kappi("--version", env=ENV).stdout == expected
    assert call_kappi("version", env=ENV).stdout == expected


def test_an_unexpected_error_is_printed_as_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise LookupError("\udcff")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err
    assert said.startswith("Error: this should not happen (LookupError: \\udcff)")
    assert "KAPPI_TRACEBACK=1" in said
