"""How phones in the same network reach this machine."""

from __future__ import annotations

import io
import socket

from kappi_chassis.settings import is_loopback

from kappi_embedded.plan import ANY_ADDRESS, Plan

# An address that belongs to no machine (RFC 5737): connecting a datagram socket sends nothing.
_ELSEWHERE = ("192.0.2.1", 9)


def network_address() -> str | None:
    """This machine's IPv4 address on the interface that leads out; None without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if is_loopback(address) or address in ANY_ADDRESS else address


def phone_url(plan: Plan) -> str | None:
    """What to open on a phone; None where the plan lets none in, or this machine is in no network."""
    if not plan.has_no_other_name:
        return plan.public_url
    if not plan.is_open:
        return None
    address = network_address() if plan.host in ANY_ADDRESS else plan.host
    return None if address is None else f"http://{address}:{plan.port}"


def qr_code(text: str) -> str:
    """Lines of half blocks: what is light in the code is drawn, what is dark is left out."""
    import segno

    drawn = io.StringIO()
    segno.make_qr(text, error="l").terminal(drawn, compact=True)
    return drawn.getvalue().rstrip("\n")
