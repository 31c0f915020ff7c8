"""An upload server to look at: files are streamed to disk, or to S3, and hashed on the way.

    python -m uvicorn --app-dir examples/upload_server app:app

The environment says how: see ``uploads/settings.py``, or docs/how-to/upload-server.rst.
"""

import asyncio
import contextlib
import html
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from string import Template

from docutils import nodes
from docutils.core import publish_parts
from docutils.parsers.rst import roles
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aiomultipart import Limits, MultipartError, ReceivedPart, Target, ValidatedTarget
from aiomultipart.integrations.asgi import read_form

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:  # imported by another way than uvicorn's --app-dir
    sys.path.append(str(HERE))

from uploads.admission import Admission, client_key  # noqa: E402  (see above)
from uploads.lingering import Lingering  # noqa: E402
from uploads.progress import Board  # noqa: E402
from uploads.refusals import HANDLERS, Refused, refusal_of  # noqa: E402
from uploads.settings import Settings  # noqa: E402
from uploads.storage import Stored, open_storage  # noqa: E402

PAGE = HERE / "uploads" / "page"
ABOUT = HERE.parents[1] / "docs" / "how-to" / "upload-server.rst"
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def manual() -> str:
    """The page of the documentation, as HTML."""
    for role in ("func", "class", "exc"):  # Sphinx's
        roles.register_generic_role(role, nodes.literal)
    settings = {"syntax_highlight": "none", "strip_comments": True}
    text = publish_parts(ABOUT.read_text("utf-8"), writer="html5", settings_overrides=settings)["html_body"]
    return Template((PAGE / "about.html").read_text("utf-8")).substitute(text=text.replace("~aiomultipart.", ""))


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

    async def about(self, request: Request) -> HTMLResponse:
        """How it is used and set up."""
        return HTMLResponse(await asyncio.to_thread(manual))

    async def health(self, request: Request) -> JSONResponse:
        """Whether it is up, and how busy."""
        return JSONResponse({"status": "healthy", "uploads": self.admission.uploads})

    async def upload(self, request: Request) -> JSONResponse:
        """Take one file, and perhaps a description of it."""
        fields, files = await self._receive(request, max_files=1)
        return JSONResponse({"success": True, "file": files[0], "description": fields.get("description")})

    async def upload_multiple(self, request: Request) -> JSONResponse:
        """Take several files, whatever the names of their fields: all of them or none."""
        fields, files = await self._receive(request, max_files=self.settings.max_files)
        description = fields.get("description")
        return JSONResponse({"success": True, "files": files, "count": len(files), "description": description})

    async def progress(self, request: Request) -> StreamingResponse:
        """How far an upload is, as server-sent events."""
        events = self.board.watch(request.path_params["id"])
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _receive(self, request: Request, *, max_files: int) -> tuple[dict[str, str], list[dict[str, object]]]:
        """The fields and files of a request, the files stored and described."""
        if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "multipart/form-data":
            raise Refused(415, "the Content-Type has to be multipart/form-data", code="not-a-form")
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise Refused(403, "a page of another site has sent this")
        client = client_key(request.client.host if request.client else None)
        async with self.admission.admit(client):
            await self.open()
            with self.board.track(request.query_params.get("id")) as progress:
                arrivals = Arrivals(self, max_files)
                try:
                    form = await read_form(
                        request.scope,
                        self._impatient(request.receive),
                        limits=self._limits,
                        targets=arrivals.target,
                        on_progress=progress.update,
                    )
                except MultipartError as exc:
                    raise arrivals.blame(refusal_of(exc)) from exc
                except Refused as exc:
                    raise arrivals.blame(exc) from exc.__cause__
                arrived = [(file, file.result) for file in form.files if isinstance(file.result, Stored)]
                if not arrived:
                    raise Refused(400, "there is no file in the form", code="no-file")
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


class Arrivals:
    """The files of one request: where each goes, and which is at fault.

    :param max_files: how many are taken.
    """

    def __init__(self, server: UploadServer, max_files: int) -> None:
        self._server = server
        self._max_files = max_files
        self._count = 0
        self._name: str | None = None

    def target(self, part: ReceivedPart) -> Target[Stored]:
        """For the next file."""
        self._count += 1
        self._name = part.name
        if self._count > self._max_files:
            files = f"{self._max_files} file{'s' if self._max_files > 1 else ''}"
            raise Refused(413, f"more than {files} in one request", code="too-many-files")
        settings = self._server.settings
        target = self._server.storage.target(settings.scanner)
        return ValidatedTarget(target, content_types=settings.content_types) if settings.content_types else target

    def blame(self, refused: Refused) -> Refused:
        """Say which file is at fault: the last that began, if it is about a part of that name."""
        if self._count and refused.part_name is not None and refused.part_name == self._name:
            refused.file = self._count - 1
        return refused


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
            Route("/about", server.about),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(Lingering, size=settings.max_total_size, seconds=settings.stall_timeout),
        ],
        exception_handlers=HANDLERS,
        lifespan=server.lifespan,
    )
    app.state.server = server
    return app


app = make_app(Settings.from_environ())

if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app)
