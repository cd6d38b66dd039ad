"""The authorisation matrix: the expected answer of every public operation for every kind of caller.

It is data, because three tests read it: one calls the running stack, one compares it with the routes and the
OpenAPI document, and one writes docs/authorisation.md from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tests.e2e.refusals import UNKNOWN_ID


class Kind(Enum):
    """The kinds of galleries. Those of the account were claimed as anonymous ones, so their keys are void."""

    ANONYMOUS = "anonymous"
    SHARED = "shared"
    PROTECTED = "protected"
    PRIVATE = "private"


class Caller(Enum):
    """The kinds of callers. The value is the name on the page."""

    NOBODY = "no credential"
    VIEWER = "viewer with the code"
    UNLOCKED = "viewer with code and password"
    GUESSER = "viewer with code and wrong password"
    KEY = "holder of the gallery's key"
    FOREIGN_KEY = "holder of another gallery's key"
    CONTRIBUTOR = "contributor"
    FOREIGN_CONTRIBUTOR = "contributor of another gallery"
    OWNER = "owner"
    OTHER = "another account"
    CLAIMANT = "another account with the gallery's key"
    ADMIN = "administrator"
    EXPIRED = "owner with an expired token"
    FORGED = "owner with a token signed by another key"
    UNSIGNED = "owner with a token of `alg: none`"
    MALFORMED = "owner with a malformed token"


_CODE = {"X-Gallery-Code": "{code}"}

SENDS: Mapping[Caller, Mapping[str, str]] = {
    Caller.NOBODY: {},
    Caller.VIEWER: _CODE,
    Caller.UNLOCKED: {**_CODE, "X-Gallery-Password": "{password}"},
    Caller.GUESSER: {**_CODE, "X-Gallery-Password": "not {password}"},
    Caller.KEY: {"X-Gallery-Key": "{key}"},
    Caller.FOREIGN_KEY: {"X-Gallery-Key": "{foreign_key}"},
    Caller.CONTRIBUTOR: {"X-Contributor-Key": "{contributor_key}"},
    Caller.FOREIGN_CONTRIBUTOR: {"X-Contributor-Key": "{foreign_contributor_key}"},
    Caller.OWNER: {"Authorization": "Bearer {owner_token}"},
    Caller.OTHER: {"Authorization": "Bearer {other_token}"},
    Caller.CLAIMANT: {"Authorization": "Bearer {other_token}", "X-Gallery-Key": "{key}"},
    Caller.ADMIN: {"Authorization": "Bearer {admin_token}"},
    Caller.EXPIRED: {"Authorization": "Bearer {expired_token}"},
    Caller.FORGED: {"Authorization": "Bearer {forged_token}"},
    Caller.UNSIGNED: {"Authorization": "Bearer {unsigned_token}"},
    Caller.MALFORMED: {"Authorization": "Bearer {malformed_token}"},
}
ACCOUNTS = (Caller.OWNER, Caller.OTHER, Caller.CLAIMANT, Caller.ADMIN)
BAD_TOKENS = (Caller.EXPIRED, Caller.FORGED, Caller.UNSIGNED, Caller.MALFORMED)
WITHOUT_TOKEN = (
    Caller.NOBODY,
    Caller.VIEWER,
    Caller.UNLOCKED,
    Caller.GUESSER,
    Caller.KEY,
    Caller.FOREIGN_KEY,
    Caller.CONTRIBUTOR,
    Caller.FOREIGN_CONTRIBUTOR,
)

Outcome = str
"""A status, followed by the problem's code if it is a problem; or DONE, or GONE."""
ByKind = tuple[Outcome, Outcome, Outcome, Outcome]
"""In the order of `Kind`."""

DONE = "done"
"""The operation succeeds."""
GONE = "gone"
"""The operation answers as for a thing that does not exist."""
KEY_MISSING = "401 gallery_key_missing"
KEY_WRONG = "403 gallery_key_wrong"
CONTRIBUTOR_KEY_WRONG = "403 contributor_key_wrong"
MISSING = "401 credentials_missing"
BAD_TOKEN = "401 access_token_invalid"
PASSWORD_REQUIRED = "401 gallery_password_required"
PASSWORD_WRONG = "401 gallery_password_wrong"
NOT_ADMIN = "403 admin_required"
NO_LINKS = "403 links_not_in_tier"


