"""What commands print, at the width of any terminal: lines that fit, words that are whole, colour as a second cue."""

from __future__ import annotations

import os
import sys
from collections import Counter

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from command_line import elsewhere  # noqa: F401 (a fixture works where it is imported)
from guards import ROOT
from icrl_teach import batch_tabular_td, cli, mrp_from_env, rollout
from icrl_teach.cli import demo, text
from icrl_teach.comparison import DepthComparison
from patience import PATIENCE, uncounted

LOG = "state,reward,next_state\na,1,b\nb,0,a\na,1,c\nc,-2,b\nb,.5,a\n"
SHOP = "episode,state,reward\n1,home,0\n1,shop,0\n1,buy,10\n2,home,0\n2,out,0\n"
QUICK = ["--steps", "2", "--tasks", "2", "--context", "20"]
OUTPUTS = {
    "lake": ["demo", "--steps", "900", "--layers", "64"],
    "cliff": ["demo", "--env", "CliffWalking-v1", "--steps", "300", "--layers", "16"],
    "taxi": ["demo", "--env", "Taxi-v4", "--steps", "60", "--layers", "2"],
    "chain": ["demo", "--family", "boyan", "--steps", "200", "--layers", "16"],
    "no reward": ["demo", "--steps", "40", "--layers", "2"],
    "doctor": ["doctor"],
    "evaluate": ["evaluate", "log.csv"],
    "evaluate episodes": ["evaluate", "shop.csv", "--gamma", "1", "--csv", "out.csv"],
    "act": ["act", "--rounds", "2", "--steps", "60", "--layers", "5"],
    "pretrain": ["pretrain", *QUICK, "--seeds", "2"],
    "pretrain stock": ["pretrain", *QUICK, "--architecture", "stock", "--layers", "1", "--width", "8"],
    "start": ["start", "mine"],
    "progress": ["progress", "mine"],
    "lab": ["lab", "mine", "--port", "1"],
}
WIDE = {"act", "pretrain", "progress"}  # tables of 70 columns and more: in a narrower terminal their lines break


def run(words: list[str], color: bool = False) -> Result:
    return CliRunner().invoke(cli.main, words, color=color)


def too_wide(output: str, width: int) -> list[str]:
    """Lines over `width` that could have been broken: they hold more than one word."""
    return [line for line in output.splitlines() if len(line) > width and len(line.split()) > 1]


@pytest.fixture
def prepared(elsewhere, monkeypatch):  # noqa: F811
    """A folder with two logs and a learner's copy, in which Jupyter would start nothing."""
    (elsewhere / "log.csv").write_text(LOG)
    (elsewhere / "shop.csv").write_text(SHOP)
    monkeypatch.setattr(cli.lab, "become", lambda *command: None)
    assert run(["start", "mine"]).exit_code == 0
    return elsewhere


@uncounted
@pytest.mark.parametrize("what", OUTPUTS)
def test_no_line_is_too_wide_no_word_is_broken_and_colour_adds_nothing(what, prepared, monkeypatch):
    found = {}
    for width, color in ((60, False), (80, True), (200, True)):
        monkeypatch.setenv("COLUMNS", str(width))
        if width == 200:
            monkeypatch.setenv("NO_COLOR", "1")
        result = run(OUTPUTS[what], color)
        assert result.exit_code == 0, result.output
        found[width] = click.unstyle(result.stdout)
        colored = width == 80 and what not in ("start", "progress", "lab")  # at 60 a pipe, at 200 NO_COLOR
        assert ("\x1b" in result.stdout) == colored
        if width >= 80 or what not in WIDE:
            assert too_wide(found[width], width) == []
    words = [Counter(output.split()) for output in found.values()]
    assert words[0] == words[1] == words[2]  # a word broken at one width is whole at another


