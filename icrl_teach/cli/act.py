"""`icrl-teach act`: a frozen network improves a policy while it reads; its table, picture and animation."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from icrl_teach import __version__
from icrl_teach._files import atomic_write
from icrl_teach._progress import progress
from icrl_teach._validate import check_gamma, check_probability
from icrl_teach.cli.shell import check_writable, tau_option, warn
from icrl_teach.cli.text import numbers, styled, table, wrap
from icrl_teach.features import one_hot

if TYPE_CHECKING:
    from icrl_teach.acting_report import ActingReport

MOST_ROWS = 40  # of the table
FRAME_MS = 250  # of the animation


class _Hope(click.ParamType):
    """A number, or one of two words."""

    name = "best|none|NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str | None:
        if value in ("best", "none"):
            return value
        try:
            if np.isfinite(number := float(value)):
                return number
        except ValueError:
            pass
        return self.fail(f"{value!r} is neither best, nor none, nor a number such as 0.", param, ctx)


@click.command("act", short_help="Let a frozen network improve a policy while it reads.")
@click.option(
    "--env", default="FrozenLake-v1", show_default=True, help="Gymnasium environment whose observations are numbered."
)
@click.option("--rounds", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Prompts to learn from.")
@click.option("--steps", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="Real steps a round.")
@click.option("--epsilon", type=float, default=0.1, show_default=True, help="How often an action is random.")
@click.option("--gamma", type=float, default=0.99, show_default=True, help="Discount; 1 where episodes end.")
@click.option("--layers", type=click.IntRange(1), default=200, show_default=True, help="Depth of the Transformer.")
@tau_option
@click.option(
    "--memory",
    type=click.Choice(["all", "last"]),
    default="all",
    show_default=True,
    help="The prompt holds all rounds, or the last one only.",
)
@click.option(
    "--follow",
    type=click.Choice(["choice", "taken"]),
    default="choice",
    show_default=True,
    help="A step is followed by the action the policy would choose now, or by the one that was taken (SARSA).",
)
@click.option(
    "--imagined",
    type=_Hope(),
    default="best",
    show_default=True,
    help="What a pair that was hardly tried is said to pay: the largest reward seen, nothing said, or a number.",
)
@click.option(
    "--trials", type=click.IntRange(1), default=5, show_default=True, help="Real steps until a pair is believed."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything that is random.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="icrl-act",
    show_default=True,
    help="Folder for the picture, the animation and the numbers (JSON); made if missing.",
)
def command(env: str, output: Path, **options: Any) -> None:
    """Let a frozen Transformer act: it reads what was done, answers what each action is worth, and is asked again.

    Between prompts the policy improves; inside the network no weight moves. Every step is a real one of the
    environment. Beside it: SARSA and Q-learning with the same number of steps, the random policy and the optimum.
    """
    options["imagined"] = None if options["imagined"] == "none" else options["imagined"]
    check_gamma(options["gamma"], ends=True)
    check_probability("epsilon", options["epsilon"])
    one_hot(1, options["tau"])
    check_writable(output)
    from icrl_teach.acting_report import Settings, numbered_game, report_acting

    settings = Settings(**options)
    with progress(settings.rounds + 5) as tick:
        game = numbered_game(env)
        report = report_acting(game, settings, tick)
        tick("drawing")
        picture = figure_png(report, env)
        film, note = animation(env, report.acting.policy, settings.seed, report.limit)
    about = {"env": env, **options}
    click.echo(styled(f"{env}: {game.n_states:,} states, {game.n_actions} actions", bold=True))
    click.echo(wrap(f"{heading(options)}\n"))
    click.echo(f"{table_text(report)}\n")
    click.echo(f"{references_text(report)}\n")
    click.echo(
        wrap(
            f"Returns are sums of rewards within {report.limit} steps, undiscounted; the greedy one is "
            f"{'exact' if report.exact else 'played'}. A pair is a state and an action. No weight of the network "
            f"moved: SHA-256 {report.acting.digest[:16]}... before and after."
        )
    )
    paths = _write(output, env, {"png": picture, "json": numbers_json(report, about).encode(), "gif": film})
    if note:
        warn(note)
    click.echo(wrap(f"Wrote {', '.join(map(str, paths))}", "  "))


def heading(options: dict[str, Any]) -> str:
    """The settings in words."""
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {'none' if value is None else value}"
        for name, value in options.items()
    )


def _write(folder: Path, env: str, contents: dict[str, bytes | None]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    stem, paths = re.sub(r"[^\w.-]+", "-", env), []
    for kind, content in contents.items():
        path = folder / f"{stem}-acting.{kind}"
        if content is None:
            path.unlink(missing_ok=True)  # an older run's animation would not be this policy's
            continue
        with atomic_write(path, "wb") as file:
            file.write(content)
        paths.append(path)
    return paths


def shown_rounds(count: int) -> list[int]:
    """At most MOST_ROWS of the rounds, evenly, the first and the last among them.

    >>> shown_rounds(3), len(shown_rounds(1000)), shown_rounds(1000)[-1]
    ([0, 1, 2], 40, 999)
    """
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, MOST_ROWS))})


def table_text(report: ActingReport) -> str:
    """The rounds as text: what was met while exploring, what the greedy policy reaches, and who read."""
    rounds, shown = report.acting.rounds, shown_rounds(len(report.acting.rounds))
    exploring = [rounds[k].mean_return for k in shown]
    met = iter(numbers([x for x in exploring if x is not None]))
    columns = [
        ["", "round", *(f"{k + 1}" for k in shown)],
        ["", "steps", *(f"{rounds[k].steps:,}" for k in shown)],
        ["", "episodes", *(f"{rounds[k].episodes:,}" for k in shown)],
        ["return", "exploring", *("none ended" if x is None else next(met) for x in exploring)],
        ["return", "greedy", *numbers([report.greedy[k] for k in shown])],
        ["pairs", "untried", *(f"{(rounds[k].visits == 0).sum():,}" for k in shown)],
        ["", "asked", *(f"{rounds[k].asks}" for k in shown)],
        ["", "read by", *(rounds[k].reader for k in shown)],
    ]
    lines = table([list(row) for row in zip(*columns, strict=True)], left=[len(columns) - 1])
    return "\n".join([*(styled(line, bold=True) for line in lines[:2]), *lines[2:]])


def references_text(report: ActingReport) -> str:
    """The greedy return of others."""
    values = numbers(report.references.values())
    head = f"Greedy return of others, the first two after the same {report.acting.rounds[-1].steps:,} steps:"
    rows = [["", name, value] for name, value in zip(report.references, values, strict=True)]
    return "\n".join([styled(wrap(head), bold=True), *table(rows, left=[1])])


def numbers_json(report: ActingReport, about: dict[str, Any]) -> str:
    """Everything as JSON: settings, rounds, references, the final policy and its action values."""
    names = ("steps", "episodes", "mean_return", "asks", "columns", "reader")
    rounds = [
        {**{n: getattr(r, n) for n in names}, "never_tried": int((r.visits == 0).sum()), "greedy_return": g}
        for r, g in zip(report.acting.rounds, report.greedy, strict=True)
    ]
    last = report.acting.rounds[-1]
    everything = {
        "icrl_teach": __version__,
        **about,
        "limit": report.limit,
        "greedy_returns_are": "exact" if report.exact else "played",
        "weights_sha256": report.acting.digest,
        "references": dict(report.references),
        "rounds": rounds,
        "states": list(report.acting.labels),
        "policy": last.choice.tolist(),
        "action_values": last.q.tolist(),
    }
    return json.dumps(everything, indent=1, allow_nan=False) + "\n"


def figure_png(report: ActingReport, env: str) -> bytes:
    """PNG: the greedy return and the return while exploring, against real steps, with the references."""
    from icrl_teach.figures import curves, png_bytes

    rounds = report.acting.rounds
    exploring = np.array([np.nan if r.mean_return is None else r.mean_return for r in rounds])
    lines = {"frozen network, greedy": np.array(report.greedy), "frozen network, while exploring": exploring}
    least = min([*report.greedy, *report.references.values()])
    logarithmic = least < -500.0  # costs of several sizes
    if logarithmic:
        lines = {name: np.maximum(-y, 1e-3) for name, y in lines.items()}
    sign = -1.0 if logarithmic else 1.0
    figure = curves(
        np.array([r.steps for r in rounds]),
        lines,
        title=f"{env}: greedy return {report.greedy[0]:.3g} after one round,\n"
        f"{report.greedy[-1]:.3g} after {len(rounds)} rounds, and no weight has moved",
        xlabel="real steps",
        ylabel="cost of an episode" if logarithmic else "return of an episode",
        yscale="log" if logarithmic else "linear",
        references={name: sign * value for name, value in report.references.items()},
    )
    figure.set_size_inches(10.0, 4.2)
    return png_bytes(figure)


def animation(env: str, policy: np.ndarray, seed: int, limit: int) -> tuple[bytes | None, str]:
    """A GIF of one greedy episode, or None and why there is none."""
    import gymnasium as gym

    if "rgb_array" not in (gym.make(env).metadata.get("render_modes") or []):
        return None, f"no animation: {env} draws no pictures (render mode rgb_array)"
    try:
        frames = _frames(gym.make(env, render_mode="rgb_array"), policy, seed, limit)
    except (ImportError, gym.error.DependencyNotInstalled) as error:
        return None, f"no animation: {error}"
    except Exception as error:  # whatever another's environment raises while it draws
        return None, f"no animation: {env} cannot draw itself ({type(error).__name__}: {error})"
    return gif_bytes(frames), ""


def _frames(env: Any, policy: np.ndarray, seed: int, limit: int) -> list[np.ndarray]:
    """What the environment draws before the first step and after each."""
    from icrl_teach.environments import Game

    game, frames = Game(env), []

    def act(state: int) -> int:
        frames.append(env.render())
        return int(policy[state].argmax())

    for step in game.walk(act, limit, seed):
        if step.terminated or step.truncated:
            break
    return [np.asarray(frame) for frame in frames]


def gif_bytes(frames: list[np.ndarray]) -> bytes:
    """Frames, (height, width, 3) bytes each, as an animated GIF that repeats."""
    from PIL import Image

    images, buffer = [Image.fromarray(frame) for frame in frames], BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=FRAME_MS, loop=0)
    return buffer.getvalue()
