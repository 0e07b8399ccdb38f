"""A quiz bank as learning systems read it: Moodle XML, and a package of QTI 2.1.

Texts are Markdown with formulas between dollar signs. Moodle's filter reads formulas as TeX between backslash brackets;
QTI has MathML for them.

Sources: Moodle's documentation of its XML format; 1EdTech, *Question and Test Interoperability*, version 2.1, and its
packaging rules (an item is a resource of the type imsqti_item_xmlv2p1).
"""

from __future__ import annotations

import html
import io
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from markup import as_html, with_mathml

QTI = "http://www.imsglobal.org/xsd/imsqti_v2p1"
QTI_SCHEMA = "http://www.imsglobal.org/xsd/qti/qtiv2p1/imsqti_v2p1.xsd"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
PACKAGE = "http://www.imsglobal.org/xsd/imscp_v1p1"
MATCH = "http://www.imsglobal.org/question/qti_v2p1/rptemplates/match_correct"
A_DAY = (1980, 1, 1, 0, 0, 0)  # of every file in a package, so that the same bank makes the same bytes
CATEGORY = "$course$/In-context reinforcement learning"


@dataclass(frozen=True)
class Question:
    """One question as it is asked: its text, why the answer is right, and the answer: the place of the right option
    among `options`, or a number with what is accepted around it. `lesson` is two digits, or "exam"."""

    name: str
    lesson: str
    text: str
    why: str
    options: tuple[str, ...] = ()
    answer: float = 0
    within: float = 0


def moodle_xml(bank: Sequence[Question]) -> str:
    """The bank for "Import questions, Moodle XML format": a category a lesson."""
    quiz, lesson = ET.Element("quiz"), ""
    for one in bank:
        if one.lesson != lesson:
            lesson = one.lesson
            category = ET.SubElement(ET.SubElement(quiz, "question", type="category"), "category")
            ET.SubElement(category, "text").text = f"{CATEGORY}/Lesson {lesson}"
        quiz.append(_moodle_question(one))
    ET.indent(quiz)
    return ET.tostring(quiz, encoding="unicode", xml_declaration=True) + "\n"


def _moodle_question(one: Question) -> ET.Element:
    made = ET.Element("question", type="multichoice" if one.options else "numerical")
    ET.SubElement(ET.SubElement(made, "name"), "text").text = one.name
    _moodle_text(made, "questiontext", one.text)
    _moodle_text(made, "generalfeedback", one.why)
    settings = {"defaultgrade": "1", "penalty": "0.3333333", "hidden": "0", "idnumber": one.name}
    if one.options:
        settings |= {"single": "true", "shuffleanswers": "true", "answernumbering": "ABCD"}
    for name, value in settings.items():
        ET.SubElement(made, name).text = value
    for place, option in enumerate(one.options):
        _moodle_text(made, "answer", option, fraction="100" if place == one.answer else "0")
    if not one.options:
        answer = ET.SubElement(made, "answer", fraction="100", format="moodle_auto_format")
        ET.SubElement(answer, "text").text = f"{one.answer:.12g}"
        ET.SubElement(answer, "tolerance").text = f"{one.within:g}"
    return made


def _moodle_text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    element = ET.SubElement(parent, tag, format="html", **attributes)
    ET.SubElement(element, "text").text = as_html(text).strip()


def qti_package(bank: Sequence[Question]) -> bytes:
    """The bank as a zip of QTI 2.1 items with their manifest."""
    manifest = ET.Element("manifest", xmlns=PACKAGE, identifier="icrl-quiz")
    metadata = ET.SubElement(manifest, "metadata")
    ET.SubElement(metadata, "schema").text = "QTIv2.1 Package"
    ET.SubElement(metadata, "schemaversion").text = "1.0.0"
    ET.SubElement(manifest, "organizations")
    resources, memory = ET.SubElement(manifest, "resources"), io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in bank:
            name = f"items/{one.name}.xml"
            _store(archive, name, qti_item(one))
            resource = ET.SubElement(
                resources, "resource", identifier=f"item-{one.name}", type="imsqti_item_xmlv2p1", href=name
            )
            ET.SubElement(resource, "file", href=name)
        ET.indent(manifest)
        _store(archive, "imsmanifest.xml", ET.tostring(manifest, encoding="unicode", xml_declaration=True))
    return memory.getvalue()


def _store(archive: zipfile.ZipFile, name: str, content: str) -> None:
    archive.writestr(zipfile.ZipInfo(name, A_DAY), content, zipfile.ZIP_DEFLATED)


def qti_item(one: Question) -> str:
    """One question as a QTI 2.1 assessmentItem."""
    body = _choice_body(one) if one.options else _number_body(one)
    right = f"option-{int(one.answer)}" if one.options else f"{one.answer:.12g}"
    kind = "identifier" if one.options else "float"
    scored = f'<responseProcessing template="{MATCH}"/>' if one.options else _within(one.within)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<assessmentItem xmlns="{QTI}" xmlns:xsi="{XSI}" xsi:schemaLocation="{QTI} {QTI_SCHEMA}"
    identifier="item-{one.name}" title="{html.escape(one.name)}" adaptive="false" timeDependent="false">
  <responseDeclaration identifier="RESPONSE" cardinality="single" baseType="{kind}">
    <correctResponse><value>{right}</value></correctResponse>
  </responseDeclaration>
  <outcomeDeclaration identifier="SCORE" cardinality="single" baseType="float">
    <defaultValue><value>0</value></defaultValue>
  </outcomeDeclaration>
  <outcomeDeclaration identifier="FEEDBACK" cardinality="single" baseType="identifier">
    <defaultValue><value>why</value></defaultValue>
  </outcomeDeclaration>
  <itemBody>
{body}
  </itemBody>
  {scored}
  <modalFeedback outcomeIdentifier="FEEDBACK" identifier="why" showHide="show">{with_mathml(one.why)}</modalFeedback>
</assessmentItem>
"""


def _choice_body(one: Question) -> str:
    options = "\n".join(
        f'      <simpleChoice identifier="option-{place}">{with_mathml(option)}</simpleChoice>'
        for place, option in enumerate(one.options)
    )
    return f"""    {with_mathml(one.text)}
    <choiceInteraction responseIdentifier="RESPONSE" shuffle="true" maxChoices="1">
{options}
    </choiceInteraction>"""


def _number_body(one: Question) -> str:
    return f"""    {with_mathml(one.text)}
    <p><textEntryInteraction responseIdentifier="RESPONSE" expectedLength="10"/></p>"""


def _within(tolerance: float) -> str:
    mode = f'toleranceMode="absolute" tolerance="{tolerance:g}"' if tolerance else 'toleranceMode="exact"'
    return f"""<responseProcessing>
    <responseCondition>
      <responseIf>
        <equal {mode}><variable identifier="RESPONSE"/><correct identifier="RESPONSE"/></equal>
        <setOutcomeValue identifier="SCORE"><baseValue baseType="float">1</baseValue></setOutcomeValue>
      </responseIf>
    </responseCondition>
  </responseProcessing>"""
