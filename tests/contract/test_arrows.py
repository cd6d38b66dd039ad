"""Each import-linter contract of pyproject.toml refuses a planted import in the forbidden direction."""

import tomllib
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import grimp
import pytest
from importlinter import configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.domain.contract import Contract

configuration.configure()
OPTIONS = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["importlinter"]
KINDS: dict[str, type[Contract]] = {"layers": LayersContract, "forbidden": ForbiddenContract}


@cache
def graph_of_the_tree() -> grimp.ImportGraph:
    return grimp.build_graph(*OPTIONS["root_packages"], cache_dir=None)


def holds(options: dict[str, Any], graph: grimp.ImportGraph) -> bool:
    rule = {name: str(value) if value is True else value for name, value in options.items()}
    contract = KINDS[options["type"]](options["name"], OPTIONS, rule)
    return contract.check(deepcopy(graph), verbose=False).kept


def forbidden_imports(options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Returns (importer, imported) for each pair of neighbours that a contract keeps apart."""
    if options["type"] == "forbidden":
        for source in options["source_modules"]:
            yield from ((source, module) for module in options["forbidden_modules"])
        return
    for container in options.get("containers", [""]):
        layers = [layer.replace(":", "|").split("|") for layer in options["layers"]]
        for above, below in pairwise(layers):
            for lower in below:
                yield name_in(container, lower), name_in(container, above[0])
        for layer, written in zip(layers, options["layers"], strict=True):
            if "|" in written:
                first, *others = (name_in(container, module) for module in layer)
                yield from ((first, other) for other in others)


def name_in(container: str, module: str) -> str:
    return ".".join(filter(None, (container, module.strip(" ()"))))


CASES = [(options, breach) for options in OPTIONS["contracts"] for breach in forbidden_imports(options)]


@pytest.mark.parametrize(
    ("options", "breach"), CASES, ids=[f"{importer} to {imported}" for _, (importer, imported) in CASES]
)
def test_a_forbidden_import_is_refused(options: dict[str, Any], breach: tuple[str, str]) -> None:
    graph = graph_of_the_tree()
    assert holds(options, graph)
    planted = deepcopy(graph)
    planted.add_import(importer=breach[0], imported=breach[1])
    assert not holds(options, planted)


EXHAUSTIVE = [options for options in OPTIONS["contracts"] if "containers" in options]


@pytest.mark.parametrize("options", EXHAUSTIVE, ids=lambda options: options["containers"][0])
def test_a_module_without_a_layer_is_refused(options: dict[str, Any]) -> None:
    planted = deepcopy(graph_of_the_tree())
    planted.add_module(f"{options['containers'][0]}.somewhere_else")
    assert not holds(options, planted)


def test_every_package_of_the_tree_is_checked() -> None:
    packages = {path.parent.name for path in Path().glob("*/**/kappi_*/__init__.py")}
    assert packages == set(OPTIONS["root_packages"])
