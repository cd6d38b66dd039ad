from __future__ import annotations

import re
from collections import Counter
from itertools import islice

import pytest
from kappi_galleries.domain.credentials import (
    ALPHABET,
    LONGEST_CODE,
    CodeScheme,
    access_key_hash,
    new_access_key,
    read_code,
)


def test_codes_begin_with_four_characters_of_the_alphabet_and_grow_by_one() -> None:
    codes = list(islice(CodeScheme().attempts(), 5))

    assert [len(code) for code in codes] == [4, 5, 6, 7, 8]
    assert set("".join(codes)) <= set(ALPHABET)


def test_the_alphabet_is_the_promised_one() -> None:
    assert ALPHABET == "abcdefghkmnopqrstuwxyz23456789"
    assert len(set(ALPHABET)) == 30


def test_every_character_of_the_alphabet_is_drawn() -> None:
    drawn = Counter("".join(next(CodeScheme().attempts()) for _ in range(2_000)))

    # 8,000 draws: 267 of each are expected with a standard deviation of 16, so ten deviations are no chance.
    assert set(drawn) == set(ALPHABET)
    assert min(drawn.values()) > 107
    assert max(drawn.values()) < 427


def test_attempts_end() -> None:
    assert len(list(CodeScheme(alphabet="a").attempts())) == LONGEST_CODE - 3


def test_a_code_is_read_in_any_case_and_trimmed() -> None:
    assert read_code("  K7Wq\n") == "k7wq"


def test_access_keys_hold_128_bits_and_never_repeat() -> None:
    keys = {new_access_key() for _ in range(1_000)}

    assert len(keys) == 1_000
    assert all(re.fullmatch(r"kappi_[a-z2-7]{26}", key) for key in keys)


def test_a_key_is_known_by_its_hash_however_it_was_pasted() -> None:
    key = new_access_key()
    stored = access_key_hash(key)

    assert stored is not None
    assert len(stored) == 32
    assert access_key_hash(f" {key.upper()}\n") == stored
    assert access_key_hash(new_access_key()) != stored


@pytest.mark.parametrize(
    "text", ["", "kappi_", "kappi_short", "k7wq", "kappi_" + "0" * 26, "kappi_" + "a" * 27]
)
def test_what_cannot_be_a_key_has_no_hash(text: str) -> None:
    assert access_key_hash(text) is None
