"""Every check accepts right answers, rejects each mistake with its own hint, and greets an untouched stub.

The mistakes come from the checks themselves: a `Check` holds them as functions; here each is handed in as an answer.
What check_cases adds was not derived from the checks: right answers written otherwise, and wrong ones from elsewhere.
"""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import time

import pytest
import torch

import icrl_teach.checks
from check_cases import Case, as_given
from icrl_teach.checks.check import SEED, Check, graded_hints
from icrl_teach.checks.report import CheckFailed, NotWrittenYet
from patience import uncounted

SHEETS = sorted(m.name for m in pkgutil.iter_modules(icrl_teach.checks.__path__) if m.name.startswith("sheet_"))
SEEDS = (SEED, 1)  # the cases of a learner's own check, and those that a teacher might draw


def cases_of(sheet: str) -> list[Case]:
    """The cases of a sheet; none where their file has been forgotten, which a test below says."""
    if importlib.util.find_spec(f"check_cases.{sheet}") is None:
        return []
    return importlib.import_module(f"check_cases.{sheet}").CASES


CASES: list[tuple[str, Case]] = [(sheet, case) for sheet in SHEETS for case in cases_of(sheet)]
CHECKS = {
    f"{sheet}-{name}": check
    for sheet in SHEETS
    for name, check in vars(importlib.import_module(f"icrl_teach.checks.{sheet}")).items()
    if isinstance(check, Check)
}
PLANTED = [
    pytest.param(check, hint, wrong, id=f"{name}-{index}")
    for name, check in CHECKS.items()
    for index, (hint, wrong) in enumerate(check.planted())
]
BY_NAME = [pytest.param(case, id=f"{sheet}-check_{case.check.name}") for sheet, case in CASES]


def test_there_are_sheets_and_every_check_of_each_has_a_case():
    assert SHEETS
    for sheet in SHEETS:
        module = importlib.import_module(f"icrl_teach.checks.{sheet}")
        checks = {n for n, f in inspect.getmembers(module, callable) if n.startswith("check_")}
        assert checks, sheet
        held = {f"check_{case.check.name}" for name, case in CASES if name == sheet}
        lacking = [
            f"Case(checks.{name}, right=[one, another], wrong=[(a wrong one, 'of its hint')]),"
            for name in checks - held
        ]
        assert not lacking, f"add to CASES in tests/check_cases/{sheet}.py: {' '.join(sorted(lacking))}"
        assert held == checks


@uncounted
@pytest.mark.parametrize("case", BY_NAME)
def test_right_answers_pass(case, capsys, budget):
    assert len(case.right) >= 2
    for right in case.right:
        start = time.process_time()
        case.check(right)
        budget(f"check_{case.check.name}", time.process_time() - start, 1.0, "s of CPU time")
        printed = capsys.readouterr().out
        assert printed.startswith("Correct: ") and printed.count("\n") == 1


@pytest.mark.parametrize("case", BY_NAME)
def test_each_wrong_answer_gets_its_own_hint(case, capsys):
    assert len(case.wrong) >= 1
    for wrong, piece in case.wrong:
        with pytest.raises(CheckFailed) as caught:
            case.check(wrong)
        message = str(caught.value)
        assert piece in message, f"expected {piece!r} in: {message}"
        assert not isinstance(caught.value, NotWrittenYet)
    assert "Correct" not in capsys.readouterr().out


@uncounted
@pytest.mark.parametrize(("check", "hint", "wrong"), PLANTED)
def test_each_mistake_is_rejected_with_its_own_hint(check, hint, wrong):
    with pytest.raises(CheckFailed) as caught:
        check(as_given(wrong, check))
    message = str(caught.value)
    assert hint in message, f"expected {hint!r} in: {message}"


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in CHECKS.items()])
def test_a_check_is_right_on_other_cases_too_and_says_why_at_least_three_answers_are_wrong(check, capsys):
    assert len(check.planted()) >= 3
    for seed in SEEDS if not check.also else ():  # an oracle may know the cases alone, and not have further properties
        check(as_given(check.right, check), seed)
        assert capsys.readouterr().out == f"Correct: {check.says}\n"


@pytest.mark.parametrize("message", ["not written yet", ""], ids=["ours", "nbgrader's own"])
@pytest.mark.parametrize("case", BY_NAME)
def test_an_untouched_stub_is_told_not_written_yet(case, message):
    def stub(*_args, **_kwargs):
        raise NotImplementedError(*filter(None, [message]))

    with pytest.raises(NotWrittenYet, match="not written yet"):
        case.check(stub)


def test_a_name_that_the_kernel_forgot_gets_a_hint():
    def forgetful(*_args):
        return scores_of_an_earlier_cell  # noqa: F821

    with pytest.raises(CheckFailed, match="Hint: run the cells above first"):
        BY_NAME[0].values[0].check(forgetful)


PASSES = """
def passes(suspect):
    return same(suspect, layer)
"""


def test_an_earlier_fault_is_named_where_it_is():
    from check_cases.sheet_07 import layer
    from icrl_teach.checks.sheet_07 import SUSPECTS, check_passes

    def same(suspect, ruler):
        inputs = (torch.randn(shape, generator=torch.Generator().manual_seed(1)) for shape in ((5, 6), (5, 5), (5, 5)))
        Z, V, A = (values.double() for values in inputs)
        return torch.allclose(suspect(Z, V, A, 0.7), ruler(Z, V, A, 0.7))

    notebook = {"layer": layer, "same": same}
    exec(PASSES, notebook)
    check_passes(notebook["passes"])
    notebook["layer"] = SUSPECTS["a layer whose query teaches"]
    with pytest.raises(CheckFailed, match="layer is not right yet: mend it first") as caught:
        check_passes(notebook["passes"])
    assert "the query is unmasked" in str(caught.value)


def test_a_typo_is_called_a_typo():
    def typo(transition, rewards, gamma):
        return rewrads.sum()  # noqa: F821

    with pytest.raises(CheckFailed, match="A typo\\? Something near is called 'rewards'"):
        BY_NAME[0].values[0].check(typo)


def test_graded_hints_come_one_by_one(capsys):
    hint = graded_hints("the first nudge", "the idea, " + "told at length " * 10)
    hint(1)
    assert capsys.readouterr().out == "Hint 1 of 2: the first nudge\n"
    hint(2)
    out = capsys.readouterr().out
    assert out.startswith("Hint 2 of 2: the idea") and all(len(line) <= 88 for line in out.splitlines())


@pytest.mark.parametrize("n", [0, 3, -1, True, 1.0, "1", None])
def test_a_hint_that_is_not_there_is_refused(n):
    with pytest.raises(ValueError, match=r"n is .*; there are hints 1 to 2: hint\(1\)"):
        graded_hints("first", "second")(n)


def test_there_is_at_least_one_hint():
    with pytest.raises(ValueError, match="steps is empty"):
        graded_hints()
