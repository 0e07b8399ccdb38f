"""The Explorer's mathematics, computed in Chromium, against the library's, on random worlds; and broken on purpose."""

import re
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner

from chromium import CHROMIUM
from command_line import fails
from icrl_teach import (
    MarkovRewardProcess,
    SoftmaxTransformer,
    Trajectory,
    certainty_equivalence_value,
    explorer,
    softmax_attention,
    td_parameters,
    trajectory_prompt,
)
from icrl_teach.cli import main
from icrl_teach.web import read
from icrl_teach.web.explorer import module_text, page_text
from patience import uncounted

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; CI installs it")

FILES = ("core.js", "explorer.js")
LAYERS = 8
RUN = """async ([source, dials]) => {
    const core = await import("data:text/javascript," + encodeURIComponent(source));
    return dials.map((each) => {
        const world = each.make ? core[each.make[0]](...each.make.slice(1)) : each.world;
        const ran = core.run({ ...each, world });
        const plain = (trace) => trace.map(({ target, value }) => ({ target: [...target], value: [...value] }));
        return { ...ran, world, trace: plain(ran.trace), E: ran.E.map((row) => [...row]) };
    });
}"""


@pytest.fixture(scope="module")
def ask(browser):
    """dials -> what core.js makes of them, in a page of its own."""
    page = browser.new_page()
    return lambda *dials: page.evaluate(RUN, [read("core.js"), list(dials)])


def random_dials(seed):
    """A world of a few states, of which some end walks, with random features and dials."""
    rng = np.random.default_rng(seed)
    S, d = int(rng.integers(2, 7)), int(rng.integers(1, 5))
    ends = rng.random(S) * (rng.random(S) < 0.6)
    P = (1 - ends)[:, None] * rng.dirichlet(np.ones(S), S)
    r = rng.normal(size=S)
    outcomes = [
        [*({"p": p, "next": t, "reward": r[s]} for t, p in enumerate(P[s])), {"p": ends[s], "next": -1, "reward": r[s]}]
        for s in range(S)
    ]
    return {
        "world": {"outcomes": outcomes, "start": int(rng.integers(S)), "names": [str(s) for s in range(S)]},
        "features": rng.normal(size=(S, d)).tolist(), "n": int(rng.integers(1, 40)), "seed": seed,
        "gamma": float(rng.uniform(0, 0.95)), "alpha": float(rng.uniform(0.2, 1.2)),
        "beta": float(rng.uniform(0.1, 3)), "L": LAYERS, "block": ("shift", "dual")[seed % 2],
    }  # fmt: skip


def trajectory_of(steps):
    states, rewards, following = ([step[name] for step in steps] for name in ("state", "reward", "next"))
    ended = np.array(following) < 0
    return Trajectory.of_transitions(states, rewards, np.where(ended, 0, following), ended)


MADE = [["boyan", 6, 3], ["loop", 5, 4], ["corridor", 7], ["lake", ["S.H", ".#.", "..G"], ["?>v", "^?<", ">>?"], 0.3]]


@pytest.fixture(scope="module")
def runs(ask):
    dials = [random_dials(seed) for seed in range(50)]
    more = [{**random_dials(50 + i), "features": None, "make": make} for i, make in enumerate(MADE)]
    return list(zip([*dials, *more], ask(*dials, *more), strict=True))


@uncounted
def test_the_network_in_the_browser_is_the_network_of_the_library(runs):
    for dials, got in runs:
        S, walk = len(got["exact"]), trajectory_of(got["steps"])
        x = np.eye(S) if dials["features"] is None else np.array(dials["features"])
        prompt = trajectory_prompt(walk, x, range(S))
        setting = (dials["gamma"], dials["alpha"], dials["beta"])
        model = SoftmaxTransformer.constructed(x.shape[1], LAYERS, *setting, block=dials["block"])
        trace = model.trace(prompt).numpy()
        np.testing.assert_allclose([each["value"] for each in got["trace"]], trace[:, -1], atol=1e-9)
        np.testing.assert_allclose([each["target"] for each in got["trace"]], trace[:, -2], atol=1e-9)
        E = softmax_attention(prompt.Z, td_parameters(x.shape[1], beta=dials["beta"])[1], prompt.source).numpy()
        np.testing.assert_allclose(got["E"], E, atol=1e-12)
        np.testing.assert_allclose(got["answers"], trace[:, -1, -S:], atol=1e-9)


