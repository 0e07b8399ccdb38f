"""Widget states: what a reader without a kernel sees of a widget, compared without its random model names."""

from __future__ import annotations

import json
from typing import Any

from nbformat import NotebookNode

from icrl_teach.validation.documents import WIDGET_STATE, WIDGET_VIEW

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


def differences(stored: Any, now: Any, at: str = "") -> list[tuple[str, Any, Any]]:
    """Where two trees differ: (place, stored, now). JupyterLab leaves out what has its default value, so a key that
    only the fresh run has is no difference."""
    if isinstance(stored, dict) and isinstance(now, dict):
        return [d for key in stored for d in differences(stored[key], now.get(key), f"{at}.{key}" if at else str(key))]
    if isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        return [d for i, (a, b) in enumerate(zip(stored, now, strict=True)) for d in differences(a, b, f"{at}[{i}]")]
    return [] if stored == now else [(at, stored, now)]


def short(value: Any, width: int = 60) -> str:
    """A value as one short line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"
