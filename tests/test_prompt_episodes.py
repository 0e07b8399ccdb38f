"""Theorem 1 for walks that end, on every memory cell; and each way to get an ending wrong, planted, must show."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import icrl_teach.transformer as transformer
from icrl_teach import (
    Prompt,
    SoftmaxTransformer,
    Trajectory,
    build_prompt,
    position_features,
    shift_left,
    softmax_attention,
    trajectory_prompt,
)
from oracles import Walks, assert_close, random_walks, softmax_td_steps, walks
from patience import uncounted

alphas, betas, depths = st.floats(0.0, 1.5), st.floats(-2.0, 3.0), st.integers(1, 6)
blocks = st.sampled_from(["shift", "dual"])


def trajectory_of(w: Walks) -> Trajectory:
    return Trajectory.of_transitions(*w.steps, labels=[str(s) for s in range(len(w.table))])


def expected_memories(w: Walks, queries, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Target and value memory, (L+1, C) each, column by column from the list of steps: the other road."""
    target, value = [], []
    for v in values:
        t_row, v_row = [], []
        for k, (s, _, following, terminated, truncated) in enumerate(zip(*w.steps, strict=True)):
            v_row.append(v[s])
            t_row.append(0.0 if terminated else w.gamma * v[following])
            if truncated or (k == len(w.steps[0]) - 1 and not terminated):  # the landing
                v_row.append(v[following])
                t_row.append(0.0)
        for s in queries:
            v_row.append(v[s])
            t_row.append(0.0)
        target.append(t_row)
        value.append(v_row)
    return np.array(target), np.array(value)


@uncounted
@settings(max_examples=200)
@given(walks(), alphas, betas, depths, blocks, st.booleans(), st.booleans(), st.data())
def test_theorem_1_with_walks_that_end(w, alpha, beta, depth, block, tied, frozen, data):
    d, S = w.table.shape[1], len(w.table)
    queries = data.draw(st.lists(st.integers(0, S - 1), min_size=1, max_size=3))
    model = SoftmaxTransformer.constructed(d, depth, w.gamma, alpha, beta, tied, block)
    model.requires_grad_(not frozen)  # not frozen: the general path
    prompt = trajectory_prompt(trajectory_of(w), w.table, queries, w.v0, w.gamma)
    trace = model.trace(prompt).detach().numpy()
    values = softmax_td_steps(w, depth, alpha, beta)
    target, value = expected_memories(w, queries, values)
    assert_close(trace[:, -1], value, 1e-12)
    if target.any():
        assert np.abs(trace[:, -2] - target).max() <= 1e-12 * max(np.abs(target).max(), np.abs(values).max())
    assert (trace[:, : d + 1] == prompt.Z[: d + 1].numpy()).all()  # features and rewards: untouched
    assert_close(model.values(prompt)[-len(queries) :].detach(), values[-1][queries], 1e-12)
    assert model(prompt) == model.values(prompt)[-1]


@given(walks(), betas, depths, blocks)
def test_without_queries_the_trajectory_s_last_state_is_the_query(w, beta, depth, block):
    t = trajectory_of(w)
    prompt = trajectory_prompt(t, w.table)
    assert prompt.Z.shape[-1] == len(t.states) and (prompt.source.numpy() == t.source).all()
    start = Walks(w.steps, w.table, w.gamma, np.zeros(len(w.table)))
    values = softmax_td_steps(start, depth, 1.0, beta)
    model = SoftmaxTransformer.constructed(w.table.shape[1], depth, w.gamma, beta=beta, block=block)
    scale = max(np.abs(values).max(), np.abs(w.steps[1]).max())
    assert abs(model(prompt).item() - values[-1, t.states[-1]]) <= 1e-12 * scale


