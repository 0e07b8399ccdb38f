"""Does a test fail when the mathematics is wrong? Small random changes of the code, each tried against its tests.

    python tools/mutants.py [--number 100] [--seed 0] [--jobs 1]      random ones
    python tools/mutants.py --only mrp.py:182                         all of one line

Each change goes into a copy of the package; the checkout stays as it is. A change that no test notices is a survivor:
write the test that kills it, or say in EQUIVALENT why no test could. Text, annotations and error messages are left
alone. (mutmut and cosmic-ray rewrite modules in ways that the shape checks of tests/conftest.py do not survive, or
change the working tree itself.)
"""

from __future__ import annotations

import argparse
import ast
import gc
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "icrl_teach"
# The tests of each module, the likeliest to notice first.
TESTS = {
    "mrp.py": ["mrp", "td", "episodes", "bad_input"],
    "features.py": ["features", "bad_input"],
    "tasks.py": ["tasks", "bad_input"],
    "td.py": ["td", "episodes", "softmax_td", "bad_input"],
    "softmax_td.py": ["softmax_td", "episodes", "theory", "bad_input"],
    "theory.py": ["theory", "bad_input"],
    "prompt.py": ["breaking", "transformer", "prompt_episodes", "bad_input"],
    "attention.py": ["breaking", "transformer", "prompt_episodes", "bad_input"],
    "transformer.py": ["breaking", "transformer", "prompt_episodes", "bad_input"],
    "pretraining/batches.py": ["pretraining_batches", "pretraining_answers"],
    "pretraining/answers.py": ["pretraining_answers", "pretraining_losses", "two_heads", "stock"],
    "pretraining/losses.py": ["pretraining_losses", "pretraining_training", "stock"],
    "control.py": ["control", "acting"],
    "acting.py": ["acting"],
    "emergence.py": ["emergence"],
    "evaluation.py": ["evaluation", "cli_evaluate", "cli"],
}
# Of those files: what says nothing of the mathematics, and costs most.
LEAVE_OUT = (
    "test_lab_ or test_doctor or test_demo or test_start_copies or test_a_million or control_c or outside_the_tests "
    "or test_the_floor"
)

