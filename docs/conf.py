"""How the documentation is built: ``make docs``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))
# Pages are executed by kernels of their own: they see the tree that is documented, offline.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [
        *(str(HERE.parent / name) for name in ("src", "docs/_ext", "benchmarks")),
        os.environ.get("PYTHONPATH", ""),
    ]
)
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["HF_HUB_OFFLINE"] = "1"

from crosslook import __version__  # noqa: E402

project = "crosslook"
author = "The crosslook contributors"
copyright = author
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_design",
    "commands",
    "evidence_table",
    "shell_cells",
]
exclude_patterns = ["_build", "_ext"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = f"crosslook {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "footer_start": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "navigation_with_keys": False,
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}
html_sidebars = {"*": []}  # a page at the top has no section to navigate

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc sections say them, with shapes and units
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "executed")
nb_execution_in_temp = True
nb_execution_timeout = 1800  # seconds a cell; a busy machine is no error
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress and warnings of libraries
# Kernels make what they start write in italics, which the lexer of outputs does not know.
suppress_warnings = ["misc.highlighting_failure"]
