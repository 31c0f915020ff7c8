"""safe_filename: one component of a path, on any platform, or a ValueError."""

from __future__ import annotations

import itertools
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiomultipart import safe_filename
from aiomultipart.targets.names import numbered_names

NORMALIZE = unicodedata.normalize

SAFE = [
    "photo.jpg",
    "a b.txt",
    "archive.tar.gz",
    "no extension",
    "фото.jpg",
    "写真 1.png",
    "عکس‌ها.jpg",  # with a zero width non-joiner
    "👩‍👩‍👧.png",  # with zero width joiners
    "naïve café (1).pdf",
    "a-b~c",
    "_-rf",
    "$HOME;rm -rf `x`",
    "100%.txt",
    "console.txt",
    "COM.txt",
    "COM10",
    "nul_",
    "a" * 255,
]


@pytest.mark.parametrize("name", SAFE)
def test_a_safe_name_gives_itself(name: str) -> None:
    assert safe_filename(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("a/b\\c/d.txt", "d.txt"),
        ("\\\\server\\share\\x", "x"),
        (".htaccess", "htaccess"),
        ("...x...", "x"),
        (" .. x .txt. . ", "x .txt"),
        ("\u3000x\u00a0", "x"),
        ("a\0b", "a_b"),
        ("a\r\nb\tc\x7f\x85", "a__b_c__"),
        ('<a>"b"|c?*', "_a__b__c__"),
        ("a\u2028b\u200bc\ufeffd\u00ade", "a_b_c_d_e"),
        ("a\ud800b", "a_b"),
        ("e\u0301.txt", "\u00e9.txt"),
        ("-rf", "_-rf"),
        ("~root", "_~root"),
        ("--", "_--"),
        ("x/-y", "_-y"),
        (". -y", "_-y"),
        (" .~", "_~"),
        ("\u212b", "\u00c5"),
    ],
)
def test_a_name_is_made_safe(name: str, expected: str) -> None:
    assert safe_filename(name) == expected


REFUSED = ["", ".", "..", "...", " ", "/", "a/", "a\\", "a/..", "\u3000. .", ".. /.. "]
REFUSED += ["NUL", "nul", "con.txt", "Aux.tar.gz", "com1", "COM0.x", "lpt9", "COM¹", "lpt³.txt", "prn .txt", "CONIN$"]
REFUSED += ["file.txt:stream", "file.txt::$DATA", "C:file.txt", ":", "10:30.png"]
REFUSED += ["photo\u202egpj.exe", "a\u200fb", "\u2066a\u2069", "a\u061c"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="file name"):
        safe_filename(name)


@pytest.mark.parametrize(
    ("name", "length", "expected"),
    [
        ("a" * 300 + ".jpeg", 255, "a" * 250 + ".jpeg"),
        ("é" * 200 + ".jpg", 255, "é" * 125 + ".jpg"),
        ("写" * 10 + ".png", 15, "写" * 3 + ".png"),
        ("👩" * 10, 11, "👩" * 2),
        ("a" * 10 + "." + "b" * 40, 30, "a" * 10 + "." + "b" * 19),
        ("abc.jpeg", 5, "abc.j"),
        ("abc.jpeg", 4, "abc"),
        ("abc.jpeg", 1, "a"),
        ("写.png", 5, "写.p"),
        ("-abc.jpeg", 9, "_-ab.jpeg"),
        ("-abc", 1, "_"),
        ("/" + "." * 300 + "x.txt", 255, "x.txt"),
        ("é" * 100 + "e\u0301" * 20 + ".txt", 255, "é" * 120 + ".txt"),
        ("a" * 20 + " .txt", 25, "a" * 20 + " .txt"),
        ("a" * 20 + "  b.txt", 26, "a" * 20 + ".txt"),
    ],
)
def test_a_long_name_is_cut_before_its_extension(name: str, length: int, expected: str) -> None:
    assert safe_filename(name, max_length=length) == expected


def test_cutting_makes_no_device() -> None:
    with pytest.raises(ValueError, match="device"):
        safe_filename("console", max_length=3)


def test_nothing_is_left_after_cutting() -> None:
    with pytest.raises(ValueError, match="nothing is left"):
        safe_filename("写", max_length=2)


def test_a_long_name_is_cut_before_it_is_normalized(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counting(form: str, text: str) -> str:
        seen.append(len(text))
        return NORMALIZE(form, text)

    # NFC sorts the marks on a letter, in quadratic time.
    monkeypatch.setattr(unicodedata, "normalize", counting)
    assert len(safe_filename("a" + "\u0345" * 2000 + "\u0334" * 2000).encode()) <= 255
    assert len(safe_filename("a" + "\u0345" * 2000 + "." + "\u0334" * 10).encode()) <= 255
    assert seen
    assert max(seen) <= 255 + 32


def test_replacement() -> None:
    assert safe_filename("a?b*c", replacement="") == "abc"
    assert safe_filename("a?b*c", replacement="--") == "a--b--c"
    assert safe_filename("?b", replacement="-") == "_-b"
    with pytest.raises(ValueError, match="nothing is left"):
        safe_filename("???", replacement="")
    for unsafe in ("/", "\\", ".", " ", ":", "\0", "?", "\u202e", "a/b"):
        with pytest.raises(ValueError, match="replacement"):
            safe_filename("a", replacement=unsafe)
    with pytest.raises(ValueError, match="max_length"):
        safe_filename("a", max_length=0)


TEXT = st.text(st.one_of(st.characters(), st.sampled_from("./\\: \0\u202e\u0301eNULC0M1-~")), max_size=300)


@given(TEXT, st.integers(1, 300), st.sampled_from(["_", "", "-", "é"]))
@example("\u0958.x", 255, "_")  # it grows in NFC
@example("a" * 9 + "\u0301", 10, "_")
def test_whatever_comes_out_is_safe(name: str, length: int, replacement: str) -> None:
    try:
        safe = safe_filename(name, max_length=length, replacement=replacement)
    except ValueError:
        return
    assert 1 <= len(safe.encode()) <= length
    assert Path(safe).name == safe
    assert not set(safe) & set('<>:"/\\|?*\0')
    assert safe not in {".", ".."}
    assert safe[0] not in ". -~"
    assert safe[-1] not in ". "
    assert unicodedata.is_normalized("NFC", safe)
    assert safe_filename(safe, max_length=length, replacement=replacement) == safe


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 999, 1000, 1001, 50_000])
def test_numbers_go_on(count: int) -> None:
    taken = {"x.txt", *(f"x-{number}.txt" for number in range(1, count + 1))}
    asked: list[str] = []

    def is_taken(name: str) -> bool:
        asked.append(name)
        return name in taken

    names = numbered_names("x.txt", is_taken)
    assert list(itertools.islice(names, 3)) == ["x.txt", f"x-{count + 1}.txt", f"x-{count + 2}.txt"]
    assert len(asked) <= 2 * count.bit_length() + 1


def test_a_number_where_there_are_gaps() -> None:
    taken = {"x", *(f"x-{number}" for number in (1, 2, 4, 5, 6, 8))}
    _, name = itertools.islice(numbered_names("x", taken.__contains__), 2)
    assert name not in taken
