"""Probes and metrics over HTTP, from a thread: they answer while the process is busy."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST

from headrace.process.health import Health

PORT = 8080


class ProbeServer:
    """``/livez``, ``/readyz`` and ``/metrics`` on port 8080 (``HEADRACE_HTTP_PORT`` for tests)."""

    def __init__(self, health: Health, metrics: Callable[[], bytes]) -> None:
        pages: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/livez": lambda: _probe(health.not_live()),
            "/readyz": lambda: _probe(health.not_ready()),
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST, metrics()),
        }

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                page = pages.get(self.path.partition("?")[0])
                status, content_type, body = page() if page else (404, "text/plain; charset=utf-8", b"not found\n")
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Probes come every few seconds; nobody wants to read of them."""

        self._server = ThreadingHTTPServer(("", int(os.environ.get("HEADRACE_HTTP_PORT", PORT))), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _probe(problems: list[str]) -> tuple[int, str, bytes]:
    text = "".join(f"{problem}\n" for problem in problems) or "ok\n"
    return (503 if problems else 200), "text/plain; charset=utf-8", text.encode()
