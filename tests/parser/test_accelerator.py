"""The accelerator: it says what the reference says, and nothing else; and it can do without its house."""

from __future__ import annotations

import base64
import gc
import itertools
import os
import random
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest

from aiomultipart import parser as parser_room
from aiomultipart.exceptions import IncompleteBody, LimitExceeded, ParseError, StateError
from aiomultipart.extension import accelerator
from aiomultipart.grammar.fields import decode_field_block, parse_field_block
from aiomultipart.limits import Limits
from aiomultipart.parser import END, PART_END, PartBegin, push
from aiomultipart.parser.states import State
from aiomultipart.policy import Policy
from tests.support.feeding import cuttings
from tests.support.side_by_side import compare, compare_at_random

if accelerator is None:
    pytest.skip("the accelerator is not built, or turned off", allow_module_level=True)

Accelerated = accelerator.PushMultipartParser
find = accelerator.find
FIELD = b'Content-Disposition: form-data; name="a"'
MESSAGE = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nhello\r\n--b--\r\n'


@pytest.fixture(scope="module")
def over_both() -> None:
    """These tests know which one they mean."""


# Parity


@pytest.mark.parametrize("part", range(20))
def test_random_messages(part: int) -> None:
    for seed in range(part * 150, (part + 1) * 150):
        compare_at_random(Accelerated, seed)


LINES = [b"--b", b"--b--", b"--b ", b"--bb", b"--b-", b"", b"x"]


@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.STANDARD])
@pytest.mark.parametrize("head", [b"", FIELD, FIELD + b"\r\nContent-Length: 0", FIELD + b"\r\nContent-Length: 3"])
def test_what_follows_a_part_at_every_cut(head: bytes, policy: Policy) -> None:
    for lines in itertools.product(LINES, repeat=2):
        message = b"--b\r\n" + head + b"\r\n" * (2 if head else 1) + b"\r\n".join(lines) + b"\r\n--b--\r\n"
        for subtype in ("mixed", "form-data"):
            for _, chunks in cuttings(message, few=True):
                compare(Accelerated, chunks, "b", subtype=subtype, policy=policy)


@pytest.mark.parametrize("name", ["max_headers", "max_header_line", "max_header_bytes", "max_total_header_bytes"])
@pytest.mark.parametrize("head", [FIELD, FIELD + b"\r\nA: 1\r\nB: 2"])
def test_limits_of_header_blocks_at_every_value_and_cut(name: str, head: bytes) -> None:
    message = b"--b\r\n" + head + b"\r\n\r\nx\r\n--b--\r\n"
    for value in range(len(head) + 3) if name != "max_headers" else range(5):
        for _, chunks in cuttings(message):
            compare(Accelerated, chunks, "b", subtype="form-data", limits=Limits(**{name: value}))


@pytest.mark.parametrize("name", ["max_part_size", "max_total_size", "max_preamble", "max_epilogue", "max_parts"])
@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.STANDARD])
def test_limits_of_text_at_every_value_and_cut(name: str, policy: Policy) -> None:
    message = b"pre\r\r\n--b\r\n\r\none\r\n-\r\n--b\r\nContent-Length: 4\r\n\r\n\r\n--\r\n--b--\r\nepi"
    for value in range(len(message) + 1 if name == "max_total_size" else 12):
        for _, chunks in cuttings(message):
            compare(Accelerated, chunks, "b", limits=Limits(**{name: value}), policy=policy)


