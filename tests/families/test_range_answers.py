"""What a server answers to a Range, before any framework sends it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiomultipart import RangeAnswer, StateError, answer_ranges
from aiomultipart.exceptions import ParseError
from aiomultipart.families import range_answers
from tests.support.ranges import Got, gather, response
from tests.support.saving import Executor, open_files

DATA = bytes(range(256)) * 4
LENGTH = len(DATA)
CHANGED = 1_700_000_000.75  # Tue, 14 Nov 2023 22:13:20 GMT
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data.txt"
    path.write_bytes(DATA)
    os.utime(path, (CHANGED, CHANGED))
    return path


@pytest.fixture(autouse=True)
def no_file_stays_open() -> Iterator[None]:
    before = open_files()
    yield
    assert open_files() == before


async def body_of(answer: RangeAnswer) -> bytes:
    body = b"".join([chunk async for chunk in answer.body.as_chunks()])
    assert answer.body.size == len(body)
    return body


async def get(content: Any, headers: dict[str, str], **options: Any) -> tuple[int, dict[str, str], bytes]:
    async with await answer_ranges(headers, content, **options) as answer:
        body = await body_of(answer)
        length = answer.headers.get("Content-Length")
        assert options.get("method") == "HEAD" or int(length or "") == len(body)
        return answer.status, dict(answer.headers), body


async def ranges_of(answer: tuple[int, dict[str, str], bytes]) -> list[Got]:
    """What our own client makes of it."""
    from aiomultipart import byteranges

    return await gather(byteranges(response(*answer)))


def got(*ranges: tuple[int, int], data: bytes = DATA) -> list[Got]:
    return [(first, last, len(data), data[first : last + 1]) for first, last in ranges]


@pytest.mark.parametrize("kind", ["file", "bytes", "bytearray", "memoryview"])
async def test_answers(kind: str, path: Path) -> None:
    contents = {"file": path, "bytes": DATA, "bytearray": bytearray(DATA), "memoryview": memoryview(DATA)}
    content = contents[kind]
    whole = await get(content, {}, content_type="text/plain")
    assert (whole[0], whole[2]) == (200, DATA)
    assert "Content-Range" not in whole[1]
    assert (whole[1]["Accept-Ranges"], whole[1]["Content-Type"]) == ("bytes", "text/plain")
    one = await get(content, {"Range": "bytes=5-9"}, content_type="text/plain")
    assert (one[0], one[1]["Content-Range"], one[2]) == (206, f"bytes 5-9/{LENGTH}", DATA[5:10])
    assert one[1]["Content-Type"] == "text/plain"
    many = await get(content, {"Range": "bytes=1000-,0-0,-5"}, content_type="text/plain")
    assert many[0] == 206
    assert many[1]["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert "Content-Range" not in many[1]
    assert many[2].count(b"Content-Type: text/plain\r\n") == 2
    assert await ranges_of(many) == got((1000, 1023), (0, 0))


async def test_ranges_that_overlap_are_one(path: Path) -> None:
    answer = await get(path, {"Range": "bytes=0-99,50-199,200-"})
    assert (answer[0], answer[1]["Content-Range"], answer[2]) == (206, f"bytes 0-1023/{LENGTH}", DATA)
    answer = await get(path, {"Range": "bytes=" + ",".join(["0-"] * 100)})
    assert len(answer[2]) == LENGTH


async def test_ranges_that_are_not_there(path: Path) -> None:
    for content, length in ((path, LENGTH), (b"", 0)):
        status, headers, body = await get(content, {"Range": "bytes=5000-"})
        assert (status, headers["Content-Range"], body) == (416, f"bytes */{length}", b"")
        assert "Content-Type" not in headers


async def test_many_small_ranges(path: Path) -> None:
    asked = ",".join(f"{position}-{position}" for position in range(0, 202, 2))
    status, headers, _ = await get(path, {"Range": f"bytes={asked}"})
    assert (status, headers["Content-Range"]) == (416, f"bytes */{LENGTH}")
    assert (await get(path, {"Range": f"bytes={asked}"}, max_ranges=101))[0] == 206
    assert (await get(path, {"Range": "bytes=0-0,2-2"}, max_ranges=1))[0] == 416


@pytest.mark.parametrize("value", ["items=0-1", "bytes=5-4", "bytes=a-b", "bytes", "bytes=0-1;"])
async def test_a_range_that_is_ignored(value: str, path: Path) -> None:
    status, headers, body = await get(path, {"Range": value})
    assert (status, body) == (200, DATA)
    assert "Content-Range" not in headers


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
async def test_ranges_are_for_get(method: str, path: Path) -> None:
    """RFC 9110 section 14.2."""
    status, headers, body = await get(path, {"Range": "bytes=0-1"}, method=method)
    assert (status, headers["Content-Length"]) == (200, str(LENGTH))
    assert body == (b"" if method == "HEAD" else DATA)


async def test_range_twice(path: Path) -> None:
    from multidict import CIMultiDict

    headers = CIMultiDict([("Range", "bytes=0-1"), ("Range", "bytes=4-5")])
    async with await answer_ranges(headers, path) as answer:
        assert answer.status == 200
    headers = CIMultiDict([("Range", "bytes=0-1"), ("If-Range", DATE), ("If-Range", DATE)])
    async with await answer_ranges(headers, path) as answer:
        assert answer.status == 200


async def test_if_range(path: Path) -> None:
    _, headers, _ = await get(path, {})
    tag = headers["ETag"]
    assert tag.startswith('"')
    assert headers["Last-Modified"] == DATE
    for value, status in (
        (tag, 206),
        (DATE, 206),
        (f" {tag}\t", 206),
        (f"W/{tag}", 200),
        ('"another"', 200),
        (tag.strip('"'), 200),
        ("Tue, 14 Nov 2023 22:13:21 GMT", 200),
        ("Tue, 14 Nov 2023 22:13:19 GMT", 200),
        ("", 200),
    ):
        assert (await get(path, {"Range": "bytes=0-1", "If-Range": value}))[0] == status, value
        # What is not asked of the same representation is not refused either.
        beyond = {"Range": "bytes=9999-", "If-Range": value}
        assert (await get(path, beyond))[0] == (416 if status == 206 else 200)
    assert (await get(path, {"If-Range": tag}))[0] == 200
    path.write_bytes(DATA[::-1])
    os.utime(path, (CHANGED + 1, CHANGED + 1))
    for value in (tag, DATE):
        assert (await get(path, {"Range": "bytes=0-1", "If-Range": value}))[0] == 200


async def test_if_range_with_validators_of_ones_own() -> None:
    options = {"etag": '"v1"', "last_modified": CHANGED}
    for value, status in (('"v1"', 206), (DATE, 206), ('"v2"', 200), ('W/"v1"', 200)):
        answer = await get(DATA, {"Range": "bytes=0-1", "If-Range": value}, **options)
        assert (answer[0], answer[1]["ETag"], answer[1]["Last-Modified"]) == (status, '"v1"', DATE)
    # Weak tags never match, not even themselves.
    assert (await get(DATA, {"Range": "bytes=0-1", "If-Range": 'W/"v1"'}, etag='W/"v1"'))[0] == 200
    for value in ("", '""', DATE):
        assert (await get(DATA, {"Range": "bytes=0-1", "If-Range": value}))[0] == 200


async def test_a_file_that_may_change_within_the_second(path: Path) -> None:
    """Its next state might have the same date, and the same time stamp."""
    now = time.time()
    os.utime(path, (now, now))
    _, headers, _ = await get(path, {})
    assert "Last-Modified" not in headers
    assert headers["ETag"].startswith('W/"')
    assert (await get(path, {"Range": "bytes=0-1", "If-Range": headers["ETag"]}))[0] == 200
    future = now + 3600
    os.utime(path, (future, future))
    assert "Last-Modified" not in (await get(path, {}))[1]


async def test_the_content_type_by_the_name(tmp_path: Path) -> None:
    for name, content_type in (("a.jpg", "image/jpeg"), ("a", "application/octet-stream")):
        path = tmp_path / name
        path.write_bytes(b"x")
        assert (await get(path, {}))[1]["Content-Type"] == content_type
    assert (await get(b"x", {}))[1]["Content-Type"] == "application/octet-stream"


async def test_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    for content in (path, b""):
        for headers in ({}, {"Range": "bytes=-5"}):
            status, fields, body = await get(content, headers)
            assert (status, fields["Content-Length"], body) == (200, "0", b"")


async def test_a_file_that_another_one_takes_the_place_of(path: Path) -> None:
    """All parts are of one state."""
    async with await answer_ranges({"Range": "bytes=0-9,1014-"}, path) as answer:
        other = path.with_name("other")
        other.write_bytes(b"?" * LENGTH)
        other.replace(path)
        body = await body_of(answer)
    assert await ranges_of((206, dict(answer.headers), body)) == got((0, 9), (1014, 1023))


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-9,20-"])
async def test_a_file_that_shrinks(asked: str, path: Path) -> None:
    """Rather no answer than one that is not as long as was said."""
    async with await answer_ranges({"Range": asked}, path) as answer:
        os.truncate(path, 100)
        with pytest.raises(StateError, match="shorter"):
            await body_of(answer)


async def test_a_large_file_is_read_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    async with await answer_ranges({"Range": "bytes=0-,5-9"}, path) as answer:
        assert answer.headers["Content-Range"] == f"bytes 0-{(1 << 40) - 1}/{1 << 40}"
        chunks = answer.body.as_chunks()
        for _ in range(20):
            assert len(await anext(chunks)) <= 512 * 1024
        await chunks.aclose()  # type: ignore[attr-defined]


async def test_files_are_read_in_a_thread(path: Path, no_blocking: None) -> None:
    assert (await get(path, {"Range": "bytes=0-1,4-5"}))[0] == 206


async def test_cancelled_while_it_opens(path: Path, executor: Executor) -> None:
    executor.hold()
    task = asyncio.create_task(answer_ranges({}, path))
    await executor.first_started.wait()
    task.cancel()
    executor.let_go()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_cannot_be_answered_with(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await answer_ranges({}, tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no regular file"):
        await answer_ranges({}, tmp_path)
    for name in ("a\0b", "x" * 300):
        with pytest.raises(FileNotFoundError):
            await answer_ranges({}, tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="no regular file"):
        await answer_ranges({}, tmp_path / "pipe")
    for content in ("path", 5, None):
        with pytest.raises(TypeError, match="bytes or a path"):
            await answer_ranges({}, content)  # type: ignore[arg-type]
    for etag in ("v1", '"a"b"', "W/v1", '"\r\n"'):
        with pytest.raises(ValueError, match="entity tag"):
            await answer_ranges({}, b"", etag=etag)
    with pytest.raises(ValueError, match="control character"):
        await answer_ranges({}, b"", content_type="text/plain\r\nA: 1")
    with pytest.raises(ValueError, match="max_ranges"):
        await answer_ranges({}, b"", max_ranges=0)


async def test_an_error_on_the_way_closes_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ParseError("no")

    monkeypatch.setattr(range_answers, "parse_range", fail)
    with pytest.raises(ParseError):
        await answer_ranges({"Range": "bytes=0-"}, path)
