"""The keys by which statements find rows are read from their text."""

from __future__ import annotations

import pytest
from kappi_testkit.statements import ShardKeys, constant_locks, with_several_keys, without_key

KEYS = ShardKeys(
    columns={
        "items": {"gallery_id": "gallery"},
        "accounts": {"id": "account"},
        "totals": {"gallery_id": "gallery"},
    },
    local=frozenset({"outbox"}),
    copied=frozenset({"tiers"}),
)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT i.id FROM items i WHERE i.gallery_id = $1 AND i.id = ANY($2)",
        "SELECT id FROM items WHERE gallery_id = ANY($1)",
        "INSERT INTO items AS i (id, gallery_id) VALUES ($1, $2)",
        "UPDATE items SET width = 1 WHERE items.gallery_id = $1",
        "WITH h AS (SELECT 1), g AS (DELETE FROM items i USING h WHERE i.gallery_id = h.id) SELECT 1 FROM g",
        "SELECT t.name FROM tiers t",
    ],
)
def test_a_statement_names_a_key(statement: str) -> None:
    assert without_key([statement], KEYS) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id FROM items WHERE id = $1",
        "SELECT i.id FROM items i JOIN accounts a ON a.id = $1 WHERE a.gallery_id = $2",
        "SELECT gallery_id FROM items WHERE gallery_id > $1",
        "UPDATE items SET width = 1",
        "INSERT INTO items (id) VALUES ($1)",
    ],
)
def test_a_statement_without_a_key_is_found(statement: str) -> None:
    assert {table for _, table in without_key([statement], KEYS)} == {"items"}


def test_a_counter_that_all_callers_share_is_found() -> None:
    adding = "INSERT INTO totals AS t (day, n) VALUES ($1, 1) ON CONFLICT (day) DO UPDATE SET n = t.n + 1"
    assert without_key([adding], KEYS) == {("INSERT totals", "totals")}


def test_keys_of_several_kinds_are_found() -> None:
    both = "UPDATE accounts a SET used = 1 FROM items i WHERE a.id = $1 AND i.gallery_id = $2"
    assert with_several_keys([both], KEYS) == {"UPDATE accounts": {"account", "gallery"}}
    assert with_several_keys(["SELECT 2 FROM items WHERE gallery_id = $1"], KEYS) == {}


def test_a_table_without_a_rule_is_refused() -> None:
    with pytest.raises(KeyError, match="sessions"):
        without_key(["SELECT 3 FROM sessions WHERE id = $1"], KEYS)


def test_locks_with_a_constant_number_are_found() -> None:
    assert constant_locks(["SELECT pg_advisory_xact_lock(42)", "SELECT pg_try_advisory_lock($1)"]) == {
        "SELECT"
    }
    assert constant_locks(["SELECT pg_advisory_xact_lock_shared($1::BIGINT)"]) == set()
