"""The page of the upload server example, in Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aiomultipart import ReceivedPart
from tests.support.browsing import DevTools, until
from tests.support.saving import MIB, pattern
from tests.support.uploading import Site, serving
from uploads.settings import Settings

NAMES = ["写真と「日本語」の名前.jpg", 'it\'s "quoted" & <b>bold<b>.txt']
CONTENTS = [pattern(3 * MIB), pattern(2 * MIB + 1)]
SETTINGS = Settings(max_file_size=32 * MIB, max_files=4)


class Gate:
    """An ASGI application that has its uploads wait: a request may send no more than ``limit`` bytes.

    :ivar limit: in bytes; None for no limit.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self._changed = asyncio.Condition()

    async def open_to(self, limit: int | None) -> None:
        async with self._changed:
            self.limit = limit
            self._changed.notify_all()

    def __call__(self, app: ASGIApp) -> ASGIApp:
        async def gated(scope: Scope, receive: Receive, send: Send) -> None:
            received = 0

            async def receive_gated() -> Message:
                nonlocal received
                async with self._changed:
                    await self._changed.wait_for(lambda: self.limit is None or received < self.limit)
                message = await receive()
                received += len(message.get("body", b""))
                return message

            uploading = scope["type"] == "http" and scope["method"] == "POST"
            await app(scope, receive_gated if uploading else receive, send)

        return gated


class Page:
    """The page, as somebody uses it."""

    def __init__(self, browser: DevTools) -> None:
        self.browser = browser

    async def text(self, selector: str) -> str:
        return await self.browser.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    async def texts(self, selector: str) -> list[str]:
        return await self.browser.evaluate(
            f"Array.from(document.querySelectorAll({json.dumps(selector)}), each => each.innerText)"
        )

    async def bar(self) -> float:
        return await self.browser.evaluate("document.getElementById('bar').value")

    async def reach(self, value: int) -> None:
        await until(lambda: self.browser.evaluate(f"document.getElementById('bar').value >= {value}"))

    async def reads(self, status: str) -> None:
        await until(
            lambda: self.browser.evaluate(f"document.getElementById('status').textContent == {json.dumps(status)}")
        )

    async def click(self, selector: str) -> None:
        await self.browser.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    async def focused(self) -> str:
        return await self.browser.evaluate("document.activeElement.id")

    async def choose(self, *paths: Path) -> None:
        document = await self.browser.call("DOM.getDocument")
        found = await self.browser.call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#files")
        await self.browser.call("DOM.setFileInputFiles", files=list(map(str, paths)), nodeId=found["nodeId"])

    async def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            options = {"text": text} if text and kind == "keyDown" else {}
            await self.browser.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **options
            )

    async def look(self, *, width: int, scheme: str) -> None:
        await self.browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.browser.call("Emulation.setEmulatedMedia", features=features)

    async def check_fits(self) -> None:
        """Nothing stands out at the side."""
        assert await self.browser.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def complaints(self) -> list[str]:
        """What went wrong in the console: exceptions, and what the Content-Security-Policy has refused."""
        return [
            json.dumps(event)
            for event in self.browser.events
            if event["method"] == "Runtime.exceptionThrown"
            or (event["method"] == "Log.entryAdded" and "violates" in event["params"]["entry"]["text"])
        ]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def site(gate: Gate, tmp_path: Path) -> AsyncIterator[Site]:
    settings = dataclasses.replace(SETTINGS, storage=(tmp_path / "uploads").as_uri())
    async with serving(settings, gate) as site:
        yield site


StartPage = Callable[..., Coroutine[object, object, Page]]


@pytest.fixture
async def start_page(browser: DevTools, tmp_path: Path) -> AsyncIterator[StartPage]:
    """Open the page of a server with changed settings, or of one that runs."""
    async with contextlib.AsyncExitStack() as stack:
        page = Page(browser)

        async def start(site: Site | None = None, **changes) -> Page:
            if site is None:
                settings = dataclasses.replace(SETTINGS, storage=(tmp_path / "changed").as_uri(), **changes)
                site = await stack.enter_async_context(serving(settings))
            for domain in ("Page", "DOM", "Runtime", "Log"):
                await browser.call(f"{domain}.enable")
            await browser.call("Page.navigate", url=f"{site.url}/")
            ready = "document.readyState == 'complete' && document.getElementById('send')?.disabled"
            await until(lambda: browser.evaluate(ready))
            return page

        yield start
        assert page.complaints() == []
        # The server waits for connections that are open.
        await browser.call("Page.navigate", url="about:blank")


@pytest.fixture
async def page(site: Site, start_page: StartPage) -> Page:
    return await start_page(site)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in NAMES]
    for path, content in zip(paths, CONTENTS, strict=True):
        path.write_bytes(content)
    return paths


LOOKS = [(width, scheme) for scheme in ("light", "dark") for width in (1200, 360)]


