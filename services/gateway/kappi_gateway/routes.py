"""The public surface as data: what is reachable from outside, at which service, with which credential.

What is not listed here does not exist: `/internal/…` of a service cannot be named from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

Method = str


class Service(Enum):
    """Who answers. The value is its name in metrics and in `KAPPI_GATEWAY_<NAME>_URL`."""

    GALLERIES = "galleries"
    MEDIA = "media"
    STORE = "store"


class Credential(Enum):
    """What the gateway trades for a grant before it forwards (ADR-0003)."""

    NONE = auto()
    """Nothing; the service looks at the client's own headers."""
    CODE_IN_PATH = auto()
    """The short code in the path, with X-Gallery-Password where protected: a view grant."""
    KEY = auto()
    """X-Gallery-Key: a manage grant."""
    KEY_OR_CODE = auto()
    """X-Gallery-Key, or X-Gallery-Code (with X-Gallery-Password): a manage or a view grant."""


class Limit(Enum):
    """What an address may not do endlessly."""

    NONE = auto()
    CREATION = auto()


@dataclass(frozen=True, slots=True)
class Route:
    """One operation.

    accepts_body: False drops whatever body a client sends. changes_gallery: a success makes cached grants of
    the gallery in the path stale.
    """

    method: Method
    template: str
    service: Service
    credential: Credential = Credential.NONE
    accepts_body: bool = False
    limit: Limit = Limit.NONE
    changes_gallery: bool = False


_G, _M = Service.GALLERIES, Service.MEDIA

ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/galleries", _G, accepts_body=True, limit=Limit.CREATION),
    Route("GET", "/v1/galleries/{id}", _G),
    Route("PATCH", "/v1/galleries/{id}", _G, accepts_body=True, changes_gallery=True),
    Route("DELETE", "/v1/galleries/{id}", _G, changes_gallery=True),
    Route("GET", "/v1/g/{code}", _M, Credential.CODE_IN_PATH),
    Route("POST", "/v1/galleries/{id}/uploads", _M, Credential.KEY, accepts_body=True),
    Route("GET", "/v1/uploads/{id}", _M, Credential.KEY),
    Route("DELETE", "/v1/uploads/{id}", _M, Credential.KEY),
    Route("POST", "/v1/uploads/{id}/complete", _M, Credential.KEY, accepts_body=True),
    Route("GET", "/v1/media/{id}", _M, Credential.KEY_OR_CODE),
    Route("PATCH", "/v1/media/{id}", _M, Credential.KEY, accepts_body=True),
    Route("DELETE", "/v1/media/{id}", _M, Credential.KEY),
    Route("GET", "/v1/media/{id}/download", _M, Credential.KEY_OR_CODE),
    Route("GET", "/v1/media/{id}/renditions/{size}", _M, Credential.KEY_OR_CODE),
)