def test_values_in_the_browser_are_those_of_the_library(runs):
    for dials, got in runs:
        outcomes = got["world"]["outcomes"]
        S, walk = len(outcomes), trajectory_of(got["steps"])
        P, r = np.zeros((S, S + 1)), np.zeros(S)
        for s, each in enumerate(outcomes):
            for way in each:
                P[s, way["next"]] += way["p"]  # -1 is the last column: the end
                r[s] += way["p"] * way["reward"]
        mrp = MarkovRewardProcess(P[:, :-1], r, dials["gamma"], terminal=P[:, -1])
        np.testing.assert_allclose(got["exact"], mrp.value(), atol=1e-9)
        assert got["visits"][: walk.n_states] == walk.visits().tolist()
        left = walk.visits() > 0
        seen = certainty_equivalence_value(walk, dials["gamma"])
        np.testing.assert_allclose(np.array(got["seen"])[: walk.n_states][left], seen[left], atol=1e-9)


def test_tabular_td_in_the_browser_is_the_sharp_end_of_the_dial(ask):
    """Features that tell every state apart, beta 60: the network's answers are those of tabular TD."""
    dials = [{**random_dials(seed), "features": None, "beta": 60.0, "n": 60, "alpha": 0.7} for seed in range(8)]
    for got in ask(*dials):
        left = np.array(got["visits"]) > 0
        error = [np.sqrt(np.mean((np.array(v) - got["exact"])[left] ** 2)) for v in got["answers"]]
        np.testing.assert_allclose(got["errors"], error, rtol=1e-12)
        np.testing.assert_allclose(got["tabular"], error, atol=1e-9)


@pytest.mark.parametrize("fault", ["unmask", "axis", "shift", "sign", "ends"])
def test_every_fault_can_be_seen_and_does_what_its_name_says(ask, fault):
    base = {"make": MADE[-1], "n": 60, "seed": 1, "gamma": 0.9, "alpha": 0.5, "beta": 3.0, "L": LAYERS}
    right, wrong, dual = ask(
        {**base, "block": "shift"}, {**base, "block": "shift", "broken": [fault]},
        {**base, "block": "dual", "broken": [fault]},
    )  # fmt: skip
    assert np.abs(np.array(right["answers"][-1]) - wrong["answers"][-1]).max() > 1e-3
    np.testing.assert_allclose(wrong["answers"], dual["answers"], atol=1e-9)  # both blocks break alike
    E, source = np.array(wrong["E"]), [column["source"] for column in wrong["prompt"]["columns"]]
    assert (E[np.logical_not(source)].max() > 0) == (fault == "unmask")
    sums = E[source].sum(axis=1) if fault == "axis" else E.sum(axis=0)
    np.testing.assert_allclose(sums, 1, atol=1e-12)
    if fault == "shift":
        assert not any(map(any, (each["target"] for each in wrong["trace"])))
    if fault == "sign":  # the first layer writes the mean reward, with the other sign
        np.testing.assert_allclose(wrong["answers"][1], -np.array(right["answers"][1]), atol=1e-12)
    if fault == "ends":
        ends = [j for j, step in enumerate(wrong["steps"]) if step["next"] < 0]
        assert ends and all(wrong["trace"][-1]["target"][j] != 0 for j in ends)


