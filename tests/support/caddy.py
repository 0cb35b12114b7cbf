"""A real Caddy with the shipped Caddyfile and its own CA, in front of a daemon."""

import contextlib
import http.server
import os
import ssl
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx

from support.waiting import wait_until

CADDYFILE = Path(__file__).parents[2] / "deploy" / "Caddyfile"


@attrs.frozen(kw_only=True)
class Caddy:
    """A running Caddy."""

    https: int
    http: int
    #: Certificate of Caddy's own CA.
    ca: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}"

    def client(self, **more: Any) -> httpx.Client:
        """A client that trusts Caddy's CA."""
        context = ssl.create_default_context(cafile=self.ca)
        return httpx.Client(base_url=self.url, verify=context, timeout=20, **more)


@contextlib.contextmanager
def running_caddy(folder: Path, upstream: str, https: int, http_port: int) -> Iterator[Caddy]:
    """Run Caddy in front of `upstream` (host:port) until the end of the block."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PAYD_DOMAIN": "localhost",
        "PAYD_TLS": "internal",
        "PAYD_HTTP": upstream,
        "PAYD_HTTPS_PORT": str(https),
        "PAYD_HTTP_PORT": str(http_port),
    }
    binary = Path(sysconfig.get_path("scripts")) / "caddy"
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            [str(binary), "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    ca = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    caddy = Caddy(https=https, http=http_port, ca=ca)
    try:
        log_file = folder / "caddy.log"
        wait_until(lambda: _answers(caddy), log_file.read_text, process=process)
        yield caddy
    finally:
        process.kill()
        process.wait()


def _answers(caddy: Caddy) -> bool:
    try:
        with caddy.client() as client:
            return client.get("/").status_code == 404
    except (OSError, httpx.TransportError, ssl.SSLError):
        return False


@contextlib.contextmanager
def relay(caddy: Caddy) -> Iterator[str]:
    """Serve a plain URL that forwards POSTs to Caddy, for a sender that does not trust its CA."""
    client = caddy.client()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            try:
                answer = client.post(self.path, content=body, headers=kept)
                status, content = answer.status_code, answer.content
            except httpx.TransportError:
                status, content = 502, b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        client.close()


_HOP_BY_HOP = {"host", "connection", "content-length", "accept-encoding", "keep-alive"}
