"""The framework pages of the docs, run by real servers and clients; then each of their handlers is sent what is bad.

None answers 500 to what a client sends, and none leaves anything behind for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import uvicorn
import waitress
from waitress import wasyncore

from tests.support.reading import build
from tests.support.saving import MIB
from tests.test_docs import ROOT, collect, run

PAGES = sorted((ROOT / "docs" / "how-to").glob("read-forms-*.rst"))
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


def text(name: str, value: bytes = b"text") -> tuple[bytes, bytes]:
    return f'Content-Disposition: form-data; name="{name}"'.encode(), value


def file(name: str, value: bytes = b"file" * 1000) -> tuple[bytes, bytes]:
    return f'Content-Disposition: form-data; name="{name}"; filename="../x"'.encode(), value


TITLE, PHOTOS = text("title"), (file("photo"), file("avatar"))
# Bad for some of the handlers, or for all
DOUBTFUL: dict[str, tuple[dict[str, str], bytes]] = {
    "nothing": (FORM, b""),
    "no fields": (FORM, b"--b--\r\n"),
    "no title": (FORM, build(*PHOTOS)),
    "no file": (FORM, build(TITLE)),
    "text for a file": (FORM, build(TITLE, text("photo"), text("avatar"))),
    "a file for text": (FORM, build(file("title"), file("meta"), *PHOTOS)),
    "title twice": (FORM, build(TITLE, TITLE, *PHOTOS)),
    "files twice": (FORM, build(TITLE, *PHOTOS, *PHOTOS)),
    "a file that was not chosen": (
        FORM,
        build(TITLE, *[(f'Content-Disposition: form-data; name="{n}"; filename=""'.encode(), b"") for n in ("photo",)]),
    ),
    "urlencoded": (URLENCODED, b"title=a&photo=b&title=c"),
    "odd urlencoded": (URLENCODED, b"&=&title&%zz"),
    "one file": ({"Content-Type": "application/octet-stream"}, b"x" * 1000),
    "no type": ({}, b"x"),
    "another type": ({"Content-Type": "application/json"}, b"{}"),
    "bad JSON": (FORM, build((text("meta")[0] + b"\r\nContent-Type: application/json", b"{"))),
}
BAD: dict[str, tuple[dict[str, str], bytes]] = {
    "cut in a header": (FORM, build(TITLE, *PHOTOS)[:90]),
    "cut in a file": (FORM, build(TITLE, *PHOTOS)[:1000]),
    "cut at the end": (FORM, build(TITLE, *PHOTOS)[:-5]),
    "no colon": (FORM, build(TITLE, *PHOTOS, (b"no colon", b""))),
    "no name": (FORM, build(TITLE, *PHOTOS, (b"Content-Disposition: form-data", b""))),
    "no boundary": ({"Content-Type": "multipart/form-data"}, b"--b--"),
    "another boundary": ({"Content-Type": "multipart/form-data; boundary=c"}, build(TITLE)),
    "text that is none": (FORM, build(*PHOTOS, text("title", b"\xff"))),
    "urlencoded that is none": (URLENCODED, b"title=%ff"),
    "a long field": (FORM, build(*PHOTOS, text("title", b"x" * (MIB + 1)))),
    "many fields": (FORM, build(*PHOTOS, *[text("a", b"")] * 1001)),
    "bad base64": (FORM, build(*PHOTOS, (text("title")[0] + b"\r\nContent-Transfer-Encoding: base64", b"w6k"))),
}


class Servers:
    """Real servers for the applications of a page: uvicorn and waitress, each in a thread, in place of httpx's
    transports, which would call the applications.
    """

    def __init__(self, stack: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asgi: list[Any] = []
        self.wsgi: list[Any] = []
        self._stack = stack
        self._ports: dict[int, int] = {}
        monkeypatch.setattr(httpx, "ASGITransport", lambda app: OverSocket(self._port(app, self.asgi, self._uvicorn)))
        monkeypatch.setattr(
            httpx, "WSGITransport", lambda app: BlockingOverSocket(self._port(app, self.wsgi, self._waitress))
        )

    def _port(self, app: Any, apps: list[Any], serve: Callable[[Any], int]) -> int:
        if id(app) not in self._ports:
            apps.append(app)
            self._ports[id(app)] = serve(app)
        return self._ports[id(app)]

    def _uvicorn(self, app: Any) -> int:
        sock = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(setattr, server, "should_exit", True)
        return int(sock.getsockname()[1])

    def _waitress(self, app: Any) -> int:
        sockets: dict[int, Any] = {}
        server = waitress.create_server(app, host="127.0.0.1", port=0, threads=2, map=sockets)
        thread = threading.Thread(target=server.run)
        thread.start()
        self._stack.callback(server.task_dispatcher.shutdown)
        self._stack.callback(thread.join)
        self._stack.callback(server.trigger.pull_trigger, lambda: wasyncore.close_all(sockets))
        return int(server.effective_port)

    def clients(self) -> list[Callable[[], Any]]:
        """Make clients of each."""
        options: Any = {"trust_env": False, "verify": False}
        found: list[Callable[[], Any]] = [
            lambda app=app: httpx.AsyncClient(transport=httpx.ASGITransport(app=app), **options)  # type: ignore[misc]
            for app in self.asgi
        ]
        return found + [
            lambda app=app: InThreads(httpx.Client(transport=httpx.WSGITransport(app=app), **options))  # type: ignore[misc]
            for app in self.wsgi
        ]


class OverSocket(httpx.AsyncHTTPTransport):
    """Sends to a port of this machine, whatever the URL says."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return await super().handle_async_request(request)


class BlockingOverSocket(httpx.HTTPTransport):
    """The same for a client without a loop."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return super().handle_request(request)


class InThreads:
    """A client that blocks, for those that await."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._client.close()

    async def post(self, url: str, **kwargs: Any) -> httpx.Response:
        return await asyncio.to_thread(lambda: self._client.post(url, **kwargs))


def everything(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
async def test_what_a_client_sends(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, page = collect(path.read_text("utf-8"))
    module = types.ModuleType("docs_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "*")
    if "django" in path.stem:
        from django.urls import clear_url_caches

        clear_url_caches()
    async with contextlib.AsyncExitStack() as exit_stack:
        servers = Servers(exit_stack.enter_context(contextlib.ExitStack()), monkeypatch)
        module.__dict__["exit_stack"] = exit_stack
        await run(setup, path, module.__dict__)
        await run(page, path, module.__dict__)
        clients, base = servers.clients(), "http://server"
        if "aiohttp" in path.stem:
            base = module.__dict__["url"].rstrip("/")
            clients = [lambda: httpx.AsyncClient(trust_env=False)]
        assert clients
        for make in clients:
            await answers(make, base, tmp_path)


async def answers(make: Callable[[], Any], base: str, directory: Path) -> None:
    asked = 0
    async with make() as client:
        for url in (f"{base}/", f"{base}/photos"):
            response = await client.post(url, content=build(TITLE, *PHOTOS), headers=FORM)
            if response.status_code in {404, 405}:
                continue
            asked += 1
            for name, (headers, body) in (DOUBTFUL | BAD).items():
                before = everything(directory)
                response = await client.post(url, content=body, headers=headers)
                assert response.status_code < 500, (url, name, response.text)
                assert name not in BAD or response.status_code >= 400, (url, name, response.text)
                if response.status_code >= 400:
                    problem = response.json()
                    assert "detail" in problem, (url, name)
                    if response.headers["Content-Type"].startswith("application/problem+json"):
                        assert problem["status"] == response.status_code
                        assert problem["code"]
                    assert everything(directory) == before, (url, name)
    assert asked
