"""HTTP: the edge that every service has, problem documents, serving and draining."""

from kappi_chassis.http.app import create_app, hot_route
from kappi_chassis.http.edge import Edge
from kappi_chassis.http.responses import JsonResponse, json_response

__all__ = ["Edge", "JsonResponse", "create_app", "hot_route", "json_response"]
