"""Make the README's picture, docs/signature.png: `make picture`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from icrl_teach._files import atomic_write
from icrl_teach.comparison import compare_by_depth, family_task
from icrl_teach.figures import curves, png_bytes

N_TASKS, N_STATES, N_STEPS, GAMMA, N_LAYERS = 40, 10, 1000, 0.9, 64


def main() -> None:
    """Draw the frozen Transformer's error against depth on unseen Boyan chains, and print its numbers."""
    tasks = tqdm((family_task("boyan", N_STATES, N_STEPS, GAMMA, seed) for seed in range(N_TASKS)), total=N_TASKS)
    runs = [compare_by_depth(mrp, trajectory, N_LAYERS, tau=6.0) for mrp, trajectory in tasks]
    network = np.quantile([run.rms_error for run in runs], [0.25, 0.5, 0.75], axis=0)
    table = np.median([run.tabular_rms_error for run in runs], axis=0)
    floor = float(np.median([run.floor_rms_error for run in runs]))
    figure = curves(
        np.arange(N_LAYERS + 1),
        {"frozen softmax Transformer (median, middle half)": network[1], "batch tabular TD (median)": table},
        title=f"A frozen Transformer learns {N_TASKS} unseen tasks while it reads",
        xlabel=f"depth: layers read so far (each prompt: {N_STEPS:,} steps of a Boyan chain)",
        ylabel="RMS error of the values",
        yscale="log",
        references={"floor (median): what these steps determine": floor},
        bands={"frozen softmax Transformer (median, middle half)": (network[0], network[2])},
    )
    path = Path(__file__).resolve().parent.parent / "docs" / "signature.png"
    with atomic_write(path, "wb") as file:
        file.write(png_bytes(figure, dpi=130))
    print(f"{path.name}: median RMS error {network[1][0]:.3f} -> {network[1][-1]:.3f}, floor {floor:.3f}")
    gap = max(run.gap[-1] for run in runs)
    print(f"largest difference from weighted softmax TD in any memory cell below 1e-12: {gap < 1e-12}")


if __name__ == "__main__":
    main()