# (file, line without indentation, change): why no test can tell it from the original.
EQUIVALENT = {
    (
        "transformer.py",
        "if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:",
        "n < 512 -> n >= 512",
    ): "speed only",
    (
        "pretraining/batches.py",
        "Z = torch.cat([x.mT, x.new_zeros(*windows.shape[:2], 3, windows.shape[2])], dim=-2)",
        "-2 -> 2",
    ): "the same axis of a tensor with four",
    ("tasks.py", "weights = torch.zeros(B, S, S, device=device)", "device=device -> nothing"): "only a GPU can tell",
    ("transformer.py", "if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:", "512 -> 511"): "decides speed only",
    ("transformer.py", "if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:", "512 -> 513"): "decides speed only",
    (
        "emergence.py",
        "alpha, beta = inside(align_row)(rows[0]).scale, _fit_scores(scores[0], config).scale",
        "0 -> -1",
    ): "tied parameters have one layer, the first and the last",
    ("tasks.py", "one_ahead[:, -1] = 1.0", "1.0 -> 2.0"): "the only way out of its state; each row is normalised after",
    (
        "evaluation.py",
        "slowest = min(max(gamma, changes[1] / changes[0]) if changes[0] > 0 else gamma, 0.9999)",
        "0 -> -1",
    ): "0 / 0 is NaN, which max and min pass over: the same number, and a warning",
    ("mrp.py", "reaches, size = ends.copy(), -1", "1 -> 2"): "any number that no count equals starts the loop",
    (
        "transformer.py",
        'E = inside(softmax_attention)(Z[..., :d, :], self._weights("A", 0, Z)[:d, :d], source)',
        "0 -> -1",
    ): "this path is taken where all layers have the same A",
    (
        "transformer.py",
        "differs = len(A) > 1 and not torch.equal(A, A[:1].expand_as(A))",
        "1 -> 0",
    ): "one layer's A equals itself",
    (
        "tasks.py",
        "first_row = torch.arange(0, n_tasks * S, S, dtype=torch.int32, device=device)",
        "dtype=torch.int32 -> nothing",
    ): "decides speed only",
    ("evaluation.py", "RESAMPLES = 200", "200 -> 201"): "the size of a sample",
    ("evaluation.py", "RESAMPLES = 200", "200 -> 199"): "the size of a sample",
    (
        "emergence.py",
        "def summarise(result: PretrainingResult, n_tasks: Count = 2048) -> dict[str, Any]:",
        "2048 -> 2049",
    ): "the size of a sample",
    (
        "pretraining/batches.py",
        "tasks = torch.arange(len(windows), device=windows.device)[:, None, None]",
        "device=windows.device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "transformer.py",
        "return shifted if continues is None else shifted * carried(continues, X)",
        "shifted if continues is None else shifted * carried(continues, X) -> shifted * carried(continues, X)",
    ): "carried(None, X) is the number 1, and a product with 1 is the number itself",
    (
        "pretraining/losses.py",
        "if len(self.config.seeds) == 1:  # no axis to add: a quarter of the time of a step goes without vmap",
        "1 -> 0",
    ): "decides speed only: one seed takes the road of several, which holds for any number of them",
    (
        "theory.py",
        "weights = mu * np.exp(np.minimum(above, 0.0))",
        "0.0 -> 1.0",
    ): "above is positive only where mu is exactly 0, and 0 times e is 0 as is 0 times 1",
    (
        "prompt.py",
        "flags = torch.as_tensor(value if isinstance(value, Tensor) else np.array(value), device=Z.device)",
        "device=Z.device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "tasks.py",
        "return 1.0 - torch.rand(*shape, generator=generator, device=device)",
        "device=device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "acting.py",
        "pairs, onward = np.append(pairs[kept], doubtful), np.append(onward[kept], np.full(len(doubtful), -1))",
        "1 -> 0",
    ): "imagined steps terminate, and the next state of a step that terminated is not read",
    (
        "softmax_td.py",
        "check_gamma(gamma, ends=False)  # refused: part of the chain never ends",
        "ends=False -> nothing",
    ): "the default is False",
    (
        "transformer.py",
        "n, shares = E.shape[-1], 32",
        "1 -> 2",
    ): "attention is square",
    (
        "transformer.py",
        "return getattr(self, name)[0 if self.tied else index].to(like)",
        "0 -> -1",
    ): "tied parameters have one layer, the first and the last",
    (
        "transformer.py",
        "at = 0 if self.tied else index",
        "0 -> -1",
    ): "tied parameters have one layer, the first and the last",
    (
        "mrp.py",
        "return self.source & np.r_[~self.terminated, False]",
        "False -> True",
    ): "the query, in the last position, is no source",
    (
        "transformer.py",
        "if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:",
        "1 -> 2",
    ): "decides speed only",
    (
        "acting.py",
        "d, A, V = network.d, network.A[0], network.V",
        "0 -> -1",
    ): "scores_are_fixed, asked before, says that all layers have the same A",
    (
        "evaluation.py",
        "return kept, np.asarray(features, dtype=float)[seen]",
        "dtype=float -> nothing",
    ): "both that read the features, prompt and operators, turn them into such numbers themselves",
    (
        "mrp.py",
        "for _ in range(int(np.ceil(np.log2(max(n, 2))))):  # squaring doubles the path length",
        "2 -> 3",
    ): "differs for two states at most, by one squaring more of what no squaring changes any more",
    (
        "evaluation.py",
        "slowest = min(max(gamma, changes[1] / changes[0]) if changes[0] > 0 else gamma, 0.9999)",
        "0 -> 1",
    ): "a last change of 0 leaves gamma the larger; a first one of 0 leaves nothing to go, whatever the rate",
    (
        "prompt.py",
        "default = torch.arange(Z.shape[-1], device=Z.device) < Z.shape[-1] - 1",
        "device=Z.device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "tasks.py",
        "eye = torch.eye(self.reward.shape[1], dtype=self.reward.dtype, device=self.reward.device)",
        "device=self.reward.device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "transformer.py",
        "differs = len(A) > 1 and not torch.equal(A, A[:1].expand_as(A))",
        "len(A) > 1 -> len(A) >= 1",
    ): "one layer's A equals itself",
    (
        "prompt.py",
        "Z = self.Z.to(dtype=dtype, device=device)",
        "device=device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "prompt.py",
        "flags = torch.as_tensor(value if isinstance(value, Tensor) else np.array(value), device=Z.device)",
        "value if isinstance(value, Tensor) else np.array(value) -> np.array(value)",
    ): "only a GPU can tell: flags have no gradients",
    (
        "prompt.py",
        "discount = 0.0 if gamma is None else check_gamma(gamma)",
        "0.0 -> 1.0",
    ): "without gamma there is no v0, and the values that it multiplies are 0",
    (
        "prompt.py",
        "discount = 0.0 if gamma is None else check_gamma(gamma, ends)",
        "0.0 -> 1.0",
    ): "without gamma there is no v0, and the values that it multiplies are 0",
    (
        "transformer.py",
        "n, shares = E.shape[-1], 32",
        "32 -> 33",
    ): "decides speed only: the same product in another number of shares",
    (
        "transformer.py",
        "n, shares = E.shape[-1], 32",
        "32 -> 31",
    ): "decides speed only: the same product in another number of shares",
    (
        "transformer.py",
        "if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:",
        "E.ndim > 2 -> E.ndim >= 2",
    ): "decides speed only",
    (
        "transformer.py",
        "if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:",
        "2 -> 1",
    ): "decides speed only",
    (
        "transformer.py",
        "if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:",
        "n < 512 -> n <= 512",
    ): "decides speed only",
    (
        "transformer.py",
        "if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:",
        "torch.get_num_threads() == 1 -> torch.get_num_threads() != 1",
    ): "decides speed only",
    (
        "transformer.py",
        "if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:",
        "1 -> 0",
    ): "decides speed only",
    (
        "pretraining/batches.py",
        "return self.value.gather(-1, self.query)",
        "-1 -> 1",
    ): "values and queries of a batch have two axes",
    (
        "pretraining/batches.py",
        "windows = batch.states.unfold(-1, batch.n_context + 1, 1)  # (B, W+1, n+1), views of one trajectory",
        "-1 -> 1",
    ): "the states of a batch have two axes",
    (
        "pretraining/batches.py",
        "change = torch.zeros(len(states), n_windows, n_states**2, device=states.device)",
        "device=states.device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "mrp.py",
        "return mu / mu.sum()",
        "mu / mu.sum() -> mu * mu.sum()",
    ): "the sum is 1 but for rounding",
    (
        "mrp.py",
        "equations[-1] = 1.0",
        "1.0 -> 2.0",
    ): "mu is normalised after",
    (
        "mrp.py",
        "right[-1] = 1.0",
        "1.0 -> 2.0",
    ): "mu is normalised after",
    (
        "mrp.py",
        "for _ in range(int(np.ceil(np.log2(max(n, 2))))):  # squaring doubles the path length",
        "2 -> 1",
    ): "differs for one state alone, which reaches itself without squaring",
    (
        "control.py",
        "order = np.zeros(q.shape) if rng is None else rng.random(q.shape)",
        "np.zeros -> np.ones",
    ): "the same number for every action changes no order",
    (
        "control.py",
        "MOST_IMPROVEMENTS = 1_000  # policy iteration takes a handful",
        "1000 -> 1001",
    ): "a guard against hanging, far from what is needed",
    (
        "control.py",
        "MOST_IMPROVEMENTS = 1_000  # policy iteration takes a handful",
        "1000 -> 999",
    ): "a guard against hanging, far from what is needed",
    (
        "control.py",
        "if rng.random() < epsilon:",
        "rng.random() < epsilon -> rng.random() <= epsilon",
    ): "differs where a random number equals epsilon, of 2^53 that there are",
    (
        "acting.py",
        "chosen = choice[np.maximum(following, 0)]",
        "0 -> -1",
    ): "following is -1 where a step terminated, and what is chosen there is not read",
    (
        "acting.py",
        "apart = ~ended & np.append(onward[:-1] != pairs[1:], True)  # a landing holds the pair that follows",
        "True -> False",
    ): "the last step that goes on is followed by the query, which stands where its landing would",
    (
        "acting.py",
        "own = np.where(seen, beta * features.diagonal() ** 2, 0.0)  # the score of its own steps; all others have 0",
        "0.0 -> 1.0",
    ): "a pair without steps: its own loudness multiplies 0 errors and 0 visits, and what is taken off cancels",
    (
        "acting.py",
        "top = np.where(visits == n, own, np.maximum(own, 0.0))",
        "0.0 -> 1.0",
    ): "what is taken off every score cancels",
    (
        "evaluation.py",
        "walk, finished, value = steps.states.tolist(), False, 0.0",
        "0.0 -> 1.0",
    ): "read only after an end, seen from behind, has set it to 0",
    (
        "tasks.py",
        "cumulative.masked_fill_(cumulative >= cumulative[..., -1:], 2.0)",
        "2.0 -> 4.0",
    ): "any number that no uniform one reaches",
    (
        "tasks.py",
        "connected = rng.random((S, S)) > threshold",
        "rng.random((S, S)) > threshold -> rng.random((S, S)) >= threshold",
    ): "differs where a random number equals the threshold, of 2^53 that there are",
    (
        "tasks.py",
        "connected = uniform(B, S, S) > threshold",
        "uniform(B, S, S) > threshold -> uniform(B, S, S) >= threshold",
    ): "differs where a random number equals the threshold, of 2^24 that there are",
    (
        "tasks.py",
        "ones = torch.ones(S - 1, dtype=dtype, device=device)",
        "device=device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "tasks.py",
        "uniforms = torch.rand(n_steps, n_tasks, generator=generator, device=device)",
        "device=device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "tasks.py",
        "states = [torch.randint(S, (n_tasks,), generator=generator, device=device, dtype=torch.int32)]",
        "device=device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "tasks.py",
        "first_row = torch.arange(0, n_tasks * S, S, dtype=torch.int32, device=device)",
        "device=device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "tasks.py",
        "i = torch.arange(S, device=device)",
        "device=device -> nothing",
    ): "only a GPU can tell, and the tests need none",
    (
        "td.py",
        "length[length == 0.0] = 1.0",
        "1.0 -> 2.0",
    ): "any unit of a feature that is 0 everywhere: 0 divided by it is 0",
    (
        "acting.py",
        'return values.reshape(-1, n_actions), "operator"',
        "1 -> 2",
    ): "NumPy takes any negative number for what is left over",
    (
        "acting.py",
        "return answers[-len(queries) :].numpy().reshape(-1, n_actions)",
        "1 -> 2",
    ): "NumPy takes any negative number for what is left over",
    (
        "tasks.py",
        "if not (P.min() >= 0 and (P.sum(-1) - 1.0).abs().max() < 1e-4):  # also where an entry is NaN",
        "(P.sum(-1) - 1.0).abs().max() < 0.0001 -> (P.sum(-1) - 1.0).abs().max() <= 0.0001",
    ): "what a sum near 1 misses is a whole number of roundings of 1, and 1e-4 is none",
    (
        "pretraining/batches.py",
        "generator = torch.Generator(device=device).manual_seed(2_000_003)",
        "device=device -> nothing",
    ): "only a GPU can tell, and the tests need none",
}
OTHER = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.FloorDiv: [ast.Mult],
    ast.Pow: [ast.Mult], ast.BitAnd: [ast.BitOr], ast.BitOr: [ast.BitAnd], ast.And: [ast.Or], ast.Or: [ast.And],
    ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq],
}  # fmt: skip
NAMES = {"max": "min", "maximum": "minimum", "any": "all", "argmax": "argmin", "zeros": "ones", "sum": "mean"}
NAMES |= {other: name for name, other in NAMES.items()}


