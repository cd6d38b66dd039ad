"""The HTTP request and response bodies of posts and comments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from kappi_chassis.http.unknown_fields import RequestBody
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from kappi_galleries.domain.posts import (
    MAX_CAPTION_CHARACTERS,
    MAX_COMMENT_CHARACTERS,
    Author,
    Comment,
    Post,
    PostId,
    TextRefused,
    check_text,
)

ImageUrl = Callable[[PostId], str]


def _text(text: str) -> str:
    try:
        return check_text(text)
    except TextRefused as refused:
        raise PydanticCustomError(refused.code, str(refused)) from refused


Caption = Annotated[
    Annotated[str, Field(max_length=MAX_CAPTION_CHARACTERS), AfterValidator(_text)] | None,
    Field(
        description=f"At most {MAX_CAPTION_CHARACTERS} characters, stored exactly as written",
        examples=["First light on the pass"],
    ),
]
CommentText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_COMMENT_CHARACTERS,
        description=f"1 to {MAX_COMMENT_CHARACTERS} characters, stored exactly as written",
        examples=["Where is this?"],
    ),
    AfterValidator(_text),
]


class PostFromItem(RequestBody):
    """A post with a picture of one's own library."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"media_id": "01985c3e-9d3f-7d4e-b1d2-3c4d5e6f7a8b", "caption": "First light on the pass"}
            ]
        }
    )

    media_id: UUID = Field(description="A ready picture in a gallery of mine")
    caption: Caption = None


class CommentCreate(RequestBody):
    """A new comment."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Where is this?"}]})

    text: CommentText


class AuthorAnswer(BaseModel):
    """The account that wrote the post or comment."""

    id: UUID
    display_name: str | None = Field(
        description="The name of the account when it last posted or commented; null without a name",
        examples=["Ada"],
    )

    @classmethod
    def of(cls, author: Author) -> AuthorAnswer:
        return cls(id=author.account_id, display_name=author.display_name)


class CommentAnswer(BaseModel):
    """A comment. Clients must show its text as text, never as markup."""

    id: UUID
    post_id: UUID
    author: AuthorAnswer
    text: str
    created_at: datetime

    @classmethod
    def of(cls, comment: Comment) -> CommentAnswer:
        return cls(
            id=comment.id,
            post_id=comment.post_id,
            author=AuthorAnswer.of(comment.author),
            text=comment.text,
            created_at=comment.created_at,
        )


class CommentPageAnswer(BaseModel):
    """A page of the comments of a post, the newest first."""

    items: list[CommentAnswer]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page")


class PostAnswer(BaseModel):
    """A post. Clients must show its caption as text, never as markup."""

    id: UUID
    author: AuthorAnswer
    caption: str | None
    image_url: str = Field(
        description="Address of a JPEG of 600 by 600 pixels. It needs no authentication and works while the "
        "post exists",
        examples=["https://kappi.example/v1/posts/01985c3e-9d3f-7d4e-b1d2-3c4d5e6f7a8b/image"],
    )
    comment_count: int
    last_comments: list[CommentAnswer] = Field(description="The last two comments, the newest first")
    created_at: datetime

    @classmethod
    def of(cls, post: Post, image_url: ImageUrl) -> PostAnswer:
        return cls(
            id=post.id,
            author=AuthorAnswer.of(post.author),
            caption=post.caption,
            image_url=image_url(post.id),
            comment_count=post.comment_count,
            last_comments=[CommentAnswer.of(comment) for comment in post.last_comments],
            created_at=post.created_at,
        )


class PostPageAnswer(BaseModel):
    """A page of posts, the most commented first."""

    items: list[PostAnswer]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page")
