"""A widget's redraw, picture encoding included, beside the bare minimum: an empty figure of the same panels."""

from __future__ import annotations

from importlib import import_module

import pytest

import guards
from icrl_teach import figures, widgets
from measure import milliseconds, ratio, take_turns, target


def redraws():
    for path in guards.LESSONS:
        for name, sources in guards.explorers(guards.read(path)):
            yield pytest.param(path.stem, name, sources, id=f"{path.stem}-{name}")


@pytest.mark.parametrize(("lesson", "name", "sources"), redraws())
def test_redraw_of_a_widget(benchmark, row, lesson, name, sources):
    draw = getattr(import_module(f"icrl_teach.views.lesson_{lesson[:2]}"), name)
    dials = {key: eval(source, vars(widgets).copy()) for key, source in sources.items()}
    values = {key: control.value for key, control in dials.items()}

    def empty() -> bytes:
        return figures.png_bytes(figures.new_figure(1, 2)[0], dpi=80)

    functions = {"redraw": lambda: figures.png_bytes(draw(**values).figure, dpi=80), "empty": empty}
    seconds = take_turns(functions, 15)
    benchmark.pedantic(functions["redraw"], rounds=5, warmup_rounds=1)
    row(
        "widgets",
        f"{name}, lesson {lesson[:2]}",
        milliseconds(seconds, "redraw"),
        "an empty figure of two panels",
        milliseconds(seconds, "empty"),
        f"{ratio(seconds, 'redraw', 'empty'):.2f}",
        target(min(seconds["redraw"]) <= 0.150, "within 150 ms (fastest of 15)"),
    )
