"""Finds the address by which phones in the same network reach this machine."""

from __future__ import annotations

import io
import socket

from kappi_chassis.settings import is_loopback

from kappi_embedded.plan import ANY_ADDRESS, Plan

# An address that belongs to no machine (RFC 5737). Connecting a datagram socket sends nothing.
_ELSEWHERE = ("192.0.2.1", 9)


def network_address() -> str | None:
    """Returns this machine's IPv4 address on the outgoing interface; None without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if is_loopback(address) or address in ANY_ADDRESS else address


def phone_url(plan: Plan) -> str | None:
    """Returns the address for a phone; None where the plan is closed to other machines, or this machine has
    no network.
    """
    if not plan.has_no_other_name:
        return plan.public_url
    if not plan.is_open:
        return None
    address = network_address() if plan.host in ANY_ADDRESS else plan.host
    return None if address is None else f"http://{address}:{plan.port}"


def qr_code(text: str) -> str:
    """Returns lines of half blocks that draw the light parts of the code."""
    import segno

    drawn = io.StringIO()
    segno.make_qr(text, error="l").terminal(drawn, compact=True)
    return drawn.getvalue().rstrip("\n")