def test_a_lake_moves_as_drawn(ask):
    """Written out by hand: right from the start slips up (into the edge) or down; the wall keeps, the hole ends."""
    world = ask({"make": ["lake", ["S#", "H."], [">?", "?<"], 0.2], "n": 3, "seed": 0, "gamma": 0.5, "alpha": 1,
                 "beta": 1, "L": 1})[0]["world"]  # fmt: skip
    assert world["cells"] == [[0, 0], [1, 1]] and world["start"] == 0
    ways = {(way["next"], way["reward"]): 0.0 for way in world["outcomes"][0]}
    for way in world["outcomes"][0]:
        ways[way["next"], way["reward"]] += way["p"]
    assert ways == pytest.approx({(0, 0): 0.9, (-1, -1): 0.1})
    assert [(way["next"], way["reward"], way["p"]) for way in world["outcomes"][1]] == [
        (-1, -1, 0.8), (1, 0, 0.1), (1, 0, 0.1),
    ]  # fmt: skip


def test_core_js_touches_no_page_and_no_clock():
    text = read("core.js")
    assert not [word for word in ("document", "window", "Math.random", "Date", "performance", "fetch") if word in text]


# ---------------------------------------------------------------------------------------------------------- the page


@pytest.fixture
def page(tmp_path, browser):
    """A page with the Explorer in it, which complains of nothing and asks nobody."""
    (tmp_path / "explorer.html").write_text(page_text(), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.open = lambda hash="": page.goto(f"file://{tmp_path}/explorer.html{hash}")
    page.open()
    yield page
    page.close()
    assert said == [] and all(url.startswith("file://") for url in asked)


def test_no_name_stands_in_both_files():
    """They become one module, in which a second definition would be an error."""
    names = [set(re.findall(r"^(?:export )?(?:const|function|let) (\w+)", read(name), re.M)) for name in FILES]
    assert names[0] and names[1] and not names[0] & names[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_width_makes_the_page_scroll_sideways(page, scheme):
    page.emulate_media(color_scheme=scheme)
    for width in (360, 768, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_alone_moves_layers_and_the_table_holds_the_same_numbers(page):
    def told():
        return page.evaluate("explorer.ran().answers[explorer.get().layer].map((v) => v.toFixed(2))")

    slider = page.get_by_role("slider", name="layers")
    slider.focus()
    page.keyboard.press("Home")
    assert set(told()) == {"0.00"}
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("explorer.get().layer") == 3 and len(set(told())) > 3
    page.get_by_text("The same as a table").click()
    page.locator("table td").first.wait_for()
    cells = page.locator("table td:nth-child(3)").all_inner_texts()
    assert [cell.replace("\N{MINUS SIGN}", "-") for cell in cells] == [v.replace("-0.00", "0.00") for v in told()]


def test_every_control_has_a_name_and_every_picture_a_text(page):
    unnamed = page.evaluate(
        "() => [...document.querySelectorAll('input, button, canvas, svg')].filter((node) => !(node.ariaLabel ||"
        " node.textContent.trim() || [...(node.labels ?? [])].some((label) => label.textContent.trim())))"
        ".map((node) => node.outerHTML)"
    )
    assert unnamed == []
    assert "Network: " in page.locator(".icrl-chart").get_attribute("aria-label")
    assert "queries" in page.locator("canvas").get_attribute("aria-label")
    assert (
        page.locator(".icrl-map button").first.get_attribute("aria-label").startswith("row 1, column 1, start, value")
    )


@pytest.mark.parametrize("tour", ["news", "sharp", "mask"])
def test_a_tour_of_six_steps_by_keyboard(page, tour):
    page.locator(f"input[value={tour}]").press("Space")
    seen = [page.locator(".icrl-tour").inner_text()]
    for _ in range(5):
        page.get_by_role("button", name="Next").press("Enter")
        seen.append(page.locator(".icrl-tour").inner_text())
    assert [text[:6] for text in seen] == [f"{k} of 6" for k in range(1, 7)]
    page.get_by_role("button", name="Next").press("Enter")
    assert page.locator(".icrl-tour").inner_text() == seen[-1]


def test_the_short_one_sets_a_reward_at_a_click_and_takes_it_away(page):
    page.open("#short=true")
    page.reload()  # it is made short, not changed
    square, answers = page.locator(".icrl-map button").nth(3), "explorer.ran().answers[64]"
    before = page.evaluate(answers)
    square.press("Enter")
    assert page.evaluate("explorer.get().rows[0]") == "S..G" and "goal +1" in square.inner_text()
    assert page.evaluate(answers) != before
    square.press("Enter")
    assert page.evaluate("explorer.get().rows[0]") == "S..." and page.evaluate(answers) == before
    told = page.locator(".icrl-told").inner_text()
    errors = page.evaluate("[0, 64].map((layer) => explorer.ran().errors[layer].toFixed(2))")
    assert all(error in told for error in errors) and errors[0] != errors[1]
    assert not page.locator("canvas").is_visible()
    page.get_by_text("More: the prompt").press("Enter")
    assert page.locator("canvas").is_visible() and page.get_by_role("slider", name="sharpness").is_visible()
    assert page.get_by_role("slider").count() == 8  # layers, column, and the six dials


def test_it_draws_before_it_is_on_a_page_and_again_when_it_comes_there(page):
    page.emulate_media(color_scheme="dark")
    page.evaluate(
        """async (source) => {
            const { mount } = await import("data:text/javascript," + encodeURIComponent(source));
            globalThis.off = document.createElement("div");
            mount(off);
        }""",
        module_text(),
    )
    first = "off.querySelector('.icrl-map > *').style.background"
    light = page.evaluate(first)
    page.evaluate("document.body.append(off)")
    page.wait_for_function(f"{first} !== '{light}'")


def test_news_needs_a_layer_for_each_state(page):
    page.open("#tour=news&world=corridor&n=24&beta=20&gamma=0.9")
    answers = np.array(page.evaluate("explorer.ran().answers.slice(0, 7)"))
    for layer in range(7):
        assert np.allclose(answers[layer], [0.9 ** (5 - s) if s >= 6 - layer else 0 for s in range(6)], atol=1e-4)


def test_what_is_drawn_stands_in_the_address_and_comes_back(page):
    page.get_by_text("Draw the lake").click()
    page.get_by_role("radio", name="makes a wall").check()
    page.locator(".icrl-map button").nth(1).press("Enter")
    page.get_by_role("slider", name="sharpness").fill("2.5")
    page.get_by_role("checkbox", name="forget the shift").check()
    state, address = page.evaluate("explorer.get()"), page.evaluate("location.hash")
    assert state["rows"][0] == "S#.." and state["beta"] == 2.5 and state["broken"] == ["shift"]
    page.open()
    page.open(address)
    assert page.evaluate("explorer.get()") == state


@pytest.mark.parametrize(
    "odd",
    ["rows=xx,yy", "rows=,", "rows=%23", "rows=S", "n=-5", "n=1e99", "gamma=2", "beta=x", "world=moon", "layer=1.5",
     "broken=all", "tour=none&step=9", "arrows=>>", "%%%", "column=999"],
)  # fmt: skip
def test_an_odd_address_is_met_calmly(page, odd):
    page.open(f"#{odd}")
    assert np.isfinite(page.evaluate("explorer.ran().answers.flat()")).all()


# ------------------------------------------------------------------------------------------------------ command line


def test_the_command_writes_one_file_and_never_over_another(tmp_path):
    run = partial(CliRunner().invoke, main)
    path = tmp_path / "page.html"
    assert f"written: {path}" in run(["explorer", "--output", str(path)]).output
    assert path.read_text(encoding="utf-8") == page_text()
    fails(run(["explorer", "--output", str(path)]), "exists already", "choose another name")
    fails(run(["explorer", "--output", str(tmp_path / "no" / "page.html")]), "no such folder")


def test_the_command_opens_a_browser(monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert "open: " in CliRunner().invoke(main, ["explorer"]).output
    assert opened[0].startswith("file://")


def test_the_widget_holds_the_module_and_its_state():
    widget = explorer(world="loop", beta=2.0)
    assert widget.state == {"world": "loop", "beta": 2.0}
    assert read("core.js").strip() in widget._esm
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data and "icrl-teach explorer" in data["text/html"]
    assert repr(widget) == data["text/plain"] == "explorer(world='loop', beta=2.0)"
    assert not re.findall(r"^import ", widget._esm, re.M)
