"""The recorded traits of a caller: language, app and role from closed lists, and a shortened address.

Header values are classified once each and cached in bounded maps. They are cut to a length that bounds the
maps in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

UNKNOWN: Final = "unknown"
"""The caller sent no value."""
OTHER: Final = "other"
"""The caller sent a value that is not in the list."""
ANONYMOUS: Final = "anonymous"

IPV4_NETWORK_BITS: Final = 24
IPV6_NETWORK_BITS: Final = 48
LANGUAGE_BYTES: Final = 64
AGENT_BYTES: Final = 256
ADDRESS_BYTES: Final = 64
_KEPT = 4_096
_NAT64: Final = IPv6Network("64:ff9b::/96")

_ISO_639_1 = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz
ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik
io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml
mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd
se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi
vo wa wo xh yi yo za zh zu
"""
LANGUAGES: Final = frozenset(_ISO_639_1.split())
ROLES: Final = frozenset({"user", "admin"})

# The first match decides the family, because most browsers name others as well.
_FAMILIES: Final = (
    (b"kappi", "kappi"),
    (b"bot", "bot"),
    (b"crawl", "bot"),
    (b"spider", "bot"),
    (b"preview", "bot"),
    (b"facebookexternalhit", "bot"),
    (b"edg", "edge"),
    (b"opr/", "opera"),
    (b"opera", "opera"),
    (b"samsungbrowser", "samsung_internet"),
    (b"firefox", "firefox"),
    (b"fxios", "firefox"),
    (b"chrome", "chrome"),
    (b"crios", "chrome"),
    (b"chromium", "chrome"),
    (b"safari", "safari"),
    (b"cfnetwork", "apple_app"),
    (b"darwin", "apple_app"),
    (b"okhttp", "android_app"),
    (b"dalvik", "android_app"),
    (b"dart", "flutter_app"),
    (b"curl", "curl"),
    (b"wget", "wget"),
    (b"python", "python"),
    (b"go-http-client", "go"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Traits:
    """The traits of a caller. They are compared by identity, which is faster than comparing texts;
    `traits_of` makes each combination once.
    """

    language: str
    role: str
    app: str


UNDISCERNED: Final = Traits(OTHER, OTHER, OTHER)
"""The traits of accesses above the number of combinations that are counted separately."""


@lru_cache(maxsize=4 * _KEPT)
def traits_of(language: bytes, agent: bytes, role: str) -> Traits:
    """Returns the traits. language, agent: the headers' values, cut; empty when there is none."""
    return _traits(_language(language), role, _app(agent))


@cache
def _traits(language: str, role: str, app: str) -> Traits:
    """Returns the one object for these values, of which there are some thousand at most."""
    return Traits(language, role, app)


@lru_cache(maxsize=4 * _KEPT)
def network_of(address: str) -> str:
    """Returns the /24 or /48 that contains the address; `unknown` for a text that is not an address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv6Address):
        carried = _carried(parsed)
        if carried is None:
            return str(IPv6Network((int(parsed), IPV6_NETWORK_BITS), strict=False))
        parsed = carried
    return str(IPv4Network((int(parsed), IPV4_NETWORK_BITS), strict=False))


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Returns the caller's IPv4 address inside an IPv6 one: mapped, 6to4, Teredo, or NAT64.

    It must be shortened as IPv4: the first 48 bits of a 6to4 address contain a whole IPv4 address.
    """
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def _language(header: bytes) -> str:
    """Returns the primary subtag of the first language range (RFC 9110, 12.5.4)."""
    first = header.partition(b",")[0].partition(b";")[0].strip()
    if not first:
        return UNKNOWN
    primary = first.partition(b"-")[0].decode("latin-1").lower()
    return primary if primary in LANGUAGES else OTHER


def _app(agent: bytes) -> str:
    if not agent.strip():
        return UNKNOWN
    lowered = agent.lower()
    return next((family for mark, family in _FAMILIES if mark in lowered), OTHER)
