"""Questions for class, quiz and exam: each number found again by another road, and files that others can read."""

from __future__ import annotations

import io
import re
import tomllib
import xml.etree.ElementTree as ET
import zipfile
from math import ceil, log

import numpy as np
import pytest

import questions as tool
import quiz_formats as formats
from icrl_teach.standing import parts

ASKED = tool.questions()
STORED = tomllib.loads(tool.SOURCE.read_text(encoding="utf-8"))["question"]
NUMERIC = [one for one in STORED if one["kind"] == "number"]
BANK = [one for one in ASKED if one.lesson != "exam"]
QTI = f"{{{formats.QTI}}}"
MATHML = "{http://www.w3.org/1998/Math/MathML}"


# The other road: plain Python, no library, mostly the recipe of a pencil.


def repeated(step, start, times=20_000):
    for _ in range(times):
        start = step(start)
    return start


def machine(r, gamma):
    good_worn_broken = lambda v: (
        r[0] + gamma * (v[0] + v[1]) / 2,
        r[1] + gamma * (v[1] + v[2]) / 2,
        r[2] + gamma * v[0],
    )
    return repeated(good_worn_broken, (0.0, 0.0, 0.0), 2000)[1]


def two_state_batch_td(walk, r, gamma):
    def sweep(v):
        errors = [[], []]
        for k, reward in enumerate(r):
            errors[walk[k]].append(reward + gamma * v[walk[k + 1]] - v[walk[k]])
        return [value + sum(own) / len(own) for value, own in zip(v, errors, strict=True)]

    return repeated(sweep, [0.0, 0.0], 2000)[0]


def one_feature_td(x, r, gamma):
    step = lambda w: w + 0.01 * sum((r[k] + gamma * x[k + 1] * w - x[k] * w) * x[k] for k in range(len(r)))
    return repeated(step, 0.0)


def shares(powers):
    return [power / sum(powers) for power in powers]


def first_below(start, factor, wanted):
    count = 0
    while start > wanted * (1 + 1e-12):
        start, count = start * factor, count + 1
    return count


def sharp_layers(r, gamma):
    """Target memory of the first A after two layers of the walk A, B, A."""
    a, b, target_a, target_b = 0.0, 0.0, 0.0, 0.0
    for _ in range(2):
        a, b = a + (r[0] + target_a - a), b + (r[1] + target_b - b)
        target_a, target_b = gamma * b, gamma * a
    return target_a


def slope_with_the_target_held(c, r, gamma):
    target, half = r + gamma * c[1], 1e-5
    square = lambda theta: (target - c[0] * theta) ** 2
    return (square(1 + half) - square(1 - half)) / (2 * half)


def mean_cut_loss(ended, cut, r, gamma):
    after_a = [gamma * r] * ended + [0.0] * cut  # what each step out of A leads to, cuts taken for ends
    return gamma * r - sum(after_a) / len(after_a)


ANOTHER_ROAD = {
    "01-return": lambda r, gamma: r[0] + gamma * (r[1] + gamma * r[2]),
    "02-iterations": lambda gamma, error, wanted: first_below(error, gamma, wanted),
    "03-lstd": one_feature_td,
    "04-share": lambda k, own, rest: sum(shares([k] * own + [1] * rest)[:own]),
    "05-bound": lambda m, gamma: abs(1 - m) + abs(1 - m) + gamma,
    "06-temperature": lambda g, e: next(b for b in np.arange(0, 9, 1e-4) if np.exp(b * (g[0] - g[1])) >= e[0] / e[1]),
    "07-news": lambda r, k, gamma: r * gamma**k,
    "08-longer": lambda n, floor, wanted: next(m for m in range(n, 10**6) if floor * (n / m) ** 0.5 <= wanted + 1e-12),
    "09-windows": lambda m, n: len([start for start in range(m) if start + n < m]),
    "10-horizon": lambda gamma, a, b, c: b / (c / gamma),
    "12-columns": lambda ended, cut, open: len("s" * ended + "s" * cut + "l" + "s" * open + "q"),
    "13-mean": lambda n, q: float(np.mean([value for count, value in zip(n, q, strict=True) for _ in range(count)])),
    "14-chance": lambda given, k, n: given / sum(1 / n for _ in range(k)),
    "exam-01": machine,
    "exam-02": lambda v, r, gamma, alpha: (1 - alpha) * v[1] + alpha * (r + gamma * v[2]),
    "exam-03": two_state_batch_td,
    "exam-04": lambda w, r, gamma, alpha: w[0] + alpha * (r + gamma * w[1] - (w[0] + w[1])),
    "exam-05": lambda v, g, e: v + sum(s * d for s, d in zip(shares([2**x for x in g]), e, strict=True)),
    "exam-06": lambda m, gamma: ceil(log(0.01) / log(2 * (1 - min(m)) + gamma)),
    "exam-07": lambda e, r: (e[0] * r[0] + e[1] * r[1]) / (1 - e[2]),
    "exam-08": sharp_layers,
    "exam-09": slope_with_the_target_held,
    "exam-10": lambda gamma, a, b, c, r: repeated(lambda v: v + 0.5 * (a * r + b * gamma * v - c * v), 0.0),
    "exam-11": mean_cut_loss,
    "exam-12": lambda left, x, y, gamma: gamma * (x - y) / 2,
}


