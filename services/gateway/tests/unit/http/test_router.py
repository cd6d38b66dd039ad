from __future__ import annotations

import pytest
from kappi_chassis.problems import MethodNotAllowed, NotFound
from kappi_gateway.http.router import Router
from kappi_gateway.routes import ROUTES


@pytest.fixture
def router() -> Router[str]:
    router: Router[str] = Router()
    for route in (
        "GET /v1/galleries/{id}",
        "POST /v1/galleries/{id}/uploads",
        "GET /v1/galleries/mine",
        "GET /",
    ):
        method, template = route.split()
        router.add(method, template, route)
    return router


def test_parameters_are_not_decoded(router: Router[str]) -> None:
    assert router.find("GET", b"/v1/galleries/a%2Fb") == (
        "GET /v1/galleries/{id}",
        "/v1/galleries/{id}",
        [b"a%2Fb"],
    )


def test_a_literal_segment_takes_precedence(router: Router[str]) -> None:
    assert router.find("GET", b"/v1/galleries/mine")[0] == "GET /v1/galleries/mine"


def test_get_answers_head(router: Router[str]) -> None:
    assert router.find("HEAD", b"/")[0] == "GET /"


@pytest.mark.parametrize(
    "path", [b"/v1/galleries/", b"/v1/galleries", b"//", b"/v1/galleries/a/", b"/x", b""]
)
def test_an_unknown_path_is_not_found(router: Router[str], path: bytes) -> None:
    if path == b"":
        assert router.find("GET", path)[0] == "GET /"  # an ASGI server's spelling of the root
        return
    with pytest.raises(NotFound):
        router.find("GET", path)


def test_a_wrong_method_is_refused(router: Router[str]) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        router.find("DELETE", b"/v1/galleries/a/uploads")
    assert refused.value.headers == {"Allow": "OPTIONS, POST"}


def test_a_route_can_be_added_once(router: Router[str]) -> None:
    with pytest.raises(ValueError, match="taken"):
        router.add("GET", "/v1/galleries/{other}", "again")


def test_the_table_has_no_duplicates_and_no_internal_paths() -> None:
    router: Router[str] = Router()
    for route in ROUTES:
        router.add(route.method, route.template, route.template)
        assert route.template.startswith(("/v1/", "/.well-known/"))
