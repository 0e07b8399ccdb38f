"""Predictions: a question before a run, answered by the learner, and marked by what the run computes.

    guess = predict("04-weights", "How many states does the query hear?", options=("one", "two", "all"))
    ...
    guess.answer("one" if listeners == 1 else "all")

A prediction counts once, and only if it was made before its answer was first shown.
"""

from __future__ import annotations

import html
import math
import re
import textwrap
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from icrl_teach import learner
from icrl_teach._door import door
from icrl_teach._validate import check_finite, check_text, shown
from icrl_teach.learner import Said

if TYPE_CHECKING:
    import ipywidgets

WIDTH = 88  # of what is printed
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


_marks: dict[str, Said] = {}  # of this kernel: running a cell again counts nothing twice, kept on disk or not


@door
def predict(
    name: str,
    question: str,
    options: Sequence[Any] = (),
    *,
    within: float | None = None,
    relative: float | None = None,
    mine: Any = None,
) -> Prediction:
    """Ask before the run: shows the options as radio buttons, or without options a field for a number.

    name: "LL-word", with the lesson's number. Exactly one of: options, at least two, shown as text; within, how far a
    number may be off; relative, the same as a share of the answer (0.1 is 10 per cent). mine: the learner's
    prediction, where a front end shows no widgets. The answer comes with `.answer(value)`, after the run.
    Raises ValueError for a name, options, tolerances or a prediction that do not fit.
    """
    guess = Prediction(name, question, options, within, relative)
    if mine is not None:
        guess.say(mine)
    guess.show()
    return guess


class Prediction:
    """One question; see `predict`. `said` is what the learner has predicted so far, as text, or None."""

    def __init__(
        self,
        name: str,
        question: str,
        options: Sequence[Any] = (),
        within: float | None = None,
        relative: float | None = None,
    ) -> None:
        if not re.fullmatch(r"\d\d-[a-z0-9]+(-[a-z0-9]+)*", check_text("name", name)):
            raise ValueError(f'name is {shown(name)}; it must be the lesson\'s number and a word, such as "04-weights"')
        self.name, self.question = name, " ".join(check_text("question", question).split())
        if len({_text(each) for each in options}) != len(options) or len(options) == 1:
            raise ValueError(f"options is {shown(options)}; give at least two, all different")
        if sum([len(options) > 0, within is not None, relative is not None]) != 1:
            raise ValueError("give exactly one of options, within (how far off) and relative (as a share)")
        for label, value in (("within", within), ("relative", relative)):
            if value is not None and check_finite(label, value) < 0:
                raise ValueError(f"{label} is {shown(value)}; it must not be negative")
        self.options, self.within, self.relative = tuple(map(_text, options)), within, relative
        self.marked = _marks.get(name) or learner.marked(name)
        self.said = self.marked.said if self.marked else None
        self._answered = False
        self._controls: _Controls | None = None

    def say(self, value: Any) -> None:
        """Take the learner's prediction. Raises ValueError for what is no option, or no number."""
        if self._closed:
            return
        text = _text(value).strip()
        if self.options and text not in self.options:
            raise ValueError(f"mine is {shown(value)}; choose one of {', '.join(self.options)}")
        if not self.options and number_in(text) is None:
            raise ValueError(f"mine is {shown(value)}; it must be a number, such as 0.5 or 1/2")
        self.said = text

    def answer(self, value: Any) -> None:
        """Print the answer, what was said, and whether that was right. Raises ValueError if it is no option."""
        text, right = self._choice(value) if self.options else self._number(_plain(value))
        late = self.marked is not None and self.marked.said is None
        if self.marked is None:
            self.marked = _marks[self.name] = Said(self.said, text, right)
            learner.mark(self.name, self.marked)
        self._answered = True
        verdict = self._verdict(right, late)
        if self._controls is not None:
            self._controls.close(verdict)
        print(textwrap.fill(f"Answer: {text}. {verdict}", WIDTH))

    def show(self) -> None:
        """Show the question: a widget where there is a notebook, and text everywhere."""
        from IPython.core.interactiveshell import InteractiveShell
        from IPython.display import display

        if not InteractiveShell.initialized():
            print(self.text())
            return
        self._controls = _Controls(self)
        view = {"version_major": 2, "version_minor": 0, "model_id": self._controls.box.model_id}
        display({WIDGET_VIEW: view, "text/plain": self.text()}, raw=True)

    def text(self) -> str:
        """The question as text, for who sees no widget."""
        choices = f" ({' / '.join(self.options)})" if self.options else ""
        how = 'mine="..."' if self.options else "mine=..."
        lines = (f"Predict: {self.question}{choices}", f"(Where no field is shown, write it into the call: {how})")
        return "\n".join(textwrap.fill(line, WIDTH) for line in lines)

    @property
    def status(self) -> str:
        """One line that says how things stand, for the widget."""
        if self.marked is not None and self.marked.said is not None:
            return f"You predicted {self.marked.said}; it counts once."
        if self.marked is not None:
            return "The answer was shown already, so a prediction counts no more."
        return "Nothing predicted yet." if self.said is None else f"Noted: {self.said}. The run will tell."

    @property
    def _closed(self) -> bool:
        return self._answered or (self.marked is not None and self.marked.said is not None)

    def _choice(self, value: Any) -> tuple[str, bool]:
        """An answer among the options: its text, and whether it is what was said."""
        if (text := _text(value)) not in self.options:
            raise ValueError(f"the answer to {self.name} is {shown(value)}, which is none of {', '.join(self.options)}")
        return text, text == self.said

    def _number(self, value: Any) -> tuple[str, bool]:
        """An answer that is a number: its text, and whether what was said lies near enough."""
        answer = check_finite(f"the answer to {self.name}", value)
        text = str(value) if isinstance(value, int) else short_number(answer)
        if self.said is None:
            return text, False
        allowed = self.within if self.within is not None else (self.relative or 0.0) * abs(answer)
        # what is typed and what is computed are rounded: 0.3 is within 0.1 of 0.2
        return text, abs((number_in(self.said) or 0.0) - answer) <= allowed + 1e-12 * max(1.0, abs(answer))

    def _verdict(self, right: bool, late: bool) -> str:
        if self.said is None:
            return "No prediction was made."
        counted = " (not counted: the answer had been shown)" if late else ""
        return f"You predicted {self.said}: {'right' if right else 'not this time'}{counted}."


