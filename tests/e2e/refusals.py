"""All refusals that a client may receive, with the expected answer.

They are data, because two tests read them: one calls the running stack, the other checks the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

MIB = 1 << 20
UNKNOWN_ID = "0199e1a4-5b7c-7d10-8c41-5f2f0f3a9b01"
UNKNOWN_KEY = "kappi_" + "a" * 26
# An unsigned token: {"alg":"none"} and a body with the right to manage.
FORGED_GRANT = "eyJhbGciOiJub25lIn0.eyJyaWdodCI6Im1hbmFnZSJ9."


@dataclass(frozen=True, slots=True)
class Refusal:
    """operation: as in the OpenAPI; empty for a request that is no operation.

    path and header values may name parts of the world: `{home}`, `{home_key}` and so on. names: a field that
    the problem's errors must name.
    """

    name: str
    operation: str
    path: str
    status: int
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    body: bytes | None = None
    names: str | None = None

    @property
    def method(self) -> str:
        return self.operation.split(" ")[0]


HOME_KEY = {"X-Gallery-Key": "{home_key}"}
FOREIGN_KEY = {"X-Gallery-Key": "{foreign_key}"}
DEAD_KEY = {"X-Gallery-Key": "{dead_key}"}
HOME_CODE = {"X-Gallery-Code": "{home_code}"}
FOREIGN_CODE = {"X-Gallery-Code": "{foreign_code}"}
BAD_TOKEN = {"Authorization": "Bearer no.token.at-all"}
JSON = {"Content-Type": "application/json"}
NESTED = b'{"attributes":' + b'{"a":' * 100_000

CREATE, READ = "POST /v1/galleries", "GET /v1/galleries/{id}"
CHANGE, REMOVE = "PATCH /v1/galleries/{id}", "DELETE /v1/galleries/{id}"
VIEW, SIGN = "GET /v1/g/{code}", "POST /v1/galleries/{id}/uploads"
ARCHIVE = "GET /v1/g/{code}/archive"
POST = "POST /v1/galleries/{id}/media"
LOOK, ABORT, COMPLETE, PARTS = (
    "GET /v1/uploads/{id}",
    "DELETE /v1/uploads/{id}",
    "POST /v1/uploads/{id}/complete",
    "POST /v1/uploads/{id}/parts",
)
ITEM, DESCRIBE, DELETE = "GET /v1/media/{id}", "PATCH /v1/media/{id}", "DELETE /v1/media/{id}"
LIST_POSTS, CREATE_POST = "GET /v1/posts", "POST /v1/posts"
READ_POST, DELETE_POST, POST_IMAGE = (
    "GET /v1/posts/{id}",
    "DELETE /v1/posts/{id}",
    "GET /v1/posts/{id}/image",
)
LIST_COMMENTS, COMMENT = "GET /v1/posts/{id}/comments", "POST /v1/posts/{id}/comments"
DELETE_COMMENT = "DELETE /v1/comments/{id}"
SEARCH, BULK = "GET /v1/media", "POST /v1/media/bulk"
TAGS, PLACES = "GET /v1/media/tags", "GET /v1/media/places"
TOKEN = {"Authorization": "Bearer {token}"}
STRANGER = {"Authorization": "Bearer {stranger_token}"}
DOWNLOAD, RENDITION = "GET /v1/media/{id}/download", "GET /v1/media/{id}/renditions/{size}"
PLAYBACK, PLAYLIST = "GET /v1/media/{id}/playback", "GET /v1/media/{id}/playback.m3u8"


JOIN, CONTRIBUTORS = "POST /v1/g/{code}/contributors", "GET /v1/galleries/{id}/contributors"
REMOVE_CONTRIBUTOR = "DELETE /v1/galleries/{id}/contributors/{contributor_id}"
UNKNOWN_CONTRIBUTOR = {"X-Contributor-Key": UNKNOWN_KEY}
STATS, ACCESSES = "GET /v1/galleries/{id}/stats", "GET /v1/galleries/{id}/accesses"
MY_STATS, ALL_STATS = "GET /v1/me/stats", "GET /v1/admin/stats"


def _file(**changed: Any) -> dict[str, Any]:
    file: dict[str, Any] = {"filename": "a.jpg", "size": 1000, "content_type": "image/jpeg", **changed}
    return {"files": [{name: value for name, value in file.items() if value is not ...}]}


def _keys(operation: str, path: str, *, json: Any = None) -> list[Refusal]:
    """Refusals of an operation that needs a gallery's key: none, a wrong one, and another gallery's."""

    def refusal(name: str, status: int, code: str, headers: Mapping[str, str]) -> Refusal:
        return Refusal(f"{operation}: {name}", operation, path, status, code, headers, json)

    return [
        refusal("no key", 401, "gallery_key_missing", {}),
        refusal("its code is no key", 401, "gallery_key_missing", HOME_CODE),
        refusal("unknown key", 403, "gallery_key_wrong", {"X-Gallery-Key": UNKNOWN_KEY}),
        refusal("not a key at all", 403, "gallery_key_wrong", {"X-Gallery-Key": "let me in"}),
        refusal("another gallery's key", 403, "gallery_key_wrong", FOREIGN_KEY),
        refusal("a dead gallery's key", 403, "gallery_key_wrong", DEAD_KEY)
        if operation in {READ, CHANGE, REMOVE, STATS, CONTRIBUTORS, REMOVE_CONTRIBUTOR}
        else refusal("a dead gallery's key", 404, "gallery_not_found", DEAD_KEY),
        refusal("a grant from outside", 401, "gallery_key_missing", {"X-Kappi-Grant": FORGED_GRANT}),
    ]


def _of_upload(operation: str, path: str, *, json: Any = None) -> list[Refusal]:
    refusals = [
        Refusal(f"{operation}: no key", operation, path, 401, "gallery_key_missing"),
        Refusal(f"{operation}: code only", operation, path, 401, "gallery_key_missing", HOME_CODE),
        Refusal(f"{operation}: another's", operation, path, 404, "upload_not_found", FOREIGN_KEY),
        Refusal(
            f"{operation}: unknown key",
            operation,
            path,
            403,
            "gallery_key_wrong",
            {"X-Gallery-Key": UNKNOWN_KEY},
        ),
        Refusal(
            f"{operation}: unknown",
            operation,
            path.replace("{pending}", UNKNOWN_ID),
            404,
            "upload_not_found",
            HOME_KEY,
        ),
    ]
    return [replace(refusal, json=json) for refusal in refusals]


def _of_item(operation: str, path: str, *, json: Any = None, by_code: bool) -> list[Refusal]:
    missing = "credentials_missing" if by_code else "gallery_key_missing"

    def refusal(name: str, status: int, code: str, headers: Mapping[str, str], where: str = path) -> Refusal:
        return Refusal(f"{operation}: {name}", operation, where, status, code, headers, json)

    return [
        refusal("no credentials", 401, missing, {}),
        refusal("a grant from outside", 401, missing, {"X-Kappi-Grant": FORGED_GRANT}),
        refusal("another's key", 404, "media_not_found", FOREIGN_KEY),
        refusal("unknown key", 403, "gallery_key_wrong", {"X-Gallery-Key": UNKNOWN_KEY}),
        refusal("unknown item", 404, "media_not_found", HOME_KEY, path.replace("{item}", UNKNOWN_ID)),
        refusal("no id", 422, "validation_failed", HOME_KEY, path.replace("{item}", "seven")),
        refusal("another's code", 404, "media_not_found", FOREIGN_CODE)
        if by_code
        else refusal("its code only", 401, missing, HOME_CODE),
        refusal("unknown code", 404, "gallery_not_found", {"X-Gallery-Code": "zzzzzzzz"})
        if by_code
        else refusal("a dead gallery's key", 404, "gallery_not_found", DEAD_KEY),
    ]


def _bodies(operation: str, path: str, *, headers: Mapping[str, str], text_field: str) -> list[Refusal]:
    """Bodies that no endpoint may accept as JSON or as text."""

    def refusal(name: str, status: int, code: str, body: bytes) -> Refusal:
        return Refusal(f"{operation}: {name}", operation, path, status, code, {**headers, **JSON}, body=body)

    whole = {"files": _file(filename="%")["files"]} if operation == SIGN else {text_field: "%"}
    text = str(whole).replace("'", '"').encode()
    return [
        refusal("cut JSON", 400, "malformed_json", text[:-2]),
        refusal("not UTF-8", 400, "malformed_json", text.replace(b"%", b"\xff\xfe")),
        refusal("endless nesting", 400, "malformed_json", NESTED),
        refusal("NUL in a text", 422, "validation_failed", text.replace(b"%", b"a\\u0000b")),
        refusal("a lone surrogate", 422, "validation_failed", text.replace(b"%", b"a\\ud800b")),
        refusal("an unknown field", 422, "unknown_field", text.replace(b"}", b', "visiblity": "private"}')),
        refusal("a list instead of an object", 422, "validation_failed", b"[1]"),
        refusal("a megabyte too much", 413, "payload_too_large", b'"' + b"x" * MIB + b'"'),
    ]


def _days(operation: str, path: str, headers: Mapping[str, str]) -> list[Refusal]:
    """Ranges of days that are invalid."""

    def refusal(name: str, query: str, names: str) -> Refusal:
        where = f"{path}?{query}"
        return Refusal(
            f"{operation}: {name}", operation, where, 422, "validation_failed", headers, names=names
        )

    return [
        refusal("no day", "from=yesterday", "from"),
        refusal("a day that never was", "to=2026-02-30", "to"),
        refusal("NUL in a day", "from=2026-01-01%00", "from"),
        refusal("backwards", "from=2026-02-02&to=2026-02-01", "from"),
        refusal("too long", "from=2020-01-01&to=2026-02-01", "from"),
    ]


def _created(name: str, code: str, *, names: str, **fields: Any) -> Refusal:
    return Refusal(f"{CREATE}: {name}", CREATE, "/v1/galleries", 422, code, json=fields, names=names)


def _signed(
    name: str, json: Any, *, status: int = 422, code: str = "validation_failed", names: str
) -> Refusal:
    path = "/v1/galleries/{home}/uploads"
    return Refusal(f"{SIGN}: {name}", SIGN, path, status, code, HOME_KEY, json, names=names)


def _posted(
    name: str,
    status: int,
    code: str,
    *,
    body: bytes,
    names: str | None = None,
    kind: str = "application/json",
) -> Refusal:
    path, headers = "/v1/galleries/{home}/media", {**HOME_KEY, "Content-Type": kind}
    return Refusal(f"{POST}: {name}", POST, path, status, code, headers, body=body, names=names)


def _post_of_item(name: str, status: int, code: str, json: Any, *, names: str | None = None) -> Refusal:
    return Refusal(f"{CREATE_POST}: {name}", CREATE_POST, "/v1/posts", status, code, TOKEN, json, names=names)


def _post_body(
    name: str, status: int, code: str, *, body: bytes, kind: str, names: str | None = None
) -> Refusal:
    headers = {**TOKEN, "Content-Type": kind}
    return Refusal(
        f"{CREATE_POST}: {name}", CREATE_POST, "/v1/posts", status, code, headers, body=body, names=names
    )


def _post_form(name: str, status: int, code: str, file: bytes, *, caption: str = "") -> Refusal:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n%b\r\n'
        b'--b\r\nContent-Disposition: form-data; name="caption"\r\n\r\n%b\r\n--b--\r\n'
    ) % (file, caption.encode())
    return _post_body(name, status, code, body=body, kind="multipart/form-data; boundary=b")


def _with_bad_tokens(operation: str, path: str, *, json: Any = None) -> list[Refusal]:
    return [
        Refusal(f"{operation}: no token", operation, path, 401, "credentials_missing", json=json),
        Refusal(
            f"{operation}: a bad token",
            operation,
            path,
            401,
            "access_token_invalid",
            {"Authorization": "Bearer let-me-in"},
            json,
        ),
    ]


def _commented(name: str, text: Any) -> Refusal:
    path, code = "/v1/posts/{post}/comments", "validation_failed"
    return Refusal(f"{COMMENT}: {name}", COMMENT, path, 422, code, TOKEN, {"text": text}, names="text")


def _posts() -> list[Refusal]:
    post, comments = "/v1/posts/{post}", "/v1/posts/{post}/comments"
    unknown, unknown_comment = f"/v1/posts/{UNKNOWN_ID}", f"/v1/comments/{UNKNOWN_ID}"
    too_short = {**TOKEN, "Idempotency-Key": "abc"}
    kind_of_json, invalid = "application/json", "validation_failed"
    return [
        *_with_bad_tokens(CREATE_POST, "/v1/posts", json={"media_id": UNKNOWN_ID}),
        _post_of_item("unknown item", 404, "media_not_found", {"media_id": UNKNOWN_ID}),
        _post_of_item("an item without an account", 404, "media_not_found", {"media_id": "{item}"}),
        _post_of_item("no item", 422, invalid, {"caption": "a"}, names="media_id"),
        _post_of_item("no id", 422, invalid, {"media_id": "seven"}, names="media_id"),
        _post_of_item(
            "a caption too long",
            422,
            invalid,
            {"media_id": UNKNOWN_ID, "caption": "x" * 2001},
            names="caption",
        ),
        _post_of_item("NUL in a caption", 422, invalid, {"media_id": UNKNOWN_ID, "caption": "a\0b"}),
        _post_body("cut JSON", 400, "malformed_json", body=b'{"media_id": "', kind=kind_of_json),
        _post_body("not UTF-8", 400, "malformed_json", body=b'{"caption": "\xff"}', kind=kind_of_json),
        _post_body("endless nesting", 413, "payload_too_large", body=NESTED, kind=kind_of_json),
        _post_body("a list", 422, invalid, body=b"[1]", kind=kind_of_json),
        _post_body("neither", 415, "unsupported_media_type", body=b"x", kind="text/plain"),
        _post_body("no form", 400, "malformed_form", body=b"x", kind="multipart/form-data; boundary=b"),
        _post_body("no boundary", 400, "malformed_form", body=b"x", kind="multipart/form-data"),
        _post_body(
            "no file",
            422,
            invalid,
            body=b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n--b--\r\n",
            kind="multipart/form-data; boundary=b",
            names="file",
        ),
        _post_body("too large", 413, "file_too_large", body=bytes(102 * MIB), kind="multipart/form-data"),
        _post_form("an animation", 415, "picture_type_not_taken", b"GIF89a" + bytes(100)),
        _post_form("a page", 415, "picture_type_not_taken", b"<html>"),
        _post_form("an empty file", 422, "picture_unusable", b""),
        _post_form("half a picture", 422, "picture_unusable", b"\xff\xd8\xff\xe0" + bytes(100)),
        Refusal(
            "a post's idempotency key too short",
            CREATE_POST,
            "/v1/posts",
            400,
            "idempotency_key_invalid",
            too_short,
            {"media_id": UNKNOWN_ID},
        ),
        Refusal("no posts", LIST_POSTS, "/v1/posts?limit=0", 422, invalid, names="limit"),
        Refusal(
            "made-up place among posts", LIST_POSTS, "/v1/posts?cursor=%24", 422, invalid, names="cursor"
        ),
        Refusal("unknown post", READ_POST, unknown, 404, "post_not_found"),
        Refusal("no post's id", READ_POST, "/v1/posts/seven", 422, invalid),
        Refusal("unknown picture", POST_IMAGE, f"{unknown}/image", 404, "post_not_found"),
        *_with_bad_tokens(DELETE_POST, post),
        Refusal("delete an unknown post", DELETE_POST, unknown, 404, "post_not_found", TOKEN),
        Refusal("delete another's post", DELETE_POST, post, 403, "post_not_yours", STRANGER),
        Refusal("comments of an unknown post", LIST_COMMENTS, f"{unknown}/comments", 404, "post_not_found"),
        Refusal("made-up place", LIST_COMMENTS, f"{comments}?cursor=%24", 422, invalid, names="cursor"),
        *_with_bad_tokens(COMMENT, comments, json={"text": "a"}),
        *_bodies(COMMENT, comments, headers=TOKEN, text_field="text"),
        Refusal(
            "comment on an unknown post",
            COMMENT,
            f"{unknown}/comments",
            404,
            "post_not_found",
            TOKEN,
            {"text": "a"},
        ),
        Refusal(
            "a comment's idempotency key too short",
            COMMENT,
            comments,
            400,
            "idempotency_key_invalid",
            too_short,
            {"text": "a"},
        ),
        _commented("too long", "x" * 2001),
        _commented("nothing", ""),
        _commented("only white space", " \n\t "),
        _commented("a number", 7),
        *_with_bad_tokens(DELETE_COMMENT, "/v1/comments/{comment}"),
        Refusal(
            "delete an unknown comment", DELETE_COMMENT, unknown_comment, 404, "comment_not_found", TOKEN
        ),
        Refusal(
            "delete another's comment",
            DELETE_COMMENT,
            "/v1/comments/{comment}",
            403,
            "comment_not_yours",
            STRANGER,
        ),
    ]


def _viewed(name: str, path: str, *, status: int = 404, code: str = "gallery_not_found") -> Refusal:
    return Refusal(f"{VIEW}: {name}", VIEW, path, status, code)


def _archived(
    name: str, whose: str, *, status: int, code: str, headers: Mapping[str, str] | None = None
) -> Refusal:
    path = f"/v1/g/{whose}/archive"
    return Refusal(f"{ARCHIVE}: {name}", ARCHIVE, path, status, code, headers or {})


def _of_account(operation: str, *, json: Any = None) -> list[Refusal]:
    """Refusals of an operation on data of an account, for which no other credential is valid."""
    path = operation.split(" ")[1]

    def refusal(name: str, code: str, headers: Mapping[str, str]) -> Refusal:
        return Refusal(f"{operation}: {name}", operation, path, 401, code, headers, json)

    return [
        refusal("no token", "credentials_missing", {}),
        refusal("a key", "credentials_missing", HOME_KEY),
        refusal("a code", "credentials_missing", HOME_CODE),
        refusal("a grant from outside", "credentials_missing", {"X-Kappi-Grant": FORGED_GRANT}),
        refusal("another scheme", "credentials_missing", {"Authorization": "Basic YTpi"}),
        refusal("not a token", "access_token_invalid", {"Authorization": "Bearer seven"}),
        refusal("unsigned", "access_token_invalid", {"Authorization": f"Bearer {FORGED_GRANT}"}),
    ]


def _searched(query: str, *, names: str, operation: str = SEARCH) -> Refusal:
    path = f"{operation.split(' ')[1]}?{query}"
    return Refusal(f"{path}", operation, path, 422, "validation_failed", TOKEN, names=names)


def _bulk(name: str, json: Any, *, names: str) -> Refusal:
    return Refusal(
        f"{BULK}: {name}", BULK, "/v1/media/bulk", 422, "validation_failed", TOKEN, json, names=names
    )


def _unrouted(method: str, path: str) -> Refusal:
    return Refusal(f"{method} {path}", f"{method} ", path, 404, "not_found")


REFUSALS: tuple[Refusal, ...] = (
    # galleries
    *_bodies(CREATE, "/v1/galleries", headers={}, text_field="title"),
    _created("a title too long", "validation_failed", names="title", title="x" * 201),
    _created("a title that is a number", "validation_failed", names="title", title=7),
    _created("a title of two lines", "validation_failed", names="title", title="a\nb"),
    _created("too short a life", "validation_failed", names="expires_in", expires_in=3599),
    _created("too long a life", "validation_failed", names="expires_in", expires_in=61 * 86_400),
    _created("a life in words", "validation_failed", names="expires_in", expires_in="3600"),
    _created("private", "account_required", names="visibility", visibility="private"),
    _created("a password", "account_required", names="password", password="secret-parrot"),
    _created("unknown visibility", "validation_failed", names="visibility", visibility="hidden"),
    Refusal(
        "an idempotency key too short",
        CREATE,
        "/v1/galleries",
        400,
        "idempotency_key_invalid",
        {"Idempotency-Key": "abc"},
        json={},
    ),
    *_keys(READ, "/v1/galleries/{home}"),
    *_keys(CHANGE, "/v1/galleries/{home}", json={"title": "Stolen"}),
    *_keys(REMOVE, "/v1/galleries/{home}"),
    *_bodies(CHANGE, "/v1/galleries/{home}", headers=HOME_KEY, text_field="title"),
    *_keys(CONTRIBUTORS, "/v1/galleries/{home}/contributors"),
    *_keys(REMOVE_CONTRIBUTOR, f"/v1/galleries/{{home}}/contributors/{UNKNOWN_ID}"),
    Refusal(
        "unknown contributor",
        REMOVE_CONTRIBUTOR,
        f"/v1/galleries/{{home}}/contributors/{UNKNOWN_ID}",
        404,
        "contributor_not_found",
        HOME_KEY,
    ),
    Refusal("join a closed gallery", JOIN, "/v1/g/{home_code}/contributors", 403, "contributions_closed"),
    Refusal("join an unknown one", JOIN, "/v1/g/zzzzzzzz/contributors", 404, "gallery_not_found"),
    Refusal(
        "join under a long name",
        JOIN,
        "/v1/g/{home_code}/contributors",
        422,
        "validation_failed",
        json={"name": "x" * 81},
        names="name",
    ),
    *(
        Refusal(
            f"{operation}: unknown contributor key",
            operation,
            path,
            403,
            "contributor_key_wrong",
            UNKNOWN_CONTRIBUTOR,
            json,
        )
        for operation, path, json in (
            (SIGN, "/v1/galleries/{home}/uploads", _file()),
            (ITEM, "/v1/media/{item}", None),
            (DESCRIBE, "/v1/media/{item}", {"caption": "Mine"}),
            (DELETE, "/v1/media/{item}", None),
        )
    ),
    Refusal("unknown gallery", READ, f"/v1/galleries/{UNKNOWN_ID}", 403, "gallery_key_wrong", HOME_KEY),
    Refusal("dead gallery", READ, "/v1/galleries/{dead}", 404, "gallery_not_found", DEAD_KEY),
    Refusal("change a dead one", CHANGE, "/v1/galleries/{dead}", 404, "gallery_not_found", DEAD_KEY, json={}),
    Refusal("no gallery id", READ, "/v1/galleries/seven", 422, "validation_failed", HOME_KEY),
    Refusal("no id to delete", REMOVE, "/v1/galleries/seven", 422, "validation_failed", HOME_KEY),
    Refusal(
        "a life too long",
        CHANGE,
        "/v1/galleries/{home}",
        422,
        "validation_failed",
        HOME_KEY,
        json={"expires_in": 61 * 86_400},
        names="expires_in",
    ),
    Refusal(
        "a password later",
        CHANGE,
        "/v1/galleries/{home}",
        422,
        "account_required",
        HOME_KEY,
        json={"password": "secret-parrot"},
        names="password",
    ),
    # the page behind a link
    _viewed("unknown", "/v1/g/zzzzzzzz"),
    _viewed("not of the alphabet", "/v1/g/%21%21%21%21"),
    _viewed("another script", "/v1/g/%E6%9D%B1%E4%BA%AC"),
    _viewed("not UTF-8", "/v1/g/%FF%FE"),
    _viewed("NUL", "/v1/g/{home_code}%00"),
    _viewed("endless", "/v1/g/" + "a" * 2000),
    _viewed("an injection", "/v1/g/a%27%20OR%201%3D1--"),
    _viewed("deleted", "/v1/g/{dead_code}"),
    _viewed("no limit", "/v1/g/{home_code}?limit=0", status=422, code="validation_failed"),
    _viewed("limit in words", "/v1/g/{home_code}?limit=ten", status=422, code="validation_failed"),
    _viewed("made-up cursor", "/v1/g/{home_code}?cursor=%24%24", status=422, code="validation_failed"),
    # a gallery as one file
    _archived("unknown", "zzzzzzzz", status=404, code="gallery_not_found"),
    _archived("not of the alphabet", "%21%21", status=404, code="gallery_not_found"),
    _archived("deleted", "{dead_code}", status=404, code="gallery_not_found"),
    _archived("of nothing", "{foreign_code}", status=409, code="archive_empty"),
    _archived(
        "beyond its end",
        "{home_code}",
        status=416,
        code="range_not_satisfiable",
        headers={"Range": "bytes=1000000-"},
    ),
    _archived(
        "another one",
        "{home_code}",
        status=412,
        code="archive_changed",
        headers={"If-Match": '"made-up"'},
    ),
    # uploads
    *_keys(SIGN, "/v1/galleries/{home}/uploads", json=_file()),
    *_bodies(SIGN, "/v1/galleries/{home}/uploads", headers=HOME_KEY, text_field="filename"),
    _signed("no file", {"files": []}, names="files"),
    _signed("101 files", {"files": _file()["files"] * 101}, names="files"),
    _signed("no name", _file(filename=...), names="files.0.filename"),
    _signed("an empty name", _file(filename=""), names="files.0.filename"),
    _signed("no bytes", _file(size=0), names="files.0.size"),
    _signed("fewer than no bytes", _file(size=-1), names="files.0.size"),
    _signed("size in words", _file(size="1000"), names="files.0.size"),
    _signed(
        "a size beyond numbers",
        _file(size=10**30),
        status=413,
        code="file_too_large",
        names="files.0.size",
    ),
    _signed("no digest", _file(sha256="abc"), names="files.0.sha256"),
    _signed("a caption too long", _file(caption="x" * 2001), names="files.0.caption"),
    _signed("too many tags", _file(tags=["t"] * 51), names="files.0.tags"),
    _signed("attributes too large", _file(attributes={"a": "x" * 5000}), names="files.0.attributes"),
    _signed(
        "oversize", _file(size=5 * 1024 * MIB + 1), status=413, code="file_too_large", names="files.0.size"
    ),
    _signed(
        "a program",
        _file(content_type="application/x-msdownload"),
        code="unsupported_content_type",
        names="files.0.content_type",
    ),
    _signed(
        "a page",
        _file(content_type="text/html"),
        code="unsupported_content_type",
        names="files.0.content_type",
    ),
    _signed(
        "a header in a type",
        _file(content_type="image/jpeg\r\nX-Evil: 1"),
        code="unsupported_content_type",
        names="files.0.content_type",
    ),
    *_keys(POST, "/v1/galleries/{home}/media", json={"filename": "a.jpg", "content_base64": "/9j/4A=="}),
    _posted("cut JSON", 400, "malformed_json", body=b'{"filename": "a.jpg", "content_base64": "/9j/'),
    _posted(
        "no base64",
        400,
        "malformed_base64",
        body=b'{"filename": "a.jpg", "content_base64": "*"}',
        names="content_base64",
    ),
    _posted("no file", 422, "validation_failed", body=b'{"filename": "a.jpg"}', names="content_base64"),
    _posted("a list", 422, "validation_failed", body=b"[1]"),
    _posted("endless nesting", 413, "payload_too_large", body=NESTED),
    _posted("an empty file", 422, "content_mismatch", body=b'{"filename": "a.jpg", "content_base64": ""}'),
    _posted(
        "a page",
        415,
        "unsupported_content_type",
        body=b'{"filename": "a.html", "content_base64": "PGh0bWw+"}',
    ),
    _posted("too large", 413, "file_too_large", body=bytes(23 * MIB)),
    _posted("no form", 400, "malformed_form", body=b"x", kind="multipart/form-data; boundary=b"),
    _posted("no boundary", 400, "malformed_form", body=b"x", kind="multipart/form-data"),
    _posted("neither", 415, "unsupported_media_type", body=b"x", kind="text/plain"),
    *_of_upload(LOOK, "/v1/uploads/{pending}"),
    *_of_upload(ABORT, "/v1/uploads/{pending}"),
    *_of_upload(COMPLETE, "/v1/uploads/{pending}/complete"),
    Refusal("no upload id", LOOK, "/v1/uploads/seven", 422, "validation_failed", HOME_KEY),
    Refusal("without bytes", COMPLETE, "/v1/uploads/{pending}/complete", 409, "upload_incomplete", HOME_KEY),
    *_of_upload(PARTS, "/v1/uploads/{pending}/parts", json={"numbers": [1]}),
    Refusal(
        "no parts",
        PARTS,
        "/v1/uploads/{pending}/parts",
        409,
        "upload_not_multipart",
        HOME_KEY,
        {"numbers": [1]},
    ),
    Refusal(
        "part nought",
        PARTS,
        "/v1/uploads/{pending}/parts",
        422,
        "validation_failed",
        HOME_KEY,
        {"numbers": [0]},
        names="numbers.0",
    ),
    Refusal("aborted", COMPLETE, "/v1/uploads/{aborted}/complete", 409, "upload_aborted", HOME_KEY),
    Refusal("abort a completed one", ABORT, "/v1/uploads/{completed}", 409, "upload_completed", HOME_KEY),
    # items
    *_of_item(ITEM, "/v1/media/{item}", by_code=True),
    *_of_item(DOWNLOAD, "/v1/media/{item}/download", by_code=True),
    *_of_item(RENDITION, "/v1/media/{item}/renditions/400", by_code=True),
    *_of_item(PLAYBACK, "/v1/media/{item}/playback", by_code=True),
    Refusal("of a picture", PLAYBACK, "/v1/media/{item}/playback", 422, "media_not_a_film", HOME_CODE),
    *_of_item(PLAYLIST, "/v1/media/{item}/playback.m3u8", by_code=True),
    Refusal(
        "list of a picture", PLAYLIST, "/v1/media/{item}/playback.m3u8", 422, "media_not_a_film", HOME_CODE
    ),
    Refusal(
        "signed by nobody",
        PLAYLIST,
        "/v1/media/{item}/playback.m3u8?expires=99999999999&signature=ab",
        403,
        "playlist_url_invalid",
        {},
    ),
    Refusal(
        "list of no size",
        PLAYLIST,
        "/v1/media/{item}/playback.m3u8?size=1080",
        422,
        "validation_failed",
        HOME_CODE,
        names="size",
    ),
    *_of_item(DESCRIBE, "/v1/media/{item}", json={"caption": "Stolen"}, by_code=False),
    *_of_item(DELETE, "/v1/media/{item}", by_code=False),
    *_bodies(DESCRIBE, "/v1/media/{item}", headers=HOME_KEY, text_field="caption"),
    Refusal(
        "another size",
        RENDITION,
        "/v1/media/{item}/renditions/9999",
        403,
        "rendition_not_in_tier",
        HOME_CODE,
    ),
    Refusal("of a promise", ITEM, "/v1/media/{pending_item}", 404, "media_not_found", HOME_KEY),
    *_posts(),
    # statistics
    *_keys(STATS, "/v1/galleries/{home}/stats"),
    *_keys(ACCESSES, "/v1/galleries/{home}/accesses"),
    Refusal("no stats of no id", STATS, "/v1/galleries/seven/stats", 422, "validation_failed", HOME_KEY),
    Refusal("stats of a dead one", STATS, "/v1/galleries/{dead}/stats", 404, "gallery_not_found", DEAD_KEY),
    *_days(STATS, "/v1/galleries/{home}/stats", HOME_KEY),
    Refusal("no log of no id", ACCESSES, "/v1/galleries/seven/accesses", 422, "validation_failed", HOME_KEY),
    Refusal(
        "a log of no lines",
        ACCESSES,
        "/v1/galleries/{home}/accesses?limit=0",
        422,
        "validation_failed",
        HOME_KEY,
        names="limit",
    ),
    Refusal(
        "a log from nowhere",
        ACCESSES,
        "/v1/galleries/{home}/accesses?cursor=%24",
        422,
        "validation_failed",
        HOME_KEY,
        names="cursor",
    ),
    Refusal("no account, no stats", MY_STATS, "/v1/me/stats", 401, "credentials_missing"),
    Refusal("a key is no account", MY_STATS, "/v1/me/stats", 401, "credentials_missing", HOME_KEY),
    Refusal("stats by a bad token", MY_STATS, "/v1/me/stats", 401, "access_token_invalid", BAD_TOKEN),
    Refusal("no totals without an account", ALL_STATS, "/v1/admin/stats", 401, "credentials_missing"),
    Refusal("totals by a bad token", ALL_STATS, "/v1/admin/stats", 401, "access_token_invalid", BAD_TOKEN),
    # the library
    *_of_account(SEARCH),
    *_of_account(TAGS),
    *_of_account(PLACES),
    *_of_account(BULK, json={"ids": [UNKNOWN_ID], "action": "delete"}),
    _searched("kind=sound", names="kind"),
    _searched("gallery_id=seven", names="gallery_id"),
    _searched("taken_from=yesterday", names="taken_from"),
    _searched("taken_to=2026-02-30", names="taken_to"),
    _searched("uploaded_from=2026-01-01T00:00", names="uploaded_from"),
    _searched("uploaded_to=1", names="uploaded_to"),
    _searched("near=91,0", names="near"),
    _searched("near=north", names="near"),
    _searched("near=1,2&within_km=40000", names="within_km"),
    _searched("within_km=1", names="within_km"),
    _searched("bbox=1,2,3", names="bbox"),
    _searched("bbox=0,10,1,9", names="bbox"),
    _searched("q=", names="q"),
    _searched("q=%00", names="q"),
    _searched("tag=", names="tag.0"),
    _searched("location=" + "x" * 201, names="location"),
    _searched("sort=size", names="sort"),
    _searched("limit=0", names="limit"),
    _searched("cursor=%24%24", names="cursor"),
    _searched("cursor=%24%24", names="cursor", operation=TAGS),
    _searched("limit=ten", names="limit", operation=PLACES),
    *_bodies(BULK, "/v1/media/bulk", headers=TOKEN, text_field="action"),
    _bulk("no ids", {"ids": [], "action": "delete"}, names="ids"),
    _bulk("1,001 ids", {"ids": [UNKNOWN_ID] * 1001, "action": "delete"}, names="ids"),
    _bulk("no id", {"ids": ["seven"], "action": "delete"}, names="ids.0"),
    _bulk("no action", {"ids": [UNKNOWN_ID]}, names="action"),
    _bulk("no tags to add", {"ids": [UNKNOWN_ID], "action": "tag"}, names="tags"),
    _bulk("nowhere to move to", {"ids": [UNKNOWN_ID], "action": "move"}, names="gallery_id"),
    _bulk(
        "a gallery to delete",
        {"ids": [UNKNOWN_ID], "action": "delete", "gallery_id": UNKNOWN_ID},
        names="gallery_id",
    ),
    *(
        Refusal(
            f"{BULK}: {name}",
            BULK,
            "/v1/media/bulk",
            404,
            "gallery_not_found",
            TOKEN,
            {"ids": [UNKNOWN_ID], "action": "move", "gallery_id": gallery},
        )
        for name, gallery in (("to no gallery", UNKNOWN_ID), ("to another's gallery", "{home}"))
    ),
    _bulk("tags to delete", {"ids": [UNKNOWN_ID], "action": "delete", "tags": ["a"]}, names="tags"),
    Refusal(
        "an idempotency key too short for many",
        BULK,
        "/v1/media/bulk",
        400,
        "idempotency_key_invalid",
        {**TOKEN, "Idempotency-Key": "abc"},
        json={"ids": [UNKNOWN_ID], "action": "delete"},
    ),
    # unknown paths
    _unrouted("GET", "/v1"),
    _unrouted("GET", "/v1/nothing"),
    _unrouted("GET", "/v2/galleries"),
    _unrouted("POST", "/internal/grants/view"),
    _unrouted("GET", "/internal/jwks.json"),
    _unrouted("GET", "/internal/openapi.json"),
    _unrouted("GET", "/v1/../internal/jwks.json"),
    _unrouted("GET", "/v1/%2e%2e/internal/jwks.json"),
    _unrouted("GET", "/metrics"),
    _unrouted("GET", "/healthz"),
    _unrouted("GET", "/readyz"),
    _unrouted("GET", "//v1/galleries"),
    Refusal("no list without an account", "GET /v1/galleries", "/v1/galleries", 401, "credentials_missing"),
    Refusal("no deleting them all", "DELETE ", "/v1/galleries", 405, "method_not_allowed", HOME_KEY),
    Refusal("no replacing", "PUT ", "/v1/galleries/{home}", 405, "method_not_allowed", HOME_KEY),
    Refusal("no posting to a page", "POST ", "/v1/g/{home_code}", 405, "method_not_allowed", json={}),
)
