"""Configuration of Sphinx."""

import importlib.metadata
import os
import sys
from pathlib import Path

# The reference has the docstrings.
os.environ["AIOMULTIPART_NO_EXTENSIONS"] = "1"

# What draws the house lies here, and the table of its rooms among the tests, which hold it.
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

project = "aiomultipart"
author = "The aiomultipart authors"
copyright = author
release = importlib.metadata.version("aiomultipart")
version = ".".join(release.split(".")[:2])

extensions = [
    "house",
    "bounds",
    "chart",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "links",
]
exclude_patterns = ["_build", "_static", "inventories"]

# Every name in a signature or a text leads somewhere; what does not, and why, stands here.
nitpicky = True
nitpick_ignore_regex = [
    # No inventory of theirs is to be had offline.
    (r"py:.*", r"(starlette|fastapi|litestar|obstore|django|httpx|pydantic)\..*"),
    (r"py:.*", r"HTTPException|BackgroundTask|Response|ObjectStore|Attributes|IncEx"),
    # Type variables, and what is only within.
    (r"py:class", r"(.*\.)?[A-Z](_co)?"),
    (r"py:.*", r"(.*\.)?(_Form|MultiMapping|ReceivedBody)"),
    (r"py:attr", r"part"),
]
intersphinx_mapping = {
    name: (url, f"inventories/{name}.inv")
    for name, url in {
        "python": "https://docs.python.org/3",
        "aiohttp": "https://docs.aiohttp.org/en/stable",
        "multidict": "https://multidict.aio-libs.org/en/stable",
        "yarl": "https://yarl.aio-libs.org/en/stable",
    }.items()
}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 60  # beyond that, one parameter a line
python_trailing_comma_in_multi_line_signatures = False

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = f"aiomultipart {release}"
html_static_path = ["_static"]
html_css_files = ["aiomultipart.css"]
html_extra_path = ["llms.txt"]
html_copy_source = False
html_show_sphinx = False

copybutton_exclude = ".linenos, .gp, .go"
copybutton_selector = "div:not(.output) > div.highlight > pre"  # what a program prints is not to be copied
