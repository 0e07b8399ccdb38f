"""What a check says of an answer, it says of the same answer in another process: right ones, and wrong ones' hints.

The answers of check_cases, called over a pipe from a fork that has them, with functions, tensors and slopes going both
ways. Each sheet in an interpreter of its own: a process with torch's threads is no good to fork.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from patience import PATIENCE

SHEETS = [5, 7, 9]  # what they hand to answers is more than arrays: functions, tensors, losses

SCRIPT = """
import contextlib, importlib, io, json, os, sys
import numpy as np
from icrl_teach.checks.report import CheckFailed
from icrl_teach.grading import Limits, wire
from icrl_teach.grading.remote import Function, Learner
from icrl_teach.grading.submission import Submission
from icrl_teach.grading.worker import Worker

class Forked:
    def __init__(self, functions):
        (requests, ask), (hear, replies) = os.pipe(), os.pipe()
        if os.fork() == 0:
            os.close(ask)
            worker = Worker(os.fdopen(requests, "rb"), os.fdopen(replies, "wb"))
            worker.answer = 2**24
            worker.names.update(functions)
            try:
                worker.serve()
            finally:
                os._exit(0)
        os.close(requests), os.close(replies)
        self.pipes = os.fdopen(ask, "wb"), os.fdopen(hear, "rb")

    def ask(self, message, blob, seconds):
        wire.send(self.pipes[0], message, blob)
        return wire.receive(self.pipes[1], 2**24)

def said(check, answer):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check.judge(answer)
    except CheckFailed as failed:
        return str(failed)
    return ""

cases = importlib.import_module(f"check_cases.sheet_{int(sys.argv[1]):02}").CASES
answers = [(case.check, f) for case in cases for f in [*case.right, *(wrong for wrong, _ in case.wrong)]]
learner = Learner(Submission((), ()), [], [], Limits())
learner.process = Forked({f"f{i}": function for i, (_, function) in enumerate(answers)})
learner.call = lambda name, args, forbid, of=learner.call: of(learner.now, args, forbid)
pairs = []
for i, (check, function) in enumerate(answers):
    names = list(getattr(getattr(function, "__code__", None), "co_names", ()))
    learner.found, learner.now = {function.__name__: {"names": names}}, f"f{i}"
    learner.lend({})
    there = Function(learner, function.__name__, [])
    pairs.append([check.name, said(check, function), said(check, there)])
print(json.dumps(pairs))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
@pytest.mark.parametrize("number", SHEETS)
def test_a_check_says_the_same_of_an_answer_in_another_process(number):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(number)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    pairs = json.loads(done.stdout.splitlines()[-1])
    assert len(pairs) >= 15 and sum(not here for _, here, _ in pairs) >= 10
    assert [pair for pair in pairs if pair[1] != pair[2]] == []
