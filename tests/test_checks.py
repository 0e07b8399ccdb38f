"""Every check accepts right answers, rejects typical wrong ones with their own hints, and greets an untouched stub."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import time

import pytest

import icrl_teach.checks
from check_cases import Case
from icrl_teach.checks.report import CheckFailed, NotWrittenYet

SHEETS = sorted(m.name for m in pkgutil.iter_modules(icrl_teach.checks.__path__) if m.name.startswith("sheet_"))
CASES: list[tuple[str, Case]] = [
    (sheet, case) for sheet in SHEETS for case in importlib.import_module(f"check_cases.{sheet}").CASES
]
BY_NAME = [pytest.param(case, id=f"{sheet}-{case.check.__name__}") for sheet, case in CASES]


def test_there_are_sheets_and_every_check_of_each_has_a_case():
    assert SHEETS
    for sheet in SHEETS:
        module = importlib.import_module(f"icrl_teach.checks.{sheet}")
        checks = {n for n, f in inspect.getmembers(module, inspect.isfunction) if n.startswith("check_")}
        assert checks, sheet
        assert checks == {case.check.__name__ for name, case in CASES if name == sheet}


@pytest.mark.parametrize("case", BY_NAME)
def test_right_answers_pass_in_under_a_second(case, capsys):
    assert len(case.right) >= 2
    for right in case.right:
        start = time.process_time()
        case.check(right)
        assert time.process_time() - start < 1.0
        printed = capsys.readouterr().out
        assert printed.startswith("Correct: ") and printed.count("\n") == 1


@pytest.mark.parametrize("case", BY_NAME)
def test_each_wrong_answer_gets_its_own_hint(case, capsys):
    assert len(case.wrong) >= 3
    pieces = [piece for _, piece in case.wrong]
    assert len(set(pieces)) == len(pieces)
    for wrong, piece in case.wrong:
        with pytest.raises(CheckFailed) as caught:
            case.check(wrong)
        message = str(caught.value)
        assert piece in message, f"expected {piece!r} in: {message}"
        assert [other for other in pieces if other in message] == [piece], f"several hints in: {message}"
        assert not isinstance(caught.value, NotWrittenYet)
    assert "Correct" not in capsys.readouterr().out


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
