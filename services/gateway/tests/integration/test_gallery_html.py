"""The page of a gallery as browsers without scripts and link previews read it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from kappi_testkit.gateway.fake_services import Reply, Seen, grant_reply, problem_reply
from kappi_testkit.gateway.raw_http import RawAnswer
from kappi_testkit.gateway.stack import Stack, StackFactory

PUBLIC = "https://photos.example"
PATH = "/g/abcd"
EXPIRES = "2026-07-01T10:05:00Z"


@pytest.fixture
async def stack(make_stack: StackFactory) -> Stack:
    return await make_stack(public_url=PUBLIC, guess_burst=2)


class Read(HTMLParser):
    """What a program reads in the page: its title, its tags, its links, and the text before the scripts."""

    def __init__(self, answer: RawAnswer) -> None:
        super().__init__()
        self.tags: dict[str, str] = {}
        self.links: list[str] = []
        self.text: list[str] = []
        self.title = ""
        self.elements: list[str] = []
        self._open: list[str] = []
        self.feed(answer.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        self.elements.append(tag)
        named = dict(attrs)
        if tag == "meta" and (name := named.get("property") or named.get("name")):
            self.tags[name] = named["content"] or ""
        if tag == "a":
            self.links.append(named["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not data.strip():
            return
        if "title" in self._open:
            self.title += data
        elif "main" in self._open:
            self.text.append(data.strip())


def holds(stack: Stack, *, title: str | None = "Lisbon in May", **changed: Any) -> None:
    """Makes the galleries service give grants for a gallery with this summary."""
    expires_at = changed.pop("expires_at", EXPIRES)
    summary = {"title": title, "item_count": 24, "size_bytes": 1_234_567_890, "used_up": False, **changed}
    stack.galleries.always(grant_reply(summary=summary, gallery_expires_at=expires_at))


async def test_the_page_says_what_the_gallery_is_and_how_to_take_it(stack: Stack) -> None:
    holds(stack)
    answer = await stack.ask("GET", "/g/ABCD")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "private, no-cache"
    page = Read(answer)
    facts = "24 photographs and films, 1.23 GB, until 1 July 2026, 10:05 UTC"
    assert page.title == "Lisbon in May · Kappi"
    assert page.text[:2] == ["Lisbon in May", facts]
    assert page.links[0] == "../v1/g/abcd/archive"
    assert {name: value for name, value in page.tags.items() if name != "viewport"} == {
        "description": facts,
        "og:type": "website",
        "og:site_name": "Kappi",
        "og:title": "Lisbon in May",
        "og:description": facts,
        "og:url": f"{PUBLIC}/g/abcd",
        "og:image": f"{PUBLIC}/v1/g/abcd/cover",
        "twitter:card": "summary_large_image",
    }
    assert "script" in page.elements


@pytest.mark.parametrize(
    ("summary", "facts"),
    [
        ({"item_count": 1, "size_bytes": 999, "expires_at": None}, "1 photograph or film, 999 bytes"),
        ({"item_count": 1_500, "size_bytes": 52_400_000, "expires_at": None}, None),
        ({"item_count": 0, "size_bytes": 0}, "until 1 July 2026, 10:05 UTC"),
    ],
)
async def test_the_facts_are_those_that_there_are(stack: Stack, summary: Any, facts: str | None) -> None:
    holds(stack, title=None, **summary)
    page = Read(await stack.ask("GET", PATH))
    assert page.text[:2] == ["Shared gallery", facts or "1,500 photographs and films, 52.4 MB"]
    assert page.tags["og:title"] == "Shared gallery"


@pytest.mark.parametrize(
    "title",
    [
        "</title><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onload='alert(1)",
        "$content $meta $title $root",
        "<!-- & &amp; -->",
        "\u202eevil\u202c 🏔",
    ],
)
async def test_a_title_is_text_wherever_it_stands(stack: Stack, title: str) -> None:
    holds(stack, title="Plain")
    plain = Read(await stack.ask("GET", "/g/efgh"))
    holds(stack, title=title)
    page = Read(await stack.ask("GET", PATH))
    assert page.title == f"{title} · Kappi"
    assert page.text[0] == title.strip()
    assert page.tags["og:title"] == title
    assert page.elements == plain.elements


async def test_a_protected_gallery_keeps_its_title(stack: Stack) -> None:
    stack.galleries.always(problem_reply(401, "gallery_password_required"))
    answer = await stack.ask("GET", PATH, "X-Gallery-Password: open sesame")
    assert answer.status == 200
    page = Read(answer)
    assert page.title == "Shared gallery · Kappi"
    assert page.text[:2] == ["Shared gallery", "A password opens it."]
    assert "og:image" not in page.tags
    assert page.tags["twitter:card"] == "summary"
    assert page.links == []
    # The password is not tried: a page is asked for without it.
    assert all("password" not in seen.json() for seen in stack.grants_asked())


@pytest.mark.parametrize("target", [PATH, "/g/no+code", "/g/%3Cscript%3Ealert(1)%3C%2Fscript%3E"])
async def test_what_no_code_opens_is_one_page_with_the_application(stack: Stack, target: str) -> None:
    stack.galleries.always(problem_reply(404, "gallery_not_found"))
    answer = await stack.ask("GET", target)
    assert answer.status == 404
    page = Read(answer)
    assert page.text[0] == page.title.removesuffix(" · Kappi") == "There is no such gallery"
    assert {name for name in page.tags if name != "viewport"} == set()
    assert "script" in page.elements
    assert b"alert(1)" not in answer.body
    known = await stack.ask("GET", target, f"If-None-Match: {answer.headers['etag']}")
    assert (known.status, known.body) == (404, answer.body)


async def test_a_gallery_that_is_used_up_is_one_that_has_expired(stack: Stack) -> None:
    holds(stack, used_up=True)
    answer = await stack.ask("GET", PATH)
    assert (answer.status, Read(answer).text[0]) == (404, "There is no such gallery")
    assert b"Lisbon" not in answer.body


async def test_guesses_are_throttled_as_those_of_a_view(stack: Stack) -> None:
    stack.galleries.always(problem_reply(404, "gallery_not_found"))
    assert [(await stack.ask("GET", f"/g/aaa{end}")).status for end in "ab"] == [404, 404]
    answer = await stack.ask("GET", "/g/aaac")
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert Read(answer).text[0] == "Too many attempts"
    assert (await stack.ask("GET", "/v1/g/aaad")).code == "too_many_guesses"
    assert len(stack.grants_asked()) == 2


async def test_one_question_serves_the_page_and_the_view(stack: Stack) -> None:
    holds(stack)
    for target in (PATH, PATH, "/v1/g/abcd", f"{PATH}?wall"):
        assert (await stack.ask("GET", target)).status == 200
    assert len(stack.galleries.seen) == 1
    assert len(stack.media.seen) == 1


async def test_the_page_is_no_view(stack: Stack) -> None:
    holds(stack)
    for _ in range(3):
        await stack.ask("GET", PATH)
        await stack.ask("HEAD", PATH)
    assert stack.media.seen == []
    assert len(stack.galleries.seen) == 1


async def test_a_page_is_asked_for_again_and_known(stack: Stack) -> None:
    holds(stack)
    first = await stack.ask("GET", PATH)
    known = f"If-None-Match: {first.headers['etag']}"
    again = await stack.ask("GET", PATH, known)
    assert (again.status, again.body) == (304, b"")
    head = await stack.ask("HEAD", PATH)
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", first.headers["etag"])
    stack.cache.drop_all()
    holds(stack, title="Porto")
    changed = await stack.ask("GET", PATH, known)
    assert (changed.status, Read(changed).title) == (200, "Porto · Kappi")


async def test_the_policy_is_the_same_for_every_page(stack: Stack) -> None:
    holds(stack)
    policies = [(await stack.ask("GET", PATH)).headers["content-security-policy"]]
    stack.galleries.always(problem_reply(404, "gallery_not_found"))
    policies.append((await stack.ask("GET", "/g/efgh")).headers["content-security-policy"])
    assert policies[0] == policies[1]
    assert policies[0].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policies[0]


@pytest.mark.parametrize("status", [500, 503])
async def test_the_application_comes_also_when_the_galleries_do_not_answer(stack: Stack, status: int) -> None:
    async def fail(_: Seen) -> Reply:
        return problem_reply(status, "overloaded")

    stack.galleries.answer = fail
    answer = await stack.ask("GET", PATH)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    page = Read(answer)
    assert page.title == "Shared gallery · Kappi"
    assert "script" in page.elements


async def test_an_earlier_galleries_service_gives_no_facts(stack: Stack) -> None:
    stack.galleries.always(grant_reply())
    page = Read(await stack.ask("GET", PATH))
    assert page.title == "Shared gallery · Kappi"
    assert page.links[0] == "../v1/g/abcd/archive"
    assert page.tags["og:description"] == "Photographs and films to look at and to download."


async def test_a_service_below_a_path_has_links_below_it(make_stack: StackFactory) -> None:
    stack = await make_stack(public_url=f"{PUBLIC}/photos")
    holds(stack)
    page = Read(await stack.ask("GET", f"/photos{PATH}"))
    assert page.tags["og:image"] == f"{PUBLIC}/photos/v1/g/abcd/cover"
    assert page.tags["og:url"] == f"{PUBLIC}/photos/g/abcd"
    assert page.links[0] == "../v1/g/abcd/archive"  # relative to /photos/g/abcd


async def test_the_links_of_a_preview_name_no_host_that_a_client_made_up(make_stack: StackFactory) -> None:
    stack = await make_stack(public_url=PUBLIC, hosts=("kappi.example",))
    holds(stack)
    for host in ("evil.example", "kappi.example"):
        page = Read(await stack.ask("GET", PATH, f"Host: {host}"))
        assert page.tags["og:image"] == f"{PUBLIC}/v1/g/abcd/cover"
