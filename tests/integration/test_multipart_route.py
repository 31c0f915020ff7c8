"""Starlette and FastAPI applications written for the stock parser, with one line changed, under asyncio and trio."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import enum
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, File, Form, HTTPException, UploadFile
from fastapi.routing import APIRoute, APIRouter
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.datastructures import UploadFile as StarletteUploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import aiomultipart
from aiomultipart import DirectoryTarget, Limits, MultipartError, Policy, SavedFile, UploadedFile
from aiomultipart.integrations.fastapi import MultipartForm
from aiomultipart.integrations.fastapi import MultipartRoute as FastAPIRoute
from aiomultipart.integrations.starlette import FormRequest, MultipartRoute, answer_problem
from tests.support.reading import build
from tests.support.saving import MIB, files, open_files, pattern

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
BIG = pattern(3 * MIB + 5)


def field(name: str, value: str) -> tuple[bytes, bytes]:
    return f'Content-Disposition: form-data; name="{name}"'.encode(), value.encode()


def file(name: str, filename: str, body: bytes, content_type: str = "image/png") -> tuple[bytes, bytes]:
    head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {content_type}'
    return head.encode(), body


@pytest.fixture(params=["asyncio", "trio"])
def send(request: pytest.FixtureRequest) -> Callable[..., list[httpx.Response]]:
    """Sends requests to an application, one after the other: path, headers and body."""

    def run(app: Any, *requests: tuple[str, dict[str, str], bytes]) -> list[httpx.Response]:
        async def main() -> list[httpx.Response]:
            return [await call(app, *each) for each in requests]

        return anyio.run(main, backend=request.param)

    return run


async def call(app: Any, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
    """One request, as a server makes it; httpx's own transport leaves generators to the garbage collector."""
    raw = [(name.lower().encode(), value.encode()) for name, value in {"Host": "server", **headers}.items()]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": raw,
        "scheme": "http",
        "server": ("server", 80),
        "root_path": "",
    }
    starts = iter(range(0, max(len(body), 1), 64 * 1024))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        start = next(starts)
        more = start + 64 * 1024 < len(body)
        return {"type": "http.request", "body": body[start : start + 64 * 1024], "more_body": more}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with contextlib.suppress(ZeroDivisionError, FileNotFoundError):
        await app(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent)
    return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=content)


@pytest.fixture(autouse=True)
def _nothing_is_open_afterwards() -> Any:
    before = open_files()
    yield
    gc.collect()
    assert open_files() == before


GOOD = [
    (FORM, build(field("title", "é"), file("photo", "x.png", b"123"), field("tag", "1"), field("tag", "2"))),
    (FORM, build(file("photo", "big.bin", BIG), field("title", "t"))),
    (FORM, build(field("title", "t"), file("photo", "", b"", "application/octet-stream"))),
    (FORM, build(field("title", ""), field("photo", "text"))),
    (FORM, b"--b--\r\n"),
    (URLENCODED, b"title=%C3%A9+1&tag=1&tag=2"),
    (URLENCODED, b""),
    ({"Content-Type": "application/json"}, b"{}"),
    ({}, b"x"),
]
BAD = [
    (FORM, build(field("title", "t"), file("photo", "x", BIG))[:-20]),
    (FORM, build((b"no colon", b"1"))),
    (FORM, build((b"Content-Disposition: form-data", b"1"))),
    ({"Content-Type": "multipart/form-data"}, b"--b--"),
]


def starlette_app(route_class: Any, **kwargs: Any) -> Starlette:
    async def show(request: Request) -> JSONResponse:
        async with request.form() as form:
            entries: list[Any] = []
            for name, value in form.multi_items():
                if isinstance(value, StarletteUploadFile):
                    body = await value.read()
                    await value.seek(0)
                    assert value.file.read() == body
                    digest = [len(body), body[:9].decode("latin-1"), body[-9:].decode("latin-1")]
                    entries.append([name, value.filename, value.size, value.content_type, dict(value.headers), digest])
                else:
                    entries.append([name, value])
            return JSONResponse(entries)

    return Starlette(routes=[route_class("/", show, methods=["POST"])], **kwargs)


def test_starlette_as_before(send: Any) -> None:
    requests = [("/", *each) for each in GOOD]
    stock = send(starlette_app(Route), *requests)
    ours = send(starlette_app(MultipartRoute), *requests)
    assert [(each.status_code, each.json()) for each in ours] == [(each.status_code, each.json()) for each in stock]
    assert {each.status_code for each in ours} == {200}


