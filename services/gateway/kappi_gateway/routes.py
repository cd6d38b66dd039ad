"""The public surface as data: which operation is public, at which service, with which credential.

Only listed routes exist: `/internal/…` of a service cannot be reached from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

Method = str

STORE_PREFIX = b"/store/"
PANEL_PREFIX = b"/admin"
RESET_PAGE = b"/reset-password"  # target of the link in password reset mails


class Service(Enum):
    """A service that answers requests. The value is its name in metrics and in `KAPPI_GATEWAY_<NAME>_URL`."""

    GATEWAY = "gateway"
    """The gateway itself; it has no URL."""
    IDENTITY = "identity"
    GALLERIES = "galleries"
    MEDIA = "media"
    STORE = "store"

    __hash__ = object.__hash__  # an enumeration's own is written in Python, and each request needs several


class Credential(Enum):
    """The credential that the gateway exchanges for a grant before it forwards (ADR-0003)."""

    NONE = auto()
    """Nothing; the service reads the client's own headers."""
    ACCOUNT = auto()
    """Nothing; the service reads the client's own access token, and no other credential."""
    CODE_IN_PATH = auto()
    """The short code in the path, with X-Gallery-Password if protected: a view grant."""
    CODE_WITHOUT_PASSWORD = auto()
    """The short code in the path, for what a holder of the code knows without the password: the link."""
    MANAGER = auto()
    """X-Gallery-Key, or the owner's access token: a manage grant."""
    UPLOADER = auto()
    """A manager's credential, or X-Contributor-Key: a manage or a contribute grant."""
    VIEWER = auto()
    """A manager's credential, X-Contributor-Key, or X-Gallery-Code (with X-Gallery-Password): a manage, a
    contribute or a view grant.

    A credential of a gallery wins over the token, which then only identifies the account.
    """


class Limit(Enum):
    """A limit on what one address or account may do in a time."""

    NONE = auto()
    CREATION = auto()
    CONTRIBUTOR = auto()
    SIGN_UP = auto()
    GUESS = auto()
    POST = auto()
    COMMENT = auto()
    SIGNING = auto()
    WEBHOOK = auto()


class Carries(Enum):
    """The kind of file in the body of a request; it decides the size limit."""

    SMALL_FILE = auto()
    PICTURE = auto()
    """The picture of a post. The answer comes only after the shown sizes were made."""


@dataclass(frozen=True, slots=True)
class Route:
    """One public operation.

    accepts_body: False drops any body that a client sends. carries: the file in the body, if any.
    changes_gallery: a success makes cached grants of the gallery in the path stale. lasts: the answer takes
    minutes and may pause; it is counted apart from the others. takes_signature: with a signature in the
    query, the service checks it and no credential. names_gallery: if the body moves something to a
    `gallery_id`, a grant to manage that gallery is sent, too. drops_query: the query is dropped, because
    other programs add their own parameters to links that people pass on; all other operations refuse unknown
    parameters. may_be_counted: the answer may be a view or a download that a cap limits. shows_items: the
    answer shows the items of the gallery whose code is in the path; if its viewers see none, a manager's
    credential or X-Contributor-Key that is sent as well is exchanged for its grant instead.
    """

    method: Method
    template: str
    service: Service
    credential: Credential = Credential.NONE
    accepts_body: bool = False
    carries: Carries | None = None
    limit: Limit = Limit.NONE
    changes_gallery: bool = False
    lasts: bool = False
    takes_signature: bool = False
    names_gallery: bool = False
    drops_query: bool = False
    may_be_counted: bool = False
    shows_items: bool = False

    @property
    def is_counted(self) -> bool:
        """Whether it may be an access that the media service counts (ADR-0024)."""
        return (
            self.service is Service.MEDIA
            and self.method == "GET"
            and self.credential is not Credential.ACCOUNT
        )

    @property
    def collection(self) -> str:
        """The kind of id in the path's first parameter: `galleries`, `media`, `uploads`, `links`."""
        return self.template.split("/")[2]


