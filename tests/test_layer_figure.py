"""The picture of a layer: its cells are a real layer's, its labels stand apart, and what is lit is said in the text."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch, Rectangle

from icrl_teach import figures
from icrl_teach.figures.layer import layer_cells
from icrl_teach.prompt import build_prompt
from icrl_teach.transformer import SoftmaxTransformer, softmax_attention, td_error_row, td_parameters
from patience import uncounted

NAMES = ("features", "scores", "mask", "weights", "memories", "errors", "writes", "shift")
SETS = [(), *((name,) for name in NAMES), ("weights", "errors", "writes"), NAMES]


def frames(view):
    return {p.get_gid(): p for p in view.figure.axes[0].patches if isinstance(p, FancyBboxPatch)}


def test_the_cells_are_those_of_the_library_s_layer():
    x = np.eye(3)[[0, 1, 2, 1, 2]]
    Z = build_prompt(x, np.array([0.0, -1.0, 3.0, -1.0]), v0=np.array([1.0, 2.0, 5.0, 2.0, 5.0]), gamma=0.8)
    before, after = SoftmaxTransformer.constructed(3, 1, 0.8, beta=np.log(4)).double().trace(Z.double()).numpy()
    E = softmax_attention(Z, td_parameters(3, beta=np.log(4))[1]).numpy()
    cells = layer_cells()
    assert tuple(sorted(cells)) == tuple(sorted(NAMES))
    np.testing.assert_allclose(cells["features"], before[:3])
    np.testing.assert_allclose(cells["memories"], before[3:])
    np.testing.assert_allclose(cells["shift"], after[3:], atol=1e-12)
    np.testing.assert_allclose(cells["writes"][0], after[5] - before[5], atol=1e-12)
    np.testing.assert_allclose(cells["errors"][0, :-1], (td_error_row(3).numpy() @ before)[:-1])
    np.testing.assert_allclose(cells["weights"][:-1], E[:-1], atol=1e-12)
    scores = (Z.mT @ td_parameters(3, beta=np.log(4))[1].to(Z.dtype) @ Z).numpy()
    np.testing.assert_allclose(cells["scores"], scores, atol=1e-12)
    np.testing.assert_allclose(cells["mask"][:-1], scores[:-1], atol=1e-12)
    for name in ("mask", "weights"):
        assert np.isnan(cells[name][-1]).all()
    assert np.isnan(cells["errors"][0, -1])


def test_every_cell_is_drawn_and_a_cell_that_holds_nothing_is_crossed_out():
    patches = figures.layer_flow_view().figure.axes[0].patches
    drawn = [p for p in patches if isinstance(p, Rectangle)]
    cells = layer_cells().values()
    assert len(drawn) == sum(c.size for c in cells)
    assert sum(bool(p.get_hatch()) for p in drawn) == sum(int(np.isnan(c).sum()) for c in cells) == 11


@uncounted
@pytest.mark.parametrize("lit", SETS, ids=lambda lit: "-".join(lit) or "none")
def test_labels_stand_apart_inside_the_picture_and_their_panels(lit):
    figure = figures.layer_flow_view(lit).figure
    renderer, ax = FigureCanvasAgg(figure).get_renderer(), figure.axes[0]
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in ax.texts}
    for (one, a), (two, b) in combinations([(t.get_text(), t.get_window_extent(renderer)) for t in ax.texts], 2):
        assert not a.overlaps(b), f"{one!r} lies on {two!r}"
    for words, box in boxes.items():
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, words
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, words
    for frame in frames(figures.View(figure, "", "")).values():
        edge = frame.get_window_extent(renderer)
        for words, box in boxes.items():
            inside = edge.x0 + 3 < box.x0 and box.x1 < edge.x1 - 3 and edge.y0 < box.y0 and box.y1 < edge.y1
            assert inside or not edge.overlaps(box), f"{words!r} crosses a frame"
    cells = [p.get_window_extent(renderer) for p in ax.patches if isinstance(p, Rectangle)]
    for words, box in boxes.items():
        assert not any(box.overlaps(cell) for cell in cells), f"{words!r} lies on a cell"


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(NAMES), max_size=8))
def test_what_is_lit_has_a_tint_a_thick_frame_bold_type_and_a_sentence(lit):
    view = figures.layer_flow_view(lit)
    weights = {t.get_text(): t.get_fontweight() for t in view.figure.axes[0].texts}
    for name, frame in frames(view).items():
        shown = name in lit
        assert (frame.get_linewidth() > 3) == shown
        assert (frame.get_facecolor() != (1, 1, 1, 1)) == shown
        assert (weights[name] == "bold") == shown
        assert (figures.PARTS[name].says in view.alt) == shown
    assert set(frames(view)) == set(NAMES) == set(figures.PARTS)
    assert [name for name in NAMES if name in lit] == view.numbers.removeprefix("lit: ").split(", ") or not lit


def test_where_something_is_lit_the_rest_is_pale_and_else_nothing_is():
    def colors(lit):
        return {t.get_text(): t.get_color() for t in figures.layer_flow_view(lit).figure.axes[0].texts}

    whole, one = colors(()), colors(("mask",))
    assert len({whole[name] for name in NAMES}) == 1
    assert one["mask"] == whole["mask"] and {one[n] for n in NAMES if n != "mask"} == {"#707070"}


def test_a_word_alone_is_one_name_and_an_unknown_name_is_refused_with_those_that_exist():
    assert figures.layer_flow_view("mask").alt == figures.layer_flow_view(["mask"]).alt
    with pytest.raises(ValueError, match=r"lit holds 'score', .* choose from features, scores, mask, .* writes, shift"):
        figures.layer_flow(lit=("scores", "score"))


def test_in_a_notebook_it_is_a_picture_with_the_alternative_text_of_its_view():
    assert figures.layer_flow(lit=("shift",)).alt == figures.layer_flow_view(("shift",)).alt
