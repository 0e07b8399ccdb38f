"""Pictures in Chromium, in the export to HTML and in JupyterLab: what a screen reader meets, what dark themes show."""

from __future__ import annotations

import io
from dataclasses import replace

import nbformat
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from nbconvert import HTMLExporter
from PIL import Image

from chromium import CHROMIUM
from contrast import darkened
from guards import LESSONS
from icrl_teach.figures import PALETTE, new_figure, picture
from icrl_teach.validation.prose import alternative_texts
from icrl_teach.widgets import Screen
from lab_server import IDLE, MILLISECONDS, run_cell
from patience import uncounted

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; CI installs it")
LOOK = "image => { const look = getComputedStyle(image); return [look.filter, look.backgroundColor]; }"
PAPER, DARK = ["none", "rgb(255, 255, 255)"], ["invert(1) hue-rotate(180deg)", "rgba(0, 0, 0, 0)"]


def stripes():
    """A picture of the palette, a stripe a colour, on nothing."""
    figure, (ax,) = new_figure(size=(7, 2), fitted=False)
    ax.set_position((0, 0.5, 1, 0.5))
    ax.axis("off")
    ax.bar(range(7), 1, width=1.0, color=PALETTE)
    ax.set(xlim=(-0.5, 6.5), ylim=(0, 1))
    return picture(figure, "The seven colours of the palette as stripes.")


def pixels(page, image):
    return np.asarray(Image.open(io.BytesIO(image.screenshot())).convert("RGB")) / 255.0


def opened(page, notebook, theme):
    """The notebook as the export to HTML shows it, without a network."""
    html, _ = HTMLExporter(theme=theme).from_notebook_node(notebook)
    page.route("**/*", lambda route: route.abort())
    page.set_content(html, wait_until="domcontentloaded")


@uncounted
@pytest.mark.parametrize("path", [LESSONS[0], LESSONS[7]], ids=lambda path: path.stem)
def test_every_picture_of_an_exported_lesson_is_an_image_with_its_text(page, path):
    notebook = nbformat.read(path, as_version=4)
    texts = [
        text for cell in notebook.cells for output in cell.get("outputs", []) for text in alternative_texts(output)
    ]
    assert len(texts) >= 5
    for cell in notebook.cells:  # what a reader without a kernel sees of a widget
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    opened(page, notebook, "light")
    assert page.get_by_role("img").count() == page.locator(".jp-OutputArea img").count() == len(texts)
    for text in texts:
        assert page.get_by_role("img", name=text, exact=True).count() == texts.count(text)


def test_a_picture_turns_dark_with_the_theme_by_the_colours_that_are_tested_and_stays_light_on_paper(page):
    shown = nbformat.v4.new_output("display_data", data=stripes()._repr_mimebundle_())
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("stripes", outputs=[shown])])
    for theme, look in (("light", PAPER), ("dark", DARK)):
        opened(page, notebook, theme)
        image = page.locator("img.icrl-picture")
        assert image.evaluate(LOOK) == look
        seen, change = pixels(page, image), darkened if theme == "dark" else to_rgb
        for k, color in enumerate(PALETTE):
            np.testing.assert_allclose(seen[40, 50 + 100 * k], change(color), atol=2.5 / 255)
        under = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (seen[150, 350] * 255).astype(int).tolist() == [int(part) for part in under[4:-1].split(",")]
    page.emulate_media(media="print")
    assert image.evaluate(LOOK) == PAPER
    page.emulate_media(media="screen")
    page.evaluate("document.body.removeAttribute('data-jp-theme-light')")
    assert image.evaluate(LOOK) == PAPER
    page.evaluate("document.documentElement.dataset.theme = 'dark'")  # as the course's site says it
    assert image.evaluate(LOOK) == DARK


