"""The live training control: start, redraw, stop, fail and start again, without a browser."""

from __future__ import annotations

import threading

import pytest

from icrl_teach import PretrainConfig, pretrain, widgets
from icrl_teach.figures import View, new_figure
from icrl_teach.views.lesson_09 import learning_picture
from icrl_teach.widgets import TrainingControl, choice, training_widget
from patience import PATIENCE


def draw(result):
    return View(new_figure(size=(1, 1))[0], f"a picture of result {result} for a test", f"result {result}")


class Run:
    """A training run that goes on one step whenever the test lets it."""

    def __init__(self, n_steps=1000):
        self.n_steps, self.steps, self.values = n_steps, 0, []
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, watch, **values):
        self.values.append(values)
        for _ in range(self.n_steps):
            assert self.go.acquire(timeout=PATIENCE)
            self.steps += 1
            stop = watch(self.steps)
            self.done.release()
            if stop:
                return

    def step(self):
        self.go.release()
        assert self.done.acquire(timeout=PATIENCE)


def press(control):
    control.screen.pressed += 1


def shown(control):
    return control.screen.view["numbers"]


def join(control):
    control.thread.join(timeout=PATIENCE)
    assert not control.thread.is_alive()


def test_it_waits_for_start_with_the_first_picture():
    run = Run()
    control = TrainingControl(run, draw, "first")
    assert shown(control) == "result first"
    assert control.screen.view["alt"].startswith("a picture of result first")
    assert control.screen.button == "Start"
    assert control.thread is None
    assert run.steps == 0


def test_start_trains_and_redraws_and_stop_stops():
    run = Run()
    control = TrainingControl(run, draw, 0)
    press(control)
    assert control.screen.button == "Stop" and "Training" in control.screen.status
    for number in (1, 2, 3):
        run.step()
        assert shown(control) == f"result {number}"
    press(control)
    assert control.screen.status == "Stopping."
    run.step()
    join(control)
    assert run.steps == 4
    assert control.screen.button == "Start" and "Stopped" in control.screen.status


def test_a_run_that_ends_by_itself_can_be_started_anew():
    run = Run(n_steps=1)
    control = TrainingControl(run, draw, 0)
    for number in (1, 2):
        press(control)
        run.step()
        join(control)
        assert run.steps == number
        assert control.screen.button == "Start" and "Finished" in control.screen.status


def test_a_stop_does_not_outlive_its_run():
    run = Run()
    control = TrainingControl(run, draw, 0)
    press(control)
    press(control)
    run.step()
    join(control)
    press(control)
    run.step()
    run.step()
    assert control.thread.is_alive()
    press(control)
    run.step()
    join(control)


def test_one_button_starts_and_stops_and_never_two_runs_at_once():
    run = Run()
    control = TrainingControl(run, draw, 0)
    press(control)
    first = control.thread
    press(control)
    press(control)  # impatience
    assert control.thread is first
    run.step()
    join(control)
    assert len(run.values) == 1


def test_the_dials_values_at_start_reach_the_run():
    run = Run(n_steps=1)
    rate = choice("learning rate", [0.1, 0.2], 0.1)
    control = TrainingControl(run, draw, 0, rate=rate)
    control.screen.values = {"rate": 1}
    press(control)
    run.step()
    join(control)
    assert run.values == [{"rate": 0.2}]
    control.screen.asked += 1  # a dial alone starts nothing, and the browser waits for no answer
    assert control.screen.view["asked"] == 1 and len(run.values) == 1


@pytest.mark.parametrize("where", ["run", "draw"])
def test_a_failure_is_shown_and_the_buttons_come_back(where):
    def run(watch):
        if where == "run":
            raise ValueError("no <tasks> today")
        watch("bad")

    def fragile(result):
        if result == "bad":
            raise ValueError("no <tasks> today")
        return draw(result)

    control = TrainingControl(run, fragile, 0)
    press(control)
    join(control)
    assert control.screen.view["error"] == "ValueError: no <tasks> today"
    assert control.screen.button == "Start" and "failed" in control.screen.status


def test_a_real_run_is_watched_and_stopped_before_its_end():
    config = PretrainConfig(n_tasks=4, n_context=(5, 5), n_layers=1, n_steps=100_000, evaluate_every=2)
    seen, results = threading.Event(), []

    def run(watch):
        def and_tell(result):
            stop = watch(result)
            seen.set()
            return stop

        results.append(pretrain(config, watch=and_tell, progress=False))

    short = pretrain(PretrainConfig(n_tasks=4, n_steps=2, evaluate_every=2), progress=False)
    control = TrainingControl(run, learning_picture, short)
    assert "step 2 of 2" in shown(control)
    press(control)
    assert seen.wait(timeout=PATIENCE)
    press(control)
    join(control)
    assert 0 < results[0].steps < config.n_steps
    assert f"step {results[0].steps} of 100000" in shown(control)


def test_the_display_carries_a_picture_and_text_for_readers_without_a_kernel(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda bundle, **extra: shown.append((bundle, extra)))
    training_widget(Run(), draw, "stored")
    ((bundle, extra),) = shown
    assert bundle["text/plain"] == "result stored"
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert 'alt="a picture of result stored for a test"' in bundle["text/html"] and not extra.get("metadata")