@dataclass(frozen=True)
class Mutant:
    """The `choice`th change of the `site`th place of a file; where it is, and what it is."""

    file: str
    site: int
    choice: int
    line: int
    code: str
    change: str

    @property
    def excuse(self) -> str | None:
        """Why no test can notice it, if that is known."""
        return EQUIVALENT.get((self.file, self.code, self.change))

    def __str__(self) -> str:
        return f"{self.file}:{self.line}  {self.change}   in: {self.code}"


def replacements(node: ast.AST) -> Iterator[ast.AST | None]:
    """Small changes of one expression or statement; None removes it."""
    match node:
        case ast.BinOp() if type(node.op) in OTHER:
            yield from (ast.BinOp(node.left, op(), node.right) for op in OTHER[type(node.op)])
        case ast.BoolOp():
            yield from (ast.BoolOp(op(), node.values) for op in OTHER[type(node.op)])
        case ast.Compare():
            for place, op in enumerate(node.ops):
                for other in OTHER.get(type(op), []):
                    yield ast.Compare(node.left, [*node.ops[:place], other(), *node.ops[place + 1 :]], node.comparators)
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield node.operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Constant(value=float() as value):
            yield ast.Constant(2 * value if value else 1.0)
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.If():
            yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.Attribute() if node.attr in NAMES:
            yield ast.Attribute(node.value, NAMES[node.attr], node.ctx)
        case ast.Name(id="max" | "min" | "any" | "all"):
            yield ast.Name(NAMES[node.id], node.ctx)
        case ast.keyword() | ast.AugAssign() | ast.Expr(value=ast.Call() | ast.Yield()):
            yield None
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield None


