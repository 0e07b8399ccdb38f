"""A view draws what its lesson computes: the data that both write down are the same."""

import re
from importlib import import_module
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

import guards
from icrl_teach import rollout

matplotlib.use("Agg")


def run_cells(lesson: str, *names: str) -> dict:
    """What the named cells of a lesson leave behind, run in order after its setup: the cell that imports most."""
    path = next(path for path in guards.LESSONS if path.stem.startswith(lesson))
    cells = {cell.id: cell for cell in guards.read(path).cells if cell.cell_type == "code"}
    found: dict = {}
    setup = max(cells, key=lambda name: cells[name].source.count("import "))
    for name in (setup, *names):
        exec(cells[name].source, found)
    return found


def view(lesson: str):
    return import_module(f"icrl_teach.views.lesson_{lesson}")


def same_walk(a, b) -> None:
    np.testing.assert_array_equal(a.states, b.states)
    np.testing.assert_array_equal(a.rewards, b.rewards)


def test_lesson_00_the_network_reads_the_same_tasks():
    before = ("walk", "by-hand", "by-hand-print", "corridor-predict", "corridor", "network", "chain-predict")
    lesson, module = run_cells("00", *before, "chain", "lake"), view("00")
    for task, (seen, values, exact) in {
        module.CHAIN: (lesson["seen"], lesson["values"], lesson["exact"]),
        module.LAKE: (lesson["squares"], lesson["lake_values"], lesson["lake_exact"]),
    }.items():
        for mine, theirs in zip((seen, values, exact), module.what_it_says(task), strict=True):
            np.testing.assert_allclose(theirs, mine, atol=1e-12)


