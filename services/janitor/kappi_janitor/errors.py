"""Expected failures of the janitor. Clients never get them; they decide what is tried again."""

from __future__ import annotations


class PurgeIncomplete(Exception):
    """Objects are left under a prefix. The purge stays in the ledger and is tried again."""


class KeysRefused(PurgeIncomplete):
    """The store keeps refusing single keys. failed: key -> its reason."""

    def __init__(self, failed: dict[str, str]) -> None:
        reasons = ", ".join(sorted(set(failed.values())))
        super().__init__(f"{len(failed)} keys refused ({reasons}), for example {next(iter(failed))}")
        self.failed = failed


class LeftBehind(PurgeIncomplete):
    """The prefix was emptied and still lists objects, because new ones are being written."""


class StreamsStopped(Exception):
    """The Faust app ended by itself. The process must end, too.

    Records that were not acknowledged are delivered again.
    """


class StreamsNotReady(Exception):
    """The Faust app has not joined its group yet."""