BLOCKS = [
    b"",
    b"A: 1",
    b"Content-Disposition: form-data",
    b'Content-Disposition: form-data; name="a"; filename="b"',
    b'Content-Disposition: form-data; filename="b"; name="a"',
    b'Content-Disposition: form-data; name="a";filename="b"',
    b'Content-Disposition:\tform-data; name="a" \t',
    b'CONTENT-DISPOSITION: form-data; name=""; filename=""',
    b'Content-Disposition: Form-Data; name="a"',
    b'Content-Disposition: form-data; name="a" x',
    b'Content-Disposition: form-data; name="a\tb"',
    b'Content-Disposition: form-data; name="a\x7fb"',
    b'Content-Disposition: form-data; name="a\\b"',
    b'Content-Disposition: form-data; name="a%22b"',
    b'Content-Disposition: form-data; name="\xc3\xa9\xc2\x80\xe2\x80\xa8"',
    b'Content-Disposition: form-data; name="\xe9"; filename="\xe9"',
    b'Content-Disposition: form-data; name="\xed\xa0\x80"',
    b'Content-Disposition: form-data; name="a',
    b'Content-Disposition: form-data; name="',
    b"Content-Disposition: ; name",
    FIELD + b"\r\n" + FIELD,
    FIELD + b"\r\nContent-Type: a/b",
    FIELD + b"\r\nContent-Type: A/B; charset=utf-8",
    FIELD + b"\r\nContent-Type: a/b; charset=",
    FIELD + b"\r\nContent-Type: a/b; charset=a b",
    FIELD + b'\r\nContent-Type: a/b; charset="a"',
    FIELD + b"\r\nContent-Type: a/",
    FIELD + b"\r\nContent-Type: /b",
    FIELD + b"\r\nContent-Type: a",
    FIELD + b"\r\nContent-Type:",
    FIELD + b"\r\nContent-Type: MultiPart/mixed; boundary=c",
    FIELD + b"\r\nContent-Type: multipart/mixed",
    FIELD + b"\r\nContent-Type: multiparted/mixed",
    FIELD + b"\r\nContent-Type: a/b\r\ncontent-type: a/b",
    FIELD + b"\r\nContent-Length: 1",
    FIELD + b"\r\nContent-Length: 999999999999999999",
    FIELD + b"\r\nContent-Length: 9999999999999999999",
    FIELD + b"\r\nContent-Length: 01",
    FIELD + b"\r\nContent-Length: +1",
    FIELD + b"\r\nContent-Length:",
    FIELD + b"\r\nContent-Length: 1\r\nContent-Length: 1",
    FIELD + b"\r\nContent-Transfer-Encoding: binary",
    FIELD + b"\r\nContent-Transfer-Encoding: base64",
    FIELD + b"\r\nContent-Transfer-Encoding: \xc3\xa9",
    FIELD + b"\r\nContent-Transfer-Encoding:",
    FIELD + b"\r\nContent-Transfer-Encoding: a\r\ncontent-transfer-encoding: b",
    FIELD + b"\r\nX: \xe9\r\nY: \xc3\xa9",
    FIELD + b"\r\nX:",
    FIELD + b"\r\nX",
    FIELD + b"\r\n: x",
    FIELD + b"\r\nX : x",
    FIELD + b"\r\n x",
    FIELD + b"\r\nX: \rx",
    FIELD + b"\r\nX: x\r",
    FIELD + b"\r\nX: \nx",
    FIELD + b"\r\nX: \x00",
    FIELD + b"\r\nX\x80: x",
    b" " + FIELD,
    b"-: x",
    b"\r" + FIELD,
]


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("subtype", ["mixed", "form-data"])
def test_header_blocks(subtype: str, policy: Policy) -> None:
    for block in BLOCKS:
        message = b"--b\r\n" + block + b"\r\n\r\nx\r\n--b\r\n\r\n\r\n--b--"
        for _, chunks in cuttings(message, few=True):
            for most in (32, 2, 1, 0):
                compare(Accelerated, chunks, "b", subtype=subtype, policy=policy, limits=Limits(max_parameters=most))


@pytest.mark.parametrize("byte", range(256))
def test_any_byte_anywhere_in_a_block(byte: int) -> None:
    block = FIELD + b'; filename="f"\r\nContent-Type: a/b; charset=c\r\nX: y'
    for place in range(len(block)):
        odd = block[:place] + bytes([byte]) + block[place + 1 :]
        for subtype in ("mixed", "form-data"):
            compare(Accelerated, [b"--b\r\n" + odd + b"\r\n\r\nx\r\n--b--\r\n"], "b", subtype=subtype)


@pytest.mark.parametrize(
    "boundary", ["", " ", "a ", "a b", "é", "x" * 70, "x" * 71, "x" * 200, "%", "\r", b"b", b"\xe9"]
)
@pytest.mark.parametrize("most", [70, 3, None])
def test_boundaries(boundary: str | bytes, most: int | None) -> None:
    text = boundary if isinstance(boundary, bytes) else boundary.encode()
    message = b"--" + text + b"\r\n\r\nx\r\n--" + text + b"--\r\n"
    for policy in Policy:
        compare(Accelerated, [message], boundary, policy=policy, limits=Limits(max_boundary_length=most))


def test_a_block_that_is_odd_and_clean_does_not_end_the_lane() -> None:
    parser = Accelerated("b")
    assert len(list(parser.feed(b"--b\r\nX: \r\n folded\r\n\r\nbody\r\n--b\r\nA: 1\r\n\r\n"))) == 4
    chunk = b"a chunk that is only body"
    (event,) = parser.feed(chunk)
    assert event is chunk


# The face


