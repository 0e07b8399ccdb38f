"""A check is data: cases, an oracle, and the usual mistakes, each as the function a learner would have written.

`Check` calls the learner's function on every case and compares with the oracle. If an answer is wrong, the mistakes are
run on the same cases, and one that agrees with the learner wherever the learner is wrong names the hint. If an earlier
function of the sheet is to blame, that one is named instead. Tests plant every mistake and demand its own hint, so no
hint is there without a mistake that calls it up.
"""

from __future__ import annotations

import copy
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from icrl_teach import learner
from icrl_teach._validate import shown
from icrl_teach.checks.report import CheckFailed, NotWrittenYet, answer, equal, message, numbers, passed

Function = Callable[..., Any]
SHEET = "icrl_teach.checks.sheet_"
SEED = 2026  # of the cases that a learner meets; a teacher may draw others


class Case(NamedTuple):
    """What is tried, in words, and the arguments."""

    tried: str
    args: tuple[Any, ...]


def case(tried: str, *args: Any) -> Case:
    """A case: `case("the machine, gamma = 0.5", P, r, 0.5)`."""
    return Case(tried, args)


def from_size(rng: np.random.Generator, n: int, more: int = 3) -> int:
    """A size for a case, drawn: n, or up to `more` larger."""
    return n + int(rng.integers(more + 1))


def unchanged(value: Any) -> Any:
    """What `give` does where learners get the arguments as the oracle does."""
    return value


