"""Finds a route in a tree of path segments: one dictionary lookup per segment, no patterns.

Segments are compared undecoded: `%2F`, `..`, `//` and `%67` never match another route.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kappi_chassis.problems import MethodNotAllowed, NotFound

T = TypeVar("T")


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[bytes, _Node[T]] = field(default_factory=dict)
    parameter: _Node[T] | None = None
    methods: dict[str, T] = field(default_factory=dict)
    allow: str = ""
    template: str = ""


class Router(Generic[T]):
    """Maps method and raw path to a target. A literal segment wins over a parameter."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, template: str, target: T) -> None:
        """Adds a route. A GET route answers HEAD, too. Raises ValueError if the route is taken.

        template: `/v1/galleries/{id}`.
        """
        node = self._root
        for segment in template[1:].split("/"):
            if segment.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment.encode(), _Node())
        if method in node.methods:
            raise ValueError(f"{method} {template} is taken")
        node.template = template
        node.methods[method] = target
        if method == "GET":
            node.methods.setdefault("HEAD", target)
        node.allow = ", ".join(sorted({*node.methods, "OPTIONS"}))

    def find(self, method: str, raw_path: bytes) -> tuple[T, str, list[bytes]]:
        """Returns target, template, and the parameters in order, raw and never empty.

        Raises NotFound, MethodNotAllowed with `Allow`.
        """
        node, parameters = self._walk(raw_path)
        target = node.methods.get(method)
        if target is None:
            raise MethodNotAllowed(f"Allowed here: {node.allow}.", headers={"Allow": node.allow})
        return target, node.template, parameters

    def allowed(self, raw_path: bytes) -> str:
        """Returns the `Allow` header of a path. Raises NotFound."""
        return self._walk(raw_path)[0].allow

    def _walk(self, raw_path: bytes) -> tuple[_Node[T], list[bytes]]:
        node = self._root
        parameters: list[bytes] = []
        for segment in raw_path[1:].split(b"/"):
            following = node.literals.get(segment)
            if following is None:
                following = node.parameter
                if following is None or not segment:
                    raise NotFound("No such path. The API is described at /openapi.json.")
                parameters.append(segment)
            node = following
        if not node.methods:
            raise NotFound("No such path. The API is described at /openapi.json.")
        return node, parameters
