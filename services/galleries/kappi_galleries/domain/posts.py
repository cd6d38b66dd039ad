"""The rules of posts and comments: their fields, the limits of their texts, and the permission to delete."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NewType
from uuid import UUID

PostId = NewType("PostId", UUID)
CommentId = NewType("CommentId", UUID)

MAX_CAPTION_CHARACTERS = 2_000
MAX_COMMENT_CHARACTERS = 2_000
"""In Unicode code points, like the limits of other texts."""
LAST_COMMENTS = 2


class TextRefused(ValueError):
    """A text cannot be stored. code: stable, for machines."""

    def __init__(self, code: Literal["blank", "nul_character"], message: str) -> None:
        super().__init__(message)
        self.code = code


def check_text(text: str) -> str:
    """Returns the text exactly as it was written. Raises TextRefused."""
    if "\x00" in text:
        raise TextRefused("nul_character", "A text may not hold the character U+0000.")
    if not text.strip():
        raise TextRefused("blank", "A text has at least one character that is not white space.")
    return text


@dataclass(frozen=True, slots=True)
class Author:
    """An account as readers see it."""

    account_id: UUID
    display_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The account that calls. named_at: when the token that holds its name was issued."""

    account_id: UUID
    display_name: str | None
    named_at: datetime
    is_admin: bool

    @property
    def author(self) -> Author:
        return Author(self.account_id, self.display_name)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment as readers see it."""

    id: CommentId
    post_id: PostId
    author: Author
    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A post as readers see it. last_comments: the newest first."""

    id: PostId
    author: Author
    caption: str | None
    comment_count: int
    created_at: datetime
    last_comments: tuple[Comment, ...] = ()


@dataclass(frozen=True, slots=True)
class ListPosition:
    """The place where a page of the list of posts ended.

    comment_count, post_id: those of the page's last post. snapshot: the database snapshot in which the first
    page was read, in PostgreSQL's own form.
    """

    comment_count: int
    post_id: PostId
    snapshot: str


@dataclass(frozen=True, slots=True)
class DeletableComment:
    """The facts that decide which callers may delete a comment."""

    post_id: PostId
    author_id: UUID
    post_author_id: UUID

    def may_be_deleted_by(self, caller: Caller) -> bool:
        return caller.is_admin or caller.account_id in (self.author_id, self.post_author_id)
