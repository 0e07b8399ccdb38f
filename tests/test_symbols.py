"""Every letter of the course is found by its name and its glyph, in the one table that a reader sees."""

import dataclasses
import inspect
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

import icrl_teach
from guards import LESSONS, ROOT, read
from icrl_teach import notation, symbols
from icrl_teach.symbols import plain, table
from patience import uncounted

ROWS = re.findall(r"^\| .* \|$", (ROOT / "docs/notation.md").read_text(encoding="utf-8"), re.MULTILINE)[1:]


def rows(found):
    return found._repr_markdown_().splitlines()[2:]


def test_the_whole_table_is_the_document_s():
    assert rows(notation()) == [row.replace("| |", "|  |") for row in ROWS]
    assert len(ROWS) > 60


@pytest.mark.parametrize("symbol", ["beta", "β", r"\beta", "$\\beta$", " beta ", "Beta", "inverse temperature"])
def test_a_letter_is_found_however_it_is_written(symbol):
    (letter,) = notation(symbol).found
    assert (letter.name, letter.code, letter.first) == ("β", ("beta",), "04")
    assert letter.meaning == "inverse temperature: multiplies every score"


@pytest.mark.parametrize(
    ("symbol", "jobs"),
    [
        ("A", {"LSTD", "attention"}),
        ("K", {""}),
        ("Pi", {"projection", "shift"}),
        ("pi", {""}),
        ("mask", {"mask", "linear attention"}),
        ("features", {""}),
    ],
)
def test_a_letter_with_several_jobs_is_found_in_each(symbol, jobs):
    assert {letter.job for letter in notation(symbol).found} == jobs


@pytest.mark.parametrize(
    ("symbol", "first"),
    [("n_s", "n_s"), ("hat P", "P\u0302, r\u0302"), ("P^", "P\u0302, r\u0302"), ("x\u0304", "x\u0304"),
     ("xbar", "x\u0304"), ("v_3", "v"), ("Z_0", "Z_l"), ("v_infty", "v_∞"), ("v_∞", "v_∞"), ("ȓ", None)],
)  # fmt: skip
def test_indices_and_accents(symbol, first):
    if first is None:
        with pytest.raises(ValueError, match="no such letter"):
            notation(symbol)
    else:
        assert notation(symbol).found[0].name == first


@uncounted
def test_every_symbol_finds_its_own_row_by_its_plain_text_and_by_its_latex():
    for letter in table():
        for symbol in letter.symbols:
            for written in (symbol, symbol.strip("$"), plain(symbol), unicodedata.normalize("NFC", plain(symbol))):
                assert letter in notation(written).found, f"{written!r} does not find {letter.name}"
        for name in letter.code:
            assert letter in notation(name).found


def test_every_command_of_the_table_has_its_plain_text():
    commands = {command for row in ROWS for command in re.findall(r"\\[A-Za-z]+|\\.", row)}
    assert commands - {rf"\{accent}" for accent in symbols.ACCENTS} - {r"\{", r"\}"} <= set(symbols.PLAIN)
    assert plain(r"$\unheard x$") == "unheard x", "a look-up goes on where the table is ahead of us"


def test_plain_text_holds_no_latex():
    text = repr(notation())
    assert not re.search(r"[\\$]", text)
    assert all(len(line) <= 88 for line in text.splitlines())
    assert "g(s, s'): score" in text and "S_{k-1}" in text and "1{·}" in text and "μ_min, m" in text


def test_an_unknown_letter_names_what_is_near():
    with pytest.raises(ValueError, match=r"symbol is 'betta'; the course has no such letter\. Near: beta"):
        notation("betta")
    with pytest.raises(ValueError, match=r"no such letter\. notation\(\) shows all"):
        notation("Æ")


@given(st.text(max_size=12))
def test_any_text_is_answered(text):
    try:
        found = notation(text).found
    except ValueError as error:
        found = re.findall("^symbol is .*shows all$", str(error), re.DOTALL)
    assert found


def known_to_code():
    """Public names, their arguments, and the members of public classes."""
    for name in icrl_teach.__all__:
        thing = getattr(icrl_teach, name)
        yield name
        if inspect.isfunction(thing) or dataclasses.is_dataclass(thing):
            yield from inspect.signature(thing).parameters
        for member, value in vars(thing).items() if inspect.isclass(thing) else ():
            yield f"{member}()" if inspect.isfunction(value) else member


def test_a_name_in_code_is_one():
    known = set(known_to_code())
    assert {name for letter in table() for name in letter.code} <= known


def test_first_is_a_lesson():
    assert {letter.first for letter in table()} <= {path.stem[:2] for path in LESSONS}


def listed_as_new(text):
    """The symbols of a lesson's line of new letters; several may share their dollars."""
    line = re.search(r"New letters.*(?:\n(?!\s*\n).*)*", text)
    found = re.findall(r"\$([^$]+)\$", line[0]) if line else []
    return [part for each in found for part in re.sub(r"^\((.*)\)$", r"\1", each).replace("-", "").split(", ")]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_new_letter_of_a_lesson_is_in_the_table(path):
    text = "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    for symbol in listed_as_new(text):
        notation(symbol)


def test_new_letters_are_read_and_a_missing_one_is_noticed():
    text = "Before this: 02. **New letters:** $\\beta$ (sharp), $(a, -c)$,\nand $\\Omega$.\n\nWe set $q$."
    assert listed_as_new(text) == ["\\beta", "a", "c", "\\Omega"]
    with pytest.raises(ValueError, match="no such letter"):
        [notation(symbol) for symbol in listed_as_new(text)]


def test_a_package_without_the_table_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(symbols, "__file__", str(tmp_path / "icrl_teach" / "symbols.py"))
    with pytest.raises(FileNotFoundError, match="reinstall icrl-teach"):
        table.__wrapped__()