def test_starlette_bad_forms(send: Any) -> None:
    requests = [("/", *each) for each in BAD]
    for response in send(starlette_app(MultipartRoute), *requests):
        assert response.status_code == 400
        assert response.headers["Content-Type"].startswith("text/plain")
    app = starlette_app(MultipartRoute, exception_handlers={MultipartError: answer_problem})
    for response in send(app, *requests):
        assert response.status_code == response.json()["status"] == 400
        assert response.headers["Content-Type"] == "application/problem+json"
    limited = MultipartRoute.configured(limits=Limits.for_forms(max_part_size=1000), policy=Policy.STRICT)
    app = starlette_app(limited, exception_handlers={ValueError: answer_problem, MultipartError: answer_problem})
    (response,) = send(app, ("/", *GOOD[1]))
    assert (response.status_code, response.json()["code"]) == (413, "max-part-size")


def test_starlette_plain_functions_and_its_own_limits(send: Any) -> None:
    def plain(request: Request) -> JSONResponse:
        return JSONResponse(type(request).__name__)

    async def limited(request: Request) -> JSONResponse:
        form = await request.form(max_files=1, max_fields=float("inf"), max_part_size=10)
        await form.close()
        return JSONResponse([name for name, _ in form.multi_items()])

    app = Starlette(
        routes=[MultipartRoute("/plain", plain, methods=["POST"]), MultipartRoute("/", limited, methods=["POST"])],
        exception_handlers={MultipartError: answer_problem},
    )
    responses = send(
        app,
        ("/plain", *GOOD[0]),
        ("/", *GOOD[0]),
        ("/", FORM, build(field("a", "x" * 11))),
        ("/", FORM, build(file("a", "a", b""), file("a", "a", b""))),
    )
    assert [response.status_code for response in responses] == [200, 200, 413, 413]
    assert responses[0].json() == "FormRequest"
    assert [response.json()["code"] for response in responses[2:]] == ["max-field-size", "max-files"]


def test_a_class_is_no_endpoint() -> None:
    class Endpoint:
        pass

    with pytest.raises(TypeError, match="class Endpoint"):
        MultipartRoute("/", Endpoint)


@pytest.mark.parametrize(("memory", "expected"), [(8 * MIB, [False, False, True]), (10_000, [False, True, True])])
def test_memory_and_files(send: Any, memory: int, expected: list[bool]) -> None:
    async def where(request: Request) -> JSONResponse:
        async with request.form() as form:
            uploads: list[Any] = form.getlist("a")
            for upload, size in zip(uploads, (100, 6000, len(BIG)), strict=True):
                assert await upload.read() == BIG[:size]
            return JSONResponse([upload.file._rolled for upload in uploads])

    message = build(*[file("a", "a", BIG[:size]) for size in (100, 6000, len(BIG))], field("b", "x" * 3000))
    codes = []
    for most in (3, 1, 0):
        limits = Limits.for_forms(max_memory=memory, max_open_files=most)
        route = MultipartRoute.configured(limits=limits)("/", where, methods=["POST"])
        app = Starlette(routes=[route], exception_handlers={MultipartError: answer_problem})
        (response,) = send(app, ("/", FORM, message))
        codes.append(response.status_code)
        if response.status_code == 200:
            assert response.json() == expected
        else:
            assert response.json()["limit"] == "max_open_files"
    assert codes == [200, 200 if sum(expected) == 1 else 413, 413]


class Kind(enum.Enum):
    SEA = "sea"
    LAND = "land"


class Stock(BaseModel):
    title: str
    tag: list[int] = []
    kind: Kind = Kind.SEA


class WithFile(Stock):
    photo: UploadFile | None = None


async def form_of(request: Request) -> list[Any]:
    async with request.form() as form:
        return [[name, value if isinstance(value, str) else value.filename] for name, value in form.multi_items()]


