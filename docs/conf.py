"""The documentation's settings: `make docs`. Why Sphinx: design/016-documentation.md."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "extensions")]

from gsigpu.version import __version__  # noqa: E402

project = "gsigpu"
release = version = __version__
copyright = "gsigpu's authors"  # noqa: A001  # the name that Sphinx reads

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "house_docstrings",
    "project_pages",
    "reference_pages",
]
exclude_patterns = ["_build", "extensions"]
root_doc = "index"
nitpicky = (
    False  # NumPy's and pandas' types have their pages elsewhere, and the site builds offline
)

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

# `one tick` in a docstring is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_use_legacy_class_based = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 90
add_module_names = False

# No font, script or style comes from elsewhere.
html_theme = "furo"
html_title = f"gsigpu {release}"
html_copy_source = False
html_show_sphinx = False
html_static_path = []
pygments_style = "friendly"
highlight_language = "text"
