"""The answer to input that is no request: a problem document, after which the connection ends."""

from __future__ import annotations

import secrets
from http import HTTPStatus

from kappi_chassis.http.date_header import date_now
from kappi_chassis.observability.access_log import access_log
from kappi_chassis.problems import PROBLEM_JSON, Problem, problem_body


def refusal(problem: Problem, *, client: str) -> bytes:
    """Returns the bytes of the answer, and notes it in the log. client: the address, for the limit of log
    lines.
    """
    request_id = secrets.token_hex(16)
    access_log.note(
        client=client,
        level="info",
        route="refused",
        status=problem.status,
        request_id=request_id,
        code=problem.code,
    )
    body = problem_body(problem, request_id)
    more = "".join(f"{name.lower()}: {value}\r\n" for name, value in problem.headers.items())
    head = (
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
        f"content-type: {PROBLEM_JSON}\r\n"
        f"content-length: {len(body)}\r\n"
        f"date: {date_now().decode()}\r\n"
        f"x-request-id: {request_id}\r\n"
        f"{more}connection: close\r\n\r\n"
    )
    return head.encode() + body
