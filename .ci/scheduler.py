"""Assigns tests to the workers of pytest-xdist, and orders them."""

from __future__ import annotations

import re

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling
from xdist.workermanage import WorkerController

# Files of tests/e2e that start stacks of their own, so any worker may run them.
OWN_STACKS = tuple(
    f"tests/e2e/test_{name}.py" for name in ("resumable", "crashes", "many_galleries", "limits")
)

# The files that take longest begin first, so that no worker waits long for another at the end.
LONGEST_FIRST = (
    "tests/chaos/",
    *OWN_STACKS,
    "tests/e2e/",
    "tests/deploy/",
    "tests/aws/",
    "deploy/embedded/tests/integration/",
)

# Folders whose tests share things that take long to create, or would start too many processes side by side.
TOGETHER = ("services/media/tests/corpus/", "tests/chaos/")


class FilePerWorker(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist publishes no types
    """Gives a worker one file after another: the longest first, and tests of one running stack together.

    A file of tests/e2e is one unit for each kind of stack. A worker gets units of a stack that another worker
    runs only when nothing else is left, because it has to start a second stack for them.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        self._stacks: dict[WorkerController, str] = {}

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        stack = re.search(r"[\[-](embedded|real)[]-]", nodeid) if file.startswith("tests/e2e/") else None
        together = [folder for folder in TOGETHER if file.startswith(folder)]
        return f"{file} {stack[1]}" if stack else (*together, file)[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        own = self._stacks.get(node, "")
        others = {stack for other, stack in self._stacks.items() if other is not node}

        def rank(unit: str) -> tuple[int, int]:
            stack = _shared_stack(unit)
            fit = 0 if stack and stack == own else 2 if stack in others else 1
            begins = [unit.startswith(beginning) for beginning in LONGEST_FIRST]
            return fit, (*begins, True).index(True)

        unit = min(self.workqueue, key=rank)
        self.workqueue.move_to_end(unit, last=False)
        if stack := _shared_stack(unit):
            self._stacks[node] = stack
        super()._assign_work_unit(node)


def _shared_stack(unit: str) -> str:
    """Returns the kind of stack that the unit's tests share with other files; empty if they share none."""
    file, _, stack = unit.partition(" ")
    return "" if file in OWN_STACKS else stack