@dataclass(frozen=True, slots=True)
class Rule:
    """cells: the outcome for each caller; if it depends on the gallery, for each kind of gallery."""

    name: str
    says: str
    cells: Mapping[Caller, Outcome | ByKind]

    @property
    def asks_for_a_gallery(self) -> bool:
        return any(isinstance(cell, tuple) for cell in self.cells.values())


def _all(callers: tuple[Caller, ...], outcome: Outcome | ByKind) -> dict[Caller, Outcome | ByKind]:
    return dict.fromkeys(callers, outcome)


_KEY = (DONE, KEY_WRONG, KEY_WRONG, KEY_WRONG)
_OWN = (GONE, DONE, DONE, DONE)
_MANAGES: dict[Caller, Outcome | ByKind] = {
    **_all(WITHOUT_TOKEN, KEY_MISSING),
    Caller.KEY: _KEY,
    Caller.FOREIGN_KEY: KEY_WRONG,
    Caller.OWNER: _OWN,
    Caller.OTHER: GONE,
    Caller.CLAIMANT: _KEY,
    Caller.ADMIN: GONE,
    **_all(BAD_TOKENS, BAD_TOKEN),
}
_VIEWS: dict[Caller, Outcome | ByKind] = {
    Caller.VIEWER: (DONE, DONE, PASSWORD_REQUIRED, "404 gallery_not_found"),
    Caller.UNLOCKED: (DONE, DONE, DONE, "404 gallery_not_found"),
    Caller.GUESSER: (DONE, DONE, PASSWORD_WRONG, "404 gallery_not_found"),
}
_ACCOUNT: dict[Caller, Outcome | ByKind] = {
    **_all(WITHOUT_TOKEN, MISSING),
    **_all(ACCOUNTS, DONE),
    **_all(BAD_TOKENS, BAD_TOKEN),
}