_I, _G, _M = Service.IDENTITY, Service.GALLERIES, Service.MEDIA

ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/accounts", _I, accepts_body=True, limit=Limit.SIGN_UP),
    Route("POST", "/v1/oauth/token", _I, accepts_body=True),
    Route("POST", "/v1/oauth/revoke", _I, accepts_body=True),
    Route("GET", "/v1/me", _I),
    Route("PATCH", "/v1/me", _I, accepts_body=True),
    Route("DELETE", "/v1/me", _I, accepts_body=True),
    Route("GET", "/v1/me/stats", _M, Credential.ACCOUNT),
    Route("PUT", "/v1/me/password", _I, accepts_body=True),
    Route("GET", "/v1/me/sessions", _I),
    Route("DELETE", "/v1/me/sessions/{id}", _I),
    Route("POST", "/v1/webhooks", _I, accepts_body=True, limit=Limit.WEBHOOK),
    Route("GET", "/v1/webhooks", _I),
    Route("GET", "/v1/webhooks/{id}", _I),
    Route("PATCH", "/v1/webhooks/{id}", _I, accepts_body=True, limit=Limit.WEBHOOK),
    Route("DELETE", "/v1/webhooks/{id}", _I),
    Route("GET", "/v1/webhooks/{id}/deliveries", _I),
    Route(
        "POST",
        "/v1/webhooks/{id}/deliveries/{delivery_id}/resend",
        _I,
        accepts_body=True,
        limit=Limit.WEBHOOK,
    ),
    Route("POST", "/v1/password-resets", _I, accepts_body=True),
    Route("PUT", "/v1/password-resets/{token}", _I, accepts_body=True),
    Route("GET", "/.well-known/jwks.json", _I),
    Route("GET", "/v1/admin/tiers", _I),
    Route("POST", "/v1/admin/tiers", _I, accepts_body=True),
    Route("GET", "/v1/admin/tiers/{name}", _I),
    Route("PATCH", "/v1/admin/tiers/{name}", _I, accepts_body=True),
    Route("DELETE", "/v1/admin/tiers/{name}", _I),
    Route("GET", "/v1/admin/accounts", _I),
    Route("PUT", "/v1/admin/accounts/{id}/tier", _I, accepts_body=True),
    Route("PUT", "/v1/admin/accounts/{id}/suspension", _I, accepts_body=True),
    Route("DELETE", "/v1/admin/accounts/{id}/suspension", _I),
    Route("GET", "/v1/admin/takedowns", _I),
    Route("POST", "/v1/admin/takedowns", _I, accepts_body=True),
    Route("DELETE", "/v1/admin/takedowns/{id}", _I),
    Route("GET", "/v1/admin/stats", _G),
    Route("GET", "/v1/galleries", _G),
    Route("POST", "/v1/galleries", _G, accepts_body=True, limit=Limit.CREATION),
    Route("GET", "/v1/galleries/{id}", _G),
    Route("PATCH", "/v1/galleries/{id}", _G, accepts_body=True, changes_gallery=True),
    Route("DELETE", "/v1/galleries/{id}", _G, changes_gallery=True),
    Route("POST", "/v1/galleries/{id}/claim", _G, accepts_body=True, changes_gallery=True),
    Route("POST", "/v1/galleries/{id}/rotate-code", _G, accepts_body=True, changes_gallery=True),
    Route("POST", "/v1/galleries/{id}/rotate-key", _G, accepts_body=True, changes_gallery=True),
    Route("GET", "/v1/galleries/{id}/stats", _G),
    Route("GET", "/v1/galleries/{id}/accesses", _M, Credential.MANAGER),
    Route("GET", "/v1/g/{code}", _M, Credential.CODE_IN_PATH, may_be_counted=True, shows_items=True),
    Route(
        "GET",
        "/v1/g/{code}/archive",
        _M,
        Credential.CODE_IN_PATH,
        lasts=True,
        may_be_counted=True,
        shows_items=True,
    ),
    Route("GET", "/v1/g/{code}/cover", _M, Credential.CODE_IN_PATH, may_be_counted=True),
    Route(
        "POST",
        "/v1/g/{code}/contributors",
        _G,
        Credential.CODE_IN_PATH,
        accepts_body=True,
        limit=Limit.CONTRIBUTOR,
    ),
    Route("GET", "/v1/galleries/{id}/contributors", _G),
    Route("DELETE", "/v1/galleries/{id}/contributors/{contributor_id}", _G, changes_gallery=True),
    Route("GET", "/v1/g/{code}/live", Service.GATEWAY, Credential.CODE_IN_PATH),
    Route("GET", "/v1/g/{code}/qr.svg", Service.GATEWAY, Credential.CODE_WITHOUT_PASSWORD),
    Route("GET", "/v1/g/{code}/qr.png", Service.GATEWAY, Credential.CODE_WITHOUT_PASSWORD),
    Route(
        "POST",
        "/v1/galleries/{id}/uploads",
        _M,
        Credential.UPLOADER,
        accepts_body=True,
        limit=Limit.SIGNING,
    ),
    Route(
        "POST",
        "/v1/galleries/{id}/media",
        _M,
        Credential.UPLOADER,
        accepts_body=True,
        carries=Carries.SMALL_FILE,
    ),
    Route("GET", "/v1/galleries/{id}/media", _M, Credential.MANAGER),
    Route("POST", "/v1/galleries/{id}/order", _M, Credential.MANAGER, accepts_body=True),
    Route("GET", "/v1/uploads/{id}", _M, Credential.UPLOADER),
    Route("DELETE", "/v1/uploads/{id}", _M, Credential.UPLOADER),
    Route("POST", "/v1/uploads/{id}/parts", _M, Credential.UPLOADER, accepts_body=True, limit=Limit.SIGNING),
    Route("POST", "/v1/uploads/{id}/complete", _M, Credential.UPLOADER, accepts_body=True),
    Route("GET", "/v1/media", _M, Credential.ACCOUNT),
    Route("GET", "/v1/media/tags", _M, Credential.ACCOUNT),
    Route("GET", "/v1/media/places", _M, Credential.ACCOUNT),
    Route("POST", "/v1/media/bulk", _M, Credential.ACCOUNT, accepts_body=True, names_gallery=True),
    Route("GET", "/v1/media/{id}", _M, Credential.VIEWER),
    Route("PATCH", "/v1/media/{id}", _M, Credential.UPLOADER, accepts_body=True),
    Route("DELETE", "/v1/media/{id}", _M, Credential.UPLOADER),
    Route(
        "GET",
        "/v1/media/{id}/download",
        _M,
        Credential.VIEWER,
        takes_signature=True,
        may_be_counted=True,
    ),
    Route("GET", "/v1/media/{id}/playback", _M, Credential.VIEWER, may_be_counted=True),
    Route("GET", "/v1/media/{id}/playback.m3u8", _M, Credential.VIEWER, takes_signature=True),
    Route("GET", "/v1/media/{id}/renditions/{size}", _M, Credential.VIEWER, takes_signature=True),
    Route("POST", "/v1/media/{id}/links", _M, Credential.MANAGER, accepts_body=True),
    Route("GET", "/v1/media/{id}/links", _M, Credential.MANAGER),
    Route("DELETE", "/v1/links/{id}", _M, Credential.MANAGER),
    Route("GET", "/v1/l/{token}", _M, limit=Limit.GUESS, drops_query=True),
    Route("GET", "/v1/posts", _G),
    Route("POST", "/v1/posts", _G, accepts_body=True, carries=Carries.PICTURE, limit=Limit.POST),
    Route("GET", "/v1/posts/{id}", _G),
    Route("DELETE", "/v1/posts/{id}", _G),
    Route("GET", "/v1/posts/{id}/image", _M),
    Route("GET", "/v1/posts/{id}/comments", _G),
    Route("POST", "/v1/posts/{id}/comments", _G, accepts_body=True, limit=Limit.COMMENT),
    Route("DELETE", "/v1/comments/{id}", _G),
)


def leads_to_panel(raw_path: bytes) -> bool:
    return raw_path in (PANEL_PREFIX, RESET_PAGE) or raw_path.startswith(PANEL_PREFIX + b"/")


def leads_to_store(raw_path: bytes) -> bool:
    return raw_path.startswith(STORE_PREFIX)


def leads_to_archive(raw_path: bytes) -> bool:
    return raw_path.endswith(b"/archive") and raw_path.startswith(b"/v1/g/")


def leads_to_live(raw_path: bytes) -> bool:
    return raw_path.endswith(b"/live") and raw_path.startswith(b"/v1/g/")


def leads_to_rendition(raw_path: bytes) -> bool:
    return b"/renditions/" in raw_path and raw_path.startswith(b"/v1/media/")