@pytest.mark.parametrize("one", NUMERIC, ids=lambda one: one["id"])
def test_a_number_is_found_by_another_road_too(one):
    for variant, given in one["variants"].items():
        said = next(asked for asked in ASKED if asked.name == f"{one['id']}-{variant}")
        close = max(said.within / 5, 1e-9)
        assert abs(said.answer - ANOTHER_ROAD[one["id"]](**given)) < close
        assert said.answer == pytest.approx(float(tool.shown(said.answer, said.within)), abs=said.within or 1e-12)


@pytest.mark.parametrize("one", NUMERIC, ids=lambda one: one["id"])
def test_variants_differ_in_text_and_answer_by_more_than_is_accepted(one):
    a, b = (asked for asked in ASKED if asked.name.rsplit("-", 1)[0] == one["id"])
    assert a.text != b.text and abs(a.answer - b.answer) > 2 * a.within and a.within == b.within


@pytest.mark.parametrize("one", [one for one in ASKED if one.options], ids=lambda one: one.name)
def test_options_are_distinct_and_one_is_right(one):
    source = next(stored for stored in STORED if stored["id"] == one.name)
    assert len(one.options) == len({option.strip().lower() for option in one.options}) >= 3
    assert one.options[int(one.answer)] == source["right"]


def test_there_are_twelve_exam_questions_and_three_to_choose_for_each_lesson():
    assert len([one for one in ASKED if one.lesson == "exam"]) == 2 * 12
    numbers = [part.number for part in parts()]
    assert all(len([one for one in ASKED if one.lesson == n and one.options]) == 3 for n in numbers)
    assert len({one.name for one in ASKED}) == len(ASKED)
    places = {int(one.answer) for one in ASKED if one.options}
    assert places >= {0, 1, 2, 3}, "the right option is not always at the same place"
    assert f"\n{len(BANK)} questions" in (tool.FOLDER / "exam.md").read_text(encoding="utf-8")


def test_nothing_is_left_to_be_filled_in():
    for one in ASKED:
        assert not re.search(r"<<|>>|0000000\d|\bnan\b", one.text + one.why), one.name


def test_pages_are_what_the_source_says():
    for page in sorted(tool.FOLDER.glob("lesson-*.md")):
        text = page.read_text(encoding="utf-8")
        assert "## Clicker questions\n" in text
        assert text == tool.with_clickers(text, tool.clickers(page.stem[-2:], ASKED)), "python tools/questions.py pages"
    for name, solved in {"exam-questions.md": False, "exam-solutions.md": True}.items():
        assert (tool.FOLDER / name).read_text(encoding="utf-8") == tool.exam(ASKED, solved)


def test_the_exam_without_solutions_holds_none():
    questions, solutions = tool.exam(ASKED, solved=False), tool.exam(ASKED, solved=True)
    for one in ASKED:
        if one.lesson == "exam":
            assert one.text in questions and one.why not in questions and one.why in solutions


# Moodle XML, by the rules of its documentation


@pytest.fixture(scope="module")
def moodle():
    return ET.fromstring(formats.moodle_xml(BANK))


def test_moodle_reads_each_question_once_in_a_category_of_its_lesson(moodle):
    assert moodle.tag == "quiz" and {one.tag for one in moodle} == {"question"}
    lesson, found = "", []
    for one in moodle:
        if one.get("type") == "category":
            lesson = one.findtext("category/text")[-2:]
        else:
            found.append((one.findtext("name/text"), lesson))
    assert found == [(one.name, one.lesson) for one in BANK]


def test_moodle_questions_have_what_their_type_needs(moodle):
    by_name = {one.name: one for one in BANK}
    for made in moodle.iterfind("question"):
        if made.get("type") == "category":
            continue
        one, answers = by_name[made.findtext("name/text")], made.findall("answer")
        assert made.find("questiontext").get("format") == "html" and made.findtext("generalfeedback/text")
        assert sorted(int(a.get("fraction")) for a in answers) == [0] * (len(answers) - 1) + [100]
        if made.get("type") == "multichoice":
            assert made.findtext("single") == "true" and made.findtext("answernumbering") == "ABCD"
            right = next(a for a in answers if a.get("fraction") == "100").findtext("text")
            assert right == formats.as_html(one.options[int(one.answer)]).strip()
        else:
            assert made.get("type") == "numerical"
            assert float(answers[0].findtext("text")) == pytest.approx(one.answer, rel=1e-11)
            assert float(answers[0].findtext("tolerance")) == one.within


