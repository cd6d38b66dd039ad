"""Signed tokens: keys, JWKS, grants."""

from kappi_chassis.auth.grants import GrantInvalid, GrantVerifier
from kappi_chassis.auth.keys import SigningKey, jwks_document
from kappi_chassis.auth.verifier import JwksSource, TokenInvalid, TokenVerifier

__all__ = [
    "GrantInvalid",
    "GrantVerifier",
    "JwksSource",
    "SigningKey",
    "TokenInvalid",
    "TokenVerifier",
    "jwks_document",
]
