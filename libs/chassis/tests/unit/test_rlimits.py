"""The limit of descriptors is raised to the machine's maximum."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kappi_chassis.rlimits import WANTED

_PROGRAM = """
import resource
from kappi_chassis.rlimits import raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({now}, {most}))
raise_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("now", "most", "then"), [(256, 4_096, 4_096), (512, 512, 512)])
def test_the_soft_limit_is_raised_to_the_hard_limit(now: int, most: int, then: int) -> None:
    assert then < WANTED
    program = _PROGRAM.format(now=now, most=most)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(then), str(most)]
