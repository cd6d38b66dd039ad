"""The tables of docs/scale.md are those that the capacity model computes, and grow as they should."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from benchmarks.capacity import COSTS, PAGE, Model, page_with, tables

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def file() -> Any:
    return tomllib.loads(COSTS.read_text())


def test_the_page_has_the_computed_tables(file: Any) -> None:
    page = PAGE.read_text()
    assert page == page_with(page, tables(file)), "run: make schemas"


def test_a_page_without_a_mark_is_refused(file: Any) -> None:
    with pytest.raises(ValueError, match="0 places for needs"):
        page_with("<!-- costs -->\n<!-- /costs -->\n", tables(file))


def test_each_cost_has_a_source_in_the_repository(file: Any) -> None:
    for costs in (*file["cost"].values(), file["event"]):
        (document, *_) = re.findall(r"docs/[\w/.-]+\.md", costs["source"])
        assert (ROOT / document).exists()


def test_needs_grow_with_the_load_and_sizes_with_the_galleries(file: Any) -> None:
    model = Model(file)
    one, ten, full = model.need(1), model.need(10), model.need(1, galleries=2 * model.need(1).galleries)
    assert ten.cores["media"] == pytest.approx(10 * one.cores["media"])
    assert ten.feed_cores == pytest.approx(10 * one.feed_cores)
    assert full.objects == pytest.approx(2 * one.objects)
    assert full.database_bytes["media"] == pytest.approx(2 * one.database_bytes["media"])
    assert full.cores == one.cores


def test_each_consumer_and_the_relay_work_for_an_event(file: Any) -> None:
    free: dict[str, dict[str, int]] = {action: {} for action in file["cost"]}
    model = Model({**file, "cost": free, "published": {"UploadCompleted": {"upload": 1.0}}})
    spent_us = file["event"]["consumer_us"] + file["event"]["relay_us"]
    assert model.need(1).cores["media"] == pytest.approx(file["load"]["upload"] * spent_us / 1e6)
    assert model.need(1).cores["galleries"] == 0
