r"""curl's notation for the parts of a form, as of its option ``-F``. Pure; no I/O.

::

    part      = name "=" ( text / "@" files / "<" file / "(" ) *( ";" parameter ) / "=)"
    files     = file *( ";" parameter ) *( "," file *( ";" parameter ) )
    parameter = "type=" media-type / "filename=" word / "headers=" ( word / "@" file ) / "encoder=" word
    word      = <"> *( character / "\" <"> / "\\" ) <"> / characters without ";" (in files: and without ",")

"=(" begins a multipart message in the message, and "=)" ends it. A media type may have parameters of its own.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Final

from .failures import Failure

__all__ = ("Kind", "Spec", "parse_part")

_PARAMETER: Final = re.compile(r"\s*(type|filename|headers|encoder)=").match
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL).match
_PAIR: Final = re.compile(r'\\(["\\])')


class Kind(enum.Enum):
    """What a part is made of."""

    TEXT = "="
    FILE = "=@"
    CONTENT = "=<"
    """The text of a file, which is not sent as one."""
    BEGIN = "=("
    END = "=)"


@dataclasses.dataclass
class Spec:
    """A part that was asked for.

    :ivar value: the text, or the name of the file; "-" is standard input.
    :ivar more: the other files under the same name.
    """

    name: str
    kind: Kind
    value: str = ""
    content_type: str | None = None
    filename: str | None = None
    headers: list[str] = dataclasses.field(default_factory=list)
    encoder: str | None = None
    more: list[Spec] = dataclasses.field(default_factory=list)


def parse_part(text: str) -> Spec:
    """A part, by curl's notation.

    :raises Failure: it cannot be read.
    """
    name, equals, rest = text.partition("=")
    if not equals:
        raise Failure(f"{text!r} is no part: it has no '='; a field is written name=text, a file name=@path")
    if rest == ")" and not name:
        return Spec("", Kind.END)
    mark = rest[:1]
    if mark == "(":
        spec = Spec(name, Kind.BEGIN)
        _Reader(text, rest[1:], "").read_parameters(spec)
        return spec
    if mark in ("@", "<"):
        return _Reader(text, rest[1:], "," if mark == "@" else "").read_files(name, Kind(f"={mark}"))
    reader = _Reader(text, rest, "")
    spec = Spec(name, Kind.TEXT, reader.read_word())
    reader.read_parameters(spec)
    return spec


class _Reader:
    """Reads one part.

    :param whole: the part, for errors.
    :param text: what is read of it.
    :param comma: what separates files, if anything does.
    """

    def __init__(self, whole: str, text: str, comma: str) -> None:
        self._whole = whole
        self._text = text
        self._ends = f";{comma}"
        self._position = 0

    def read_files(self, name: str, kind: Kind) -> Spec:
        first: Spec | None = None
        while True:
            spec = Spec(name, kind, self.read_word().strip())
            if not spec.value:
                raise Failure(f"{self._whole!r} names no file")
            self.read_parameters(spec)
            if first is None:
                first = spec
            else:
                first.more.append(spec)
            if self._position >= len(self._text):
                return first
            self._position += 1  # the comma

    def read_word(self) -> str:
        """A word in quotes, or up to the next separator."""
        match = _QUOTED(self._text, self._position)
        # What only begins with a quoted word is not one.
        if match is not None and self._text[match.end() : match.end() + 1] in ("", *self._ends):
            self._position = match.end()
            return _PAIR.sub(r"\1", match[1])
        return self._read_plain()

    def _read_plain(self) -> str:
        start = self._position
        while self._position < len(self._text) and self._text[self._position] not in self._ends:
            self._position += 1
        return self._text[start : self._position]

    def read_parameters(self, spec: Spec) -> None:
        """The parameters of one text or file; it stops at the end or at a comma."""
        last = ""
        while self._text[self._position : self._position + 1] == ";":
            self._position += 1
            match = _PARAMETER(self._text, self._position)
            if match is None:
                start = self._position
                unknown = self._read_plain()
                if last == "type" and spec.content_type is not None and "=" in unknown:
                    spec.content_type += f";{unknown}"  # a parameter of the media type
                    continue
                raise self._unknown(self._text[start - 1 :])
            last = match[1]
            self._position = match.end()
            if last == "type":
                spec.content_type = self._read_plain().strip()
                if "/" not in spec.content_type:
                    raise Failure(f"{self._whole!r}: {spec.content_type!r} is no media type; text/plain is one")
            elif last == "filename":
                spec.filename = self.read_word()
            elif last == "headers":
                spec.headers.append(self.read_word())
            else:
                spec.encoder = self.read_word().strip()
        if self._position < len(self._text) and self._text[self._position] not in self._ends:
            raise self._unknown(self._text[self._position :])

    def _unknown(self, rest: str) -> Failure:
        return Failure(
            f"{self._whole!r}: {rest!r} is none of ;type= ;filename= ;headers= ;encoder=; "
            "a text or a name with ';' in it stands in double quotes, inside the shell's: 'a=\"b;c\"'"
        )