ANYONE = Rule(
    "Anyone",
    "No credential is needed, and none is read.",
    _all(tuple(Caller), DONE),
)
ANYONE_HONEST = Rule(
    "Anyone without an invalid token",
    "No credential is needed. A token is optional and names the owner of the new thing, so it must be valid.",
    {**_all(tuple(Caller), DONE), **_all(BAD_TOKENS, BAD_TOKEN)},
)
ACCOUNT = Rule(
    "Any account", "A valid access token. The operation concerns the account's own data.", _ACCOUNT
)
OWN_SESSION = Rule(
    "The session's account",
    "Sessions of other accounts are answered as if they did not exist.",
    {**_ACCOUNT, **_all((Caller.OTHER, Caller.CLAIMANT, Caller.ADMIN), GONE)},
)
OWN_WEBHOOK = Rule(
    "The webhook's account",
    "Webhooks of other accounts are answered as if they did not exist.",
    OWN_SESSION.cells,
)
ADMINISTRATOR = Rule(
    "Administrators",
    "The role is read from the database with every request, not from the token.",
    {**_ACCOUNT, **_all(ACCOUNTS, NOT_ADMIN), Caller.ADMIN: DONE},
)
ADMINISTRATOR_BY_TOKEN = Rule(
    "Administrators, by the token",
    "The role in the token counts, so a withdrawn role ends with the token, some minutes later.",
    ADMINISTRATOR.cells,
)
BY_CODE = Rule(
    "Holders of the code",
    "The code in the path is the credential, with X-Gallery-Password if the gallery is protected. "
    "Keys and tokens are not read, but in a gallery whose contributions are `drop`; none opens a private "
    "gallery by its code. The caller with *no credential* sends a random code.",
    {**_all(tuple(Caller), _VIEWS[Caller.VIEWER]), **_VIEWS, Caller.NOBODY: GONE},
)
BY_CODE_ALONE = Rule(
    "With the code, without the password",
    "The code in the path is the credential. The answer tells the gallery's link and nothing in it, so a "
    "password is neither asked for nor looked at. *Nobody* tries a code at random.",
    {
        **_all(tuple(Caller), (DONE, DONE, DONE, "404 gallery_not_found")),
        Caller.NOBODY: GONE,
    },
)
MANAGER = Rule(
    "The gallery's manager",
    "The holder of an anonymous gallery's key, or the owner. For an account, also an administrator's, "
    "galleries of others do not exist. A key of no gallery or of another gallery is refused as wrong.",
    _MANAGES,
)
PART_MANAGER = Rule(
    "The manager of the gallery that contains it",
    "As above. For the holder of a key, things outside the key's gallery do not exist.",
    {**_MANAGES, Caller.FOREIGN_KEY: GONE},
)
_HIDDEN = "404 gallery_not_found"
UPLOADER = Rule(
    "The gallery's manager and its contributors",
    "As for the manager, or the key of a contributor. That works while the gallery's code opens it.",
    {
        **_MANAGES,
        Caller.CONTRIBUTOR: (DONE, DONE, DONE, _HIDDEN),
        Caller.FOREIGN_CONTRIBUTOR: CONTRIBUTOR_KEY_WRONG,
    },
)
PART_UPLOADER = Rule(
    "The manager of the gallery that contains it, and the contributor that added it",
    "For a contributor, uploads and items of others do not exist; the things of this table are those of the "
    "manager.",
    {
        **_MANAGES,
        Caller.FOREIGN_KEY: GONE,
        Caller.CONTRIBUTOR: (GONE, GONE, GONE, _HIDDEN),
        Caller.FOREIGN_CONTRIBUTOR: GONE,
    },
)
PART_VIEWER = Rule(
    "Viewers, contributors and the manager of the gallery that contains it",
    "A manager, the key of a contributor, or X-Gallery-Code with X-Gallery-Password if the gallery is "
    "protected. In a gallery whose contributions are `drop`, which none of these is, contributors get their "
    "own items alone, and viewers none.",
    {
        **_MANAGES,
        **_VIEWS,
        Caller.NOBODY: MISSING,
        Caller.FOREIGN_KEY: GONE,
        Caller.CONTRIBUTOR: (DONE, DONE, DONE, _HIDDEN),
        Caller.FOREIGN_CONTRIBUTOR: GONE,
    },
)
LINKING = Rule(
    "The owner, if the tier has links",
    "As above, but the tier of the key's gallery is checked first: an anonymous gallery has no links, so its "
    "key is refused for any item.",
    {
        **_MANAGES,
        Caller.KEY: (NO_LINKS, *_KEY[1:]),
        Caller.CLAIMANT: (NO_LINKS, *_KEY[1:]),
        Caller.FOREIGN_KEY: NO_LINKS,
    },
)
KEY_HOLDER = Rule(
    "The holder of the key",
    "Only an anonymous gallery has a key; the token of an account does not replace it.",
    {**_MANAGES, **_all((Caller.OWNER, Caller.OTHER, Caller.ADMIN), KEY_MISSING)},
)
CLAIMING = Rule(
    "An account that holds the key",
    "Both are needed. The key of a claimed gallery is void, so it cannot be claimed again.",
    {
        **_all(WITHOUT_TOKEN, MISSING),
        **_all(ACCOUNTS, KEY_MISSING),
        Caller.CLAIMANT: _KEY,
        **_all(BAD_TOKENS, BAD_TOKEN),
    },
)

OWN_PICTURE = Rule(
    "The owner of the item",
    "For an account, also an administrator's, items outside its own galleries do not exist.",
    {
        **_ACCOUNT,
        Caller.OWNER: _OWN,
        **_all((Caller.OTHER, Caller.CLAIMANT, Caller.ADMIN), GONE),
    },
)


def _author(not_yours: Outcome, name: str, says: str) -> Rule:
    others = _all((Caller.OTHER, Caller.CLAIMANT), not_yours)
    return Rule(name, says, {**_ACCOUNT, **others, Caller.OWNER: DONE, Caller.ADMIN: DONE})


