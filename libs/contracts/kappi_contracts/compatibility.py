"""Compatibility check of event schemas: old consumers must read new data, and new consumers old data."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Returns the reasons why `new` may not replace `old`, one sentence each; empty if it may.

    Both directions count: old data must fit the new model (no new required field, no narrower type) and new
    data must fit the old model (no field removed or made optional, no wider type). So a field may only be
    added, and only as optional.
    """
    return [*_compare("", old, new)]


def _compare(path: str, old: Schema, new: Schema) -> list[str]:
    if "properties" not in old:
        return [] if _bare(old) == _bare(new) else [f"{path or 'schema'}: {_bare(old)} became {_bare(new)}"]
    found: list[str] = []
    old_fields, new_fields = old["properties"], new.get("properties", {})
    old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
    for name, schema in old_fields.items():
        where = f"{path}.{name}" if path else name
        if name not in new_fields:
            found.append(f"{where}: removed")
            continue
        found += _compare(where, schema, new_fields[name])
        if (name in old_required) != (name in new_required):
            found.append(f"{where}: required became optional, or optional required")
    for name in sorted(set(new_fields) - set(old_fields)):
        if name in new_required:
            found.append(f"{path}.{name}: new field is required".lstrip("."))
    return found


def _bare(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key not in ("description", "title")}