@pytest.mark.parametrize("block", ["shift", "dual"])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_batch_of_walks_padded_to_one_length(block, frozen, rng):
    """Walks of unequal length share one tensor: padding columns are no source, whatever rewards they hold."""
    trajectories = [Trajectory.of_transitions(*random_walks(rng, 4, n)) for n in (1, 3, 5)]
    table, longest = rng.standard_normal((4, 3)), max(len(t.states) for t in trajectories)
    x, r = np.zeros((3, longest, 3)), np.full((3, longest - 1), 7.0)
    source, continues = np.zeros((2, 3, longest), dtype=bool)
    for i, t in enumerate(trajectories):
        C = len(t.states)
        x[i, :C], r[i, : C - 1] = position_features(t, table), t.rewards
        source[i, :C], continues[i, :C] = t.source, t.continues
    queries = np.broadcast_to(table[[2, 0]], (3, 2, 3))
    prompt = build_prompt(x, r, source=source, continues=continues, queries=queries)
    model = SoftmaxTransformer.constructed(3, 4, 0.9, block=block).requires_grad_(not frozen)
    answers = model.values(prompt)[:, -2:].detach()
    for i, t in enumerate(trajectories):
        alone = model.values(trajectory_prompt(t, table, [2, 0]))[-2:].detach()
        assert_close(answers[i], alone, 1e-12)


@pytest.mark.parametrize("block", ["shift", "dual"])
@pytest.mark.parametrize("batch", [(), (2,), (2, 4)])
def test_all_flags_set_is_no_flags(batch, block, rng):
    features, rewards = rng.standard_normal((*batch, 7, 3)), rng.standard_normal((*batch, 6))
    plain = build_prompt(features, rewards)
    for model in (SoftmaxTransformer.constructed(3, 4, 0.9, block=block), SoftmaxTransformer(3, 4, 0.9, block=block)):
        assert torch.equal(model.trace(Prompt(plain)), model.trace(plain))


def test_walks_of_one_form_share_their_flags(rng):
    """Flags of one prompt, (C,), stand for every prompt of a batch; flags for rows that it has not are refused."""
    features, rewards = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 3))
    source, continues = np.array([True, True, False, False]), np.array([True, False, False, False])
    each = {"source": np.stack([source] * 2), "continues": np.stack([continues] * 2)}
    shared, apart = (
        build_prompt(features, rewards, source=source, continues=continues),
        build_prompt(features, rewards, **each),
    )
    model = SoftmaxTransformer.constructed(3, 4, 0.9)
    assert torch.equal(shared.Z, apart.Z) and torch.equal(model.values(shared), model.values(apart))
    with pytest.raises(ValueError, match=r"source has shape \(6, 4\); it must have shape \(4,\)"):
        Prompt(shared.Z[0], torch.from_numpy(np.stack([source] * 6)))


@pytest.mark.parametrize("block", ["shift", "dual"])
def test_gradients_through_flags_are_those_of_finite_differences(block, rng):
    t = Trajectory.of_transitions(*random_walks(rng, 3, 4))
    prompt = trajectory_prompt(t, rng.standard_normal((3, 2)), queries=[0])
    model = SoftmaxTransformer(2, 2, 0.8, block=block)
    names = [name for name, _ in model.named_parameters()]

    def answer(*parameters):
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (prompt,))

    assert torch.autograd.gradcheck(answer, tuple(model.parameters()))
    frozen = model.requires_grad_(False)
    forward, backward = (
        mode(lambda V: torch.func.functional_call(frozen, {"V": V}, (prompt,)))(model.V.detach())
        for mode in (torch.func.jacfwd, torch.func.jacrev)
    )
    assert_close(forward, backward, 1e-12)