def sites(parent: ast.AST) -> Iterator[tuple[ast.AST, Callable[[ast.AST | None], None]]]:
    """Every node that may change, and how to put another in its place."""
    for name, value in ast.iter_fields(parent):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.JoinedStr):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue

            def put(new: ast.AST | None, name: str = name, value: Any = value, index: int = index) -> None:
                if not isinstance(value, list):
                    setattr(parent, name, new)
                elif new is None:
                    value[index : index + 1] = [] if name == "keywords" else [ast.Pass()]
                else:
                    value[index] = new

            yield child, put
            yield from sites(child)


def mutants(file: str) -> list[Mutant]:
    """All mutants of one module, in the order of its text."""
    source = (PACKAGE / file).read_text(encoding="utf-8")
    lines, found = source.splitlines(), []
    for site, (node, _) in enumerate(sites(ast.parse(source))):
        for choice, new in enumerate(replacements(node)):
            change = f"{ast.unparse(node)} -> {ast.unparse(new) if new else 'nothing'}"
            found.append(Mutant(file, site, choice, node.lineno, lines[node.lineno - 1].strip(), change))
    return found


def text_of(mutant: Mutant) -> str:
    """The whole module with this one change."""
    tree = ast.parse((PACKAGE / mutant.file).read_text(encoding="utf-8"))
    node, put = list(sites(tree))[mutant.site]
    put(list(replacements(node))[mutant.choice])
    return ast.unparse(ast.fix_missing_locations(tree))


