"""Serves the galleries service's key set on a real port, for media processes under test."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kappi_chassis.auth import SigningKey, jwks_document


@contextmanager
def serving_key_set(key: SigningKey) -> Iterator[str]:
    """Serves the key while the context lasts. Yields the address, for `KAPPI_MEDIA_GRANT_JWKS_URL`."""
    body = json.dumps(jwks_document(key)).encode()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/internal/jwks.json"
        finally:
            server.shutdown()
            thread.join()
