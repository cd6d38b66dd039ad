"""An account in the browser, from its start to its end."""

from __future__ import annotations

import email.policy
import secrets
from pathlib import Path

import pytest
from kappi_testkit.eventually import eventually

from tests.e2e.accounts import log_in, sign_up
from tests.e2e.browser import Page, tab
from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.web_stories import fill, look, push, unexpected

MAIL_S = 30.0


@pytest.mark.timeout(240)
async def test_an_account_from_its_start_to_its_end(stack: StackUnderTest, phone: Phone, page: Page) -> None:
    address, password = f"web-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(12)
    stack.secrets.add(password)
    await page.go(f"{stack.base_url}/account")
    await page.see("document.querySelector('h1, .heading')?.textContent === 'Log in'")
    await look(page, "log-in")
    await push(page, "No account yet? Create one")
    await fill(page, {"email": address, "name": "Ada", "password": "password"})
    await push(page, "Create an account")
    await page.see("document.querySelector('input[name=password]').getAttribute('aria-invalid') === 'true'")
    assert await page.ask("document.querySelector('input[name=email]').value") == address
    await look(page, "sign-up-refused")
    await fill(page, {"password": password})
    await push(page, "Create an account")
    await page.see("document.querySelector('h1')?.textContent === 'My galleries'")
    await look(page, "no-galleries")

    await page.write("main form input", "Lisbon & <Porto>")
    await push(page, "Create")
    await page.see("location.pathname.startsWith('/manage/')")
    await page.see("document.querySelector('input[name=title]')?.value === 'Lisbon & <Porto>'")
    await page.ask("history.back()")
    await page.see("document.querySelector('main a .title')?.textContent === 'Lisbon & <Porto>'")
    await look(page, "my-galleries")

    elsewhere = await log_in(stack, phone, address, password)
    async with tab(page.address) as second:
        await second.go(f"{stack.base_url}/account")
        await second.see("document.querySelector('main a .title')?.textContent === 'Lisbon & <Porto>'")
        await page.go(
            f"{stack.base_url}/account"
        )  # it has no access token, so it refreshes after the other tab
        await page.see("document.querySelector('main a .title')?.textContent === 'Lisbon & <Porto>'")
        await second.go(f"{stack.base_url}/account")
        await second.click("[role=tab]:nth-child(2)")
        await second.see("document.querySelectorAll('section li').length === 2")
        await look(second, "account")
        await push(second, "End")
        await second.see("document.querySelectorAll('section li').length === 1")
        refused = await phone.ask(
            "POST",
            "/v1/oauth/token",
            body=f"grant_type=refresh_token&refresh_token={elsewhere.refresh_token}".encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        refused.problem(400, "invalid_grant")

        changed = secrets.token_urlsafe(12)
        stack.secrets.add(changed)
        await fill(second, {"current-password": "not this one", "new-password": changed})
        await push(second, "Change the password")
        await second.see(
            "document.querySelector('input[name=current-password]').getAttribute('aria-invalid')"
        )
        await fill(second, {"current-password": password})
        await push(second, "Change the password")
        await second.see("document.body.innerText.includes('All other logins have ended')")
        assert unexpected(second) == []

        await push(second, "Log out")
        await page.see("document.querySelector('.heading')?.textContent === 'Log in'")
    assert await page.ask("Object.keys(localStorage).includes('kappi.refresh-token')") is False

    await fill(page, {"email": address, "password": password})
    await push(page, "Log in")
    await page.see("document.body.innerText.includes('The email address or the password is not right')")
    await fill(page, {"password": changed})
    await push(page, "Log in")
    await page.see("document.querySelector('h1')?.textContent === 'My galleries'")

    await page.click("[role=tab]:nth-child(2)")
    await push(page, "Delete the account")
    await fill(page, {"password": changed})
    await look(page, "delete-account")
    await page.ask("document.querySelector('dialog button.alarm').click()")
    await page.see("document.body.innerText.includes('Your account was deleted')")
    gone = await phone.ask(
        "POST",
        "/v1/oauth/token",
        body=f"grant_type=password&username={address}&password={changed}".encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    gone.problem(400, "invalid_grant")
    assert unexpected(page) == []
    assert not [url for url in page.requested if password in url or changed in url]


@pytest.mark.timeout(180)
async def test_a_forgotten_password_is_set_anew_by_mail(
    stack: StackUnderTest, phone: Phone, page: Page
) -> None:
    person = await sign_up(stack, phone, "forgetful")
    await page.go(f"{stack.base_url}/account")
    await push(page, "Password forgotten?")
    await fill(page, {"email": person.email})
    await look(page, "forgotten")
    await push(page, "Send the mail")
    await page.see("document.body.innerText.includes('a mail is on its way')")

    link = await eventually(lambda: _mailed_link(stack.running.data_dir / "mail", person.email), MAIL_S)
    await page.go(link)
    await page.see("!!document.querySelector('#password')")
    await look(page, "reset")
    password = secrets.token_urlsafe(12)
    stack.secrets.add(password)
    await page.write("#password", password)
    await page.click("#send")
    await page.see("document.querySelector('#outcome').textContent.startsWith('Done')")
    await look(page, "reset-done")
    await page.follow("#outcome a")
    await fill(page, {"email": person.email, "password": password})
    await push(page, "Log in")
    await page.see("document.querySelector('h1')?.textContent === 'My galleries'")
    assert unexpected(page) == []


def _mailed_link(folder: Path, address: str) -> str:
    for file in folder.glob("*.eml"):
        mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        if mail["To"] == address:
            return next(line for line in str(mail.get_content()).splitlines() if "/reset-password#" in line)
    raise AssertionError("no mail yet")