@pytest.mark.parametrize(("width", "scheme"), LOOKS, ids=[f"{scheme}-{width}" for width, scheme in LOOKS])
async def test_two_files(
    site: Site, page: Page, gate: Gate, paths: list[Path], width: int, scheme: str, tmp_path: Path
) -> None:
    """The bar stands where the server is, which goes on when the test says so."""
    async with asyncio.timeout(50):
        await page.look(width=width, scheme=scheme)
        await page.check_fits()
        (tmp_path / f"1-{scheme}-{width}.png").write_bytes(await page.browser.screenshot())
        await page.choose(*paths)
        assert await page.texts("#chosen .name") == NAMES
        assert await page.text("#send") == "Upload 2 files"

        total = sum(map(len, CONTENTS))
        values = []
        await gate.open_to(total // 4)
        await page.click("#send")
        for limit in (total // 4, total // 2, total * 3 // 4):
            await gate.open_to(limit)
            await page.reach(limit)
            values.append(await page.bar())
            # What the client has sent is more: it is in the buffers on the way.
            assert limit <= values[-1] < limit + MIB
        assert values == sorted(set(values))
        assert "received" in await page.text("#received")
        assert re.fullmatch(r"[0-9.]+ [KMG]?i?B?(bytes)?/s, [0-9]+ (s|min) left", await page.text("#pace"))
        assert await page.focused() == "cancel"
        # The first file is complete, the second has begun.
        bars = await page.browser.evaluate(
            "Array.from(document.querySelectorAll('#chosen progress'), bar => bar.value)"
        )
        assert bars[0] == 1
        assert 0 < bars[1] < 1
        await page.check_fits()
        (tmp_path / f"2-{scheme}-{width}.png").write_bytes(await page.browser.screenshot())

        await gate.open_to(None)
        await page.reads("2 files stored")
        assert await page.texts("#stored .name") == NAMES
        sums = [hashlib.sha256(content).hexdigest() for content in CONTENTS]
        assert await page.texts("#stored .sha256") == sums
        assert await page.texts("#stored .size") == ["3 MiB", "2 MiB"]
        assert await page.focused() == "stored-title"
        assert await page.texts("#chosen li") == []
        await page.check_fits()
        (tmp_path / f"3-{scheme}-{width}.png").write_bytes(await page.browser.screenshot())
    assert sorted(site.stored().values()) == sorted(CONTENTS)


async def test_one_file_by_keyboard(page: Page, paths: list[Path]) -> None:
    async with asyncio.timeout(50):
        await page.choose(paths[1])
        await page.browser.evaluate("document.getElementById('description').focus()")
        await page.browser.call("Input.insertText", text="<i>mine</i>")
        await page.press("Tab", 9)
        assert await page.focused() == "send"
        await page.press("Enter", 13, "\r")
        await page.reads("1 file stored")
        assert (await page.texts("#stored dd"))[0] == "<i>mine</i>"
        assert await page.texts("#stored .sha256") == [hashlib.sha256(CONTENTS[1]).hexdigest()]
        # The file input can be reached, and shows that it has been.
        for _ in range(10):
            await page.press("Tab", 9)
            if await page.focused() == "files":
                break
        assert await page.focused() == "files"
        style = "getComputedStyle(document.getElementById('drop')).outlineStyle"
        assert await page.browser.evaluate(style) == "solid"


async def test_files_that_are_dropped(page: Page) -> None:
    async with asyncio.timeout(50):
        assert await page.browser.evaluate("""
            const data = new DataTransfer();
            for (const name of ["a.txt", "b.txt"]) data.items.add(new File([name], name));
            const options = { dataTransfer: data, bubbles: true, cancelable: true };
            // One that is missed does not take the place of the page.
            !document.body.dispatchEvent(new DragEvent("drop", options))
                && !document.getElementById("files").dispatchEvent(new DragEvent("drop", options))
        """)
        assert await page.texts("#chosen .name") == ["a.txt", "b.txt"]
        await page.click("#chosen button")
        assert await page.texts("#chosen .name") == ["b.txt"]
        assert await page.focused() == "files"
        await page.click("#send")
        await page.reads("1 file stored")
        assert await page.texts("#stored .sha256") == [hashlib.sha256(b"b.txt").hexdigest()]


async def test_cancelled(site: Site, page: Page, gate: Gate, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(SETTINGS.max_file_size))  # more than the buffers on the way hold
    async with asyncio.timeout(50):
        await gate.open_to(MIB)
        await page.choose(large)
        await page.click("#send")
        await page.reach(MIB)
        await page.click("#cancel")
        await until(lambda: page.text("#error"))
        assert await page.text("#error") == "Cancelled."
        await gate.open_to(None)
        await until(lambda: site.server.admission.uploads == 0)
        assert site.stored() == {}
        # It is still chosen, and can be sent again.
        assert await page.focused() == "send"
        await page.press("Enter", 13, "\r")
        await page.reads("1 file stored")
    assert len(site.stored()) == 1


async def test_what_is_refused(site: Site, page: Page, tmp_path: Path) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(bytes(SETTINGS.max_file_size + 1))
    small.write_bytes(b"x")
    async with asyncio.timeout(50):
        await page.choose(large)
        assert await page.texts("#chosen .faulty .fault") == ["This file is larger than 32 MiB."]
        assert await page.browser.evaluate("document.getElementById('send').disabled")
        await page.click("#chosen button")
        assert await page.text("#error") == ""
        await page.choose(*[small] * 5)
        assert "At most 4 files" in await page.text("#error")
        for _ in range(4):
            await page.click("#chosen button")

        async def refuse(location: str, part: object) -> str:
            return "no <b>thank you</b>"

        object.__setattr__(site.server.settings, "scanner", refuse)
        await page.click("#send")
        await until(lambda: page.text("#error"))
        assert await page.text("#error") == "Nothing was stored."
        assert await page.texts("#chosen .faulty .fault") == ["The file was rejected: no <b>thank you</b>."]
        assert await page.focused() == "send"
        (tmp_path / "refused.png").write_bytes(await page.browser.screenshot())


@pytest.mark.parametrize("answer", ['{"message": "Forbidden"}', "null", '{"error": ""}', '{"error": {"code": 1}}'])
async def test_another_answers_in_its_place(
    start_page: StartPage, paths: list[Path], tmp_path: Path, answer: str
) -> None:
    """Such as a gateway, whose JSON is another one."""

    def in_front(app: ASGIApp) -> ASGIApp:
        async def answering(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["method"] != "POST":
                await app(scope, receive, send)
                return
            while (await receive()).get("more_body"):
                pass
            await Response(answer, 403, media_type="application/json")(scope, receive, send)

        return answering

    settings = dataclasses.replace(SETTINGS, storage=(tmp_path / "uploads").as_uri())
    async with asyncio.timeout(50), serving(settings, in_front) as site:
        page = await start_page(site)
        await page.choose(paths[0])
        await page.click("#send")
        await until(lambda: page.text("#error"))
        assert await page.text("#error") == "The server answers 403."
        assert await page.focused() == "send"
        await page.browser.call("Page.navigate", url="about:blank")


async def test_one_of_several_is_refused(site: Site, page: Page, paths: list[Path]) -> None:
    """The one that is at fault is marked; without it the rest goes."""

    async def refuse(location: str, part: ReceivedPart) -> str | None:
        return "it is quoted" if "quoted" in (part.filename or "") else None

    object.__setattr__(site.server.settings, "scanner", refuse)
    async with asyncio.timeout(50):
        await page.choose(*paths)
        await page.click("#send")
        await until(lambda: page.text("#error"))
        assert await page.text("#error") == "Nothing was stored: one file cannot be taken."
        assert await page.texts("#chosen .faulty .name") == [NAMES[1]]
        assert await page.texts("#chosen .faulty .fault") == ["The file was rejected: it is quoted."]
        await page.check_fits()
        await page.click("#chosen .faulty button")
        assert await page.text("#error") == ""
        await page.click("#send")
        await page.reads("1 file stored")
    assert list(site.stored().values()) == [CONTENTS[0]]


async def test_types_are_looked_at_before_they_are_sent(start_page: StartPage, paths: list[Path]) -> None:
    page = await start_page(content_types=("image/*", "application/pdf"))
    async with asyncio.timeout(50):
        assert (await page.text("#limits")).endswith(": images, PDF")
        await page.choose(*paths)
        assert await page.texts("#chosen .faulty .name") == [NAMES[1]]
        (fault,) = await page.texts("#chosen .faulty .fault")
        assert fault == "Files of this type are not taken here: only images, PDF."
        assert await page.browser.evaluate("document.getElementById('send').disabled")
        await page.click("#chosen .faulty button")
        await page.click("#send")
        await page.reads("1 file stored")


async def test_a_description_of_several_and_a_hash_to_copy(page: Page, paths: list[Path]) -> None:
    async with asyncio.timeout(50):
        await page.choose(*paths)
        await page.browser.evaluate("document.getElementById('description').value = 'of both'")
        await page.click("#send")
        await page.reads("2 files stored")
        assert (await page.texts("#stored dd"))[::3] == ["of both", "of both"]
        await page.browser.call("Page.bringToFront")
        position = (
            "const box = document.querySelector('#stored button').getBoundingClientRect(); [box.x + 5, box.y + 5]"
        )
        x, y = await page.browser.evaluate(position)
        for kind in ("mousePressed", "mouseReleased"):  # a script's click may not copy
            await page.browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        await page.reads("The SHA-256 is in the clipboard.")
        selected = await page.browser.evaluate("getSelection().toString()")
        assert selected == hashlib.sha256(CONTENTS[0]).hexdigest()
