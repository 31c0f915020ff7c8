"""What the pages name is there: tests, pages, anchors of the landing page."""

import ast
import codeop
import itertools
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SHOWN_BY = re.compile(r"``(tests/[\w/]+\.py|tests/[\w/]+/)(?:::(test_\w+))?``")
PAGES = sorted(path for path in DOCS.glob("**/*.rst") if "_build" not in path.parts)


@pytest.mark.parametrize("name", ["reference/rfcs.rst", "explanation/security.rst"])
def test_every_test_that_a_page_names_is_there(name: str) -> None:
    text = (DOCS / name).read_text("utf-8")
    named = SHOWN_BY.findall(text)
    assert len(named) > 20
    for path, test in named:
        assert (ROOT / path).exists(), path
        assert not test or re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), test
    assert text.count("``tests/") == len(named)


def test_every_clause_has_a_test() -> None:
    text = (DOCS / "reference/rfcs.rst").read_text("utf-8")
    rows = text.split("\n   * - ")[1:]
    for row in rows:
        cells = row.split("\n     - ")
        assert cells[0] == "clause" or SHOWN_BY.fullmatch(cells[2].split("\n")[0]), row


def test_llms_txt_lists_every_page() -> None:
    listed = re.findall(r"^- \[(.+?)\]\((.+?)\.html\)", (DOCS / "llms.txt").read_text("utf-8"), re.MULTILINE)
    titles = {
        path.relative_to(DOCS).with_suffix("").as_posix(): _title(path.read_text("utf-8"))
        for path in PAGES
        if path.name != "index.rst" and path.stem != "changes"
    }
    assert {page: title for title, page in listed if not page.endswith("index")} == titles


def test_the_landing_page_includes_what_the_readme_has() -> None:
    readme = (ROOT / "README.rst").read_text("utf-8")
    marks = re.findall(r":(?:start-after|end-before): (.+)", (DOCS / "index.rst").read_text("utf-8"))
    assert len(marks) == 16
    for mark in marks:
        assert readme.count(f"\n{mark}\n") == 1, mark


@pytest.mark.parametrize("page", ["reading", "forms", "writing"])
def test_the_tutorial_can_be_pasted_at_a_prompt(page: str) -> None:
    """A prompt takes line by line: a block ends with an empty line, and has none within."""
    text = (DOCS / "tutorial" / f"{page}.rst").read_text("utf-8")
    assert "test-setup" not in text  # whoever follows the page does not have it
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text)
    assert len(blocks) > 5
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for block in blocks:
        typed: list[str] = []
        for line in [*textwrap.dedent(block).rstrip().split("\n"), ""]:
            typed.append(line)
            if compiler("\n".join(typed), "<prompt>", "single") is not None:  # it raises where a prompt would complain
                typed = []
        assert not "".join(typed), typed


def _title(text: str) -> str:
    """The line above the first row of equals signs."""
    lines = text.split("\n")
    return next(above for above, line in itertools.pairwise(lines) if re.fullmatch("=+", line))
