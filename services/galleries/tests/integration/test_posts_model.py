"""Compares posts, comments, counts and readers with a plain model, over random sequences of actions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from kappi_contracts.events import AccountDeleted, PostDeleted
from kappi_testkit.auth import key_set

from .posting import POSTS, Poster

pytestmark = pytest.mark.integration

T = TypeVar("T")


@dataclass
class ModelPost:
    id: str
    author: Any
    comments: list[tuple[str, Any]] = field(default_factory=list)
    """Ids and authors, the oldest first."""


@dataclass
class Reader:
    """A reader in the middle of the list. untouched: posts that must be shown. limit: posts per page."""

    limit: int
    cursor: str | None
    seen: list[str]
    untouched: set[str]


@dataclass
class Parts:
    """The parts that the machine uses: the service's app, its consumers, and a function to await them."""

    run: Callable[[Awaitable[Any]], Any]
    http: Any
    process: Any
    record: Any
    clock: Any
    make_account: Any


class Machine(RuleBasedStateMachine):
    parts: Parts

    posts = Bundle("posts")
    comments = Bundle("comments")
    readers = Bundle("readers")
    people = Bundle("people")

    def __init__(self) -> None:
        super().__init__()
        self.poster = Poster(self.parts.http)
        self.live: dict[str, ModelPost] = {}
        self.gone: set[UUID] = set()
        self.reading: list[Reader] = []

    @initialize(target=people)
    def begin(self) -> Any:
        return multiple(*(self.parts.make_account() for _ in range(3)))

    @rule(target=posts, author=people)
    def post(self, author: Any) -> Any:
        answer = self.parts.run(self.poster.send(author))
        if author.id in self.gone:
            assert answer.status == 401
            return multiple()
        self.live[answer.json["id"]] = ModelPost(answer.json["id"], author)
        return answer.json["id"]

    @rule(target=comments, post=posts, author=people)
    def comment(self, post: str, author: Any) -> Any:
        answer = self.parts.run(self.poster.send_comment(author, post, "text"))
        if post not in self.live:
            assert answer.status == 404
        elif author.id in self.gone:
            assert answer.status == 401
        else:
            assert answer.status == 201
            self.live[post].comments.append((answer.json["id"], author))
            self._touched(post)
            return answer.json["id"]
        return multiple()

    @rule(comment=comments, caller=people)
    def delete_comment(self, comment: str, caller: Any) -> None:
        status = self.parts.run(self.poster.delete_comment(caller, comment))
        for post in self.live.values():
            for each in post.comments:
                if each[0] == comment:
                    if caller.id in (each[1].id, post.author.id):
                        assert status == 204
                        post.comments.remove(each)
                        self._touched(post.id)
                    else:
                        assert status == 403
                    return
        assert status == 404

    @rule(post=posts, caller=people)
    def delete_post(self, post: str, caller: Any) -> None:
        answer = self.parts.run(self.parts.http("DELETE", f"{POSTS}/{post}", token=caller.token))
        if post not in self.live:
            assert answer.status == 404
        elif self.live[post].author.id != caller.id:
            assert answer.status == 403
        else:
            assert answer.status == 204
            del self.live[post]
            self._touched(post)

    @rule(post=posts)
    def purge(self, post: str) -> None:
        """Runs the consumer, late or early, once or twice."""
        event = PostDeleted(
            post_id=UUID(post), author_id=UUID(int=0), reason="requested", deleted_at=self.parts.clock.now
        )
        self.parts.run(self.parts.process(self.parts.record(event)))

    @rule(person=people, chance=st.integers(0, 5))
    def delete_account(self, person: Any, chance: int) -> None:
        if chance:
            return
        event = AccountDeleted(account_id=person.id, deleted_at=self.parts.clock.now)
        self.parts.run(self.parts.process(self.parts.record(event)))
        self.gone.add(person.id)
        for post in [post for post in self.live.values() if post.author.id == person.id]:
            del self.live[post.id]
            self._touched(post.id)
        for post in self.live.values():
            kept = [each for each in post.comments if each[1].id != person.id]
            if kept != post.comments:
                post.comments = kept
                self._touched(post.id)

    @rule(target=readers, limit=st.integers(1, 3))
    def begin_to_read(self, limit: int) -> Any:
        page = self.parts.run(self.poster.page(limit=limit))
        seen = [post["id"] for post in page["items"]]
        reader = Reader(limit, page["next_cursor"], seen, set(self.live))
        self.reading.append(reader)
        self._check_end(reader)
        return reader

    @rule(reader=readers)
    def read_on(self, reader: Reader) -> None:
        if reader.cursor is None:
            return
        page = self.parts.run(self.poster.page(limit=reader.limit, cursor=reader.cursor))
        reader.seen += [post["id"] for post in page["items"]]
        reader.cursor = page["next_cursor"]
        assert len(reader.seen) == len(set(reader.seen))
        self._check_end(reader)

    @rule(reader=consumes(readers))
    def read_to_the_end(self, reader: Reader) -> None:
        while reader.cursor is not None:
            self.read_on(reader)

    @invariant()
    def everybody_sees_what_the_model_says(self) -> None:
        page = self.parts.run(self.poster.page(limit=100))
        expected = sorted(self.live.values(), key=lambda post: (len(post.comments), post.id), reverse=True)
        assert [(post["id"], post["comment_count"]) for post in page["items"]] == [
            (post.id, len(post.comments)) for post in expected
        ]
        for shown, post in zip(page["items"], expected, strict=True):
            last = [comment_id for comment_id, _ in post.comments[:-3:-1]]
            assert [comment["id"] for comment in shown["last_comments"]] == last

    def _touched(self, post: str) -> None:
        for reader in self.reading:
            reader.untouched.discard(post)

    def _check_end(self, reader: Reader) -> None:
        if reader.cursor is None:
            assert reader.untouched <= set(reader.seen)


