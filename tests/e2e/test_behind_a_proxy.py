"""A real nginx with TLS in front, the whole service below a path, and only the public URL set."""

from __future__ import annotations

import asyncio
import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from kappi_chassis.embedded.ports import LOOPBACK, free_port
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.processes import ManagedProcess
from kappi_testkit.programs import require_program

from tests.e2e.accounts import make_admin
from tests.e2e.browser import Page
from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest

PATH = "/photos/of-us"
# A minimal configuration sets no header, so the gateway sees its own address in `Host`.
_CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {address}:{port} ssl;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    client_max_body_size 0;
    location {path}/ {{ proxy_pass http://{address}:{gateway}/; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """The address and the certificate of the proxy, which starts when the gateway's port is known."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}{PATH}"

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    require_program("nginx")
    folder = tmp_path_factory.mktemp("nginx")
    subprocess.run(
        [
            *(require_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", folder / "key.pem", "-out", folder / "certificate.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return Proxy(free_port(), folder)


@pytest.fixture(scope="module")
def own_settings(proxy: Proxy) -> Mapping[str, str]:
    # The last one is for the `kappi` command, which is a client like any other.
    return {"KAPPI_PUBLIC_URL": proxy.url, "SSL_CERT_FILE": str(proxy.certificate)}


@pytest.fixture(scope="module")
def behind(proxy: Proxy, own_stack: StackUnderTest) -> Iterator[StackUnderTest]:
    """Yields the stack behind the proxy."""
    configuration = proxy.folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            folder=proxy.folder,
            address=LOOPBACK,
            port=proxy.port,
            path=PATH,
            gateway=own_stack.running.port,
        )
    )
    process = ManagedProcess(
        [require_program("nginx"), "-p", str(proxy.folder), "-c", str(configuration)],
        log=proxy.folder / "nginx.out",
        ready=lambda: (proxy.folder / "nginx.pid").exists(),
    )
    process.start()
    try:
        yield own_stack
    finally:
        process.stop()


@pytest.fixture
def browser_options() -> Sequence[str]:
    return ["--ignore-certificate-errors"]


@pytest.mark.timeout(240)
async def test_pages_and_signed_urls_work_below_the_path(
    behind: StackUnderTest, proxy: Proxy, page: Page, tmp_path: Path
) -> None:
    pictures = [tmp_path / f"{number}.jpg" for number in range(3)]
    for number, picture in enumerate(pictures):
        picture.write_bytes(encode(quadrants(600 + number, 450), "JPEG"))
    shared = await asyncio.to_thread(behind.kappi, "share", "--title", "Lisbon", *map(str, pictures))
    assert shared.returncode == 0, shared.stdout + shared.stderr
    (code,) = re.findall(r"^Code +(\w+)$", shared.stdout, re.MULTILINE)
    assert f"{proxy.url}/g/{code}" in shared.stdout

    await page.go(f"{proxy.url}/")
    await page.write("header form input", code)
    await page.follow("header form button")
    await page.see(f"location.pathname === '{PATH}/g/{code}'")
    await page.see(
        'document.querySelectorAll(".tile img").length === 3'
        ' && [...document.querySelectorAll(".tile img")].every(image => image.naturalWidth)'
    )
    await page.photograph("behind-a-proxy")
    await page.go(f"{proxy.url}/")
    await page.see("!!document.querySelector('main h1')")  # then the footer does not move any more
    await page.follow("footer a")
    await page.see(f"location.pathname === '{PATH}/docs'")
    await page.see("document.body.innerText.includes('/v1/galleries')")
    assert page.complaints == []

    # The link of a mail, but expired: the error of the API is expected.
    await page.go(f"{proxy.url}/reset-password#{'a' * 32}")
    await page.write("#password", "pastel de nata")
    await page.click("#send")
    await page.see("document.body.innerText.includes('This link was used before')")

    home = tmp_path / "home"
    got = await asyncio.to_thread(behind.kappi, "get", f"{proxy.url}/g/{code}", str(home))
    assert got.returncode == 0, got.stdout + got.stderr
    assert sorted(path.read_bytes() for path in home.iterdir()) == sorted(
        picture.read_bytes() for picture in pictures
    )


@pytest.mark.timeout(240)
async def test_the_panel_works_below_the_path_over_tls(
    behind: StackUnderTest, proxy: Proxy, page: Page
) -> None:
    async with Phone(behind.base_url, secrets=behind.secrets) as phone:
        admin = await make_admin(behind, phone)
    await page.go(f"{proxy.url}/admin")
    await page.see(f"location.pathname === '{PATH}/admin/login'")
    await page.write("#username", admin.email)
    await page.write("#password", admin.password)
    await page.follow("form button[type=submit]")
    await page.go(f"{proxy.url}/admin/tiers/list")
    await page.see("document.body.innerText.includes('Enterprise')")
    links = await page.ask("[...document.querySelectorAll('a[href]')].map(link => link.href)")
    inside = [link for link in links if link.startswith("http")]
    assert inside
    assert all(link.startswith(f"{proxy.url}/admin") for link in inside), inside
    await page.photograph("behind-a-proxy-panel")
    assert page.complaints == []


async def test_the_api_names_its_public_address(behind: StackUnderTest, proxy: Proxy) -> None:
    trusted = ssl.create_default_context(cafile=str(proxy.certificate))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as session:
        async with session.get(f"{proxy.url}/openapi.json") as answer:
            assert (await answer.json())["servers"] == [{"url": PATH}]
        async with session.post(f"{proxy.url}/v1/galleries", json={"title": "Lisbon"}) as answer:
            assert answer.status == 201
            assert "Date" in answer.headers
            made = await answer.json()
        assert made["url"] == f"{proxy.url}/g/{made['code']}"
        behind.secrets.add(made["access_key"])
        # The gateway also works if the proxy keeps the path.
        async with session.get(f"{behind.base_url}{PATH}/v1/g/{made['code']}") as answer:
            assert answer.status == 200
        async with session.get(f"{behind.base_url}{PATH}", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (308, f"{PATH}/")
