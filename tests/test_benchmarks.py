"""The harness of ``make bench``, with scenarios that cost nothing. Other packages need not be installed."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import charts, memory, page
from benchmarks.figures import Figures, Limit, Peak, Result, Row, Streaming, load, load_all, store
from benchmarks.harness import ABSENT, Scenario, available, measure
from benchmarks.run import main, scenarios_of

EASY, IMPOSSIBLE = 1e-9, 1e9


@pytest.fixture(autouse=True)
def nothing_absent() -> Iterator[None]:
    yield
    ABSENT.clear()


def twice(number: int) -> int:
    return number * 2


async def twice_later(number: int) -> int:
    return number * 2


def refuse(number: int) -> int:
    raise ValueError(number)


def scenario(**changes) -> Scenario:
    given = {
        "group": "Doubling",
        "title": "one number",
        "contestants": {"ours": twice, "theirs": twice},
        "inputs": lambda serial: [serial],
    }
    return Scenario(**given | changes)


def run(directory: Path, *arguments: str, **changes) -> int:
    return main(arguments, scenarios=[scenario(**changes)], directory=directory)


def figures(**changes) -> Figures:
    result = Result(
        "Doubling",
        "`one` *number_",
        1,
        10**6,
        (
            Row("ours", 1e-3),
            Row("theirs <&>", 2e-3, (1.9, 2.0, 2.1), 3.0),
            Row("lazy", None),
            Row("floor", 0.5e-3, (0.4, 0.5, 0.6), None, floor=True),
        ),
    )
    found = Figures(
        python="CPython 3.11",
        quick=False,
        command="make bench",
        date="2026-11-21",
        minutes=5.0,
        surroundings={"system": "x86_64"},
        versions={"theirs": "1.0"},
        absent=("missing",),
        limits=(Limit("memcpy", 1e-6, 64 * 1024), Limit("await", 1e-7)),
        results=(result,),
        memory=(Streaming("read", (Peak("ours", 3 * 2**20, 2**20), Peak("theirs", 2**28))),),
        memory_by="peak resident memory",
    )
    return dataclasses.replace(found, **changes)


# Bars


@pytest.mark.parametrize("bars", [{"best": IMPOSSIBLE}, {"bars": {"theirs": IMPOSSIBLE}}])
def test_a_missed_bar_has_a_mark_and_fails_a_check(bars, tmp_path, capsys) -> None:
    assert run(tmp_path, "--check", **bars) == 1
    printed = capsys.readouterr().out
    assert re.search(r"theirs .* MISSED", printed)
    assert "MISSED Doubling: one number" in printed
    assert run(tmp_path, **bars) == 0


def test_a_bar_that_is_met(tmp_path, capsys) -> None:
    assert run(tmp_path, "--check", best=EASY) == 0
    printed = capsys.readouterr().out
    assert re.search(r"theirs .* met", printed)
    assert "MISSED" not in printed


def test_a_floor_is_no_peer() -> None:
    of = scenario(contestants={"ours": twice, "theirs": twice, "floor": twice}, floors=frozenset({"floor"}), best=1.0)
    rows = {row.name: row for row in measure(of, seconds=0, least=3, most=3).rows}
    assert (rows["theirs"].bar, rows["floor"].bar) == (1.0, None)
    assert rows["floor"].floor


def test_memory_has_bars_too() -> None:
    assert Peak("ours", 2**20, 2**20).missed
    assert not Peak("ours", 2**20 - 1, 2**20).missed
    assert not Peak("theirs", 2**30).missed
    assert [what for what, _ in figures(results=()).shortfalls()] == ["Memory: read"]
    assert not figures(results=()).met


# Outputs


def test_contestants_must_agree(tmp_path) -> None:
    with pytest.raises(AssertionError, match="one number: theirs and ours do not agree"):
        run(tmp_path, contestants={"ours": twice, "theirs": abs}, inputs=lambda _: [1])


def test_contestants_that_wait() -> None:
    of = scenario(contestants={"ours": twice_later, "theirs": twice_later}, waits=True)
    assert [row.name for row in measure(of, seconds=0, least=3, most=3).rows] == ["ours", "theirs"]


def test_what_is_rejected_is_not_timed(tmp_path, capsys) -> None:
    contestants = {"ours": twice, "theirs": refuse}
    assert run(tmp_path, "--check", contestants=contestants, rejects=frozenset({"theirs"}), best=IMPOSSIBLE) == 0
    assert re.search("theirs .* rejects", capsys.readouterr().out)
    assert "rejects" in (tmp_path / "performance-rows.rst").read_text("utf-8")


def test_a_rejection_must_be_declared_and_true(tmp_path) -> None:
    with pytest.raises(ValueError, match="0"):
        run(tmp_path, contestants={"ours": twice, "theirs": refuse})
    with pytest.raises(AssertionError, match="theirs does not reject it"):
        run(tmp_path, rejects=frozenset({"theirs"}))


# What is missing


def test_a_missing_package_is_left_out_and_named(tmp_path) -> None:
    def missing() -> None:
        raise ModuleNotFoundError(name="missing")

    assert available({"missing": missing, "here": lambda: 1}) == {"here": 1}
    assert scenarios_of(["no_such_module"]) == []
    assert run(tmp_path) == 0
    (found,) = load_all(tmp_path / "performance")
    assert set(found.absent) == {"missing", "benchmarks.no_such_module (and so all of no_such_module)"}
    assert "missing" in (tmp_path / "performance-rows.rst").read_text("utf-8")


# What is stored


def test_figures_survive_being_stored(tmp_path) -> None:
    path = store(figures(), tmp_path)
    assert path == tmp_path / "cpython-3.11.json"
    assert load(path) == figures()


def test_a_quick_run_does_not_replace_a_whole_one(tmp_path, capsys) -> None:
    whole, quick = figures(), figures(quick=True)
    assert store(quick, tmp_path) is not None
    assert store(whole, tmp_path) is not None
    assert store(quick, tmp_path) is None
    assert load_all(tmp_path) == [whole]


def test_a_quick_run_is_marked(tmp_path) -> None:
    assert run(tmp_path, "--quick") == 0
    assert "(quick run)" in (tmp_path / "performance-rows.rst").read_text("utf-8")


def test_part_of_a_run_is_not_stored(tmp_path) -> None:
    assert run(tmp_path, "--only", "number") == 0
    assert list(tmp_path.iterdir()) == []


def test_pythons_are_in_order(tmp_path) -> None:
    for python in ("CPython 3.13", "CPython 3.9", "CPython 3.11"):
        store(figures(python=python), tmp_path)
    assert [run.python for run in load_all(tmp_path)] == ["CPython 3.9", "CPython 3.11", "CPython 3.13"]


# The page


def test_the_page_is_what_is_generated_from_the_figures() -> None:
    runs = load_all(page.DIRECTORY / page.NAME)
    files = page.render(runs)
    assert {
        path.relative_to(page.DIRECTORY).as_posix() for path in (page.DIRECTORY / page.NAME).glob("*.svg")
    } == files.keys() - {"performance.rst", "performance-rows.rst"}
    for name, text in files.items():
        assert (page.DIRECTORY / name).read_text("utf-8") == text, "run python -m benchmarks --page"
    readme = page.README.read_text("utf-8")
    assert page.compared(readme, runs) == readme, "run python -m benchmarks --page"


def test_the_page_names_what_falls_short() -> None:
    text = page.render([figures(), figures(python="CPython 3.13", results=(), memory=())])["performance-rows.rst"]
    assert r"* Doubling: \`one\` \*number\_: 2.00 × theirs <&>, the bar is 3 ×" in text
    assert "* Memory: read: 3 MiB, the bar is under 1 MiB" in text
    assert "CPython 3.13: nothing." in text
    assert "**2.00 ×** theirs <&> ✗" in text


def felt(**changes) -> Figures:
    """Figures of what users feel, and of something in which another one is ahead."""
    rows = (
        Row("aiomultipart", 1e-3),
        Row("starlette", 2e-3, (1.9, 2.0, 2.1)),
        Row("not parsed", 1e-4, (0.1, 0.1, 0.1), None, floor=True),
    )
    behind = (
        Row("aiomultipart", 1e-3),
        Row("requests-toolbelt", 5e-4, (0.4, 0.5, 0.6)),
        Row("aiohttp", 1e-3, (0.9, 0.97, 1.0)),
    )
    results = (
        Result("Loopback", "a form of 20 fields to uvicorn", 20, 0, rows),
        Result("Writing", "a file of 32 MB, sent", 1, 32 * 10**6, behind),
    )
    memory = (Streaming("read by iteration", (Peak("aiomultipart", 2**20), Peak("aiohttp", 2**28))),)
    return figures(results=results, memory=memory, surroundings={"processor": "2 × Z80"}, **changes)


def test_the_page_for_users_shows_the_newest_python_and_who_is_ahead() -> None:
    files = page.render([figures(), felt(python="CPython 3.13")])
    text = files["performance.rst"]
    assert "Measured with CPython 3.13 on 2 × Z80, on 2026-11-21." in text
    assert "* - Writing: a file of 32 MB, sent\n     - requests-toolbelt 2.00 ×\n" in text  # 3 % are a tie
    assert ".. include:: performance/notes.inc" in text
    assert ".. chart:: performance/felt.svg" in text
    root = ElementTree.fromstring(files["performance/felt.svg"])
    description = root.findtext("{http://www.w3.org/2000/svg}desc")
    assert description == (
        "A form of 20 fields, to uvicorn: aiomultipart 1.00 ms, starlette 2.00 ms. "
        "Memory, while 256 MiB are read chunk by chunk: aiomultipart 1 MiB, aiohttp 256 MiB."
    )


def test_the_table_of_the_readme_is_made_anew() -> None:
    readme = "Before\n.. begin compared\nold\n.. end compared\nAfter\n"
    made = page.compared(readme, [felt()])
    assert made.startswith("Before\n.. begin compared\n")
    assert made.endswith("\n.. end compared\nAfter\n")
    assert "old" not in made
    assert "   * - a file of 32 MB, sent\n     - 1\n     - 1.0\n     - –\n     - –\n     - –\n     - 0.5\n" in made
    assert page.compared(made, [felt()]) == made
    assert page.compared(readme, []) == readme


def test_features_are_said_of_every_package() -> None:
    for title, marks in page.FEATURES:
        assert len(marks.split()) == 1 + len(page.COMPARED_WITH), title
        assert set(marks.split()) <= {"✓", "–", "part"}


def test_the_notes_are_left_alone_and_old_charts_removed(tmp_path) -> None:
    kept = tmp_path / "performance"
    store(figures(), kept)
    (kept / "notes.inc").write_text("By hand.", "utf-8")
    (kept / "old.svg").touch()
    assert main(["--page"], directory=tmp_path) == 0
    assert (kept / "notes.inc").read_text("utf-8") == "By hand."
    assert {path.name for path in kept.glob("*.svg")} == {"doubling-cpython-3.11.svg", "memory-cpython-3.11.svg"}


def test_a_page_without_figures() -> None:
    assert "Nothing has been measured yet." in page.render([])["performance.rst"]


@pytest.mark.parametrize("quick", [False, True])
def test_charts_are_xml_and_can_be_read_aloud(quick) -> None:
    files = page.render([figures(quick=quick)])
    drawn = [text for name, text in files.items() if name.endswith(".svg")]
    assert len(drawn) == 2
    for text in drawn:
        root = ElementTree.fromstring(text)
        assert root.get("role") == "img"
        labels = {element.get("id"): element.text or "" for element in root if element.get("id")}
        assert labels.keys() == set(root.get("aria-labelledby", "").split())
        assert all(labels.values())
        assert ("quick run" in labels["title"]) is quick
        assert "(falls short)" in labels["desc"]


def test_bars_of_a_chart_are_as_long_as_speeds() -> None:
    root = ElementTree.fromstring(charts.speeds("Doubling", figures().results))
    lengths = {
        element.get("class"): float(element.get("width", ""))
        for element in root.iter("{http://www.w3.org/2000/svg}rect")
        if element.get("class") != "page"
    }
    assert lengths == {"floor": charts.LENGTH, "ours": charts.LENGTH / 2, "peer": charts.LENGTH / 4}


# Memory


def test_memory_of_a_fresh_process() -> None:
    added = memory.child("read by read_chunk(64 KiB)", "aiomultipart")
    assert added is not None
    assert added < memory.LARGE // 16