def test_the_matrices_of_the_document(rng):
    Z, A = torch.from_numpy(rng.standard_normal((5, 6))), torch.from_numpy(rng.standard_normal((5, 5)))
    source = np.array([True, False, True, True, False, False])
    continues = np.array([True, False, False, True, False, False])
    M = np.where(source, 0.0, -np.inf)[:, None]
    weights = np.exp((Z.mT @ A @ Z).numpy() + M)
    E = softmax_attention(Z, A, torch.from_numpy(source))
    assert_close(E, weights / weights.sum(axis=0), 1e-13)
    assert (E[~source] == 0).all()
    per_sample = softmax_attention(Z.expand(2, 5, 6), A, torch.from_numpy(np.stack([source, ~source])))
    assert_close(per_sample[0], E, 1e-13)
    assert (per_sample[1][source] == 0).all()
    Pi = np.eye(6, k=-1)
    assert_close(shift_left(Z, torch.from_numpy(continues)), Z.numpy() @ Pi @ np.diag(continues.astype(float)), 0.0)


# Broken on purpose


GAMMA, DEPTH = 0.9, 5
BLOCKS = pytest.mark.parametrize("block", ["shift", "dual"])
FROZEN = pytest.mark.parametrize("frozen", [True, False], ids=["fast path", "general path"])


def mixture() -> Walks:
    """Two walks that terminate and one that is cut short, on three states."""
    rng = np.random.default_rng(3)
    states, following = [0, 1, 2, 0, 1, 1, 2], [1, 2, 0, 1, 2, 2, 0]
    terminated, truncated = [0, 0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0, 0]
    steps = tuple(np.array(column) for column in (states, rng.uniform(0.5, 1.5, 7), following))
    flags = (np.array(terminated, dtype=bool), np.array(truncated, dtype=bool))
    return Walks((*steps, *flags), rng.standard_normal((3, 3)), GAMMA, np.zeros(3))


def gap(prompt: Prompt, block: str, frozen: bool) -> float:
    """How far the answers for all three states are from plain loops over the steps of `mixture`."""
    values = softmax_td_steps(mixture(), DEPTH, 1.0, 1.0)[-1]
    model = SoftmaxTransformer.constructed(3, DEPTH, GAMMA, block=block).requires_grad_(not frozen)
    return np.abs(model.values(prompt)[-3:].detach().numpy() - values).max()


def right_prompt() -> Prompt:
    return trajectory_prompt(trajectory_of(mixture()), mixture().table, [0, 1, 2])


@BLOCKS
@FROZEN
def test_nothing_planted_nothing_found(block, frozen):
    assert gap(right_prompt(), block, frozen) < 1e-13


@BLOCKS
@FROZEN
def test_a_landing_column_that_is_not_masked_shows(block, frozen):
    right = right_prompt()
    source = right.source.clone()
    source[5] = True
    assert not right.source[5] and gap(Prompt(right.Z, source, right.continues), block, frozen) > 1e-3


@BLOCKS
@FROZEN
def test_a_terminated_column_that_continues_shows(block, frozen):
    right = right_prompt()
    continues = right.continues.clone()
    continues[2] = True
    assert not right.continues[2] and gap(Prompt(right.Z, right.source, continues), block, frozen) > 1e-3


@BLOCKS
@FROZEN
def test_a_truncation_taken_for_a_termination_shows(block, frozen):
    s, r, following, terminated, truncated = mixture().steps
    wrong = Trajectory.of_transitions(s, r, following, terminated | truncated)
    assert gap(trajectory_prompt(wrong, mixture().table, [0, 1, 2]), block, frozen) > 1e-3


@BLOCKS
@FROZEN
def test_walks_joined_as_if_nothing_had_ended_show(block, frozen):
    s, r, *_ = mixture().steps
    wrong = Trajectory(np.append(s, 0), r)
    assert gap(trajectory_prompt(wrong, mixture().table, [0, 1, 2]), block, frozen) > 1e-3


@BLOCKS
@FROZEN
def test_library_code_that_drops_a_flag_shows(block, frozen, monkeypatch):
    monkeypatch.setattr(transformer, "softmax_attention", lambda Z, A, source: softmax_attention(Z, A))
    assert gap(right_prompt(), block, frozen) > 1e-3
    monkeypatch.undo()
    monkeypatch.setattr(transformer, "carried", lambda continues, like: like.new_ones(()))
    assert gap(right_prompt(), block, frozen) > 1e-3


