import json
from pathlib import Path

import pytest
from kappi_client.logins import Logins, logins_folder

URL = "http://localhost:8000"


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{", json.dumps({URL: None}), json.dumps({URL: {"email": "ada@example.com"}})]
)
def test_an_unreadable_log_in_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "logins.json").write_text(text)
    assert Logins(tmp_path, clock=lambda: 0.0).find(URL) is None


def test_the_folder_is_the_configuration_folder_of_the_system() -> None:
    assert logins_folder({"HOME": "/home/ada"}) == Path("/home/ada/.config/kappi")
    assert logins_folder({"HOME": "/home/ada", "XDG_CONFIG_HOME": "/etc/ada"}) == Path("/etc/ada/kappi")
    # The specification says that relative paths are ignored.
    relative = {"HOME": "/home/ada", "XDG_CONFIG_HOME": "ada"}
    assert logins_folder(relative) == Path("/home/ada/.config/kappi")
