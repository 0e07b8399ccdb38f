"""Widget states: what a reader without a kernel sees of a widget, compared without its random model names."""

from __future__ import annotations

import json
from typing import Any

from nbformat import NotebookNode

from icrl_teach.validation import pictures
from icrl_teach.validation.documents import DATA_URI, WIDGET_STATE, WIDGET_VIEW

REFERENCE = "IPY_MODEL_"


def states(notebook: NotebookNode) -> dict[str, Any]:
    """The stored models by id."""
    return (notebook.metadata.get("widgets") or {}).get(WIDGET_STATE, {}).get("state", {})


def views(cell: NotebookNode) -> list[str]:
    """The ids of the models that a cell's outputs show."""
    found = (output.get("data", {}).get(WIDGET_VIEW) for output in cell.get("outputs", []))
    return [str(view.get("model_id", "")) for view in found if isinstance(view, dict)]


def tree(models: dict[str, Any], model_id: str, seen: tuple[str, ...] = ()) -> Any:
    """A model with the models it refers to in the place of their names; None where it is not stored."""
    if model_id in seen:
        return f"(model {seen.index(model_id)} above)"
    model = models.get(model_id)
    if not isinstance(model, dict):
        return None
    inside = (*seen, model_id)
    state = {key: _resolved(models, value, inside) for key, value in (model.get("state") or {}).items()}
    buffers = {"/".join(map(str, b.get("path", []))): b.get("data") for b in model.get("buffers") or []}
    return {"model": model.get("model_name"), "state": state, "buffers": buffers}


def _resolved(models: dict[str, Any], value: Any, seen: tuple[str, ...]) -> Any:
    if isinstance(value, str) and value.startswith(REFERENCE):
        return tree(models, value.removeprefix(REFERENCE), seen)
    if isinstance(value, list):
        return [_resolved(models, item, seen) for item in value]
    if isinstance(value, dict):
        return {key: _resolved(models, item, seen) for key, item in value.items()}
    return value


def differences(stored: Any, now: Any, limit: float, at: str = "") -> list[tuple[str, Any, Any]]:
    """Where two trees differ: (place, stored, now). JupyterLab leaves out what has its default value, so a key that
    only the fresh run has is no difference; nor are pictures that differ by at most `limit` per cent."""
    if isinstance(stored, dict) and isinstance(now, dict):
        pairs = [(f"{at}.{key}" if at else str(key), stored[key], now.get(key)) for key in stored]
    elif isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        pairs = [(f"{at}[{i}]", a, b) for i, (a, b) in enumerate(zip(stored, now, strict=True))]
    else:
        return [] if stored == now or _alike(stored, now, limit) else [(at, stored, now)]
    return [found for place, a, b in pairs for found in differences(a, b, limit, place)]


def _alike(stored: Any, now: Any, limit: float) -> bool:
    """Whether both are pictures, and the same to the eye: another processor's rounding moves a pixel."""
    found = [DATA_URI.fullmatch(value) if isinstance(value, str) else None for value in (stored, now)]
    if found[0] is None or found[1] is None:
        return False
    old, new = (pictures.picture(match[1], match[2]) for match in found if match)
    return pictures.compare(old, new).percent <= limit


def short(value: Any, width: int = 60) -> str:
    """A value as one short line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"