POST_AUTHOR = _author(
    "403 post_not_yours", "The post's author, and administrators", "Everyone can see posts."
)
COMMENT_AUTHOR = _author(
    "403 comment_not_yours",
    "The comment's author, its post's author, and administrators",
    "Everyone can see comments.",
)

RULES = (
    ANYONE,
    ANYONE_HONEST,
    ACCOUNT,
    OWN_SESSION,
    OWN_WEBHOOK,
    ADMINISTRATOR,
    ADMINISTRATOR_BY_TOKEN,
    BY_CODE,
    BY_CODE_ALONE,
    MANAGER,
    PART_MANAGER,
    UPLOADER,
    PART_UPLOADER,
    LINKING,
    PART_VIEWER,
    KEY_HOLDER,
    CLAIMING,
    OWN_PICTURE,
    POST_AUTHOR,
    COMMENT_AUTHOR,
)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation. name: as in the OpenAPI. done, gone: the answers that DONE and GONE stand for.

    path, sent values and headers name parts of the world: `{gallery}`, `{item}` and so on. spends: the part
    that the operation deletes; a caller with permission then gets a part of its own.
    """

    name: str
    rule: Rule
    done: Outcome | ByKind
    path: str = ""
    gone: Outcome = ""
    json: Any = None
    form: Mapping[str, str] = field(default_factory=dict)
    spends: str = ""

    @property
    def method(self) -> str:
        return self.name.split(" ")[0]

    @property
    def target(self) -> str:
        return self.path or self.name.split(" ")[1]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of galleries to test; one if the operation does not depend on a gallery."""
        return tuple(Kind) if self.rule.asks_for_a_gallery or isinstance(self.done, tuple) else (Kind.SHARED,)

    def expected(self, caller: Caller, kind: Kind) -> Outcome:
        """Returns the expected status, followed by the problem's code."""
        outcome = _of(self.rule.cells[caller], kind)
        return {DONE: _of(self.done, kind), GONE: self.gone}.get(outcome, outcome)

    def may(self, caller: Caller, kind: Kind) -> bool:
        return _of(self.rule.cells[caller], kind) == DONE


def named(value: Any, names: Mapping[str, str]) -> Any:
    """Returns the sent value, with names of parts of the world filled in."""
    if isinstance(value, str):
        return value.format(**names)
    if isinstance(value, Mapping):
        return {name: named(each, names) for name, each in value.items()}
    return [named(each, names) for each in value] if isinstance(value, list) else value


def _of(cell: Outcome | ByKind, kind: Kind) -> Outcome:
    return cell if isinstance(cell, str) else cell[tuple(Kind).index(kind)]


_NO_GALLERY, _NO_UPLOAD = "404 gallery_not_found", "404 upload_not_found"
_NO_ITEM, _NO_LINK = "404 media_not_found", "404 link_not_found"
_NO_WEBHOOK = "404 webhook_not_found"
WEBHOOK = {"url": "http://127.0.0.1:9/kappi", "events": ["media.ready", "media.deleted"]}
"""A webhook at a port of this machine at which nothing answers."""
_TIER = {
    "rendition_sizes": [200],
    "original_access": True,
    "expiring_links": False,
    "max_file_bytes": 1000,
    "quota_bytes": 1000,
}
_FILE = {"filename": "a.jpg", "size": 1000, "content_type": "image/jpeg"}
_POSTED = {
    "filename": "a.gif",
    "content_base64": "R0lGODdhAQABAIABAP///wAAACwAAAAAAQABAAACAkQBADs=",
}
_POST = "/v1/posts/{post}"
_GALLERY, _ITEM, _UPLOAD = "/v1/galleries/{gallery}", "/v1/media/{item}", "/v1/uploads/{upload}"