def test_jupyterlab_shows_a_stored_picture_with_its_text_and_turns_it_dark(server, page):
    from playwright.sync_api import expect

    shown = stripes()
    source = (
        f"from icrl_teach.figures import Picture\nPicture({shown.uri!r}, {shown.alt!r}, {shown.width}, {shown.height})"
    )
    stored = nbformat.v4.new_output("execute_result", data=shown._repr_mimebundle_(), execution_count=1)
    cell = nbformat.v4.new_code_cell(source, outputs=[stored], execution_count=1)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), server.course / "lessons/shown.ipynb")
    page.goto(server.page_of("shown.ipynb"))
    page.wait_for_function(IDLE, timeout=MILLISECONDS)
    image = page.get_by_role("img", name=shown.alt, exact=True)
    expect(image).to_have_count(1)
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false", timeout=MILLISECONDS)
    assert image.evaluate(LOOK) == DARK  # by the stylesheet of icrl-teach lab
    page.evaluate("document.querySelector('link[href$=\"course.css\"]').disabled = true")
    assert image.evaluate(LOOK) == PAPER  # any other JupyterLab: not trusted, so without a style of its own
    run_cell(page, 0)
    expect(image).to_have_css("filter", DARK[0], timeout=MILLISECONDS)
    expect(image).to_have_count(1)
    assert image.evaluate(LOOK) == DARK


def panels():
    """Three panels in one picture, of 1,050 pixels."""
    figure, axes = new_figure(1, 3)
    for ax in axes:
        ax.set(xlabel="state", ylabel="value")
    return picture(figure, "Three empty panels in a row.")


def hung(page, shown):
    """The picture beside dials, as their script puts it on a page, decoded."""
    view = {"picture": shown.uri, "size": [shown.width, shown.height], "cuts": list(shown.cuts), "alt": shown.alt}
    page.set_content(
        f"<style>{Screen._css} .icrl-dials.icrl-dials {{ max-width: none; padding: 0 }}</style><body style='margin: 0'>"
        "<div class='icrl-dials'><div class='icrl-view'></div></div>"
    )
    page.add_script_tag(content=Screen._esm.replace("export default", "const widget =").replace("export ", ""))
    page.evaluate("view => hang(document.querySelector('.icrl-view'), view)", view)
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")


def stored(page, shown):
    """The picture as a notebook holds it."""
    page.set_content(f"<body style='margin: 0'>{shown.html()}")


@uncounted
@pytest.mark.parametrize(("width", "rows"), [(360, 3), (700, 2), (740, 1), (1440, 1)])
@pytest.mark.parametrize("put", [stored, hung])
def test_panels_stand_below_each_other_where_there_is_little_room(page, put, width, rows):
    shown = panels()
    page.set_viewport_size({"width": width, "height": 900})
    put(page, shown)
    images = page.locator("img")
    assert images.count() == 3 and images.first.get_attribute("alt") == shown.alt
    boxes = [image.bounding_box() for image in images.all()]
    assert len({box["y"] for box in boxes}) == rows
    assert max(box["x"] + box["width"] for box in boxes) <= width
    scales = [box["height"] / shown.height for box in boxes]
    assert min(scales) > 0.6 and max(scales) <= 1.001


@pytest.mark.parametrize("put", [stored, hung])
def test_the_panels_together_show_the_whole_picture(page, put):
    whole, clip = stripes(), {"x": 0, "y": 0, "width": 700, "height": 200}
    page.set_viewport_size({"width": 700, "height": 900})
    seen = []
    for shown in (whole, replace(whole, cuts=(200, 550))):
        put(page, shown)
        seen.append(np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip)))))
    assert page.locator("img").count() == 3
    np.testing.assert_array_equal(*seen)


def test_a_widget_s_picture_turns_dark_as_the_others_do(page):
    page.set_content('<body data-jp-theme-light="false"><div class="icrl-dials"><img class="icrl-picture"></div>')
    page.add_style_tag(content=Screen._css)
    assert page.locator("img").evaluate(LOOK) == DARK
    assert 'element("img", { class: "icrl-picture" })' in Screen._esm