# What is refused


def test_gamma_one_reads_only_prompts_in_which_something_terminates():
    model = SoftmaxTransformer.constructed(3, 2, 1.0)
    model(right_prompt())
    for prompt in (right_prompt().Z, Prompt(right_prompt().Z)):
        with pytest.raises(ValueError, match=r"gamma is 1.0; .* \(1 needs walks that terminate"):
            model(prompt)


def test_odd_flags_and_queries_are_refused():
    x, r = np.ones((3, 2)), np.ones(2)
    for arguments, message in [
        ({"source": [True, True, True]}, "source is set in the last column"),
        ({"source": [False] * 3}, "source is set nowhere"),
        ({"source": [False, True, False], "continues": [True, True, False]}, "continues is set where source is not"),
        ({"source": [True, False]}, r"source has shape \(2,\); it must have shape \(..., m\+1\), where m is 2"),
        ({"continues": [0, 2, 0]}, r"continues holds 2\.0; a flag is False or True"),
        ({"queries": [[1.0]]}, r"queries has shape \(1, 1\); it must have shape \(..., q, d\), where d is 2"),
        ({"queries": [1.0, 1.0]}, "queries has shape"),
        ({"v0": [0.0] * 3, "gamma": 0.9, "queries": x}, r"v0 has shape \(3,\); it must have shape \(6,\)"),
        ({"v0": [0.0] * 3, "gamma": 1.0, "source": [True, True, False]}, "gamma is 1.0"),
    ]:
        with pytest.raises(ValueError, match=message):
            build_prompt(x, r, **arguments)
    for queries in ([2], [0, 2], []):
        with pytest.raises(ValueError, match=r"queries is .* give at least one state"):
            trajectory_prompt(Trajectory([0, 1], [1.0]), np.eye(2), queries=queries)
    with pytest.raises(ValueError, match=r"v0 has shape \(3,\); it must have shape \(S,\), here \(2,\)"):
        trajectory_prompt(Trajectory([0, 1], [1.0]), np.eye(2), v0=[0.0] * 3, gamma=0.9)
    with pytest.raises(ValueError, match=r"Z is an array of shape \(5, 3\) .*; it must be a torch tensor"):
        Prompt(build_prompt(x, r).numpy())
    assert Prompt(build_prompt(x, r)).to(torch.float32).Z.dtype == torch.float32


@pytest.mark.parametrize(
    ("source", "continues", "message"),
    [
        ([True, True, True], [True, False, False], "source is set in the last column"),
        ([False, False, False], [False, False, False], "source is set nowhere"),
        ([False, True, False], [True, True, False], "continues is set where source is not"),
    ],
)
def test_one_odd_walk_of_a_batch_is_found(source, continues, message):
    fine = [True, True, False]
    with pytest.raises(ValueError, match=message):
        Prompt(torch.zeros(2, 4, 3), [fine, source], [fine, continues])


def test_a_prompt_of_tensors_passes_gradients_on():
    x, r = torch.ones(3, 2, requires_grad=True), torch.ones(2, requires_grad=True)
    build_prompt(x, r, queries=2 * x).Z.sum().backward()
    assert x.grad.tolist() == [[3.0, 3.0]] * 3 and r.grad.tolist() == [1.0, 1.0]


def test_a_reward_that_no_source_received_is_not_in_the_prompt():
    """Padding a batch: what stands where no transition is must not reach a reward row."""
    prompt = build_prompt(np.ones((4, 2)), [1.0, 7.0, 2.0], source=[True, False, True, False])
    assert prompt.Z[2].tolist() == [1.0, 0.0, 2.0, 0.0]


@pytest.mark.parametrize(("features", "rewards"), [(np.ones(3), np.ones(2)), (np.ones((3, 2)), np.ones((2, 2)))])
def test_shapes_of_a_context_that_do_not_fit(features, rewards):
    with pytest.raises(ValueError, match=r"features has shape|rewards has shape"):
        build_prompt(features, rewards)
