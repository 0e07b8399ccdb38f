"""The site's settings. `make site` builds it; notebooks are shown as they are stored and never executed."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from icrl_teach import __version__  # noqa: E402

# The one setting of the badges (_ext/badges.py): the public repository, its branch, and a class's JupyterHub, if any.
course_home = {
    "repository": os.environ.get("GITHUB_REPOSITORY", "icrl-teach/icrl-teach"),
    "branch": "main",
    "hub": os.environ.get("ICRL_TEACH_HUB", ""),
}

project = "In-context reinforcement learning, taught"
author = "The icrl-teach authors"
copyright = "the icrl-teach authors, MIT licence"
release = __version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinxcontrib.bibtex",
    "course_notebooks",
    "players",
    "explorer_page",
    "letters",
    "badges",
    "reference_pages",
]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!icrl_teach\.).*")]  # other libraries are not on this site
exclude_patterns = ["_vendor/**"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "text/html", 0), ("html", "image/svg+xml", 1), ("html", "image/png", 2)]
myst_enable_extensions = ["amsmath", "dollarmath", "deflist", "attrs_inline", "colon_fence"]
myst_heading_anchors = 4
myst_dmath_double_inline = True

bibtex_bibfiles = ["references.bib"]
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
default_role = "code"

# Everything is a file beside the page: the built folder opens without a server and without a network.
mathjax_path = "mathjax/tex-svg.js"
mathjax_options = {"defer": "defer"}
mathjax3_config = {
    "options": {"enableMenu": False, "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"},
    "svg": {"fontCache": "global"},
}

html_theme = "pydata_sphinx_theme"
html_title = "icrl-teach"
html_static_path = ["_static", "../build/site-source/_vendor"]  # stage.py fills the second
templates_path = ["_templates"]
html_favicon = "_static/icon.svg"
html_css_files = ["site.css"]
html_show_search_summary = False  # summaries are fetched, and where there is no server nothing can be
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_sidebars = {"index": []}
html_theme_options = {
    "navbar_align": "left",
    "navbar_persistent": ["search-link"],
    "navbar_end": ["theme-switcher"],
    "article_header_end": ["badges"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}
