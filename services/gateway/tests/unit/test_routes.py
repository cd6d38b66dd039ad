"""Every service and every limit that a route names has its entry in each table of the gateway."""

import pytest
from kappi_gateway.limits.rules import RULES
from kappi_gateway.openapi.merge import TAGS
from kappi_gateway.proxy.route import PASSED_HEADERS
from kappi_gateway.routes import ROUTES, Limit, Service
from kappi_gateway.settings import GatewaySettings

BEHIND = [service for service in Service if service is not Service.GATEWAY]
SERVICES = {route.service for route in ROUTES} - {Service.GATEWAY}


def test_every_service_of_a_route_has_its_headers_and_its_tag() -> None:
    assert SERVICES == PASSED_HEADERS.keys() == TAGS.keys() - {Service.GATEWAY}


@pytest.mark.parametrize("service", BEHIND, ids=lambda service: service.value)
def test_every_service_has_an_address_in_the_settings(service: Service) -> None:
    assert f"{service.value}_url" in GatewaySettings.model_fields


def test_every_limit_has_a_rule_and_a_route() -> None:
    assert RULES.keys() == set(Limit) - {Limit.NONE}
    assert RULES.keys() == {route.limit for route in ROUTES} - {Limit.NONE}