def commands(group: click.Group, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The names of all commands, those of groups within groups too."""
    found: list[tuple[str, ...]] = [above]
    for name, command in group.commands.items():
        inside = commands(command, (*above, name)) if isinstance(command, click.Group) else [(*above, name)]
        found += inside
    return found


@pytest.mark.parametrize("words", commands(cli.main), ids=" ".join)
def test_help_fits_and_breaks_no_word(words, monkeypatch, capsys):
    outputs = {}
    for width in (60, 80, 1000):
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit):  # CliRunner has a width of its own
            cli.main.main([*words, "--help"], prog_name="icrl-teach", max_content_width=max(width, 80))
        outputs[width] = capsys.readouterr().out
        assert too_wide(outputs[width], width) == []
    if "\nCommands:\n" in outputs[80]:  # what each of them does is cut to its place: there is enough
        assert "..." not in outputs[80].split("\nCommands:\n")[1]
    assert Counter(outputs[80].split()) == Counter(outputs[1000].split())  # at 60 click breaks words at hyphens


@uncounted
@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal, which only POSIX has")
@pytest.mark.parametrize("plain", [False, True])
def test_in_a_real_terminal(plain, prepared):
    """80 columns: colour unless NO_COLOR is set; an error is broken between words, and says what it says in a pipe."""
    import pexpect

    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    environment |= {"NO_COLOR": "1"} if plain else {}
    command = f"{sys.executable} -m icrl_teach evaluate shop.csv --columns nothing=here"
    shown = {
        words: pexpect.run(words, dimensions=(24, 80), env=environment, timeout=PATIENCE, encoding="utf-8")
        for words in (command, command.split(" --")[0])
    }
    assert all(("\x1b[3" in output) == (not plain) for output in shown.values())
    lines = (click.unstyle(output).replace("\r\n", "\n").split("\n") for output in shown.values())
    refused, table = ("\n".join(line.split("\r")[-1] for line in each) for each in lines)  # what a bar leaves
    assert too_wide(refused, 80) == too_wide(table, 80) == []
    assert refused.count("\n") > 1 and refused.startswith("icrl-teach: error: ")
    assert " ".join(refused.split()) == " ".join(run(command.split()[3:]).stderr.split())
    piped = run(["evaluate", "shop.csv"])
    assert Counter(table.split()) == Counter(piped.stdout.split() + piped.stderr.split())


def test_what_cannot_be_broken_stays_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    path = "/a/path/" + 60 * "x"
    assert text.wrap(f"Wrote {path} and more", "  ") == f"Wrote\n  {path}\n  and more"
    assert text.wrap("separate-layers " * 4).splitlines()[0] == "separate-layers separate-layers separate-layers"
    assert text.defined([("a", "word " * 12), ("long name", "b")]).splitlines()[1].startswith(" " * 11 + "word")


def test_blocks_stand_side_by_side_where_there_is_room(monkeypatch):
    blocks = [text.grid(name, np.array([["1", "22"], ["333", "4"]])) for name in ("one", "two", "three")]
    expected = {60: ["one       two       three", "  1 22      1 22      1 22"], 40: ["one       two       three"]}
    for width, lines in expected.items():
        monkeypatch.setenv("COLUMNS", str(width))
        assert text.beside(blocks).splitlines()[: len(lines)] == lines
    monkeypatch.setenv("COLUMNS", "40")
    assert text.beside([*blocks, *blocks]).splitlines()[4:6] == ["two       three", "  1 22      1 22"]


# ------------------------------------------------------------------------------------------------ what the demo shows


def lake_errors(seed: int, n_steps: int, gamma: float) -> np.ndarray:
    """RMS errors on the lake at the depths that the demo shows, from batch tabular TD, which shares no code with it."""
    walk, exact = rollout("FrozenLake-v1", None, n_steps, seed), mrp_from_env("FrozenLake-v1", None, gamma).value()
    seen = np.unique(walk.states[:-1])
    values = batch_tabular_td(walk, gamma, 64)[demo.shown_depths(64)]
    return np.sqrt(((values[:, seen] - exact[seen]) ** 2).mean(axis=1))


@uncounted
def test_the_demos_default_shows_a_falling_error_for_almost_every_seed():
    """Its help says: of seeds 0 to 99 for all but 61 and 78. Here those two, and every eighth of the others."""
    default = {option.name: option.default for option in demo.command.params}
    assert (default["steps"], default["gamma"], default["layers"], default["seed"]) == (4000, 0.99, 64, 0)
    falls = {seed: (np.diff(lake_errors(seed, 4000, 0.99)) < 0).all() for seed in (*range(0, 100, 8), 61, 78)}
    assert {seed for seed, fell in falls.items() if not fell} == {61, 78}
    assert not (np.diff(lake_errors(0, 2000, 0.9)) < 0).all()  # as before, when depth 64 was worse than depth 2


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([4.0, 3.0, 2.0], "falls at every depth shown, from 4.00 to 2.00" + "|" + "lead on towards the floor, 1.00"),
        ([4.0, 3.0, 1.0], "falls from 4.00 to 1.00, at every depth shown."),
        ([4.0, 4.5, 2.0], "falls from 4.00 to 2.00, but not at every depth shown"),
        ([4.0, 1.5, 2.0], "falls from 4.00 to 1.50 at depth 1 and ends at 2.00"),
        ([4.0, 5.0, 6.0], "does not fall: 4.00 without a layer, 6.00 after all"),
    ],
)
def test_the_verdict_reads_the_errors(errors, said):
    one, each = np.ones(1), np.array(errors)
    comparison = DepthComparison(
        *(np.zeros(1, int), np.ones(1, int), one, np.ones((3, 1)), one),
        *(each, each, each, each, each),
        floor_max_error=1.0,
        floor_rms_error=1.0,
    )
    found = demo.verdict(comparison)
    assert said.split("|")[-1] in found
    assert ("floor" in found) == (errors[-1] > 1.1 and min(errors) == errors[-1])


def test_the_lakes_values_stand_in_their_squares():
    """Each number of the printed map is the value of that square, held against the task itself."""
    result = run(["demo", "--steps", "900", "--layers", "4"])
    lines = result.stdout.splitlines()
    top = next(i for i, line in enumerate(lines) if line.rstrip().endswith("exact"))
    left = lines[top].index("exact")
    exact = [line[left:].split() for line in lines[top + 1 : top + 5]]
    value, letters = mrp_from_env("FrozenLake-v1", None, 0.99).value(), "SFFFFHFHFFFHHFFG"
    for square, cell in enumerate(cell for row in exact for cell in row):
        assert cell == (letters[square] if letters[square] in "HG" else f"{value[square]:.3f}")
    first = next(line for line in lines if line.startswith("after 1 layer"))
    assert first.split("  ")[0] == "after 1 layer"


def test_validate_puts_a_long_name_on_its_own_line(monkeypatch):
    from icrl_teach.validation import config, engine, terminal

    path = ROOT / "lessons" / "05_contraction_and_convergence.ipynb"
    settings = config.load(None, path)
    report = engine.validate([path], settings, run=False, store=False, tick=lambda stage: None, show=print)
    wide, narrow = terminal.table(report).splitlines(), terminal.table(report, 80).splitlines()
    assert len(wide) == 2 and len(narrow) == 3 and max(map(len, [narrow[0], narrow[2]])) <= 80
    assert wide[1].split() == narrow[1].split() + narrow[2].split() and narrow[1] == str(report.outcomes[0].name)
