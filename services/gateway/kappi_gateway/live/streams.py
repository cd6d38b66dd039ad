"""All streams of this gateway, by gallery, and the changes that they are told.

The streams share this structure: no stream has a timer or a task of its own besides the server's. Changes
come in batches, and each batch is one chunk for all streams of a gallery.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from kappi_chassis.clock import Clock
from kappi_chassis.problems import Problem
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import Event, GalleryDeleted, GalleryUpdated

from kappi_gateway import metrics
from kappi_gateway.auth.grant_cache import KeptGrant
from kappi_gateway.errors import LiveUnavailable, TooManyViewers
from kappi_gateway.live.changes import GALLERY_DELETED, RESET, Change, changes_of, event_lines
from kappi_gateway.live.group import Group
from kappi_gateway.live.positions import Partition, Positions
from kappi_gateway.live.recent_changes import RecentChanges, Recorded
from kappi_gateway.live.stream import End, Stream

RETRY_AFTER_S = 5
RECONNECT_MS = (1_000, 5_000)
"""Bounds of the time after which a client connects again.

Each stream is told a random time, so that the clients of a stopped gateway do not come back at once.
"""
CHECK_TIMEOUT_S = 5.0
CHECKS_AT_ONCE = 32
MOST_TOLD_AT_ONCE = 500
"""Changes that are told one by one. Loading the gallery costs a client less than more of them, and a chunk is
bounded.
"""
_RESET = event_lines(RESET, {})

Reopen = Callable[[str], Awaitable[KeptGrant | None]]
"""Returns the grant to view that a code alone gives now, None if it gives none. Raises Problem."""


class FeedGap(Exception):
    """Changes may have been missed."""


class LiveStreams:
    """Opens streams, and tells them the changes that `apply` is given.

    heartbeat: time between two heartbeats of a stream. per_gallery: streams of one gallery at once.
    most_waiting: chunks that may wait for a slow client. changes_kept: recent changes of all galleries.
    cipher: of the ids of events, as in `Positions`.
    """

    def __init__(
        self,
        *,
        reopen: Reopen,
        clock: Clock,
        heartbeat: timedelta,
        per_gallery: int,
        most_waiting: int,
        changes_kept: int,
        cipher: AESSIV,
    ) -> None:
        self._reopen = reopen
        self._cipher = cipher
        self._clock = clock
        # Heartbeats of all streams at once would hold up every request, so each stream has one of some turns.
        turns = max(1, round(heartbeat.total_seconds()))
        self._turn_s = heartbeat.total_seconds() / turns
        self._turns: list[set[Stream]] = [set() for _ in range(turns)]
        self._per_gallery = per_gallery
        self._most_waiting = most_waiting
        self._changes_kept = changes_kept
        self._groups: dict[UUID, Group] = {}
        self._touched: dict[Group, None] = {}
        self._to_check: dict[Group, None] = {}
        self._checks_due = asyncio.Event()
        self._positions: Positions | None = None
        self._recent = RecentChanges((), size=changes_kept)
        self._drains = False
        self._opened = 0
        self._complete_since = 0
        self.changes_seen = 0

    async def run(self) -> None:
        """Sends heartbeats and checks access again, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_heartbeats(), name="live heartbeats")
            group.create_task(self._check_again(), name="live checks")

    def locate(
        self, cluster_id: str, *, begins: Mapping[Partition, int], ends: Mapping[Partition, int]
    ) -> Mapping[Partition, int]:
        """Returns the offsets to read on from, for a reader that has just connected.

        begins, ends: the first offset of each partition, and the one after its last. Reading continues where
        it stopped if the broker still has all records since; otherwise it begins anew, and all streams end.
        """
        positions, former = Positions(cluster_id, ends, cipher=self._cipher), self._positions
        if former is not None and former.epoch == positions.epoch:
            offsets = {partition: former.offset_of(partition) for partition in ends}
            if all(begins[partition] <= offset <= ends[partition] for partition, offset in offsets.items()):
                return offsets
        self.interrupt()
        self._positions = positions
        self._recent = RecentChanges(positions.next, size=self._changes_kept)
        self._complete_since = self.changes_seen = self.changes_seen + 1
        return ends

    def interrupt(self) -> None:
        """Ends all streams, because changes were missed. Their clients load the gallery and begin anew."""
        self._positions = None
        for group in self._groups.values():
            group.waiting.clear()
            group.end(End.INTERRUPTED)

    def apply(self, partition: Partition, offset: int, envelope: Envelope[Event] | None) -> None:
        """Records one record of a topic. `flush` tells the streams.

        envelope: None for a record to skip. Raises FeedGap if records before it are missing.
        """
        positions = self._positions
        index = None if positions is None else positions.index_of.get(partition)
        if positions is None or index is None or positions.next[index] != offset:
            raise FeedGap(f"unexpected offset {offset} of {partition}")
        positions.advance(index, offset)
        if envelope is None:
            return
        for change in changes_of(envelope.data):
            recorded = Recorded(change, self.changes_seen + 1, index, offset, envelope.sequence)
            if self._recent.add(recorded):
                self.changes_seen = recorded.number
                self._tell(recorded, envelope)

    def flush(self) -> None:
        """Tells the streams what was applied since the last call."""
        touched, self._touched = self._touched, {}
        for group in touched:
            if not group.awaits_check:
                self._deliver(group)

    def access_changed(self, gallery_id: UUID, *, since: int) -> bool:
        """Whether a gallery may have changed since `changes_seen` had a value; an older grant then proves
        nothing.
        """
        return since < self._complete_since or any(
            recorded.number > since and recorded.change.subject_id == gallery_id
            for recorded in self._recent.of(gallery_id)
        )

    def open(
        self,
        grant: KeptGrant,
        *,
        code: str,
        is_protected: bool,
        last_event_id: bytes | None,
        cut: Callable[[], None],
    ) -> Stream:
        """Opens a stream, which `close` must close. last_event_id: None for a stream that continues no other.

        Raises LiveUnavailable, TooManyViewers.
        """
        if self._drains or self._positions is None:
            raise LiveUnavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S)
        group = self._groups.get(grant.gallery_id) or Group(grant.gallery_id)
        if len(group.streams) >= self._per_gallery:
            metrics.LIMITED.labels("live_of_gallery").inc()
            raise TooManyViewers("Try again later.", retry_after_s=RETRY_AFTER_S)
        self._opened += 1
        stream = Stream(
            gallery_id=grant.gallery_id,
            code=code,
            is_protected=is_protected,
            joined=self.changes_seen,
            slot=self._opened % len(self._turns),
            cut=cut,
            most_waiting=self._most_waiting,
        )
        group.expires_at, group.hides_items = grant.gallery_expires_at, grant.hides_items
        stream.put(self._beginning(self._positions, group, last_event_id))
        group.streams[stream] = None
        self._groups[grant.gallery_id] = group
        self._turns[stream.slot].add(stream)
        metrics.LIVE_STREAMS.inc()
        return stream

    def close(self, stream: Stream) -> None:
        """Forgets a stream whose answer is complete or was broken off."""
        stream.end(End.LEFT)
        self._turns[stream.slot].discard(stream)
        group = self._groups[stream.gallery_id]
        del group.streams[stream]
        if not group.streams:
            del self._groups[stream.gallery_id]
            self._check_no_more(group)
        metrics.LIVE_STREAMS.dec()
        metrics.LIVE_ENDED.labels((stream.ended or End.LEFT).value).inc()

    def drain(self) -> None:
        """Ends all streams and opens no more."""
        self._drains = True
        for group in self._groups.values():
            group.end(End.DRAINED)

    def _beginning(self, positions: Positions, group: Group, last_event_id: bytes | None) -> bytes:
        retry = b"retry: %d\n" % random.randint(*RECONNECT_MS)  # noqa: S311 - spreads load, keeps no secret
        missed = None if last_event_id is None else self._missed(positions, group, last_event_id)
        if last_event_id is not None:
            metrics.LIVE_RESUMED.labels("reset" if missed is None else "continued").inc()
        bodies = [_RESET] if missed is None else [recorded.change.body for recorded in missed]
        return retry + _joined(bodies, positions.event_id())

    def _missed(self, positions: Positions, group: Group, last_event_id: bytes) -> list[Recorded] | None:
        """Returns the changes after an id; None if some may be missing, if another gateway is ahead, or if
        they are too many.
        """
        seen = positions.read(last_event_id)
        if seen is None or any(offset > here for offset, here in zip(seen, positions.next, strict=True)):
            return None
        missed = self._recent.since(group.gallery_id, seen)
        if missed is None:
            return None
        shown = [recorded for recorded in missed if group.shows(recorded)]
        return shown if len(shown) <= MOST_TOLD_AT_ONCE else None

    def _tell(self, recorded: Recorded, envelope: Envelope[Event]) -> None:
        group = self._groups.get(recorded.change.gallery_id)
        if group is None:
            return
        group.waiting.append((recorded, envelope.time))
        self._touched[group] = None
        event = envelope.data
        if isinstance(event, GalleryDeleted):
            group.is_deleted = True
            if group.awaits_check:  # no code opens it any more, so only its end is told
                del group.waiting[:-1]
                self._check_no_more(group)
        elif isinstance(event, GalleryUpdated):
            if event.closed or event.visibility == "private":
                group.waiting.clear()
                group.end(End.ACCESS)
                return
            group.expires_at = event.expires_at
            self._check_soon(group)

    def _check_soon(self, group: Group) -> None:
        group.awaits_check = True
        self._to_check[group] = None
        self._checks_due.set()

    def _check_no_more(self, group: Group) -> None:
        group.awaits_check = False
        self._to_check.pop(group, None)

    def _deliver(self, group: Group) -> None:
        waiting = [(recorded, time) for recorded, time in group.waiting if group.shows(recorded)]
        group.waiting = []
        if waiting and self._positions is not None:
            event_id = self._positions.event_id()
            now = self._clock()
            for recorded, time in waiting:
                metrics.LIVE_CHANGES.labels(recorded.change.kind).inc()
                metrics.LIVE_DELAY.observe(max(0.0, (now - time).total_seconds()))
            chunk = _chunk(waiting, event_id, after=0)
            for stream in group.streams:
                late = stream.joined >= waiting[0][0].number
                stream.put(_chunk(waiting, event_id, after=stream.joined) if late else chunk)
        if group.is_deleted:
            group.end(End.DELETED)

    async def _check_again(self) -> None:
        while True:
            await self._checks_due.wait()
            self._checks_due.clear()
            while self._to_check:
                groups = list(self._to_check)[:CHECKS_AT_ONCE]
                for group in groups:
                    del self._to_check[group]
                await asyncio.gather(*map(self._check, groups))

    async def _check(self, group: Group) -> None:
        """Ends the streams of a gallery that is changed or past its deadline if their code opens it no more,
        then tells the others.

        Passwords are not kept, so a stream that came with one ends; its client shows it again.
        """
        used_up = False
        for code in {stream.code for stream in group.streams if not stream.is_protected}:
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    grant = await self._reopen(code)
            except (Problem, TimeoutError):
                group.end_those_of(code, End.INTERRUPTED)
                continue
            if grant is not None and grant.gallery_id == group.gallery_id:
                group.expires_at, used_up = grant.gallery_expires_at, grant.used_up
                group.hides_items = grant.hides_items
            elif not self._is_expired(group):
                group.end_those_of(code, End.ACCESS)
        for stream in group.streams:
            if stream.is_protected:
                stream.end(End.ACCESS)
        if group in self._to_check:
            return
        group.awaits_check = False
        if used_up or self._is_expired(group):
            self._tell_that_it_is_over(group)
        else:
            self._deliver(group)

    def _is_expired(self, group: Group) -> bool:
        return group.expires_at is not None and group.expires_at <= self._clock()

    def _tell_that_it_is_over(self, group: Group) -> None:
        """Tells the streams of an expired or used up gallery what those of a deleted one are told."""
        group.waiting.clear()
        if self._positions is not None:
            body = event_lines(GALLERY_DELETED, {"id": group.gallery_id})
            chunk = _joined([body], self._positions.event_id())
            for stream in group.streams:
                stream.put(chunk)
        group.end(End.ACCESS)

    async def _send_heartbeats(self) -> None:
        while True:
            for turn in self._turns:
                await asyncio.sleep(self._turn_s)
                self._check_expired()
                self._send_heartbeat(turn)

    def _send_heartbeat(self, turn: Iterable[Stream]) -> None:
        """Sends a comment, which keeps proxies from closing the connection, and the id of what was told."""
        if self._positions is None:
            return
        whole = b":\nid: %b\n\n" % self._positions.event_id()
        for stream in turn:
            is_behind = self._groups[stream.gallery_id].waiting
            stream.put(b":\n\n" if is_behind else whole)

    def _check_expired(self) -> None:
        for group in self._groups.values():
            if not group.awaits_check and self._is_expired(group):
                self._check_soon(group)


def _chunk(waiting: Iterable[tuple[Recorded, datetime]], event_id: bytes, *, after: int) -> bytes:
    return _joined(_bodies([recorded.change for recorded, _ in waiting if recorded.number > after]), event_id)


def _bodies(changes: Sequence[Change]) -> list[bytes]:
    if len(changes) <= MOST_TOLD_AT_ONCE:
        return [change.body for change in changes]
    return [_RESET, *(change.body for change in changes if change.kind == GALLERY_DELETED)]


def _joined(bodies: Iterable[bytes], event_id: bytes) -> bytes:
    """Returns the events as they are sent. The last has the id: it stands for all of them together."""
    return b"\n".join(bodies) + b"id: %b\n\n" % event_id
