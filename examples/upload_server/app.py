"""An upload server to look at: files are streamed to disk, or to S3, and hashed on the way.

    python -m uvicorn --app-dir examples/upload_server app:app

The environment says how: see ``uploads/settings.py``, or docs/how-to/upload-server.rst.
"""

import asyncio
import contextlib
import html
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from string import Template

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aiomultipart import Limits, ReceivedPart, Target, ValidatedTarget
from aiomultipart.integrations.asgi import read_form

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:  # imported by another way than uvicorn's --app-dir
    sys.path.append(str(HERE))

from uploads.admission import Admission, client_key  # noqa: E402  (see above)
from uploads.progress import Board  # noqa: E402
from uploads.refusals import HANDLERS, Refused  # noqa: E402
from uploads.settings import Settings  # noqa: E402
from uploads.storage import Stored, open_storage  # noqa: E402

PAGE = HERE / "uploads" / "page"
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class UploadServer:
    """The request handlers, and what they share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.storage = open_storage(settings.storage, keep=settings.keep)
        self.admission = Admission(max_uploads=settings.max_uploads, rate=settings.rate)
        self.board = Board(size=settings.max_watched)
        self._limits = Limits.for_forms(
            max_part_size=settings.max_file_size,
            max_decoded_size=settings.max_file_size,
            max_total_size=settings.max_total_size,
        )
        self._page = Template((PAGE / "index.html").read_text("utf-8")).substitute(
            max_file_size=settings.max_file_size,
            max_total_size=settings.max_total_size,
            max_files=settings.max_files,
            accept=html.escape(",".join(settings.content_types)),
        )
        self._opening = asyncio.Lock()
        self._is_open = False

    async def open(self) -> None:
        """Get the storage ready, unless it is."""
        async with self._opening:
            if not self._is_open:
                await self.storage.open()
                self._is_open = True

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """From the start of the server to its end."""
        await self.open()
        try:
            yield
        finally:
            self._is_open = False
            await self.storage.close()

    async def page(self, request: Request) -> HTMLResponse:
        """The form."""
        return HTMLResponse(self._page)

    async def health(self, request: Request) -> JSONResponse:
        """Whether it is up, and how busy."""
        return JSONResponse({"status": "healthy", "uploads": self.admission.uploads})

    async def upload(self, request: Request) -> JSONResponse:
        """Take one file, and perhaps a description of it."""
        fields, files = await self._receive(request, max_files=1)
        return JSONResponse({"success": True, "file": files[0], "description": fields.get("description")})

    async def upload_multiple(self, request: Request) -> JSONResponse:
        """Take several files, whatever the names of their fields: all of them or none."""
        _, files = await self._receive(request, max_files=self.settings.max_files)
        return JSONResponse({"success": True, "files": files, "count": len(files)})

    async def progress(self, request: Request) -> StreamingResponse:
        """How far an upload is, as server-sent events."""
        events = self.board.watch(request.path_params["id"])
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _receive(self, request: Request, *, max_files: int) -> tuple[dict[str, str], list[dict[str, object]]]:
        """The fields and files of a request, the files stored and described."""
        if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "multipart/form-data":
            raise Refused(415, "the Content-Type has to be multipart/form-data")
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise Refused(403, "a page of another site has sent this")
        client = client_key(request.client.host if request.client else None)
        async with self.admission.admit(client):
            await self.open()
            with self.board.track(request.query_params.get("id")) as progress:
                form = await read_form(
                    request.scope,
                    self._impatient(request.receive),
                    limits=self._limits,
                    targets=self._target_factory(max_files),
                    on_progress=progress.update,
                )
                arrived = [(file, file.result) for file in form.files if isinstance(file.result, Stored)]
                if not arrived:
                    raise Refused(400, "there is no file in the form")
                stored = await self._accept(request, [result for _, result in arrived])
        files: list[dict[str, object]] = [
            {
                "original_filename": file.filename,
                "temp_path": each.location,
                "size": each.size,
                "sha256": each.sha256,
            }
            for (file, _), each in zip(arrived, stored, strict=True)
        ]
        return {name: value for name, value in form.items() if isinstance(value, str)}, files

    async def _accept(self, request: Request, files: list[Stored]) -> list[Stored]:
        try:
            if await request.is_disconnected():
                raise Refused(400, "the client has gone, and would never know of its files")
            return await self.storage.accept(files)
        except BaseException:
            await self.storage.discard(files)
            raise

    def _target_factory(self, max_files: int) -> Callable[[ReceivedPart], Target[Stored]]:
        count = 0

        def make_target(_: ReceivedPart) -> Target[Stored]:
            nonlocal count
            count += 1
            if count > max_files:
                raise Refused(413, f"more than {max_files} file{'s' if max_files > 1 else ''} in one request")
            target = self.storage.target(self.settings.scanner)
            content_types = self.settings.content_types
            return ValidatedTarget(target, content_types=content_types) if content_types else target

        return make_target

    def _impatient(self, receive: Receive) -> Receive:
        """As ``receive``, but an upload that has stalled does not keep its place."""
        seconds = self.settings.stall_timeout

        async def receive_soon() -> Message:
            try:
                async with asyncio.timeout(seconds):
                    return await receive()
            except TimeoutError:
                raise Refused(408, f"nothing has arrived for {seconds:g} seconds") from None

        return receive_soon


class SecurityHeaders:
    """Adds SECURITY_HEADERS to each response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def make_app(settings: Settings) -> Starlette:
    """The server as an ASGI application; ``app.state.server`` is its :class:`UploadServer`."""
    server = UploadServer(settings)
    app = Starlette(
        routes=[
            Route("/", server.page),
            Route("/health", server.health),
            Route("/upload", server.upload, methods=["POST"]),
            Route("/upload-multiple", server.upload_multiple, methods=["POST"]),
            Route("/progress/{id}", server.progress),
            Mount("/static", StaticFiles(directory=PAGE)),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers=HANDLERS,
        lifespan=server.lifespan,
    )
    app.state.server = server
    return app


app = make_app(Settings.from_environ())

if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app)