@pytest.mark.parametrize("cls", [Accelerated, push.PushMultipartParser])
def test_the_same_face(cls: Any) -> None:
    public = {name for name in dir(cls) if not name.startswith("_")}
    assert public == {
        *("boundary", "close", "closed", "defects", "drop", "ended", "error", "feed", "forgive", "from_content_type"),
        *("limits", "nested", "part", "policy", "subtype"),
    } | ({"feed_after", "resume"} if cls is push.PushMultipartParser else set())
    for wrong in ((), ("b", "mixed"), (None,), (1,)):
        with pytest.raises(TypeError):
            cls(*wrong)
    with pytest.raises(TypeError):
        cls("b", unknown=1)
    with pytest.raises(TypeError):
        cls("b").feed("text")
    with pytest.raises(ValueError, match="unknown callbacks: on_data, on_end_"):
        cls("b", callbacks={"on_end_": None, "on_data": None})
    assert cls(boundary="b").boundary == "b"
    assert cls("b", **{"SUBTYPE".lower(): "Form-Data"}).subtype == "form-data"


def test_it_is_the_one_in_use() -> None:
    assert parser_room.implementation == "c"


@pytest.mark.parametrize("data", [bytearray(MESSAGE), memoryview(MESSAGE), memoryview(MESSAGE + MESSAGE)[::2]])
def test_other_buffers(data: bytearray | memoryview) -> None:
    assert str(list(Accelerated("b").feed(data))) == str(list(push.PushMultipartParser("b").feed(data)))


def test_the_numbers_of_the_states() -> None:
    assert {state.name: state.value for state in State} == {
        "OPENING": 1,
        "PREAMBLE": 2,
        "HEADERS": 3,
        "BODY": 4,
        "COUNTED_BODY": 5,
        "COUNTED_END": 6,
        "SURPLUS": 7,
        "EPILOGUE": 8,
        "CLOSED": 9,
        "FAILED": 10,
    }


def test_a_subclass() -> None:
    class Sub(Accelerated):
        def __init__(self, boundary: str, *, more: int = 1, **kwargs: Any) -> None:
            super().__init__(boundary, **kwargs)
            self.more = more

    parser = Sub.from_content_type("multipart/form-data; boundary=b")
    assert (type(parser), parser.more, parser.subtype) == (Sub, 1, "form-data")
    assert list(parser.feed(MESSAGE))[-1] is END
    outer = Sub("b", limits=Limits(max_parts=2))
    (part,) = outer.feed(b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n")
    assert isinstance(part, PartBegin)
    inner = outer.nested(part)
    assert type(inner) is Sub
    inner.feed(b"--c\r\n\r\n")
    with pytest.raises(LimitExceeded):
        list(inner.feed(b"\r\n--c\r\n\r\n"))


def test_a_parser_that_was_never_made() -> None:
    parser = Accelerated.__new__(Accelerated)
    for call in (lambda: parser.feed(b"x"), parser.close, lambda: parser.boundary, lambda: parser.defects):
        with pytest.raises((RuntimeError, AttributeError)):
            call()
    parser.drop()
    assert (parser.part, parser.error, parser.ended, parser.closed) == (None, None, False, False)
    with pytest.raises(ParseError):
        parser.__init__("")  # type: ignore[misc]
    parser.__init__("b")  # type: ignore[misc]
    assert list(parser.feed(MESSAGE))[-1] is END
    with pytest.raises(ParseError):
        parser.__init__("")  # type: ignore[misc]
    assert not parser.ended
    with pytest.raises(RuntimeError, match="__init__"):
        parser.close()  # it has nothing of the message before
    parser.__init__("b")  # type: ignore[misc]
    assert list(parser.feed(MESSAGE))[-1] is END


def test_from_within_a_close_that_hands_over() -> None:
    """While the reference is made, the lane is not to be fed."""
    refused: list[Exception] = []

    class Callbacks(dict[str, Any]):
        def keys(self) -> Any:
            if is_closing:
                with pytest.raises(StateError) as caught:
                    parser.feed(b"more")
                refused.append(caught.value)
            return super().keys()

    is_closing = False
    parser = Accelerated("b", callbacks=Callbacks())
    parser.feed(MESSAGE[:30])
    is_closing = True
    with pytest.raises(IncompleteBody):
        parser.close()
    assert len(refused) == 1


def test_from_within_a_callback() -> None:
    refused: list[Exception] = []

    def begin() -> None:
        for call in (lambda: parser.feed(b""), parser.close, lambda: parser.__init__("b")):  # type: ignore[misc]
            try:
                call()
            except StateError as exc:
                refused.append(exc)

    parser = Accelerated("b", callbacks={"on_part_begin": begin, "on_end": lambda: parser.close()})  # noqa: PLW0108
    parser.feed(MESSAGE)
    assert {str(exc) for exc in refused} == {"a callback cannot feed the parser that calls it"}
    assert len(refused) == 3
    assert parser.closed
    assert parser.close() == []


@pytest.mark.parametrize("cls", [Accelerated, push.PushMultipartParser])
def test_on_end_may_close_the_parser(cls: Any) -> None:
    for tail in (b"", b"epilogue"):
        parser = cls("b", limits=Limits(max_epilogue=0), callbacks={"on_end": lambda: parser.close()})  # noqa: B023, PLW0108
        assert list(parser.feed(MESSAGE + tail)) == []
        assert parser.closed


def test_a_callback_that_raises() -> None:
    def fail(*_: object) -> None:
        raise KeyError("mine")

    for name in ("on_part_begin", "on_part_data", "on_part_end", "on_end"):
        for end in (b"", b"\r\n"):  # the first is complete on close
            parser = Accelerated("b", callbacks={name: fail})
            with pytest.raises(KeyError, match="mine"):
                list(parser.feed(MESSAGE.rstrip(b"\r\n") + end) or parser.close())
            assert not parser.closed
            for call in (lambda: parser.feed(b""), parser.close):  # noqa: B023
                with pytest.raises(StateError, match="a callback has raised"):
                    call()


# Memory


def test_it_is_collected() -> None:
    class Callbacks(dict[str, Any]):
        pass

    callbacks = Callbacks()
    parser = Accelerated("b", callbacks=callbacks)
    callbacks["on_part_end"] = parser.close  # a circle
    gone = weakref.ref(callbacks)
    parser.feed(MESSAGE[:-10])
    del parser, callbacks
    gc.collect()
    assert gone() is None


def test_references_are_given_back() -> None:
    def work() -> None:
        for cuts in ([MESSAGE], [MESSAGE[i : i + 1] for i in range(len(MESSAGE))], [MESSAGE[:50], b" odd\r\n"]):
            parser = Accelerated("b", subtype="form-data", limits=Limits.for_forms())
            for chunk in cuts:
                list(parser.feed(chunk))
            try:
                list(parser.close())
            except IncompleteBody:
                pass

    for _ in range(3):
        work()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(100):
        work()
    gc.collect()
    assert sys.getallocatedblocks() - before < 50


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        cwd=parser_room.__path__[0] + "/../..",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stdout[-2000:], done.stderr[-4000:])
    return done.stdout