def outcome(mutant: Mutant | str) -> str:
    """'killed' or 'survived' of a module's tests, on a copy of the package; of a module's name, without any change.

    Runs in a process of its own, which loads the copy and ends.
    """
    file, text = (mutant, None) if isinstance(mutant, str) else (mutant.file, text_of(mutant))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "icrl_teach"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        if text is not None:
            (copy / file).write_text(text, encoding="utf-8")
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = folder
        os.chdir(ROOT)
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.alarm(600)  # most likely a loop without end: pytest stops as if by Control-C
        tests = [f"tests/test_{name}.py" for name in TESTS[file]]
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            code = pytest.main(["-x", "-q", "--hypothesis-profile=hasty", "-k", f"not ({LEAVE_OUT})", *tests])
        signal.alarm(0)
        if text is None:
            assert sys.modules["icrl_teach"].__file__ == str(copy / "__init__.py")
    return "survived" if code == 0 else "killed"


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", help="a module, or FILE.py:LINE")
    options = parser.parse_args()
    everything = [mutant for file in TESTS for mutant in mutants(file)]
    if options.only:
        chosen = [m for m in everything if options.only in (m.file, f"{m.file}:{m.line}")]
    else:
        chosen = random.Random(options.seed).sample(everything, options.number)
    if not chosen:
        sys.exit("nothing to change there")
    for library in ("torch", "torch.func", "hypothesis", "gymnasium", "click.testing", "jaxtyping", "beartype"):
        import_module(library)  # once, here: each mutant's process is a fork of this one
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    gc.freeze()
    with get_context("fork").Pool(options.jobs, maxtasksperchild=1) as pool:
        found = []
        for mutant, each in zip(chosen, tqdm(pool.imap(outcome, chosen, 1), total=len(chosen)), strict=True):
            found.append(each)
            if each == "survived":
                tqdm.write(str(mutant))
        # Where a mutant survives, the tests pass; where none does, they must pass without any change, too.
        passing = {mutant.file for mutant, each in zip(chosen, found, strict=True) if each == "survived"}
        doubtful = sorted({mutant.file for mutant in chosen} - passing)
        for file, each in zip(doubtful, pool.imap(outcome, doubtful, 1), strict=True):
            if each != "survived":
                sys.exit(f"the tests of {file} fail without any change: {TESTS[file]}")
    survivors = [mutant for mutant, each in zip(chosen, found, strict=True) if each == "survived"]
    for mutant in survivors:
        print("survived" if mutant.excuse is None else f"equivalent ({mutant.excuse})", mutant, sep="  ")
    equivalent = sum(mutant.excuse is not None for mutant in survivors)
    counted, lost = len(chosen) - equivalent, len(survivors) - equivalent
    print(f"{counted - lost} of {counted} killed ({1 - lost / counted:.0%}); {equivalent} equivalent")
    sys.exit(lost > 0.05 * counted)


if __name__ == "__main__":
    main()
