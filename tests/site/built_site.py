"""Where `make site` put the site, and which pages it has."""

from pathlib import Path

SITE = Path(__file__).resolve().parents[2] / "build" / "site"


def pages() -> list[str]:
    """Each built page, as its path in the site."""
    return sorted(page.relative_to(SITE).as_posix() for page in SITE.rglob("*.html") if "_static" not in page.parts)
