"""Predictions: entered by widget or in code, marked by what a run computes, counted once and never too late."""

import contextlib

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from jaxtyping import TypeCheckError

from icrl_teach import predict, predictions
from icrl_teach.learner import Said
from icrl_teach.predictions import number_in, short_number
from odd_values import ODD

STATES = ("one", "two", "all")


@pytest.fixture(autouse=True)
def a_fresh_kernel(monkeypatch):
    monkeypatch.setattr(predictions, "_marks", {})


@pytest.fixture
def notebook(monkeypatch):
    """As in a notebook: what is displayed, as (bundles, controls)."""
    shown = []
    monkeypatch.setattr(InteractiveShell, "initialized", classmethod(lambda cls: True))
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    return shown


def ask(**more):
    return predict("04-states", "How many states does the query hear?", STATES, **more)


def last_line(capsys):
    return capsys.readouterr().out.splitlines()[-1]


def test_without_a_prediction_the_answer_is_given_and_nothing_is_counted(capsys):
    ask().answer("two")
    assert capsys.readouterr().out.splitlines() == [
        "Predict: How many states does the query hear? (one / two / all)",
        '(Where no field is shown, write it into the call: mine="...")',
        "Answer: two. No prediction was made.",
    ]


@pytest.mark.parametrize(("mine", "verdict"), [("two", "right"), ("all", "not this time")])
def test_a_choice_is_marked(mine, verdict, capsys):
    ask(mine=mine).answer("two")
    assert last_line(capsys) == f"Answer: two. You predicted {mine}: {verdict}."


@pytest.mark.parametrize("value", [0.5, np.float64(0.5), np.array(0.5), torch.tensor(0.5), np.float32(0.5)])
def test_a_number_is_marked_within_its_tolerance(value, capsys):
    for mine, verdict in ((0.55, "right"), ("0,45", "right"), ("11/20", "right"), (0.56, "not this time")):
        predictions._marks.clear()
        predict("05-rate", "By what factor?", within=0.05, mine=mine).answer(value)
        assert last_line(capsys) == f"Answer: 0.5. You predicted {mine}: {verdict}."


@given(st.floats(1e-3, 1e3), st.floats(0, 0.5), st.floats(-1, 1))
def test_a_relative_tolerance_is_a_share_of_the_answer(answer, share, off):
    predictions._marks.clear()
    predict("05-rate", "By what factor?", relative=share, mine=answer * (1 + off)).answer(answer)
    right = predictions._marks["05-rate"].right
    if abs(abs(off) - share) > 1e-9:
        assert right is (abs(off) < share)


def test_after_the_answer_a_prediction_is_not_counted(capsys):
    ask().answer("two")
    ask(mine="two").answer("two")
    assert last_line(capsys) == "Answer: two. You predicted two: right (not counted: the answer had been shown)."
    assert predictions._marks == {"04-states": Said(None, "two", False)}


def test_running_cells_again_counts_once_and_the_first_prediction_stays(capsys):
    first = ask(mine="all")
    first.answer("two")
    first.answer("all")
    first.say("one")
    ask(mine="two").answer("two")
    assert last_line(capsys) == "Answer: two. You predicted all: not this time."
    assert predictions._marks == {"04-states": Said("all", "two", False)}


def test_an_answer_that_is_no_option_is_a_bug_of_the_lesson():
    with pytest.raises(ValueError, match="answer to 04-states is 'three', which is none of one, two, all"):
        ask(mine="two").answer("three")
    with pytest.raises(ValueError, match="answer to 05-rate is nan"):
        predict("05-rate", "By what factor?", within=1).answer(np.nan)
    with pytest.raises(ValueError, match="answer to 05-rate is 'half'"):
        predict("05-rate", "By what factor?", within=1).answer("half")


