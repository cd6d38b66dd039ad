"""No change of the contracts breaks what was last released, whatever it is that changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kappi_contracts import generate, release
from kappi_contracts.release import Contracts, broken, current, move_on, released
from kappi_contracts.topics import TOPICS

EVENT = "MediaReady.v1"
COUNTS = "MediaAccessed.v1"
Change = Callable[[Any], object]


def _changed(
    contracts: Contracts, *, topics: Change = lambda _: None, schemas: Change = lambda _: None
) -> Contracts:
    copied_topics, copied_schemas = copy.deepcopy(contracts.topics), copy.deepcopy(contracts.schemas)
    topics(copied_topics)
    schemas(copied_schemas)
    return Contracts(topics=copied_topics, schemas=copied_schemas)


def test_the_models_break_nothing_that_is_released() -> None:
    assert broken(released(), current()) == []


def test_every_version_of_a_topic_has_the_same_key() -> None:
    mixed = [topic.name for topic in TOPICS if len({version.aggregate for version in topic.versions}) > 1]
    assert not mixed, "the key decides the partition, so versions with another key are out of order"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda all_: all_.pop("MediaReady"), "topic was removed"),
        (lambda all_: all_["MediaReady"].update(key="gallery_id"), "key media_id became gallery_id"),
        (lambda all_: all_["MediaReady"].update(partitions=24), "12 partitions became 24"),
        (lambda all_: all_["MediaReady"].update(partitions=6), "12 partitions became 6"),
        (lambda all_: all_["MediaReady"].update(retention_s=86_400), "became 86400 s"),
    ],
)
def test_a_topic_keeps_its_name_key_partitions_and_retention(change: Change, named: str) -> None:
    (reason,) = broken(current(), _changed(current(), topics=change))
    assert reason.startswith("MediaReady: ")
    assert named in reason


@pytest.mark.parametrize(
    "change",
    [
        lambda all_: all_["MediaReady"].update(retention_s=30 * 86_400),
        lambda all_: all_.update(Sent={"key": "id", "partitions": 1, "retention_s": 1}),
    ],
)
def test_a_topic_may_keep_records_longer_and_another_may_be_added(change: Change) -> None:
    assert broken(current(), _changed(current(), topics=change)) == []


def _fields(schemas: Any) -> Any:
    return schemas[EVENT]["properties"]


def _definition(schemas: Any) -> Any:
    return schemas[COUNTS]["$defs"]["KindCount"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        # `contributor_id` was added after the first version.
        (lambda all_: _fields(all_).pop("contributor_id"), "contributor_id"),
        (
            lambda all_: _fields(all_).update(contributor_id={"type": "integer", "default": None}),
            "contributor_id",
        ),
        (
            lambda all_: _fields(all_).update(contributor_id={"type": "string", "default": None}),
            "contributor_id",
        ),
        (lambda all_: _fields(all_)["contributor_id"].update(default="x"), "contributor_id"),
        (lambda all_: all_[EVENT]["required"].append("contributor_id"), "contributor_id"),
        (lambda all_: all_[EVENT]["required"].remove("kind"), "kind"),
        (lambda all_: _fields(all_).pop("width"), "width"),
        (lambda all_: _fields(all_).update(width={"type": "string"}), "width"),
        (lambda all_: _fields(all_).update(width={"type": "number"}), "width"),
        (lambda all_: _fields(all_).update(width={"type": "integer", "minimum": 1}), "width"),
        (lambda all_: _fields(all_)["kind"]["enum"].append("sound"), "kind"),
        (lambda all_: _fields(all_)["kind"]["enum"].remove("video"), "kind"),
        (lambda all_: _fields(all_)["media_id"].pop("format"), "media_id"),
        (lambda all_: _fields(all_)["media_id"].update(format="date-time"), "media_id"),
        (lambda all_: _fields(all_).update(duration_ms={"type": "integer"}), "duration_ms"),
        (
            lambda all_: (
                _fields(all_).update(colour={"type": "string"}),
                all_[EVENT]["required"].append("colour"),
            ),
            "colour",
        ),
        (lambda all_: _definition(all_)["properties"].update(count={"type": "string"}), "count"),
        (lambda all_: _definition(all_)["properties"]["count"].update(minimum=0), "count"),
        (lambda all_: _definition(all_)["required"].remove("kind"), "kind"),
        (lambda all_: _definition(all_)["properties"].pop("kind"), "kind"),
        (lambda all_: all_.pop(EVENT), "no release called it deprecated"),
    ],
)
def test_a_schema_keeps_what_its_consumers_rely_on(change: Change, field: str) -> None:
    reasons = broken(current(), _changed(current(), schemas=change))
    assert reasons
    assert all(field in reason for reason in reasons)


@pytest.mark.parametrize(
    "change",
    [
        lambda all_: _fields(all_).update(
            colour={"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
        ),
        lambda all_: _fields(all_)["width"].update(description="In pixels."),
        lambda all_: all_[EVENT].update(description="New words.", deprecated=True),
        lambda all_: _definition(all_)["properties"].update(place={"type": "string", "default": ""}),
    ],
)
def test_a_schema_may_gain_optional_fields_and_other_words(change: Change) -> None:
    assert broken(current(), _changed(current(), schemas=change)) == []


def test_a_version_may_be_removed_after_a_release_that_calls_it_deprecated() -> None:
    told = _changed(current(), schemas=lambda all_: all_[EVENT].update(deprecated=True))
    removed = _changed(told, schemas=lambda all_: all_.pop(EVENT), topics=lambda all_: all_.pop("MediaReady"))
    assert broken(told, removed) == []


def test_the_released_contracts_are_read_back_as_written(tmp_path: Path) -> None:
    move_on(tmp_path, release="9.9.9", to=current())
    assert released(tmp_path) == current()
    removed = _changed(current(), schemas=lambda all_: all_.pop(EVENT))
    move_on(tmp_path, release="9.9.10", to=removed)
    assert released(tmp_path) == removed


@pytest.mark.parametrize("step", [generate.main, release.main])
def test_neither_step_accepts_what_breaks_the_last_release(
    step: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = _changed(current(), schemas=lambda all_: _fields(all_).update(colour={"type": "string"}))
    baseline = tmp_path / "released"
    move_on(baseline, release="9.9.9", to=planted)
    before = {path.name: path.read_text() for path in baseline.iterdir()}
    arguments = {"baseline": baseline} if step is generate.main else {}
    target = tmp_path / "documents" if step is generate.main else baseline
    assert step(target, **arguments) == 1
    assert "MediaReady.v1: new data, old model: colour: never sent" in capsys.readouterr().err
    assert {path.name: path.read_text() for path in baseline.iterdir()} == before
    assert not (tmp_path / "documents").exists()


def test_the_step_of_a_release_moves_the_contracts_on(tmp_path: Path) -> None:
    move_on(tmp_path, release="0.0.1", to=released())
    assert release.main(tmp_path) == 0
    assert released(tmp_path) == current()
    assert json.loads((tmp_path / "topics.json").read_text())["release"] != "0.0.1"
