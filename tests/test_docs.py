"""What cites the mathematics, and every relative link, leads somewhere."""

import re
from pathlib import Path

import pytest

from test_package import FLOORS

ROOT = Path(__file__).parents[1]
SECTIONS = set(re.findall(r"^## (\d+)\.", (ROOT / "docs/mathematics.md").read_text(encoding="utf-8"), re.M))
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
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


def fenced(language: str) -> list[str]:
    """The first column of a fenced block: what stands before two spaces."""
    block = re.search(rf"^```{language}\n(.*?)^```", ARCHITECTURE, re.M | re.S)
    return [line.split("  ")[0] for line in block[1].splitlines()]


def test_architecture_names_the_floors_in_force():
    assert " ".join(fenced("floors")).split() == FLOORS


def test_architecture_names_what_is_there():
    house = set(fenced(""))
    assert all((ROOT / name).is_dir() for name in house)
    assert house >= {f"{path.name}/" for path in ROOT.iterdir() if path.name in tracked_folders()}
    for name in re.findall(r"`((?:icrl_teach/)?\w+\.(?:pyi|py|toml|txt))`", ARCHITECTURE):
        assert (ROOT / name).exists() or (ROOT / "icrl_teach" / name).exists(), f"architecture.md names {name}"


def tracked_folders() -> set[str]:
    """Folders at the top that hold something of ours: Python files, notebooks or documents."""
    kinds = (".py", ".ipynb", ".md")
    return {
        folder.name
        for folder in ROOT.iterdir()
        if folder.is_dir() and folder.name[0] != "." and any(p.suffix in kinds for p in folder.iterdir())
    }


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]), ids=lambda p: p.name)
def test_every_relative_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert ":" in target or (path.parent / target).exists(), f"{path.name} links to {target}"
