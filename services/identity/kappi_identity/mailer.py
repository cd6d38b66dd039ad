"""Sends mail through an SMTP server or writes it into a folder."""

from __future__ import annotations

import asyncio
import os
import smtplib
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from kappi_chassis.clock import Clock, NewId

from kappi_identity.domain.webhooks import DisabledReason
from kappi_identity.settings import IdentitySettings

RESET_PAGE = "/reset-password"
# Addresses may hold any script, and lines must not be folded inside a link.
SMTP_POLICY = policy.SMTPUTF8.clone(max_line_length=998)


class MailUndelivered(Exception):
    """A mail could not be handed over now; sending may be tried again."""


class MailTransport(Protocol):
    """Delivers mails."""

    async def send(self, message: EmailMessage) -> None:
        """Return once the mail is handed over. Raises MailUndelivered."""
        ...


class MailFolder:
    """Writes each mail into an `.eml` file that only the owner may read; the file is complete as soon as it
    exists.
    """

    def __init__(self, folder: Path, *, new_id: NewId) -> None:
        self._folder = folder
        self._new_id = new_id

    async def send(self, message: EmailMessage) -> None:
        await asyncio.to_thread(self._write, message)

    def _write(self, message: EmailMessage) -> None:
        name = str(self._new_id())
        unfinished = self._folder / f".{name}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(message.as_bytes())
            unfinished.rename(self._folder / f"{name}.eml")
        except OSError as error:
            raise MailUndelivered(str(error)) from error


class SmtpServer:
    """Sends mails over SMTP, with a connection for each, since they are few.

    The standard library's client runs in its own thread.
    """

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="smtp")

    async def send(self, message: EmailMessage) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._send, message)

    def _send(self, message: EmailMessage) -> None:
        try:
            with self._connected() as server:
                if self._settings.smtp_security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self._settings.smtp_username and self._settings.smtp_password:
                    server.login(
                        self._settings.smtp_username, self._settings.smtp_password.get_secret_value()
                    )
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            # The error's text may quote the recipient; the type is enough.
            raise MailUndelivered(type(error).__name__) from error

    def _connected(self) -> smtplib.SMTP:
        host, port = self._settings.smtp_host or "", self._settings.smtp_port
        timeout_s = self._settings.smtp_timeout.total_seconds()
        if self._settings.smtp_security == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=timeout_s, context=ssl.create_default_context())
        return smtplib.SMTP(host, port, timeout=timeout_s)


def mail_transport(settings: IdentitySettings, *, new_id: NewId) -> MailTransport:
    """Returns the transport that the settings select."""
    if settings.mail_dir is not None:
        return MailFolder(settings.mail_dir, new_id=new_id)
    return SmtpServer(settings)


MailMaker = Callable[[str, str], EmailMessage]
"""Takes the recipient and the token, and returns the mail."""


def reset_mail_maker(settings: IdentitySettings, *, clock: Clock) -> MailMaker:
    """Returns a function that builds mails with a password-reset token."""
    minutes = int(settings.reset_lifetime.total_seconds() // 60)

    def make(recipient: str, token: str) -> EmailMessage:
        message = _message(settings, recipient, subject="Your new Kappi password", clock=clock)
        message.set_content(
            "Somebody, probably you, asked for a new password for your Kappi account.\n\n"
            f"Choose it here, within {minutes} minutes:\n\n{reset_link(settings.public_url, token)}\n\n"
            f"Or copy this into the app:\n\n{token}\n\n"
            "If it was not you, nothing has changed, and there is nothing to do.\n"
        )
        return message

    return make


NoticeMaker = Callable[[str, str, DisabledReason], EmailMessage]
"""Takes the recipient, the URL of a disabled webhook and the reason, and returns the mail."""


def webhook_notice_maker(settings: IdentitySettings, *, clock: Clock) -> NoticeMaker:
    """Returns a function that builds mails about disabled webhooks.

    Of a webhook's URL they show the host alone, because its path may hold a secret of the receiver.
    """

    def make(recipient: str, url: str, reason: DisabledReason) -> EmailMessage:
        message = _message(settings, recipient, subject="A webhook was disabled", clock=clock)
        because = "it answered 410 Gone" if reason == "gone" else "every call of it has failed for too long"
        message.set_content(
            f"Your webhook at {urlsplit(url).hostname} was disabled: {because}.\n\n"
            f"GET {settings.public_url.rstrip('/')}/v1/webhooks shows it.\n"
            'PATCH it with {"enabled": true} to enable it again. Events are not delivered until then.\n'
        )
        return message

    return make


def _message(settings: IdentitySettings, recipient: str, *, subject: str, clock: Clock) -> EmailMessage:
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = settings.mail_from
    message["To"] = recipient
    message["Date"] = format_datetime(clock())
    # Without a domain the id would hold this machine's name.
    message["Message-ID"] = make_msgid(domain=urlsplit(settings.public_url).hostname)
    message["Subject"] = subject
    message["Auto-Submitted"] = "auto-generated"
    return message


def reset_link(public_url: str, token: str) -> str:
    """Returns the link to the reset page. The token is a fragment, which browsers send to no server."""
    return f"{public_url.rstrip('/')}{RESET_PAGE}#{token}"
