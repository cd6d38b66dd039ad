"""Mails: their content, their files in a folder, and their delivery over SMTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from kappi_chassis.clock import new_id
from kappi_identity.mailer import MailFolder, MailUndelivered, SmtpServer, mail_transport, reset_mail_maker
from kappi_identity.settings import IdentitySettings

TOKEN = "kappi_pw_" + "x" * 43


def settings(**changed: Any) -> IdentitySettings:
    values: dict[str, Any] = {
        "database_url": "postgresql://nobody",
        "idempotency_secret": "i" * 16,
        "key_secret": "k" * 16,
        "public_url": "https://kappi.example/",
        **changed,
    }
    return IdentitySettings(**values)


def mail(recipient: str = "ada@example.com") -> Any:
    chosen = settings(mail_dir="/nowhere")
    return reset_mail_maker(chosen, clock=lambda: datetime(2026, 5, 1, tzinfo=UTC))(recipient, TOKEN)


@pytest.mark.parametrize("recipient", ["ada@example.com", "Ånna.Müller@exämple.com"])
def test_a_mail_survives_being_written_down(recipient: str) -> None:
    read = message_from_bytes(mail(recipient).as_bytes(), policy=policy.SMTPUTF8)
    assert read["To"] == recipient
    assert read["Date"] == "Fri, 01 May 2026 00:00:00 +0000"
    assert read["Message-ID"].endswith("@kappi.example>")
    lines = read.get_content().splitlines()
    assert f"https://kappi.example/reset-password#{TOKEN}" in lines
    assert TOKEN in lines


async def test_a_folder_holds_whole_mails_only_its_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    transport = mail_transport(settings(mail_dir=folder), new_id=new_id)
    assert isinstance(transport, MailFolder)
    await asyncio.gather(*(transport.send(mail()) for _ in range(5)))

    found = list(folder.iterdir())
    assert len(found) == 5
    assert {file.suffix for file in found} == {".eml"}
    assert {file.stat().st_mode & 0o777 for file in found} == {0o600}
    assert all(TOKEN.encode() in file.read_bytes() for file in found)


async def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MailUndelivered):
        await MailFolder(tmp_path / "file", new_id=new_id).send(mail())


class Mta:
    """The parts of an SMTP server that a client needs (RFC 5321)."""

    def __init__(self, *, refuses: bytes = b"") -> None:
        self.commands: list[bytes] = []
        self.data = b""
        self._refuses = refuses

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            command = line.rstrip(b"\r\n")
            self.commands.append(command)
            verb = command.split(b" ")[0].upper()
            if self._refuses and verb == self._refuses:
                writer.write(b"550 no such user <ada@example.com>\r\n")
            elif verb == b"EHLO":
                writer.write(b"250-here\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                self.data = await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 fine\r\n")
        writer.close()


async def _send_to(mta: Mta, **changed: Any) -> None:
    server = await asyncio.start_server(mta, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = mail_transport(
        settings(**{"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_security": "none", **changed}),
        new_id=new_id,
    )
    assert isinstance(transport, SmtpServer)
    async with server:
        await transport.send(mail())


async def test_an_smtp_server_gets_the_mail() -> None:
    mta = Mta()
    await _send_to(mta)
    assert b"mail FROM:<no-reply@kappi.invalid>" in [command.split(b" size=")[0] for command in mta.commands]
    assert b"rcpt TO:<ada@example.com>" in mta.commands
    assert TOKEN.encode() in mta.data


async def test_a_refusal_is_told_without_what_it_quotes() -> None:
    with pytest.raises(MailUndelivered) as failed:
        await _send_to(Mta(refuses=b"RCPT"))
    assert str(failed.value) == "SMTPRecipientsRefused"


async def test_nothing_is_sent_without_the_encryption_asked_for() -> None:
    mta = Mta()
    with pytest.raises(MailUndelivered):
        await _send_to(mta, smtp_security="starttls")
    assert not mta.data
    assert not [command for command in mta.commands if command.startswith(b"mail")]


async def test_a_server_that_is_away_is_said() -> None:
    transport = mail_transport(settings(smtp_host="127.0.0.1", smtp_port=1), new_id=new_id)
    with pytest.raises(MailUndelivered):
        await transport.send(mail())
