"""Merges the services' OpenAPI documents: only listed routes; different schemas of one name stay apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kappi_gateway.openapi.document import SCHEMA_PREFIX, Document, operations_of
from kappi_gateway.openapi.exact import make_exact
from kappi_gateway.openapi.examples import add_examples
from kappi_gateway.openapi.failures import responses
from kappi_gateway.openapi.problems import add_problems, share_problems
from kappi_gateway.routes import ROUTES, Credential, Route, Service

_SCHEMES: Document = {
    "AccessToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of an account, from `POST /v1/oauth/token`; good for some minutes.",
    },
    "OAuth2": {
        "type": "oauth2",
        "description": "The same token, for programs that fetch it themselves.",
        "flows": {"password": {"tokenUrl": "/v1/oauth/token", "refreshUrl": "/v1/oauth/token", "scopes": {}}},
    },
    "GalleryKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Gallery-Key",
        "description": "The access key of an anonymous gallery, shown once, when it is created.",
    },
    "ContributorKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Contributor-Key",
        "description": "The key of a contributor, from `POST /v1/g/{code}/contributors`; it allows uploads "
        "to that gallery, and changes and deletions of the own items.",
    },
    "GalleryCode": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Gallery-Code",
        "description": "The short code of a gallery, the end of its link; enough to look at its items. Calls "
        "on one item take it in this header, because their path names no gallery.",
    },
    "GalleryPassword": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Gallery-Password",
        "description": "The password of a protected gallery.",
    },
}
_OF_ACCOUNTS = frozenset({"AccessToken", "OAuth2"})
_BY_TOKEN: list[Document] = [{"AccessToken": []}, {"OAuth2": []}]
_SECURITY: Mapping[Credential, list[Document]] = {
    Credential.NONE: [{}],
    Credential.ACCOUNT: _BY_TOKEN,
    Credential.CODE_IN_PATH: [{}, {"GalleryPassword": []}],
    Credential.CODE_WITHOUT_PASSWORD: [{}],
    Credential.MANAGER: [{"GalleryKey": []}, *_BY_TOKEN],
    Credential.UPLOADER: [{"GalleryKey": []}, {"ContributorKey": []}, *_BY_TOKEN],
    Credential.VIEWER: [
        {"GalleryKey": []},
        {"ContributorKey": []},
        {"GalleryCode": []},
        {"GalleryCode": [], "GalleryPassword": []},
        *_BY_TOKEN,
    ],
}
# Of a gallery whose viewers see no items, beside the code.
_OF_DROP: list[Document] = [
    {"ContributorKey": []},
    {"ContributorKey": [], "GalleryPassword": []},
    {"GalleryKey": []},
    *_BY_TOKEN,
]
_NAMES = re.compile(r"\{([^}]*)\}")
_SUFFIX = re.compile(r"(?:Answer|View)$")
_SHOWN_AS_SECURITY = frozenset(
    {"authorization", "x-kappi-grant", "x-gallery-key", "x-gallery-code", "x-gallery-password"}
)
TAGS = {
    Service.IDENTITY: "Accounts",
    Service.GALLERIES: "Galleries",
    Service.GATEWAY: "Galleries",
    Service.MEDIA: "Media",
}
_TAGS_BY_SEGMENT = {
    "posts": "Posts",
    "comments": "Posts",
    "stats": "Statistics",
    "accesses": "Statistics",
    "webhooks": "Webhooks",
}
"""Tags by a word in the path, for parts of the product that several services answer for."""
_ALL_TAGS = tuple(dict.fromkeys((*TAGS.values(), "Posts", "Statistics", "Webhooks")))
_INFO: Document = {
    "title": "Kappi",
    "version": "1.0.0",
    "description": "Share photos and videos by a short link: originals up, originals down.\n\n"
    "Errors are problem documents (RFC 9457): switch on `code`. Times are RFC 3339 in UTC, ids UUIDv7, sizes "
    "bytes. Any POST takes an `Idempotency-Key`.",
}


def merge(parts: Mapping[Service, Document]) -> Document:
    """Returns the public document. parts: each service's own document, internal paths included.

    The order is that of the route table, so equal parts give equal bytes. Without the identity service there
    are no access tokens.
    """
    schemes = {
        name: scheme
        for name, scheme in _SCHEMES.items()
        if Service.IDENTITY in parts or name not in _OF_ACCOUNTS
    }
    named = {service: _without_suffixes(document) for service, document in parts.items()}
    renamed = {service: _renamed(service, named) for service in named}
    paths = _public_paths(renamed, schemes=schemes)
    every_schema = {
        name: schema for document in renamed.values() for name, schema in sorted(_schemas(document).items())
    }
    add_problems(paths, every_schema)
    used = _reachable(paths, every_schema)
    tags = {tag for operation in operations_of(paths) for tag in operation["tags"]}
    document: Document = {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in _ALL_TAGS if tag in tags],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in every_schema.items() if name in used},
            "securitySchemes": schemes,
        },
    }
    make_exact(document)
    add_examples(document)
    share_problems(document)
    return document


def _public_paths(parts: Mapping[Service, Document], *, schemes: Document) -> dict[str, Document]:
    """Returns the public operations by path and method. schemes: the security schemes of this deployment."""
    described = {service: _by_shape(document) for service, document in parts.items()}
    meant = {service: _meant_schemes(document) for service, document in parts.items()}
    paths: dict[str, Document] = {}
    for route in ROUTES:
        template, operations = described.get(route.service, {}).get(_shape(route.template), ("", {}))
        operation = operations.get(route.method.lower())
        if operation:
            names = dict(zip(_NAMES.findall(template), _NAMES.findall(route.template), strict=True))
            public = _public(operation, route, names=names)
            ways = _security(operation, route, meant=meant[route.service])
            public["security"] = [way for way in ways if way.keys() <= schemes.keys()]
            public["responses"] = responses(operation, route, with_accounts="AccessToken" in schemes)
            paths.setdefault(route.template, {})[route.method.lower()] = public
    return paths


def _shape(template: str) -> str:
    """Returns a path template without parameter names, because each service chooses its own names."""
    return _NAMES.sub("{}", template)


def _by_shape(document: Document) -> dict[str, tuple[str, Document]]:
    return {_shape(path): (path, operations) for path, operations in document.get("paths", {}).items()}


def _tag(route: Route) -> str:
    words = route.template.split("/")
    return next((_TAGS_BY_SEGMENT[word] for word in words if word in _TAGS_BY_SEGMENT), TAGS[route.service])


def _public(operation: Document, route: Route, *, names: Mapping[str, str]) -> Document:
    """Returns the operation as the public document shows it.

    names: path parameters, the service's to the public.
    """
    public = dict(operation)
    public["tags"] = [_tag(route)]
    parameters = [
        {**parameter, "name": names.get(parameter["name"], parameter["name"])}
        if parameter.get("in") == "path"
        else parameter
        for parameter in operation.get("parameters", ())
        if not (parameter.get("in") == "header" and parameter.get("name", "").lower() in _SHOWN_AS_SECURITY)
    ]
    public.pop("parameters", None)
    if parameters:
        public["parameters"] = parameters
    return public


def _security(operation: Document, route: Route, *, meant: Mapping[str, str]) -> list[Document]:
    """Returns the credentials of an operation. Without a grant, the service's own document says which it
    reads.

    meant: the service's scheme names to the public ones.
    """
    if route.credential is not Credential.NONE:
        by_grant = _SECURITY[route.credential]
        return [*by_grant, *_OF_DROP] if route.shows_items else by_grant
    own: list[Document] = []
    for named in operation.get("security", ()):
        if named.keys() <= meant.keys():
            way: Document = {meant[name]: needed for name, needed in named.items()}
            own.append(way)
            if "AccessToken" in way:
                others = {name: needed for name, needed in way.items() if name != "AccessToken"}
                own.append({**others, "OAuth2": []})
    return own or _SECURITY[Credential.NONE]


def _meant_schemes(document: Document) -> dict[str, str]:
    """Maps a service's scheme names to the public ones, by the header that a scheme reads."""
    declared: Document = document.get("components", {}).get("securitySchemes", {})
    ours = {_looks_at(scheme): name for name, scheme in _SCHEMES.items()}
    return {name: ours[_looks_at(scheme)] for name, scheme in declared.items() if _looks_at(scheme) in ours}


