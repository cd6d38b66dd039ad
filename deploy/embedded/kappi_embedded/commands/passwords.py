"""Passwords from a terminal or from the standard input."""

from __future__ import annotations

import getpass
import sys
import unicodedata


class NoPassword(RuntimeError):
    """None was given, not twice the same, or not one that can be sent; the message says what to do."""


def prompted(prompt: str = "Password: ") -> str:
    """Typed, shown never. Raises NoPassword."""
    if not sys.stdin.isatty():
        raise NoPassword("there is no terminal to type a password on: use --password-stdin")
    try:
        return _checked(getpass.getpass(prompt))
    except (EOFError, KeyboardInterrupt) as error:
        raise NoPassword("no password was typed") from error


def prompted_twice() -> str:
    """Typed twice, shown never. Raises NoPassword."""
    password = prompted()
    if prompted("Once more: ") != password:
        raise NoPassword("these were two different passwords: try again")
    return password


def from_stdin() -> str:
    """The first line of the standard input. Raises NoPassword."""
    return _checked(sys.stdin.readline().rstrip("\r\n"))


def read_password(given: str, *, prompt: str) -> str:
    """given: the password, or `-` to have it typed or read, where no list of processes shows it.

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