def test_formulas_stand_in_the_form_that_each_system_reads():
    one = formats.Question("x", "01", r"If $a < b$ & `c < d`, then $\frac{1}{n}$?", "so", ("$x$", "y"), 0)
    moodle = ET.fromstring(formats.moodle_xml([one])).findtext("question/questiontext/text")
    assert r"\(a &lt; b\)" in moodle and r"\(\frac{1}{n}\)" in moodle and "$" not in moodle
    item = ET.fromstring(formats.qti_item(one))
    assert len(item.findall(f".//{MATHML}math")) == 3 and item.find(f".//{MATHML}mfrac") is not None
    assert "<" in "".join(item.find(f"{QTI}itemBody").itertext()) and "$" not in "".join(item.itertext())


def test_no_formula_is_left_as_text():
    for made in ET.fromstring(formats.moodle_xml(BANK)).iterfind(".//text"):
        text = made.text.removeprefix("$course$")
        assert "$" not in text, text
    for one in BANK:
        assert not set("$\\") & set("".join(ET.fromstring(formats.qti_item(one)).itertext())), one.name


# QTI 2.1: order of elements, identifiers and references as the specification gives them, and a scorer of our own

ORDER = ["responseDeclaration", "outcomeDeclaration", "itemBody", "responseProcessing", "modalFeedback"]


@pytest.fixture(scope="module")
def package():
    archive = zipfile.ZipFile(io.BytesIO(formats.qti_package(BANK)))
    assert archive.testzip() is None
    return {name: ET.fromstring(archive.read(name)) for name in archive.namelist()}


def test_the_manifest_names_each_item_and_nothing_else(package):
    space = f"{{{formats.PACKAGE}}}"
    manifest = package["imsmanifest.xml"]
    assert [child.tag for child in manifest] == [space + tag for tag in ("metadata", "organizations", "resources")]
    resources = manifest.findall(f"{space}resources/{space}resource")
    assert {resource.get("type") for resource in resources} == {"imsqti_item_xmlv2p1"}
    assert [r.get("href") for r in resources] == [r.find(f"{space}file").get("href") for r in resources]
    assert {resource.get("href") for resource in resources} == set(package) - {"imsmanifest.xml"}
    identifiers = [resource.get("identifier") for resource in resources]
    assert len(set(identifiers)) == len(identifiers) == len(BANK)


def score(item: ET.Element, response: str) -> float:
    """What an item's own response processing gives to a response."""
    right = item.findtext(f"{QTI}responseDeclaration/{QTI}correctResponse/{QTI}value")
    processing = item.find(f"{QTI}responseProcessing")
    if processing.get("template"):
        assert processing.get("template").endswith("/match_correct")
        return float(response == right)
    equal = processing.find(f"{QTI}responseCondition/{QTI}responseIf/{QTI}equal")
    assert [child.tag for child in equal] == [f"{QTI}variable", f"{QTI}correct"]
    exact = equal.get("toleranceMode") == "exact"
    assert exact or equal.get("toleranceMode") == "absolute"
    met = abs(float(response) - float(right)) <= (0 if exact else float(equal.get("tolerance")))
    value = processing.findtext(f".//{QTI}setOutcomeValue/{QTI}baseValue")
    return float(value) if met else 0.0


@pytest.mark.parametrize("one", BANK, ids=lambda one: one.name)
def test_an_item_is_built_as_specified_and_scores_itself(package, one):
    item = package[f"items/{one.name}.xml"]
    tags = [child.tag.removeprefix(QTI) for child in item]
    assert sorted(tags, key=ORDER.index) == tags and set(tags) == set(ORDER)
    assert re.fullmatch(r"[A-Za-z_][\w.-]*", item.get("identifier"))
    declared = item.find(f"{QTI}responseDeclaration")
    body = item.find(f"{QTI}itemBody")
    asked = body.find(f".//*[@responseIdentifier='{declared.get('identifier')}']")
    outcomes = {outcome.get("identifier") for outcome in item.findall(f"{QTI}outcomeDeclaration")}
    assert {"SCORE", item.find(f"{QTI}modalFeedback").get("outcomeIdentifier")} <= outcomes
    if one.options:
        choices = [choice.get("identifier") for choice in asked.findall(f"{QTI}simpleChoice")]
        assert asked.tag == f"{QTI}choiceInteraction" and len(set(choices)) == len(one.options)
        assert [score(item, choice) for choice in choices] == [float(k == one.answer) for k in range(len(choices))]
    else:
        assert asked.tag == f"{QTI}textEntryInteraction" and declared.get("baseType") == "float"
        near, far = one.answer + 0.9 * one.within, one.answer + 1.5 * one.within + (one.within == 0)
        assert [score(item, str(said)) for said in (one.answer, near, far)] == [1, 1, 0]


def test_the_same_bank_makes_the_same_bytes():
    again = [one for one in tool.questions() if one.lesson != "exam"]
    assert formats.qti_package(BANK) == formats.qti_package(again)