# One allocation fails, each in turn: that is a MemoryError, never a crash. Where Python code has a part in it, CPython
# makes a SystemError of some, with the reference alone too.
WITHOUT_MEMORY = """
import _testcapi, faulthandler
faulthandler.enable()
from aiomultipart._accelerator import PushMultipartParser, find, read_field_block
from aiomultipart import Limits, Policy, MultipartError, StateError
FIELD = b'Content-Disposition: form-data; name="\\xc3\\xa9"; filename="a"\\r\\nContent-Type: text/Plain\\r\\nX: y'
BODY = b'--b\\r\\n' + FIELD + b'\\r\\n\\r\\nhello\\r\\n'
BODY += b'--b\\r\\nContent-Length: 2\\r\\n%b\\r\\n\\r\\nxx\\r\\n--b--\\r\\nepilogue'
MESSAGES = [BODY % FIELD.replace(b'\\r\\nX: y', b'')]
MESSAGES += [BODY % b'Content-Disposition: form-data; name="%22"', BODY % b'bad', BODY % b'X : y']
limits = Limits.for_forms()
def once(message, size, callbacks, subtype):
    parser = PushMultipartParser("b", subtype=subtype, limits=limits, callbacks=callbacks)
    for start in range(0, len(message), size):
        list(parser.feed(message[start:start + size]))
    list(parser.close())
    read_field_block(FIELD)
    find(message, b"\\r\\n--b")
def print_nothing(data, start, end): pass
failures = 0
for message in MESSAGES:
    for size in (500, 20, 7):
        for subtype in ("form-data", "mixed"):
            for callbacks in (None, {"on_part_data": print_nothing}):
                for start in range(MOST):
                    raised = None
                    _testcapi.set_nomemory(start, start + 1)
                    try:
                        once(message, size, callbacks, subtype)
                    except BaseException as exc:
                        _testcapi.remove_mem_hooks()
                        raised = exc
                    else:
                        _testcapi.remove_mem_hooks()
                    if isinstance(raised, MemoryError):
                        failures += 1
                    elif raised is not None and not isinstance(raised, (MultipartError, StateError)):
                        if message is MESSAGES[0] or not isinstance(raised, SystemError):
                            raise raised
                    raised = None
print(failures)
"""