def test_options_may_be_numbers(capsys):
    predict("04-k", "How wide?", options=(1, 2, 4), mine=2).answer(np.int64(2))
    assert last_line(capsys) == "Answer: 2. You predicted 2: right."


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        (("weights", "?"), {"within": 1}, "name is 'weights'"),
        (("4-weights", "?"), {"within": 1}, "name is '4-weights'"),
        ((4, "?"), {"within": 1}, "name is 4"),
        (("04-w", 3), {"within": 1}, "question is 3"),
        (("04-w", "?"), {}, "exactly one of options, within .* and relative"),
        (("04-w", "?", STATES), {"within": 1}, "exactly one of options"),
        (("04-w", "?", ("one",)), {}, "at least two"),
        (("04-w", "?", ("one", "one")), {}, "all different"),
        (("04-w", "?", "one"), {}, "options is 'one'"),
        (("04-w", "?", 7), {}, "options is 7"),
        (("04-w", "?"), {"within": -1}, "within is -1"),
        (("04-w", "?"), {"relative": "x"}, "relative is 'x'"),
        (("04-w", "?", STATES), {"mine": "three"}, "mine is 'three'; choose one of one, two, all"),
        (("04-w", "?"), {"within": 1, "mine": "many"}, "mine is 'many'; it must be a number"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, more, message):
    with pytest.raises(ValueError, match=message):
        predict(*arguments, **more)


@pytest.mark.parametrize("argument", ["name", "question", "options", "within", "relative", "mine", "answer"])
def test_odd_arguments_are_refused_or_understood(argument):
    for odd in ODD.values():
        arguments = {"name": "04-w", "question": "?", "within": 0.5, argument: odd}
        answer = arguments.pop("answer", 1.0)
        with contextlib.suppress(ValueError, TypeCheckError):
            predict(**arguments).answer(answer)


@pytest.mark.parametrize("text", ["", "abc", "1/0", "nan", "inf", "1,000,000", "1e999", "9" * 50, "1 2 %"])
def test_what_is_no_number(text):
    assert number_in(text) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_is_written(number):
    assert number_in(str(number)) == number


@given(st.floats(-1e12, 1e12, allow_nan=False))
def test_a_short_number_is_short_and_near(number):
    text = short_number(number)
    assert len(text) <= 14
    assert float(text) == pytest.approx(number, rel=6e-3, abs=1e-300)


def test_the_widget_takes_a_choice(notebook, capsys):
    guess = ask()
    (bundle,) = notebook
    question, radio, status = guess._controls.box.children
    assert bundle["text/plain"] == guess.text()
    assert bundle[predictions.WIDGET_VIEW]["model_id"] == guess._controls.box.model_id
    assert "How many states" in question.value and radio.options == STATES and radio.value is None
    assert radio.description == "Your prediction:" and "Nothing predicted yet" in status.value
    radio.value = "one"
    assert "Noted: one" in status.value
    radio.value = "two"
    guess.answer("two")
    assert last_line(capsys) == "Answer: two. You predicted two: right."
    assert radio.disabled and "right" in status.value
    radio.value = "one"  # a front end that is late
    guess.answer("two")
    assert last_line(capsys) == "Answer: two. You predicted two: right."


def test_the_widget_takes_a_number_and_says_what_is_none(notebook, capsys):
    guess = predict("05-rate", "By <what> factor?", within=0.1)
    question, field, status = guess._controls.box.children
    assert "By &lt;what&gt; factor?" in question.value
    field.value = "half"
    assert "no number" in status.value and guess.said is None
    field.value = "1/2"
    assert "Noted: 1/2" in status.value
    field.value = ""
    assert guess.said is None
    field.value = "0.5"
    guess.answer(0.55)
    assert last_line(capsys) == "Answer: 0.55. You predicted 0.5: right."
    again = predict("05-rate", "By what factor?", within=0.1)
    _, field, status = again._controls.box.children
    assert field.disabled and field.value == "0.5" and "counts once" in status.value


def test_a_number_is_told_right_at_the_edge_of_its_tolerance():
    predict("05-rate", "?", within=0.1, mine=0.3).answer(0.2)
    assert predictions._marks["05-rate"].right


def test_stored_outputs_are_those_of_one_who_entered_nothing_and_repeat(tmp_path):
    from icrl_teach.validation import Settings, validate

    cells = [
        'from icrl_teach import predict\nguess = predict("04-w", "How many?", options=("one", "two"))',
        'guess.answer("two")',
        'rate = predict("04-r", "How fast?", within=0.1)\nrate.answer(0.25)',
    ]
    path = tmp_path / "lesson.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    validate([path], Settings(), store=True)
    report = validate([path], Settings(repeat=2))
    assert [finding.line() for finding in report.findings] == []
    assert "No prediction was made." in path.read_text()