def number_in(text: str) -> float | None:
    """The number that a learner wrote, such as 0.5, 0,5 or 1/2; None if it is none.

    >>> number_in("0,5"), number_in("1/2"), number_in("half")
    (0.5, 0.5, None)
    """
    text = text.strip().replace(",", ".") if text.count(",") == 1 and "." not in text else text.strip()
    try:
        number = float(Fraction(text.replace(" ", ""))) if len(text) <= 40 else math.nan
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def short_number(value: float) -> str:
    """A number with about three digits, and no powers of ten for everyday sizes.

    >>> short_number(12345.6), short_number(2 / 3), short_number(1e-16)
    ('12346', '0.667', '1e-16')
    """
    return f"{value:.0f}" if 999.5 <= abs(value) < 1e9 else f"{value:.3g}"


def _plain(value: Any) -> Any:
    """NumPy's and torch's single numbers as Python's own."""
    return value.item() if hasattr(value, "item") and math.prod(getattr(value, "shape", (0,))) == 1 else value


def _text(value: Any) -> str:
    """What is compared and shown: a number or a text as text, anything else as messages show it."""
    value = _plain(value)
    return str(value) if isinstance(value, str | int | float) else shown(value)


class _Controls:
    """The widget of a prediction: the question, radio buttons or a field, and a line that says how things stand."""

    def __init__(self, guess: Prediction) -> None:
        import ipywidgets

        self.guess = guess
        question = ipywidgets.HTML(f"<p><b>Predict</b> {html.escape(guess.question)}</p>")
        self.entry: ipywidgets.Widget = self._radio() if guess.options else self._field()
        self.entry.observe(self._entered, names="value")
        self.status = ipywidgets.HTML()
        self._say(guess.status)
        self.entry.disabled = guess._closed
        self.box = ipywidgets.VBox([question, self.entry, self.status])

    def _radio(self) -> ipywidgets.RadioButtons:
        import ipywidgets

        options, said = self.guess.options, self.guess.said
        return ipywidgets.RadioButtons(
            options=options,
            value=said if said in options else None,
            description="Your prediction:",
            style={"description_width": "initial"},
            layout=ipywidgets.Layout(width="auto"),
        )

    def _field(self) -> ipywidgets.Text:
        import ipywidgets

        return ipywidgets.Text(
            value=self.guess.said or "",
            description="Your prediction:",
            placeholder="a number",
            continuous_update=False,
            style={"description_width": "initial"},
        )

    def _entered(self, change: Any) -> None:
        if self.guess._closed:
            return
        if not change["new"]:  # taken back
            self.guess.said = None
        else:
            try:
                self.guess.say(change["new"])
            except ValueError:
                self.guess.said = None
                self._say("That is no number; write one such as 0.5 or 1/2.")
                return
        self._say(self.guess.status)

    def _say(self, text: str) -> None:
        self.status.value = f'<span role="status">{html.escape(text)}</span>'

    def close(self, verdict: str) -> None:
        """Take nothing more, and say what became of it."""
        self.entry.disabled = True
        self._say(verdict)