def test_failing_allocations() -> None:
    pytest.importorskip("_testcapi")
    assert int(run_python(WITHOUT_MEMORY.replace("MOST", "120"))) > 1000


@pytest.mark.skipif(sys.platform != "linux", reason="what is measured has another unit elsewhere, or is not there")
def test_memory_is_flat() -> None:
    code = """
import resource
from aiomultipart._accelerator import PushMultipartParser
MESSAGE = %r
def work(times):
    for _ in range(times):
        parser = PushMultipartParser("b", subtype="form-data")
        parser.feed(MESSAGE); parser.close()
        parser = PushMultipartParser("b")
        for byte in (MESSAGE[:20], MESSAGE[20:60], MESSAGE[60:]): parser.feed(byte)
work(2000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work(250000)  # a million feeds
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    assert int(run_python(code % MESSAGE)) < 2000


# Threads and interpreters


def test_two_threads_get_an_error_at_worst() -> None:
    parser = Accelerated("b")
    errors: list[Exception] = []

    def feed() -> None:
        for _ in range(2000):
            try:
                parser.feed(b"--b\r\nX: y\r\n z\r\n\r\nbody\r\n")
            except (StateError, ParseError) as exc:
                errors.append(exc)

    threads = [threading.Thread(target=feed) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {type(error) for error in errors} <= {StateError, ParseError}


@pytest.mark.skipif(sys.version_info < (3, 13), reason="interpreters have a module since then")
def test_an_interpreter_of_its_own() -> None:
    code = f"""
import _interpreters
code = r'''
from aiomultipart import parser
assert parser.implementation == "c"
print(len(list(parser.PushMultipartParser("b").feed({MESSAGE!r}))))
'''
for _ in range(3):
    interpreter = _interpreters.create()
    failed = _interpreters.run_string(interpreter, code)
    assert failed is None, failed.formatted
    _interpreters.destroy(interpreter)
"""
    assert run_python(code) == "4\n" * 3


def test_turned_off() -> None:
    code = "import aiomultipart.parser as p; print(p.implementation, p.PushMultipartParser.__module__)"
    assert run_python(code, AIOMULTIPART_NO_EXTENSIONS="1") == "python aiomultipart.parser.push\n"
    assert run_python(code, AIOMULTIPART_NO_EXTENSIONS="") == "c aiomultipart._accelerator\n"


def test_a_cold_import_of_the_accelerator_alone() -> None:
    code = "from aiomultipart._accelerator import PushMultipartParser as P; print(P('b').close.__name__)"
    assert run_python(code) == "close\n"


# The search


def test_base64_lines() -> None:
    data = random.Random(7).randbytes(57 * 300)
    for count in (0, 1, 2, 299, 300):
        octets = data[: 57 * count]
        expected = base64.encodebytes(octets).replace(b"\n", b"\r\n")
        assert accelerator.base64_lines(octets) == expected
        assert accelerator.base64_lines(memoryview(octets)) == expected
    with pytest.raises(ValueError, match="57"):
        accelerator.base64_lines(b"x")
    with pytest.raises(TypeError):
        accelerator.base64_lines("x")


def test_find() -> None:
    needle = b"\r\n--boundary"
    for size in range(70):
        for place in range(size + 1):
            data = b"\r" * place + needle + b"y" * (size - place)
            assert find(data, needle) == place
            assert find(bytearray(data), needle, place) == place
            assert find(memoryview(data), needle, place + 1) == -1
            assert find(data[: place + len(needle)], needle) == place
            assert find(data[: place + len(needle) - 1], needle) == -1
    assert find(b"\r\n--boundarx" * 1000 + needle, needle) == 12000
    for wrong in (b"", b"a", b"aa", b"aba"):
        with pytest.raises(ValueError, match="needle"):
            find(b"a", wrong)
    with pytest.raises(ValueError, match="negative"):
        find(b"a", b"ab", -1)


def test_read_field_block() -> None:
    for block in BLOCKS:
        fields = accelerator.read_field_block(block)
        if fields is not None:
            assert fields == parse_field_block(decode_field_block(block), policy=Policy.LENIENT)
    assert accelerator.read_field_block(b"A: \xc3\xa9 \r\nb:") == [("A", "é"), ("b", "")]
    for odd in (b"A: 1\r\n 2", b"A: \xe9", b"A", b"A: 1\r\n"):
        assert accelerator.read_field_block(odd) is None


def test_part_end_is_the_one() -> None:
    assert list(Accelerated("b").feed(MESSAGE))[-2:] == [PART_END, END]