def fastapi_app(route_class: Any) -> FastAPI:
    app = FastAPI()
    app.router.route_class = route_class

    @app.post("/fields")
    async def fields(title: Annotated[str, Form()], tag: Annotated[list[int] | None, Form()] = None) -> Any:
        return [title, tag]

    @app.post("/file")
    async def one_file(photo: UploadFile, title: Annotated[str, Form()] = "-") -> Any:
        body = await photo.read()
        return [photo.filename, photo.size, photo.content_type, len(body), title]

    @app.post("/bytes")
    def as_bytes(photo: Annotated[bytes, File()]) -> Any:
        return len(photo)

    @app.post("/optional")
    async def optional(photo: UploadFile | None = None, title: Annotated[str | None, Form()] = None) -> Any:
        return [photo and photo.filename, title]

    @app.post("/model")
    async def model(data: Annotated[Stock, Form()]) -> Any:
        return data

    @app.post("/files")
    def several(photo: list[UploadFile], title: Annotated[str, Form()] = "-") -> Any:
        return [[each.filename, each.file.read(9).decode("latin-1")] for each in photo] + [title]

    @app.post("/model-with-file")
    async def model_with_file(data: Annotated[WithFile, Form()]) -> Any:
        return [data.title, data.tag, data.photo and [data.photo.filename, len(await data.photo.read())]]

    @app.post("/depends")
    async def depends(entries: Annotated[list[Any], Depends(form_of)]) -> Any:
        return entries

    @app.post("/background")
    async def background(photo: UploadFile, tasks: BackgroundTasks) -> Any:
        async def later() -> None:
            # FastAPI has closed it, unless it is in memory: it may be asked how long it is.
            sizes.append(photo.size)

        tasks.add_task(later)
        return sizes

    sizes: list[Any] = []

    @app.post("/json")
    async def json(data: Stock) -> Any:
        return data

    return app


def test_fastapi_as_before(send: Any) -> None:
    paths = [
        "/fields",
        "/file",
        "/files",
        "/bytes",
        "/optional",
        "/model",
        "/model-with-file",
        "/depends",
        "/background",
    ]
    requests = [(path, *each) for path in paths for each in GOOD]
    requests.append(("/json", {"Content-Type": "application/json"}, b'{"title": "t"}'))
    stock, ours = fastapi_app(APIRoute), fastapi_app(FastAPIRoute)
    before, now = send(stock, *requests), send(ours, *requests)
    for request, one, other in zip(requests, before, now, strict=True):
        assert (request[0], one.status_code, one.json()) == (request[0], other.status_code, other.json())
    assert {each.status_code for each in now} == {200, 422}
    assert stock.openapi() == ours.openapi()
    for response in send(ours, *[(path, *each) for path in paths for each in BAD]):
        assert response.status_code == 400
        assert "detail" in response.json()


def test_fastapi_errors(send: Any) -> None:
    limits = Limits.for_forms(max_part_size=1000)
    app = FastAPI(exception_handlers={MultipartError: answer_problem})
    router = APIRouter(route_class=FastAPIRoute.configured(limits=limits))

    @router.post("/")
    async def upload(photo: UploadFile) -> Any:
        raise HTTPException(418)

    app.include_router(router)
    (teapot, large, cut) = send(app, ("/", *GOOD[0]), ("/", *GOOD[1]), ("/", *BAD[0]))
    assert teapot.status_code == 418
    assert (large.status_code, large.json()["code"]) == (413, "max-part-size")
    assert (cut.status_code, cut.json()["code"]) == (413, "max-part-size")


# MultipartForm


class Photo(BaseModel):
    title: str
    photo: UploadedFile[SavedFile]
    rating: int = 3
    public: bool = False
    kind: Kind = Kind.LAND
    taken: datetime.date | None = None
    tag: list[str] = []
    extra: list[UploadedFile[Any]] = []


class App:
    """An application, and where its files go."""

    def __init__(self, directory: Path, **kwargs: Any) -> None:
        self.directory = directory
        self.fail = False
        self.form = MultipartForm(
            Photo, limits=Limits.for_forms(max_part_size=4 * MIB), targets={"photo": self.target}, **kwargs
        )
        self.app = FastAPI(exception_handlers={MultipartError: answer_problem})

        async def photos(form: Photo = Depends(self.form)) -> Any:  # noqa: B008  (as FastAPI has it)
            if self.fail:
                raise HTTPException(409)
            photo = form.photo.result
            return [form.title, photo.size, form.rating, form.public, form.kind, form.taken, form.tag, len(form.extra)]

        self.app.post("/", openapi_extra=self.form.openapi())(photos)

    def target(self, part: aiomultipart.ReceivedPart) -> DirectoryTarget:
        return DirectoryTarget(self.directory)

    async def post(self, headers: dict[str, str], body: bytes) -> httpx.Response:
        return await call(self.app, "/", headers, body)


async def test_a_model(tmp_path: Path) -> None:
    app = App(tmp_path)
    message = build(
        field("title", "é"),
        file("photo", "x", BIG),
        field("rating", "5"),
        field("public", "on"),
        field("kind", "sea"),
        field("taken", "2026-11-21"),
        field("tag", "a"),
        file("extra", "y", b"1"),
        file("extra", "z", BIG),
    )
    response = await app.post(FORM, message)
    assert response.json() == ["é", len(BIG), 5, True, "sea", "2026-11-21", ["a"], 2]
    assert [*files(tmp_path).values()] == [BIG]
    response = await app.post(FORM, build(field("title", "t"), file("photo", "x", b"1"), field("rating", "")))
    assert response.json() == ["t", 1, 3, False, "land", None, [], 0]
    assert len(files(tmp_path)) == 2