def test_lesson_00_a_prompt_is_drawn_as_it_is():
    rows = np.array([[1.5, -2.0, 0.0], [0.0, 0.25, 0.0], [0.5, 3.0, 0.0]])
    (axes,) = view("00").prompt_figure("XYZ", rows).axes
    texts = {text.get_position(): text.get_text() for text in axes.texts if text.get_text()}
    drawn = {(x, round(y, 2)): text for (x, y), text in texts.items()}
    for j, name in enumerate("XYZ"):
        assert [drawn[j, y] for y in (2.75, 1.74, 1.24, 0.74, 0.24)] == [name, name, *(f"{v:g}" for v in rows[:, j])]
    assert [text for text in texts.values() if text.startswith("pays")] == ["pays 1.5", "pays -2"]
    hatched = [patch.get_xy()[0] for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == 2 and all(x > 1.5 for x in hatched)  # the query's reward and target are not known


def shown_at_each_second(styles, period):
    """Which frame shows in the middle of each fifth of a period, by the rules of CSS: in its animation's time a frame
    shows in the first fifth of each round; before and after, only the last one does."""
    found = []
    for tick in range(25):
        visible = []
        for frame, style in enumerate(styles):
            delay, rounds = map(
                float, re.fullmatch(r"animation-delay:(.*)s;animation-iteration-count:(.*)", style).groups()
            )
            time = period * (tick + 0.5) / 5 - delay
            running = 0 <= time < rounds * period
            visible += [frame] if (time % period < period / 5 if running else frame == len(styles) - 1) else []
        assert len(visible) == 1, (tick, visible)
        found += visible
    return found


def test_lesson_00_news_is_a_frame_a_layer_and_the_same_again_as_rows_for_paper():
    values = np.random.default_rng(0).uniform(size=(5, 3))
    root = ElementTree.fromstring(view("00").news_svg(values))
    svg = "{http://www.w3.org/2000/svg}"
    for kind in ("frame", "row"):
        groups = [group for group in root.iter(f"{svg}g") if group.get("class") == kind]
        shown = [[text.text for text in group.iter(f"{svg}text")] for group in groups]
        assert shown == [[f"layer {layer}", *(f"{v:.2f}" for v in row)] for layer, row in enumerate(values)]
        fills = [[int(rect.get("fill")[1:3], 16) for rect in group.iter(f"{svg}rect")] for group in groups]
        np.testing.assert_array_equal(np.argsort(fills), np.argsort(-values))  # less red = larger
    frames = [group.get("style") for group in root.iter(f"{svg}g") if group.get("class") == "frame"]
    assert shown_at_each_second(frames, 1.2 * 5) == [*(3 * [0, 1, 2, 3, 4]), *(10 * [4])]
    assert root.find(f"{svg}title") is not None and root.find(f"{svg}script") is None


def test_lesson_00_four_maps_of_the_lake_show_what_they_are_given():
    squares, rng = np.array([0, 1, 2, 3, 4, 6, 8, 9, 10, 13, 14]), np.random.default_rng(1)
    maps = {f"map {i}": rng.uniform(size=11) for i in range(4)}
    axes = [ax for ax in view("00").lake_figure(squares, maps).axes if ax.images]
    for ax, (title, values) in zip(axes, maps.items(), strict=True):
        grid = ax.images[0].get_array().filled(np.nan).ravel()
        assert ax.get_title(loc="left") == title
        np.testing.assert_allclose(grid[squares], values)
        letters = {text.get_position(): text.get_text() for text in ax.texts if text.get_text() in "SHG"}
        blank = {(s % 4, s // 4) for s in np.flatnonzero(np.isnan(grid))}
        assert blank == {at for at, letter in letters.items() if letter in "HG"} and len(letters) == 6


def test_lesson_01_the_same_machine():
    lesson, module = run_cells("01", "machine"), view("01")
    assert tuple(lesson["names"]) == module.NAMES
    np.testing.assert_array_equal(lesson["P"], module.TRANSITION)


def test_lesson_02_the_same_robot_and_walk():
    lesson, (robot, walk) = run_cells("02", "robot"), view("02").robot_walk()
    np.testing.assert_array_equal(lesson["robot"].transition, robot.transition)
    np.testing.assert_array_equal(lesson["robot"].reward, robot.reward)
    assert lesson["gamma"] == view("02").GAMMA == robot.gamma
    same_walk(lesson["walk"], walk)


def test_lesson_03_the_same_walk():
    lesson, module = run_cells("03", "walk"), view("03")
    np.testing.assert_array_equal(lesson["walk"].transition, module.round_walk().transition)
    np.testing.assert_array_equal(lesson["walk"].reward, module.round_walk().reward)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_lesson_04_the_same_context_and_the_same_three_methods(beta):
    names = ("ask-sign", "by-hand", "five-lines", "loop", "linear-at-beta")
    lesson, module = run_cells("04", *names), view("04")
    S, X, R = lesson["S"], lesson["X"], lesson["R"]
    by_position = lesson["softmax_td"](X, R, lesson["gamma"], 10, beta=beta)[-1]
    np.testing.assert_allclose(module.softmax_values(beta)[S], by_position, atol=1e-12)
    np.testing.assert_allclose(module.linear_values(beta)[S], lesson["linear_td_at"](beta), atol=1e-12)


def test_lesson_05_the_same_context():
    lesson, module = run_cells("05", "operators"), view("05")
    np.testing.assert_array_equal(lesson["P"], module.TRANSITION)
    same_walk(lesson["context"], module.context())


def test_lesson_07_the_same_corridor_and_news():
    lesson, module = (
        run_cells(
            "07",
            "prompt",
            "errors",
            "attention-flow",
            "attention",
            "value",
            "shift",
            "layer",
            "network",
            "news",
        ),
        view("07"),
    )
    assert lesson["states"] == module.STATES.tolist()
    np.testing.assert_array_equal(lesson["rewards"], module.REWARDS)
    for beta, by_hand in lesson["sharp"].items():  # (9, 4): value memory of A, B, C, D, by the lesson's own layers
        np.testing.assert_allclose(module.traced(beta)[0][:9, -1, :4], by_hand, atol=1e-12)


def test_lesson_12_the_lesson_s_own_reading_is_what_the_view_draws():
    lesson, module = run_cells("12", "bbabfda1"), view("12")
    for ending in module.ENDINGS:
        walks, trace, _ = module.traced(ending)
        prompt = lesson["trajectory_prompt"](walks, lesson["one_hot"](4, module.TAU))
        memories = lesson["read"](prompt, module.GAMMA, module.N_LAYERS).numpy()  # (L, 2, columns)
        np.testing.assert_allclose(trace[1:, -2:], memories, atol=1e-12)


def close_to(share, exact, count) -> None:
    """A share of `count` independent draws lies within five standard errors, and one draw, of the exact one."""
    error = np.sqrt(exact * (1 - exact) / np.maximum(count, 1))
    assert (np.abs(share - exact) <= 5 * error + 1 / np.maximum(count, 1)).all()


def test_lesson_11_the_file_comes_from_the_shop_whose_exact_values_are_told(tmp_path):
    module, shop = view("11"), view("11").the_shop()
    module.shop_export(tmp_path / "export.csv", sessions=6000, seed=5, stops=10_000)
    pages: dict[str, list[str]] = {}
    margins = []
    *lines, torn = (tmp_path / "export.csv").read_text(encoding="utf-8").splitlines()[1:]
    for line in lines:
        _, session, _, _, margin, page = line.split(";")
        pages.setdefault(session, []).append(page)
        margins += [float(margin.replace(",", "."))] if page == "thanks" else []
    steps = np.zeros((6, 7))
    for walk in pages.values():
        numbers = [module.PAGES.index(page) for page in walk]
        np.add.at(steps, (numbers, [*numbers[1:], 6]), 1)
    count = steps.sum(axis=1, keepdims=True)
    close_to(steps[:, :6] / count, shop.transition, count)
    first = np.bincount([module.PAGES.index(walk[0]) for walk in pages.values()], minlength=6)
    close_to(first / len(pages), shop.start, len(pages))
    assert abs(np.mean(margins) - shop.reward[5]) < 5 * np.std(margins) / np.sqrt(len(margins))
    assert torn.endswith("sear") and len(pages) == 6000


def test_lesson_11_the_counter_is_its_table():
    module = view("11")
    walk = rollout(module.Counter(), None, 40_000, 3, bins=[[0.3, 0.9, 1.5, 2.1, 2.7]])
    steps = np.zeros((2, 6, 6))
    np.add.at(steps, (walk.actions, walk.states[:-1], walk.states[1:]), 1)
    count = steps.sum(axis=2, keepdims=True)
    close_to(steps / np.maximum(count, 1), module.counter_table(), count)
    np.testing.assert_array_equal(walk.rewards, -walk.states[:-1] - 2.0 * walk.actions)


def test_lesson_09_the_weights_on_their_way_are_what_the_bars_and_maps_hold():
    from icrl_teach.views.lesson_09 import on_their_way_picture

    rng = np.random.default_rng(0)
    V, A, errors = rng.uniform(-1, 1, (3, 3)), 2.0 * rng.standard_normal((3, 6, 6)), [0.5, 0.1, 0.02]
    axes = on_their_way_picture([0, 50, 800], V, A, errors).axes
    for k in range(3):
        assert np.array_equal(axes[k].images[0].get_array(), A[k])
        assert len(axes[k].texts) == (np.abs(A[k]) >= 1.0).sum()
        assert np.allclose([bar.get_height() for bar in axes[3 + k].patches], V[k])
        assert f"{errors[k]:.2g}" in axes[k].get_title(loc="center")


def test_lesson_10_each_panel_holds_one_kind_of_weight_of_every_seed():
    from icrl_teach.views.lesson_10 import on_their_way_picture, recorded

    run, paths = recorded(), []
    for ax in on_their_way_picture(run).axes:
        paths.append(np.array([line.get_ydata() for line in ax.lines[:5]]))  # (5, 31)
    assert all(np.array_equal(paths[i], run.V[..., i].T) for i in range(3))
    last = run.A[-1, 2] - run.A[-1, 2].mean(axis=0)
    successors = [last[i, j] for j in range(6) for i in (j + 1, j + 2) if i < 6]
    others = [last[i, j] for j in range(6) for i in range(6) if i not in (j, j + 1, j + 2)]
    for path, kind in zip(paths[3:], (last.diagonal(), successors, others), strict=True):
        assert np.isclose(path[2, -1], np.mean(kind))


def test_lesson_10_the_recorded_free_run_is_one_that_shows_what_the_lesson_says():
    from icrl_teach.views.lesson_10 import recorded

    V = recorded().free.astype(float)
    row = V[8, 6:]
    assert V.shape == (9, 9) and row @ (1, 1, -1) / np.linalg.norm(row) / 3**0.5 > 0.95
    assert np.abs(V[8, :6]).max() < 0.25  # and reads nothing from the features
    block = V[:6, :6]
    assert block.diagonal().mean() < -0.5 < block[~np.eye(6, dtype=bool)].mean()  # a minus on the diagonal
    assert 0 < np.abs(V[7]).max() < 0.25  # the noise of the start


def test_lesson_11_a_small_share_kept_brings_what_two_shops_differ_by():
    from icrl_teach.views.lesson_11 import ENTRY, GOES_TO, exact_gains, the_shop

    old, share = the_shop(), 1e-6
    for page, gain in enumerate(exact_gains(share)):
        better, stays = GOES_TO.copy(), GOES_TO[page].sum()
        better[page] *= (stays + share * (1.0 - stays)) / stays
        new = np.linalg.solve(np.eye(6) - better, old.reward)
        assert np.isclose(gain, 1000.0 * ENTRY @ (new - old.value()), rtol=1e-4)


def test_lesson_11_the_decision_s_picture_holds_exits_gains_and_their_interval():
    from icrl_teach.views.lesson_11 import decision_picture

    exits, gain = np.array([3.0, 1.0]), np.array([5.0, 8.0])
    left, right = decision_picture(["a", "b"], exits, gain, (gain - 1.0, gain + 2.0)).axes
    assert [bar.get_height() for bar in left.patches] == exits.tolist()
    assert right.lines[0].get_xdata().tolist() == gain.tolist()
    assert [path[:, 0].tolist() for path in right.collections[0].get_segments()] == [[4.0, 7.0], [7.0, 10.0]]