@pytest.mark.parametrize("examples", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_any_course_of_events(
    examples: int, http_in_a_loop_of_its_own: Any, make_account: Any, record: Any, clock: Any
) -> None:
    run, http, process, clean = http_in_a_loop_of_its_own

    class Course(Machine):
        parts = Parts(run, http, process, record, clock, make_account)

        def teardown(self) -> None:
            run(clean())

    run_state_machine_as_test(
        Course,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def http_in_a_loop_of_its_own(
    url: str, make_settings: Any, identity_key: Any, clock: Any, dead_letters: Any, pictures: Any, room: Any
) -> Any:
    """Yields the service on a database, driven from outside any event loop."""
    from kappi_chassis.auth import JwksSource
    from kappi_chassis.auth.accounts import AccountVerifier
    from kappi_chassis.bus import Processor
    from kappi_chassis.db import Database
    from kappi_chassis.outbox import Outbox
    from kappi_chassis.passwords import Passwords
    from kappi_galleries.bootstrap import Dependencies, build_app, build_handlers
    from kappi_galleries.consumers import GROUP

    from .conftest import Http, Ready

    with asyncio.Runner() as runner:
        database = Database(url, pool_size=2)
        runner.run(database.start())
        passwords = Passwords(time_cost=1, memory_kib=8, longest_queue=64, share=64)
        deps = Dependencies(
            database=database,
            outbox=Outbox(database),
            accounts=AccountVerifier(JwksSource(key_set(identity_key)), clock=clock),
            passwords=passwords,
            pictures=pictures,
            claim_room=room,
            ready_items=Ready(),
            clock=clock,
        )
        processor = Processor(
            group=GROUP, handlers=build_handlers(deps, make_settings()), dead_letters=dead_letters
        )

        async def clean() -> None:
            await database.hot.execute("TRUNCATE posts, comments, authors, outbox, deleted_accounts")

        yield runner.run, Http(build_app(deps, make_settings())), processor.process, clean
        runner.run(passwords.close())
        runner.run(database.close())
