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

extensions = ["house", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"aiomultipart {release}"