OPERATIONS: tuple[Operation, ...] = (
    # accounts
    Operation("POST /v1/accounts", ANYONE, "201", json={"email": "{new_email}", "password": "{password}"}),
    Operation(
        "POST /v1/oauth/token",
        ANYONE,
        "400 invalid_grant",
        form={"grant_type": "refresh_token", "refresh_token": "none"},
    ),
    Operation("POST /v1/oauth/revoke", ANYONE, "200", form={"token": "none"}),
    Operation("POST /v1/password-resets", ANYONE, "202", json={"email": "{new_email}"}),
    Operation(
        "PUT /v1/password-resets/{token}",
        ANYONE,
        "404 reset_token_invalid",
        "/v1/password-resets/none",
        json={"password": "{password}"},
    ),
    Operation("GET /.well-known/jwks.json", ANYONE, "200"),
    Operation("GET /v1/me", ACCOUNT, "200"),
    Operation("PATCH /v1/me", ACCOUNT, "200", json={"display_name": "Ada"}),
    Operation("DELETE /v1/me", ACCOUNT, "204", spends="account"),
    Operation(
        "PUT /v1/me/password",
        ACCOUNT,
        "403 password_wrong",
        json={"current_password": "not {password}", "password": "{password}"},
    ),
    Operation("GET /v1/me/sessions", ACCOUNT, "200"),
    Operation(
        "DELETE /v1/me/sessions/{id}",
        OWN_SESSION,
        "204",
        "/v1/me/sessions/{session}",
        gone="404 session_not_found",
        spends="session",
    ),
    Operation("GET /v1/me/stats", ACCOUNT, "200"),
    Operation("POST /v1/webhooks", ACCOUNT, "201", json=WEBHOOK),
    Operation("GET /v1/webhooks", ACCOUNT, "200"),
    Operation("GET /v1/webhooks/{id}", OWN_WEBHOOK, "200", "/v1/webhooks/{webhook}", gone=_NO_WEBHOOK),
    Operation(
        "PATCH /v1/webhooks/{id}",
        OWN_WEBHOOK,
        "200",
        "/v1/webhooks/{webhook}",
        gone=_NO_WEBHOOK,
        json={"enabled": True},
    ),
    Operation(
        "DELETE /v1/webhooks/{id}",
        OWN_WEBHOOK,
        "204",
        "/v1/webhooks/{webhook}",
        gone=_NO_WEBHOOK,
        spends="webhook",
    ),
    Operation(
        "GET /v1/webhooks/{id}/deliveries",
        OWN_WEBHOOK,
        "200",
        "/v1/webhooks/{webhook}/deliveries",
        gone=_NO_WEBHOOK,
    ),
    Operation(
        "POST /v1/webhooks/{id}/deliveries/{delivery_id}/resend",
        OWN_WEBHOOK,
        "202",
        "/v1/webhooks/{webhook}/deliveries/{delivery}/resend",
        gone=_NO_WEBHOOK,
    ),
    # administration
    Operation("GET /v1/admin/stats", ADMINISTRATOR_BY_TOKEN, "200"),
    Operation("GET /v1/admin/tiers", ADMINISTRATOR, "200"),
    Operation("POST /v1/admin/tiers", ADMINISTRATOR, "201", json={"name": "{new_tier}", **_TIER}),
    Operation("GET /v1/admin/tiers/{name}", ADMINISTRATOR, "200", "/v1/admin/tiers/{tier}"),
    Operation(
        "PATCH /v1/admin/tiers/{name}",
        ADMINISTRATOR,
        "200",
        "/v1/admin/tiers/{tier}",
        json={"quota_bytes": 2000},
    ),
    Operation("DELETE /v1/admin/tiers/{name}", ADMINISTRATOR, "204", "/v1/admin/tiers/{tier}", spends="tier"),
    Operation("GET /v1/admin/accounts", ADMINISTRATOR, "200"),
    Operation(
        "PUT /v1/admin/accounts/{id}/tier",
        ADMINISTRATOR,
        "200",
        "/v1/admin/accounts/{other}/tier",
        json={"tier": "Premium"},
    ),
    Operation(
        "PUT /v1/admin/accounts/{id}/suspension",
        ADMINISTRATOR,
        "404 account_not_found",
        "/v1/admin/accounts/00000000-0000-7000-8000-000000000007/suspension",
        json={"reason": "Whose?"},
    ),
    Operation(
        "DELETE /v1/admin/accounts/{id}/suspension",
        ADMINISTRATOR,
        "200",
        "/v1/admin/accounts/{other}/suspension",
    ),
    Operation("GET /v1/admin/takedowns", ADMINISTRATOR, "200"),
    Operation(
        "POST /v1/admin/takedowns",
        ADMINISTRATOR,
        "201",
        json={"gallery": "nosuchgallery", "reason": "Whose?"},
    ),
    Operation(
        "DELETE /v1/admin/takedowns/{id}",
        ADMINISTRATOR,
        "404 takedown_not_found",
        "/v1/admin/takedowns/00000000-0000-7000-8000-000000000007",
    ),
    # galleries
    Operation("GET /v1/galleries", ACCOUNT, "200"),
    Operation("POST /v1/galleries", ANYONE_HONEST, "201", json={"title": "Whose?"}),
    Operation("GET /v1/galleries/{id}", MANAGER, "200", _GALLERY, _NO_GALLERY),
    Operation("PATCH /v1/galleries/{id}", MANAGER, "200", _GALLERY, _NO_GALLERY, json={"title": "Mine"}),
    Operation("DELETE /v1/galleries/{id}", MANAGER, "204", _GALLERY, _NO_GALLERY, spends="gallery"),
    Operation(
        "POST /v1/galleries/{id}/claim", CLAIMING, "200", f"{_GALLERY}/claim", _NO_GALLERY, spends="gallery"
    ),
    Operation(
        "POST /v1/galleries/{id}/rotate-code",
        MANAGER,
        "200",
        f"{_GALLERY}/rotate-code",
        _NO_GALLERY,
        spends="gallery",
    ),
    Operation(
        "POST /v1/galleries/{id}/rotate-key",
        KEY_HOLDER,
        "200",
        f"{_GALLERY}/rotate-key",
        _NO_GALLERY,
        spends="gallery",
    ),
    Operation("GET /v1/galleries/{id}/stats", MANAGER, "200", f"{_GALLERY}/stats", _NO_GALLERY),
    Operation("GET /v1/galleries/{id}/accesses", MANAGER, "200", f"{_GALLERY}/accesses", _NO_GALLERY),
    Operation("GET /v1/g/{code}", BY_CODE, "200", gone=_NO_GALLERY),
    Operation("GET /v1/g/{code}/archive", BY_CODE, "200", gone=_NO_GALLERY),
    Operation("GET /v1/g/{code}/cover", BY_CODE, "302", gone=_NO_GALLERY),
    Operation("POST /v1/g/{code}/contributors", BY_CODE, "201", gone=_NO_GALLERY, json={"name": "Grace"}),
    Operation("GET /v1/galleries/{id}/contributors", MANAGER, "200", f"{_GALLERY}/contributors", _NO_GALLERY),
    Operation(
        "DELETE /v1/galleries/{id}/contributors/{contributor_id}",
        MANAGER,
        "204",
        f"{_GALLERY}/contributors/{{contributor}}",
        _NO_GALLERY,
        spends="contributor",
    ),
    Operation("GET /v1/g/{code}/live", BY_CODE, "200", gone=_NO_GALLERY),
    Operation("GET /v1/g/{code}/qr.svg", BY_CODE_ALONE, "200", gone=_NO_GALLERY),
    Operation("GET /v1/g/{code}/qr.png", BY_CODE_ALONE, "200", gone=_NO_GALLERY),
    # uploads and items
    Operation(
        "POST /v1/galleries/{id}/uploads",
        UPLOADER,
        "201",
        f"{_GALLERY}/uploads",
        _NO_GALLERY,
        json={"files": [_FILE]},
    ),
    Operation(
        "POST /v1/galleries/{id}/media", UPLOADER, "201", f"{_GALLERY}/media", _NO_GALLERY, json=_POSTED
    ),
    Operation("GET /v1/galleries/{id}/media", MANAGER, "200", f"{_GALLERY}/media", _NO_GALLERY),
    Operation(
        "POST /v1/galleries/{id}/order",
        MANAGER,
        "200",
        f"{_GALLERY}/order",
        _NO_GALLERY,
        json={"ids": ["{item}"]},
    ),
    Operation("GET /v1/uploads/{id}", PART_UPLOADER, "200", _UPLOAD, _NO_UPLOAD),
    Operation("DELETE /v1/uploads/{id}", PART_UPLOADER, "204", _UPLOAD, _NO_UPLOAD, spends="upload"),
    Operation(
        "POST /v1/uploads/{id}/parts",
        PART_UPLOADER,
        "409 upload_not_multipart",
        f"{_UPLOAD}/parts",
        _NO_UPLOAD,
        json={"numbers": [1]},
    ),
    Operation("POST /v1/uploads/{id}/complete", PART_UPLOADER, "200", f"{_UPLOAD}/complete", _NO_UPLOAD),
    # the library; an account neither finds nor changes things of others
    Operation("GET /v1/media", ACCOUNT, "200"),
    Operation("GET /v1/media/tags", ACCOUNT, "200"),
    Operation("GET /v1/media/places", ACCOUNT, "200"),
    Operation(
        "POST /v1/media/bulk", ACCOUNT, "200", json={"ids": ["{item}"], "action": "tag", "tags": ["Mine"]}
    ),
    Operation("GET /v1/media/{id}", PART_VIEWER, "200", _ITEM, _NO_ITEM),
    Operation("PATCH /v1/media/{id}", PART_UPLOADER, "200", _ITEM, _NO_ITEM, json={"caption": "Mine"}),
    Operation("DELETE /v1/media/{id}", PART_UPLOADER, "204", _ITEM, _NO_ITEM, spends="item"),
    Operation("GET /v1/media/{id}/download", PART_VIEWER, "200", f"{_ITEM}/download", _NO_ITEM),
    Operation(
        "GET /v1/media/{id}/renditions/{size}", PART_VIEWER, "302", f"{_ITEM}/renditions/400", _NO_ITEM
    ),
    Operation(
        "GET /v1/media/{id}/playback", PART_VIEWER, "422 media_not_a_film", f"{_ITEM}/playback", _NO_ITEM
    ),
    Operation(
        "GET /v1/media/{id}/playback.m3u8",
        PART_VIEWER,
        "422 media_not_a_film",
        f"{_ITEM}/playback.m3u8",
        _NO_ITEM,
    ),
    # links; an anonymous gallery has none
    Operation(
        "POST /v1/media/{id}/links", LINKING, "201", f"{_ITEM}/links", _NO_ITEM, json={"valid_for": 300}
    ),
    Operation("GET /v1/media/{id}/links", PART_MANAGER, "200", f"{_ITEM}/links", _NO_ITEM),
    Operation(
        "DELETE /v1/links/{id}",
        PART_MANAGER,
        (_NO_LINK, "204", "204", "204"),
        "/v1/links/{link}",
        _NO_LINK,
        spends="link",
    ),
    Operation(
        "GET /v1/l/{token}", ANYONE, (_NO_LINK, "302", "302", "302"), "/v1/l/{link_token}", gone=_NO_LINK
    ),
    # posts
    Operation("GET /v1/posts", ANYONE, "200"),
    Operation("POST /v1/posts", OWN_PICTURE, "201", gone=_NO_ITEM, json={"media_id": "{item}"}),
    Operation("GET /v1/posts/{id}", ANYONE, "200", _POST),
    Operation("DELETE /v1/posts/{id}", POST_AUTHOR, "204", _POST, spends="post"),
    Operation("GET /v1/posts/{id}/image", ANYONE, "200", f"{_POST}/image"),
    Operation("GET /v1/posts/{id}/comments", ANYONE, "200", f"{_POST}/comments"),
    Operation("POST /v1/posts/{id}/comments", ACCOUNT, "201", f"{_POST}/comments", json={"text": "Whose?"}),
    Operation("DELETE /v1/comments/{id}", COMMENT_AUTHOR, "204", "/v1/comments/{comment}", spends="comment"),
)
UNLINKED = {"link": UNKNOWN_ID, "link_token": "never-made"}
"""The link of a gallery that has none."""
