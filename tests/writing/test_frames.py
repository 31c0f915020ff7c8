"""A stream of parts, each with its delimiter after it."""

from __future__ import annotations

import pytest

from aiomultipart import MultipartReader
from aiomultipart.writing.layout import Frames

JPEG = [("Content-Type", "image/jpeg")]


async def test_frames() -> None:
    frames = Frames("b")
    message = frames.start + frames.frame(b"one", JPEG) + frames.frame(b"", [*JPEG, ("X-Time", "2")])
    assert message == (
        b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\none\r\n"
        b"--b\r\nContent-Type: image/jpeg\r\nX-Time: 2\r\nContent-Length: 0\r\n\r\n\r\n--b\r\n"
    )
    message += frames.frame(b"last", JPEG, last=True)
    reader = MultipartReader({"Content-Type": "multipart/x-mixed-replace; boundary=b"}, message)
    assert [await part.read() async for part in reader] == [b"one", b"", b"last"]  # type: ignore[call-arg]


@pytest.mark.parametrize("body", [b"--chosen", b"x\r\n--chosen", b"\r\n--chosenish\r\n"])
def test_a_frame_with_the_delimiter_in_it(body: bytes) -> None:
    with pytest.raises(ValueError, match="contains the delimiter"):
        Frames("chosen").frame(body, JPEG)


@pytest.mark.parametrize("name", ["--chosen", "--chosen-too"])
def test_a_header_field_that_is_a_delimiter(name: str) -> None:
    for fields in ([(name, "x")], [*JPEG, (name, "x")]):
        with pytest.raises(ValueError, match="contains the delimiter"):
            Frames("chosen").frame(b"x", fields)


@pytest.mark.parametrize("field", [("a b", "x"), ("X", "a\r\nb"), ("X", "\0")])
def test_a_field_that_cannot_be_written(field: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"token|control"):
        Frames("b").frame(b"x", [field])
