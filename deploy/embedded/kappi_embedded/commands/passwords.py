"""Reads passwords from a terminal or from the standard input."""

from __future__ import annotations

import getpass
import sys
import unicodedata


class NoPassword(RuntimeError):
    """There is no usable password: none was given, two differ, or it cannot be sent.

    The message states what to do.
    """


def prompted(prompt: str = "Password: ") -> str:
    """Returns a password typed without echo. Raises NoPassword."""
    if not sys.stdin.isatty():
        raise NoPassword("there is no terminal to type a password on: use --password-stdin")
    try:
        return _checked(getpass.getpass(prompt))
    except (EOFError, KeyboardInterrupt) as error:
        raise NoPassword("no password was typed") from error


def prompted_twice() -> str:
    """Returns a password typed twice without echo. Raises NoPassword."""
    password = prompted()
    if prompted("Once more: ") != password:
        raise NoPassword("these were two different passwords: try again")
    return password


def from_stdin() -> str:
    """Returns the first line of the standard input. Raises NoPassword."""
    return _checked(sys.stdin.readline().rstrip("\r\n"))


def read_password(given: str, *, prompt: str) -> str:
    """Returns the password. given: the password, or `-` to read it where no process list shows it.

    Raises NoPassword.
    """
    if given != "-":
        return _checked(given)
    return prompted(prompt) if sys.stdin.isatty() else from_stdin()


def _checked(password: str) -> str:
    if not password:
        raise NoPassword("the password is empty: give one")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in password):
        raise NoPassword("a password has no control characters: give another")
    return password
