"""What cites the mathematics, and every relative link, leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTIONS = set(re.findall(r"^## (\d+)\.", (ROOT / "docs/mathematics.md").read_text(encoding="utf-8"), re.M))
SOURCES = sorted(
    p for d in ("icrl_teach", "lessons", "solutions") for p in (ROOT / d).rglob("*") if p.suffix in (".py", ".ipynb")
)


def cited(path: Path) -> set[str]:
    text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))
    return set(re.findall(r"mathematics, section (\d+)", text))


def test_every_citation_of_the_mathematics_names_a_section():
    found = {path.name: cited(path) for path in SOURCES}
    assert sum(map(len, found.values())) >= 8 and SECTIONS
    assert not {name: sections - SECTIONS for name, sections in found.items() if sections - SECTIONS}


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]), ids=lambda p: p.name)
def test_every_relative_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert ":" in target or (path.parent / target).exists(), f"{path.name} links to {target}"