async def test_what_is_undone(tmp_path: Path) -> None:
    app = App(tmp_path)
    photo, title = file("photo", "x", BIG), field("title", "t")
    app.fail = True
    assert (await app.post(FORM, build(title, photo))).status_code == 409
    assert files(tmp_path) == {}
    app.fail = False
    for message, loc, kind in (
        (build(photo), ["body", "title"], "missing"),
        (build(photo, field("title", "")), ["body", "title"], "missing"),
        (build(title), ["body", "photo"], "missing"),
        (build(photo, title, title), ["body", "title"], "string_type"),
        (build(photo, photo, title), ["body", "photo"], "is_instance_of"),
        (build(photo, file("title", "x", b"1")), ["body", "title"], "string_type"),
        (build(title, photo, field("rating", "many")), ["body", "rating"], "int_parsing"),
        (build(title, photo, field("kind", "sky")), ["body", "kind"], "enum"),
        (build(title, photo, field("extra", "text")), ["body", "extra", 0], "is_instance_of"),
    ):
        response = await app.post(FORM, message)
        assert response.status_code == 422, response.text
        assert [(error["loc"], error["type"]) for error in response.json()["detail"]] == [(loc, kind)]
        assert files(tmp_path) == {}
    for headers, message, status in (
        (FORM, build(title, photo)[:-30], 400),
        (FORM, build(title, file("photo", "x", BIG * 2)), 413),
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({}, b"", 400),
    ):
        response = await app.post(headers, message)
        assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
        assert files(tmp_path) == {}
    del app.app.exception_handlers[MultipartError]
    response = await app.post({"Content-Type": "application/json"}, b"{}")
    assert response.status_code == 415
    assert "detail" in response.json()


async def test_a_text_sent_for_a_file_that_has_a_target_is_a_file(tmp_path: Path) -> None:
    response = await App(tmp_path).post(FORM, build(field("title", "t"), field("photo", "text")))
    assert response.json()[:2] == ["t", 4]


def test_openapi() -> None:
    schema = MultipartForm(Photo).openapi()["requestBody"]
    assert schema["required"]
    properties = schema["content"]["multipart/form-data"]["schema"]["properties"]
    assert properties["photo"]["format"] == "binary"
    assert properties["extra"]["items"]["format"] == "binary"
    assert properties["kind"]["enum"] == ["sea", "land"]
    assert "$" not in str(schema)
    document = App(Path()).app.openapi()
    shown = document["paths"]["/"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert shown["properties"].keys() == properties.keys()
    assert shown["required"] == ["title", "photo"]


@pytest.mark.parametrize("targets", [{"photo": aiomultipart.MemoryTarget()}, aiomultipart.MemoryTarget()])
def test_a_target_in_place_of_a_factory(targets: Any) -> None:
    with pytest.raises(TypeError, match="factory"):
        MultipartForm(Photo, targets=targets)
    with pytest.raises(TypeError, match="factory"):
        MultipartForm(Photo, default=aiomultipart.MemoryTarget())  # type: ignore[arg-type]


def test_temporary_files_are_where_starlette_has_them(tmp_path: Path, send: Any, monkeypatch: Any) -> None:
    """A disk that is full is a fault of the server, and nothing stays open."""
    monkeypatch.setattr("tempfile.tempdir", os.fspath(tmp_path / "no"))
    (response,) = send(starlette_app(MultipartRoute), ("/", *GOOD[1]))
    assert response.status_code == 500


async def entered(request: FormRequest) -> None:
    async with request.form():
        pass


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("step", range(0, 60, 4))
async def test_a_request_that_is_cancelled(times: int, step: int) -> None:
    """Wherever it is, a thread's work included: its file is closed when the thread is done with it."""
    message, before = build(file("photo", "x", BIG)), open_files()
    starts = iter(range(0, len(message) - 64 * 1024, 64 * 1024))

    async def receive() -> dict[str, Any]:
        start = next(starts, None)
        if start is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": message[start : start + 64 * 1024], "more_body": True}

    raw = [(b"content-type", FORM["Content-Type"].encode())]
    request = FormRequest({"type": "http", "method": "POST", "headers": raw}, receive)
    task = asyncio.ensure_future(entered(request))
    for _ in range(step):
        await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):  # twice cancelled, it does not wait for the thread
        while open_files() != before:
            await asyncio.to_thread(int)
