"""The shape of a notebook of nbformat 4: what must be an object, a list or text before anything else can read it.

nbformat's own reader meets a wrong shape with an AttributeError that names no place; this names the place.
"""

from __future__ import annotations

from typing import Any

NAMES = {dict: "an object", list: "a list", str: "text", int: "a whole number", bool: "true or false"}
CELLS = ("code", "markdown", "raw")
OUTPUTS = {"stream": "text", "display_data": "data", "execute_result": "data", "error": "ename"}
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


class Misshapen(ValueError):
    """The notebook's shape is wrong; the text says where and how."""


def check(raw: dict[str, Any]) -> None:
    """Raise Misshapen at the first part of a parsed notebook (a JSON object) that has not the shape of nbformat 4."""
    metadata = _part(raw, "metadata", "the notebook", dict)
    for key in ("kernelspec", "language_info", "widgets"):
        _part(metadata, key, "the notebook's metadata", dict, optional=True)
    _widgets(metadata.get("widgets") or {})
    for index, cell in enumerate(_part(raw, "cells", "the notebook", list)):
        _cell(_is(cell, dict, f"cell {index}"), f"cell {index}")


def _widgets(widgets: dict[str, Any]) -> None:
    state = _part(widgets, WIDGET_STATE, "metadata.widgets", dict, optional=True)
    models = _part(state or {}, "state", "the widgets' state", dict, optional=True)
    for name, model in (models or {}).items():
        _part(_is(model, dict, f"widget {name}"), "state", f"widget {name}", dict, optional=True)


def _cell(cell: dict[str, Any], place: str) -> None:
    kind = cell.get("cell_type")
    if kind not in CELLS:
        raise Misshapen(f"{place}: cell_type is {kind!r}, none of {', '.join(CELLS)}")
    _part(cell, "metadata", place, dict, optional=True)
    _text(cell, "source", place)
    if attachments := _part(cell, "attachments", place, dict, optional=True):
        for name in attachments:
            _part(attachments, name, f"{place}, attachments", dict)
    if kind == "code":
        _part(cell, "execution_count", place, int, optional=True)
        for number, output in enumerate(_part(cell, "outputs", place, list, optional=True) or []):
            _output(_is(output, dict, f"{place}, output {number}"), f"{place}, output {number}")


def _output(output: dict[str, Any], place: str) -> None:
    kind = output.get("output_type")
    if kind not in OUTPUTS:
        raise Misshapen(f"{place}: output_type is {kind!r}, none of {', '.join(OUTPUTS)}")
    _part(output, "metadata", place, dict, optional=True)
    if OUTPUTS[kind] == "data":
        _part(output, "data", place, dict)
    elif kind == "stream":
        _text(output, "text", place)
        _part(output, "name", place, str)
    else:
        _part(output, "ename", place, str)
        _part(output, "evalue", place, str)
        _part(output, "traceback", place, list)


def _text(node: dict[str, Any], key: str, place: str) -> None:
    """Text, or a list of lines."""
    if isinstance(node.get(key), list):
        for line in node[key]:
            _is(line, str, f"{place}: a line of {key}")
    else:
        _part(node, key, place, str)


def _part(node: dict[str, Any], key: str, place: str, kind: type, optional: bool = False) -> Any:
    if key not in node and not optional:
        raise Misshapen(f"{place} has no {key}")
    if optional and node.get(key) is None:
        return None
    return _is(node[key], kind, f"{place}: {key}")


def _is(value: Any, kind: type, place: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        found = "null" if value is None else NAMES.get(type(value), "a number")
        raise Misshapen(f"{place} is {found}, not {NAMES[kind]}")
    return value
