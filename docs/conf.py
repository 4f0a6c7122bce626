"""How the documentation is built: `sphinx-build -W -b html docs DIR`."""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import _architecture  # noqa: E402
import _commands  # noqa: E402
import _figures  # noqa: E402
import _math  # noqa: E402
import _notebooks  # noqa: E402

import cnnkit  # noqa: E402

project, author = "cnnkit", "cnnkit"
version = release = cnnkit.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme, html_title = "furo", "cnnkit"
# Options begin with two hyphens, and names in docstrings are code.
smartquotes, default_role = False, "code"
autodoc_typehints, autodoc_member_order = "description", "bysource"
# Types of others are named, not linked: the pages are built offline.
nitpicky = False


html_math_renderer = "mathml"


def setup(app: Any) -> None:
    """Writes the page of all commands from the commands themselves, and draws the figures."""
    app.add_html_math_renderer("mathml", (_math.visit_inline, None), (_math.visit_block, None))
    _architecture.draw(HERE / "explanation" / "_made" / "architecture.png")
    _figures.draw(HERE / "course" / "_made")
    _notebooks.write(HERE / "course", HERE / "course" / "_notebooks")
    _commands.write(HERE / "reference" / "commands.md")
