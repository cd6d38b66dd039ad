"""Expected failures of the janitor. None reaches a client: they decide what is tried again."""

from __future__ import annotations


class PurgeIncomplete(Exception):
    """Something is left under a prefix: the purge stays in the ledger, to be tried again."""


class KeysRefused(PurgeIncomplete):
    """The store keeps refusing single keys. failed: key -> its reason."""

    def __init__(self, failed: dict[str, str]) -> None:
        reasons = ", ".join(sorted(set(failed.values())))
        super().__init__(f"{len(failed)} keys refused ({reasons}), for example {next(iter(failed))}")
        self.failed = failed


class LeftBehind(PurgeIncomplete):
    """The prefix was emptied and still lists objects: somebody is writing there."""


class StreamsStopped(Exception):
    """The Faust app ended by itself. So must the process: what it did not acknowledge comes again."""


class StreamsNotReady(Exception):
    """The Faust app has not joined its group yet."""
