"""How the documentation is built: MyST pages and the project's notebooks with the outputs they were committed with."""

from __future__ import annotations

import shutil
from pathlib import Path

import gathering

HERE = Path(__file__).parent
# Sphinx reads only what is below its folder. The copy is not committed; the notebooks' home is notebooks/.
shutil.copytree(
    HERE.parent / "notebooks",
    HERE / "notebooks",
    dirs_exist_ok=True,
    ignore=shutil.ignore_patterns(".*", "*.py"),
)

project = "GatheRing"
author = "The GatheRing developers"
copyright = "2026, The GatheRing developers"
version = release = gathering.__version__

extensions = ["myst_nb"]
# The outputs were made by a run and are compared strictly by a test; running them here again would prove nothing more.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "notebooks/tapes"]
suppress_warnings = ["myst.header"]

html_theme = "furo"
html_title = "GatheRing"