def _looks_at(scheme: Document) -> tuple[str, ...]:
    return tuple(str(scheme.get(part, "")).lower() for part in ("type", "in", "name", "scheme"))


def _schemas(document: Document) -> dict[str, Any]:
    schemas: dict[str, Any] = document.get("components", {}).get("schemas", {})
    return schemas


def _renamed(service: Service, parts: Mapping[Service, Document]) -> Document:
    """Returns the document with the service's name before schema names that another service uses, too."""
    own = _schemas(parts[service])
    clashing = {
        name
        for name, schema in own.items()
        for other, document in parts.items()
        if other is not service and _schemas(document).get(name, schema) != schema
    }
    if not clashing:
        return parts[service]
    references = {
        SCHEMA_PREFIX + name: f"{SCHEMA_PREFIX}{service.value.capitalize()}{name}" for name in clashing
    }
    document: Document = _substituted(parts[service], references)
    schemas = _schemas(document)
    for name in clashing:
        schemas[f"{service.value.capitalize()}{name}"] = schemas.pop(name)
    return document


def _without_suffixes(document: Document) -> Document:
    """Returns the document with schemas named after the thing alone: `Gallery`, not `GalleryAnswer`."""
    own = _schemas(document)
    shorter = {name: _SUFFIX.sub("", name) for name in own if _SUFFIX.search(name)}
    if clashing := {name for name in shorter.values() if name in own}:
        raise ValueError(f"two schemas would be called {sorted(clashing)}")
    references = {SCHEMA_PREFIX + name: SCHEMA_PREFIX + to for name, to in shorter.items()}
    short: Document = _substituted(document, references)
    schemas = _schemas(short)
    for name, to in shorter.items():
        schemas[to] = schemas.pop(name)
    return short


def _substituted(node: Any, references: Mapping[str, str]) -> Any:
    """Returns a deep copy with the strings in `references` replaced, in `$ref` and discriminator mappings."""
    if isinstance(node, dict):
        return {name: _substituted(value, references) for name, value in node.items()}
    if isinstance(node, list):
        return [_substituted(value, references) for value in node]
    return references.get(node, node) if isinstance(node, str) else node


def _reachable(paths: Document, schemas: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = list(_referenced(paths))
    while waiting:
        name = waiting.pop()
        if name in schemas and name not in found:
            found.add(name)
            waiting.extend(_referenced(schemas[name]))
    return found


def _referenced(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from _referenced(value)
    elif isinstance(node, list):
        for value in node:
            yield from _referenced(value)
    elif isinstance(node, str) and node.startswith(SCHEMA_PREFIX):
        yield node.rpartition("/")[2]
