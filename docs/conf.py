"""Configuration of Sphinx."""

import importlib.metadata

project = "aiomultipart"
author = "The aiomultipart authors"
copyright = author
release = importlib.metadata.version("aiomultipart")
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"aiomultipart {release}"
