"""No handler in the docs answers 500 to what a client sends, and none leaves anything behind for it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

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


class Sent:
    """Applications that a page has sent requests to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asgi: list[Any] = []
        self.wsgi: list[Any] = []
        self._record(monkeypatch, httpx.ASGITransport, self.asgi)
        self._record(monkeypatch, httpx.WSGITransport, self.wsgi)

    def _record(self, monkeypatch: pytest.MonkeyPatch, kind: Any, apps: list[Any]) -> None:
        made = kind.__init__

        def init(transport: Any, app: Any, **kwargs: Any) -> None:
            if all(app is not other for other in apps):
                apps.append(app)
            made(transport, app=app, **kwargs)

        monkeypatch.setattr(kind, "__init__", init)

    def clients(self) -> list[Callable[[], Any]]:
        """Make clients of each."""
        found: list[Callable[[], Any]] = [
            lambda app=app: httpx.AsyncClient(  # type: ignore[misc]
                transport=httpx.ASGITransport(app=app, raise_app_exceptions=False), trust_env=False, verify=False
            )
            for app in list(self.asgi)
        ]
        return found + [lambda app=app: InThreads(app) for app in list(self.wsgi)]  # type: ignore[misc]


class InThreads:
    """A client of a WSGI application."""

    def __init__(self, app: Any) -> None:
        transport = httpx.WSGITransport(app=app, raise_app_exceptions=False)
        self._client = httpx.Client(transport=transport, trust_env=False, verify=False)

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
    sent = Sent(monkeypatch)
    if "django" in path.stem:
        from django.urls import clear_url_caches

        clear_url_caches()
    async with contextlib.AsyncExitStack() as exit_stack:
        module.__dict__["exit_stack"] = exit_stack
        await run(setup, path, module.__dict__)
        await run(page, path, module.__dict__)
        clients, base = sent.clients(), "http://server"
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