@dataclass(frozen=True)
class Check:
    """One exercise's check; call it with the learner's function.

    name: of the function; cases: rng -> cases, the same for the same rng; right: the oracle, arguments -> result,
    written another way than any solution; mistakes: (hint, function that a learner with this misconception would write,
    perhaps more of them); says: the line that a right answer gets. Optional: hint, when no mistake fits; results, the
    names of several results; give, what an argument becomes before the learner gets it (NumPy to torch); like, an
    example of the kind of result where the arguments do not show it; needs, the checks of earlier functions that this
    one calls; also, further properties, each a function of the learner's function that raises CheckFailed; read,
    where many answers are right: (result, *arguments) -> what of it is compared; forbid, the library's functions that
    do the whole exercise, such as "mrp:MarkovRewardProcess.value": grading gives no points for calling them.

    Raises CheckFailed for a wrong answer, NotWrittenYet for a stub.
    """

    name: str
    cases: Callable[[np.random.Generator], Sequence[Case]]
    right: Function
    mistakes: Sequence[tuple[Any, ...]]
    says: str
    hint: str = ""
    results: tuple[str, ...] = ()
    give: Callable[[Any], Any] = unchanged
    like: Any = None
    needs: Sequence[Check] = field(default=(), repr=False)
    also: Sequence[Callable[[Function], None]] = ()
    read: Function | None = None
    tolerance: float = 1e-6
    forbid: Sequence[str] = ()

    def __call__(self, function: Function, seed: int = SEED) -> None:
        """Say that the answer is right, or raise what `judge` raises; an earlier function's fault is named as such."""
        try:
            self.judge(function, seed)
        except NotWrittenYet:
            raise
        except CheckFailed:
            self._blame_an_earlier(function)
            raise
        passed(self.says)
        if (sheet := self._sheet()) is not None:
            learner.pass_check(sheet, self.name)

    def _sheet(self) -> str | None:
        """The number of the sheet that holds this check; None for one that stands elsewhere, such as a test's."""
        modules = {name: module for name, module in sys.modules.items() if name.startswith(SHEET)}
        found = (name for name, module in modules.items() if vars(module).get(f"check_{self.name}") is self)
        return next((name.removeprefix(SHEET) for name in found), None)

    def judge(self, function: Function, seed: int = SEED) -> None:
        """Raise CheckFailed unless the function is right on all cases drawn from this seed; print nothing."""
        cases = self.cases(np.random.default_rng(seed))
        for one in cases:
            try:
                got = self._ask(function, one)
            except CheckFailed as failed:
                raise self._with_hint(failed, function, cases) from None
            for part, (value, right) in enumerate(zip(got, self._parts(self.right, one), strict=True)):
                if not equal(value, right, self.tolerance):
                    hint = self._hint_of(function, cases, part) or self.hint
                    raise CheckFailed(message(self._tried(one, part), value, right, hint))
        for further in self.also:
            further(function)

    def planted(self) -> list[tuple[str, Function]]:
        """(hint, wrong function) for each mistake, one after the other."""
        return [(hint, wrong) for hint, *functions in self.mistakes for wrong in functions]

    def _tried(self, one: Case, part: int | None = None) -> str:
        result = f": {self.results[part]}" if self.results and part is not None else ""
        return f"{self.name} on {one.tried}{result}"

    def _ask(self, function: Function, one: Case) -> list[np.ndarray]:
        """The learner's results on this case, as float64 arrays."""
        tried = self._tried(one)
        with np.errstate(all="ignore"):  # what overflows is told by the comparison, not by a warning above it
            got = answer(function, *map(self.give, copy.deepcopy(one.args)), tried=tried, like=self.like)
        if self.results and not (isinstance(got, tuple | list | np.ndarray) and len(got) == len(self.results)):
            wanted, found = f"return {', '.join(self.results)}", type(got).__name__
            raise CheckFailed(f"{tried}: expected {len(self.results)} results, `{wanted}`, in this order; got {found}.")
        if self.read is not None:
            got = self.read(numbers(got, tried), *copy.deepcopy(one.args))
        parts = got if self.results else [got]
        return [numbers(part, tried) for part in parts]

    def _parts(self, function: Function, one: Case) -> list[np.ndarray]:
        got = function(*copy.deepcopy(one.args))
        if self.read is not None:
            got = self.read(got, *copy.deepcopy(one.args))
        return [np.asarray(part, dtype=np.float64) for part in (got if self.results else [got])]

    def _outcome(self, of: Callable[..., list[np.ndarray]], *args: Any) -> list[np.ndarray] | type[BaseException]:
        """The results, or the kind of error that came instead of them."""
        try:
            with np.errstate(all="ignore"):
                return of(*args)
        except Exception as error:
            kind = type(error.__cause__ or error if isinstance(error, CheckFailed) else error)
            return (
                ValueError if kind is RuntimeError else kind
            )  # shapes that don't fit: torch says one, NumPy the other

    def _hint_of(self, function: Function, cases: Sequence[Case], part: int | None) -> str:
        """The hint of a mistake that gives what the learner's function gives, on each case it is wrong on.

        Of several such mistakes it is the one that agrees with the learner in most results and other cases, too.
        """
        asked = [self._outcome(self._ask, function, one) for one in cases]
        right = [self._agree(got, self._parts(self.right, one), part) for one, got in zip(cases, asked, strict=True)]
        best, most = "", -1
        for hint, wrong in self.planted():
            agreeing = 0
            for one, got, fine in zip(cases, asked, right, strict=True):
                planted = self._outcome(self._parts, wrong, one)
                if not (fine or self._agree(got, planted, part)):
                    break
                agreeing += sum(self._agree(got, planted, each) for each in range(max(1, len(self.results))))
            else:
                best, most = (hint, agreeing) if agreeing > most else (best, most)
        return best

    def _agree(self, a: Any, b: Any, part: int | None) -> bool:
        if isinstance(a, type) or isinstance(b, type):
            return a is b
        chosen = range(len(a)) if part is None else [part]
        return len(a) == len(b) and all(equal(a[i], b[i], self.tolerance) for i in chosen)

    def _with_hint(self, failed: CheckFailed, function: Function, cases: Sequence[Case]) -> CheckFailed:
        """An answer that stopped with an error: a mistake that stops in the same way explains it better."""
        if isinstance(failed, NotWrittenYet) or failed.__cause__ is None:
            return failed
        hint = self._hint_of(function, cases, None)
        told = CheckFailed(f"{str(failed).split(chr(10) + 'Hint:')[0]}\nHint: {hint}") if hint else failed
        told.__cause__ = failed.__cause__
        return told

    def _blame_an_earlier(self, function: Function) -> None:
        """Raise CheckFailed naming the first earlier function that this one calls and that is itself wrong."""
        called = getattr(getattr(function, "__code__", None), "co_names", ())
        names = getattr(function, "__globals__", {})
        for earlier in self.needs:
            if earlier.name in called and callable(names.get(earlier.name)):
                try:
                    earlier.judge(names[earlier.name])
                    earlier._blame_an_earlier(names[earlier.name])
                except CheckFailed as failed:
                    culprit = f"{self.name} calls {earlier.name}, and {earlier.name} is not right yet: mend it first."
                    raise type(failed)(f"{culprit}\n{failed}") from None


def graded_hints(*steps: str) -> Callable[[int], None]:
    """The hints to a challenge, from the first nudge to the idea: `hint(1)` prints the first of them.

    Raises ValueError without steps, or for a number that no hint has.

    >>> hint = graded_hints("Draw the arrows that end at the query.", "Each arrow is a row of the matrix.")
    >>> hint(2)
    Hint 2 of 2: Each arrow is a row of the matrix.
    """
    if not steps:
        raise ValueError("steps is empty; give at least one hint")

    def hint(n: Any) -> None:
        """Print hint n, counted from 1."""
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= len(steps):
            raise ValueError(f"n is {shown(n)}; there are hints 1 to {len(steps)}: hint(1) is the gentlest")
        print(textwrap.fill(f"Hint {n} of {len(steps)}: {steps[n - 1]}", 88))

    return hint
