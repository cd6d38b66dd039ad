"""The expected failures, with the stable codes that clients act on."""

from __future__ import annotations

from typing import ClassVar

from kappi_chassis.problems import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unavailable,
    Unprocessable,
)
from kappi_chassis.shared_problems import AdminRequired as AdminRequired


class EmailTaken(Conflict):
    code, title = "email_taken", "There is an account with this email address"


class SignUpClosed(Unavailable):
    code, title = "sign_up_unavailable", "No accounts can be made at the moment"


class PasswordWrong(Forbidden):
    code, title = "password_wrong", "The current password is not this"


class PasswordRequired(Forbidden):
    code, title = "password_required", "The password is needed for this"


class SessionNotFound(NotFound):
    """The session is unknown or belongs to another account; the answer is the same."""

    code, title = "session_not_found", "There is no such session"


class ResetTokenInvalid(NotFound):
    """The token is unknown, used or expired; the answer is the same."""

    code, title = "reset_token_invalid", "The token for a new password is not valid"


class AccountNotFound(NotFound):
    code, title = "account_not_found", "There is no such account"


class AdminNotSuspendable(Conflict):
    code, title = "admin_not_suspendable", "An administrator cannot be suspended"


class TakedownNotFound(NotFound):
    code, title = "takedown_not_found", "There is no such take-down"


class TierNotFound(NotFound):
    code, title = "tier_not_found", "There is no such tier"


class TierTaken(Conflict):
    code, title = "tier_taken", "There is a tier of this name"


class TierInUse(Conflict):
    code, title = "tier_in_use", "Accounts have this tier"


class TierProtected(Conflict):
    code, title = "tier_protected", "This tier cannot be deleted"


class TierNotForAccounts(Unprocessable):
    code, title = "tier_not_for_accounts", "No account can have this tier"


class TooManyLogins(TooManyRequests):
    code, title = "too_many_logins", "Too many attempts to log in"


class TooManyResets(TooManyRequests):
    code, title = "too_many_resets", "Too many requests for a new password"


class WebhookNotFound(NotFound):
    """The webhook is unknown or belongs to another account; the answer is the same."""

    code, title = "webhook_not_found", "There is no such webhook"


class DeliveryNotFound(NotFound):
    code, title = "delivery_not_found", "There is no such delivery of this webhook"


class InvalidWebhookUrl(Unprocessable):
    code, title = "invalid_webhook_url", "No webhook can have this URL"


class WebhookLimitReached(Conflict):
    code, title = "webhook_limit_reached", "The account has as many webhooks as it may have"


class WebhookDisabled(Conflict):
    code, title = "webhook_disabled", "The webhook is disabled"


class OAuthFailure(BadRequest):
    """An error of the token endpoint. error: the member that RFC 6749, 5.2 requires beside those of a
    problem.
    """

    error: ClassVar[str] = "invalid_request"
    code, title = "invalid_request", "The request is not what the token endpoint takes"


class InvalidGrant(OAuthFailure):
    """The password is wrong, the account is unknown, or a refresh token is not valid; the answer is
    the same.
    """

    error = "invalid_grant"
    code, title = "invalid_grant", "The credentials are not valid"


class AccountSuspended(OAuthFailure):
    """The answer after the right password only. detail: the administrator's reason."""

    error = "invalid_grant"
    code, title = "account_suspended", "The account is suspended"


class UnsupportedGrantType(OAuthFailure):
    error = "unsupported_grant_type"
    code, title = "unsupported_grant_type", "There is no such grant type here"
