"""Where `make site` put the site, and which pages it has."""

from pathlib import Path

SITE = Path(__file__).resolve().parents[2] / "build" / "site"


def pages() -> list[str]:
    """Each built page, as its path in the site; decks of slides are no pages, and have tests of their own."""
    found = (page.relative_to(SITE) for page in SITE.rglob("*.html"))
    return sorted(page.as_posix() for page in found if page.parts[0] not in ("_static", "slides"))
