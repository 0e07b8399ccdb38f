"""Theorem 1 on every memory cell of every layer, by two roads that share no code: torch matrices, plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import icrl_teach.transformer as transformer
from icrl_teach import (
    LinearTransformer,
    SoftmaxTransformer,
    build_linear_prompt,
    build_prompt,
    linear_attention,
    reward_row,
    row_names,
    shift_left,
    softmax_attention,
    target_row,
    td_error_row,
    td_parameters,
    time_shift,
    value_row,
)
from oracles import (
    assert_close,
    batch_linear_loops,
    block_by_the_formula,
    contexts,
    expected_trace,
    seeds,
    softmax_td_loops,
)

alphas, betas, depths = st.floats(0.0, 1.5), st.floats(-2.0, 5.0), st.integers(1, 8)
blocks = st.sampled_from(["shift", "dual"])


def theorem_1(c, alphas, betas):
    values = softmax_td_loops(c.features, c.rewards, c.gamma, alphas, betas, c.v0)
    return expected_trace(c.features, c.rewards, c.gamma, values)


def prompt_of(c):
    return build_prompt(c.features, c.rewards, c.v0, c.gamma)


def set_layers(model, alphas, betas):
    """Hand each layer of a network with separate parameters its own step size and inverse temperature."""
    for layer, (alpha, beta) in enumerate(zip(alphas, betas, strict=True)):
        model.V[layer], model.A[layer] = td_parameters(model.d, alpha, beta)
        if model.block == "dual":
            model.V2[layer] = 0.0
            model.V2[layer, target_row(model.d)] = model.gamma * alpha * td_error_row(model.d)


# --- Theorem 1 -------------------------------------------------------------------------------------------------


@given(contexts(), alphas, betas, depths, blocks, st.booleans(), st.booleans())
def test_theorem_1_every_cell_of_every_layer(c, alpha, beta, depth, block, tied, frozen):
    model = SoftmaxTransformer.constructed(c.table.shape[1], depth, c.gamma, alpha, beta, tied, block)
    model.requires_grad_(not frozen)  # not frozen: the general path, attention rebuilt in each layer
    trace = model.trace(prompt_of(c)).detach().numpy()
    assert_close(trace, theorem_1(c, [alpha] * depth, [beta] * depth))


@given(contexts(), st.lists(st.tuples(alphas, betas), min_size=1, max_size=5), blocks)
def test_theorem_1_with_another_step_and_temperature_in_each_layer(c, steps, block):
    layer_alphas, layer_betas = zip(*steps, strict=True)
    model = SoftmaxTransformer.constructed(c.table.shape[1], len(steps), c.gamma, tied=False, block=block)
    set_layers(model, layer_alphas, layer_betas)
    assert_close(model.trace(prompt_of(c)).numpy(), theorem_1(c, layer_alphas, layer_betas))


@pytest.mark.parametrize("block", ["shift", "dual"])
def test_theorem_1_with_leading_batch_axes(block, rng):
    features, rewards, v0 = rng.standard_normal((2, 3, 8, 4)), rng.standard_normal((2, 3, 7)), rng.random((2, 3, 8))
    model = SoftmaxTransformer.constructed(4, 5, 0.9, alpha=0.8, beta=1.5, block=block)
    prompt = build_prompt(features, rewards, v0, 0.9)
    trace = model.trace(prompt).numpy()
    assert trace.shape == (6, 2, 3, 7, 8)
    for i in range(2):
        for j in range(3):
            values = softmax_td_loops(features[i, j], rewards[i, j], 0.9, [0.8] * 5, [1.5] * 5, v0[i, j])
            assert_close(trace[:, i, j], expected_trace(features[i, j], rewards[i, j], 0.9, values))
            assert model(prompt)[i, j] == trace[-1, i, j, -1, -1]
    assert_close(model.values(prompt), trace[-1, ..., -1, :], 0.0)


def test_theorem_1_over_forty_layers(rng):
    features, rewards = rng.standard_normal((21, 3)), rng.standard_normal(20)
    values = softmax_td_loops(features, rewards, 0.9, [1.0] * 40, [1.0] * 40, np.zeros(21))
    trace = SoftmaxTransformer.constructed(3, 40, 0.9).trace(build_prompt(features, rewards)).numpy()
    assert_close(trace, expected_trace(features, rewards, 0.9, values), 1e-13)  # the document measured 2e-15


@given(contexts(), alphas, betas, depths)
def test_lemma_1_both_blocks_agree_when_target_memory_starts_consistent(c, alpha, beta, depth):
    shift, dual = (
        SoftmaxTransformer.constructed(c.table.shape[1], depth, c.gamma, alpha, beta, block=b).trace(prompt_of(c))
        for b in ("shift", "dual")
    )
    assert_close(shift, dual, 1e-12)


def test_lemma_1_needs_the_consistent_start(rng):
    prompt = build_prompt(rng.standard_normal((6, 2)), rng.standard_normal(5))
    prompt[target_row(2), :-1] = 1.0  # claims v(next) = 1 / gamma while value memory says 0
    shift, dual = (SoftmaxTransformer.constructed(2, 3, 0.9, block=b).values(prompt) for b in ("shift", "dual"))
    assert (shift - dual).abs().max() > 1e-3


# --- any parameters: the formulas of section 3, matrix by matrix -------------------------------------------------


@st.composite
def networks(draw):
    """Random parameters with random rows and columns zeroed."""
    d, depth, tied, block = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.booleans()), draw(blocks)
    rng = np.random.default_rng(draw(seeds))
    model = SoftmaxTransformer(d, depth, draw(st.floats(0.0, 0.99)), tied, block)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = 0.4 * rng.standard_normal(parameter.shape)
            kept = draw(st.sampled_from(["all", "features only", "memory only", "some rows"]))
            if kept == "features only":
                values[:, d:], values[..., d:] = 0.0, 0.0
            elif kept == "memory only":
                values[:, :d] = 0.0
            elif kept == "some rows":
                values *= rng.random((*parameter.shape[:2], 1)) < 0.5
            if name == "A" and draw(st.booleans()):
                values[:] = values[0]
            parameter.copy_(torch.as_tensor(values))
    return model.requires_grad_(draw(st.booleans()))


@st.composite
def networks_with_fixed_scores(draw):
    """Frozen; one block of A for all layers, a row of V and a row of V2, all of random numbers."""
    d, depth, tied, block = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.booleans()), draw(blocks)
    rng = np.random.default_rng(draw(seeds))
    model = SoftmaxTransformer(d, depth, draw(st.floats(0.0, 0.99)), tied, block).requires_grad_(False)
    for parameter in model.parameters():
        parameter.zero_()
    model.A[:, :d, :d] = torch.as_tensor(rng.standard_normal((d, d)))
    model.V[:, value_row(d)] = torch.as_tensor(0.4 * rng.standard_normal((len(model.V), d + 3)))
    if block == "dual":
        model.V2[:, target_row(d)] = torch.as_tensor(0.4 * rng.standard_normal((len(model.V2), d + 3)))
    assert model.scores_are_fixed()
    return model


@given(st.one_of(networks(), networks_with_fixed_scores()), st.integers(1, 8), seeds)
def test_any_network_follows_the_block_formulas(model, n, seed):
    Z = np.random.default_rng(seed).standard_normal((model.d + 3, n + 1))
    trace = model.trace(torch.as_tensor(Z)).detach().numpy()
    expected = [Z]
    for layer in range(model.n_layers):
        at = 0 if model.tied else layer
        V, A = (p[at].detach().numpy() for p in (model.V, model.A))
        V2 = model.V2[at].detach().numpy() if model.block == "dual" else None
        expected.append(block_by_the_formula(expected[-1], V, A, model.gamma, V2))
    assert_close(trace, expected)


CHANGES = [("V", 0, 3), ("V", 3, 3), ("V", 5, 1), ("A", 0, 4), ("A", 4, 0), ("A", 1, 0)]


def builds_of_attention(model, prompt, monkeypatch):
    count = []
    monkeypatch.setattr(transformer, "softmax_attention", lambda *a: (count.append(1), softmax_attention(*a))[1])
    values = model.values(prompt)
    monkeypatch.undo()
    return len(count), values.detach()


@pytest.mark.parametrize("block", ["shift", "dual"])
@pytest.mark.parametrize("tied", [True, False])
def test_attention_is_built_once_when_frozen_and_in_each_layer_otherwise(block, tied, rng, monkeypatch):
    prompt = build_prompt(rng.standard_normal((7, 3)), rng.standard_normal(6))
    model = SoftmaxTransformer.constructed(3, 5, 0.9, tied=tied, block=block)
    builds, fast = builds_of_attention(model, prompt, monkeypatch)
    assert builds == 1
    builds, general = builds_of_attention(model.requires_grad_(True), prompt, monkeypatch)
    assert builds == 5
    assert_close(fast, general, 1e-13)


@pytest.mark.parametrize(
    ("block", "name", "row", "column"),
    [
        *((block, *where) for block in ("shift", "dual") for where in CHANGES),
        *(("dual", "V2", row, 3) for row in (0, 3, 4, 5)),
    ],
)
def test_changing_one_parameter_of_a_frozen_network_changes_the_computation(block, name, row, column, rng):
    """What was true when the network was built must not be remembered."""
    Z = build_prompt(rng.standard_normal((7, 3)), rng.standard_normal(6))
    model = SoftmaxTransformer.constructed(3, 4, 0.9, block=block)
    before = model.trace(Z)
    getattr(model, name)[0, row, column] = 0.7
    expected = [Z.numpy()]
    for _ in range(4):
        V2 = model.V2[0].numpy() if block == "dual" else None
        expected.append(block_by_the_formula(expected[-1], model.V[0].numpy(), model.A[0].numpy(), 0.9, V2))
    assert_close(model.trace(Z), expected)
    assert (model.trace(Z) - before).abs().max() > 1e-3


@pytest.mark.parametrize("layer", [0, 2])
def test_changing_one_layer_of_a_network_with_separate_parameters(layer, rng):
    Z = build_prompt(rng.standard_normal((7, 3)), rng.standard_normal(6))
    model = SoftmaxTransformer.constructed(3, 3, 0.9, tied=False)
    model.A[layer] *= 2.0  # no longer the same scores in every layer
    expected = [Z.numpy()]
    for V, A in zip(model.V, model.A, strict=True):
        expected.append(block_by_the_formula(expected[-1], V.numpy(), A.numpy(), 0.9))
    assert_close(model.trace(Z), expected)


@pytest.mark.parametrize("block", ["shift", "dual"])
def test_gradients_are_those_of_finite_differences(block, rng):
    model = SoftmaxTransformer(2, 2, 0.8, block=block)
    prompt = build_prompt(rng.standard_normal((5, 2)), rng.standard_normal(4))
    names = [name for name, _ in model.named_parameters()]

    def answer(*parameters):
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (prompt,))

    assert torch.autograd.gradcheck(answer, tuple(model.parameters()))


@pytest.mark.parametrize("block", ["shift", "dual"])
def test_both_modes_of_torch_func_see_every_weight(block, rng):
    """Forward mode puts dual numbers, without requires_grad, in the parameters' place: also of a frozen network."""
    model = SoftmaxTransformer.constructed(2, 3, 0.8, block=block)
    prompt = build_prompt(rng.standard_normal((5, 2)), rng.standard_normal(4))

    def answer(V):
        return torch.func.functional_call(model, {"V": V}, (prompt,))

    forward, backward = (mode(answer)(model.V.detach()) for mode in (torch.func.jacfwd, torch.func.jacrev))
    assert_close(forward, backward, 1e-12)
    assert (forward[0, value_row(2), target_row(2) :].abs() > 1e-3).all()
    many = torch.func.vmap(answer)(torch.stack([model.V.detach(), 0.5 * model.V.detach()]))
    assert_close(many[0], model(prompt), 1e-12)


def test_the_prompt_decides_the_precision_and_is_not_changed(rng):
    prompt = build_prompt(rng.standard_normal((6, 2)).astype(np.float32), rng.standard_normal(5).astype(np.float32))
    copy = prompt.clone()
    model = SoftmaxTransformer.constructed(2, 3, 0.9)
    assert prompt.dtype == model(prompt).dtype == torch.float32
    assert_close(model(prompt), model(prompt.double()), 1e-5)
    assert torch.equal(prompt, copy)


@pytest.mark.parametrize("block", ["shift", "dual"])
def test_new_networks_start_at_a_tenth_of_gaussian_noise_in_every_matrix(block):
    model = SoftmaxTransformer(8, 40, 0.9, tied=False, block=block)  # 4,840 entries a matrix
    matrices = [parameter.detach().numpy().ravel() for parameter in model.parameters()]
    assert len(matrices) == (3 if block == "dual" else 2)
    for entries in matrices:
        assert abs(entries.mean()) < 0.01 and abs(entries.std() - 0.1) < 0.01  # 5 standard errors and more
    assert max(abs(np.corrcoef(matrices)[np.triu_indices(len(matrices), 1)])) < 0.1  # each has noise of its own


def test_new_networks_follow_their_generator():
    first, same, other = (SoftmaxTransformer(2, 3, 0.9, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first.V, same.V) and not torch.equal(first.V, other.V)
    assert not torch.equal(first.V, first.A)
    linear, same = (LinearTransformer(2, 3, 0.9, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(linear.P, same.P) and linear.P.requires_grad
    torch.manual_seed(5)  # the global generator has no say: without one of its own a network has the noise of seed 0
    for network in (SoftmaxTransformer, LinearTransformer):
        alone, of_0 = network(2, 1, 0.9), network(2, 1, 0.9, generator=torch.Generator().manual_seed(0))
        assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), of_0.parameters(), strict=True))


# --- pieces ----------------------------------------------------------------------------------------------------


def test_parameters_are_those_of_the_theorem():
    V, A = td_parameters(2, alpha=0.5, beta=3.0)
    u = [0, 0, 1, 1, -1]
    assert td_error_row(2).tolist() == u
    assert V.tolist() == [[0] * 5] * 4 + [[0.5 * entry for entry in u]]
    assert A.tolist() == torch.diag(torch.tensor([3.0, 3.0, 0, 0, 0])).tolist()
    assert all(map(torch.equal, td_parameters(2), td_parameters(2, 1.0, 1.0)))


@given(contexts())
def test_the_prompt_holds_each_number_where_the_layout_says(c):
    Z, d, n = prompt_of(c), c.table.shape[1], c.n
    assert Z.shape == (d + 3, n + 1) and Z.dtype == torch.float64
    for j in range(n + 1):
        assert Z[:d, j].tolist() == list(c.features[j])
        assert Z[reward_row(d), j] == (c.rewards[j] if j < n else 0.0)
        assert Z[target_row(d), j] == (c.gamma * c.v0[j + 1] if j < n else 0.0)
        assert Z[value_row(d), j] == c.v0[j]
    assert len(row_names(d)) == d + 3 and row_names(d)[value_row(d)] == "value memory"


def test_prompts_may_be_built_from_lists_integers_and_tensors():
    expected = [[1.0, 0.0], [5.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    for make in (list, np.array, torch.tensor, lambda x: np.array(x, dtype=np.float32)):
        assert build_prompt(make([[1], [0]]), make([5])).tolist() == expected


@given(st.integers(1, 6), st.integers(1, 8), seeds)
def test_attention_averages_context_columns_and_hides_the_query(rows, n, seed):
    rng = np.random.default_rng(seed)
    Z, A = rng.standard_normal((rows, n + 1)), rng.standard_normal((rows, rows))
    E = softmax_attention(torch.as_tensor(Z), torch.as_tensor(A)).numpy()
    for j in range(n + 1):
        exps = [np.exp(float(Z[:, i] @ A @ Z[:, j])) for i in range(n)]
        assert_close(E[:n, j], np.array(exps) / sum(exps), 1e-11)
    assert_close(E.sum(axis=0), np.ones(n + 1), 1e-14)
    assert (E[n] == 0).all()


@given(st.integers(1, 6), st.integers(1, 8), seeds)
def test_shift_and_time_shift_are_the_matrices_of_the_document(d, n, seed):
    H = np.random.default_rng(seed).standard_normal((d + 3, n + 1))
    Pi = np.eye(n + 1, k=-1)
    assert_close(shift_left(torch.as_tensor(H)), H @ Pi, 0.0)
    expected = block_by_the_formula(H, np.zeros((d + 3, d + 3)), np.eye(d + 3), 0.7)
    assert_close(time_shift(torch.as_tensor(H), 0.7), expected, 1e-15)


# --- linear attention, the predecessor -------------------------------------------------------------------------


@given(contexts(), alphas, depths)
def test_linear_attention_is_batch_linear_td(c, alpha, depth):
    d = c.table.shape[1]
    w = batch_linear_loops(c.features, c.rewards, c.gamma, depth, alpha, np.zeros(d))
    trace = LinearTransformer.constructed(d, depth, c.gamma, alpha).trace(
        build_linear_prompt(c.features, c.rewards, c.gamma)
    )
    answers = -trace[:, 2 * d, -1].numpy()
    expected = w @ c.features[-1]
    assert np.abs(answers - expected).max() <= 1e-10 * max(np.abs(expected).max(), np.abs(c.rewards).max())
    # And the last row holds the TD errors of the context: the reason for the minus sign at the query.
    for layer in range(depth + 1):
        v = c.features @ w[layer]
        delta = c.rewards + c.gamma * v[1:] - v[:-1]
        assert np.abs(trace[layer, 2 * d, :-1].numpy() - delta).max() <= 1e-10 * (
            np.abs(v).max() + np.abs(c.rewards).max()
        )


def test_linear_attention_with_batch_axes_answers_each_prompt(rng):
    features, rewards = rng.standard_normal((3, 9, 2)), rng.standard_normal((3, 8))
    model = LinearTransformer.constructed(2, 25, 0.9, 0.5)
    answers = model(build_linear_prompt(features, rewards, 0.9))
    for i in range(3):
        w = batch_linear_loops(features[i], rewards[i], 0.9, 25, 0.5, np.zeros(2))
        assert abs(answers[i].item() - w[-1] @ features[i, -1]) <= 1e-12
    assert model.trace(build_linear_prompt(features, rewards, 0.9)).shape == (26, 3, 5, 9)


@given(st.integers(1, 5), st.integers(1, 8), seeds)
def test_linear_attention_by_the_formula(rows, n, seed):
    Z, P, Q = np.split(np.random.default_rng(seed).standard_normal((rows, 3 * max(rows, n + 1))), 3, axis=1)
    Z, P, Q = Z[:, : n + 1], P[:, :rows], Q[:, :rows]
    M = np.diag([1.0] * n + [0.0])
    assert_close(linear_attention(*(torch.tensor(X) for X in (Z, P, Q))), P @ Z @ M @ (Z.T @ Q @ Z), 1e-12)


def test_prompts_of_a_batch_are_those_of_each_alone(rng):
    features, rewards = rng.standard_normal((2, 3, 9, 2)), rng.standard_normal((2, 3, 8))
    together = build_prompt(features, rewards)
    assert together.shape == (2, 3, 5, 9)
    for i in np.ndindex(2, 3):
        assert_close(together[i], build_prompt(features[i], rewards[i]), 0.0)


def test_a_prompt_takes_the_finer_precision_of_features_and_rewards():
    assert build_prompt([[1], [2]], np.array([0.1])).dtype == torch.float64
    assert build_prompt(np.ones((2, 1), dtype=np.float32), np.array([0.1], dtype=np.float32)).dtype == torch.float32


@pytest.mark.parametrize(("alpha", "gamma", "block"), [(0.0, 0.9, "shift"), (1.0, 0.0, "dual")])
def test_a_head_that_writes_nothing_reads_long_prompts_too(alpha, gamma, block):
    Z = build_prompt(np.ones((601, 2)), np.ones(600))
    model = SoftmaxTransformer.constructed(2, 3, gamma, alpha, block=block)
    assert_close(model(Z).item(), alpha * 1.0, 1e-12)  # one state of reward 1: after one layer its value is alpha


def test_prompts_of_whole_numbers_are_refused():
    """They would take the weights with them: alpha 0.5 would become 0."""
    with pytest.raises(
        ValueError, match=r"prompt is torch\.int64; the network reads tensors of floating-point numbers"
    ):
        transformer.check_prompt(torch.ones(5, 4, dtype=torch.int64), 5)


def test_what_no_network_can_read_is_refused():
    network = SoftmaxTransformer(2, 3, 0.9)
    Z = torch.ones(5, 4)
    with pytest.raises(ValueError, match=r"prompt has shape \(5,\); this network reads \(..., 5, n\+1\)"):
        transformer.check_prompt(Z[:, 0], 5)
    with pytest.raises(ValueError, match="index is 3; the layers are 0 to 2"):
        network.layer(Z, 3)
    Z[1, 2] = torch.nan
    for each in (network, LinearTransformer(2, 3, 0.9)):
        with pytest.raises(ValueError, match="prompt holds NaN or infinity"):
            each(Z)


@pytest.mark.parametrize("block", ["shift", "dual"])
def test_a_network_has_one_pair_of_matrices_for_all_layers_if_not_said_otherwise(block):
    new, constructed = (
        SoftmaxTransformer(2, 3, 0.9, block=block),
        SoftmaxTransformer.constructed(2, 3, 0.9, block=block),
    )
    for network in (new, constructed):
        assert {(tuple(p.shape), p.dtype) for p in network.parameters()} == {((1, 5, 5), torch.float64)}


def test_the_step_is_1_if_not_said_otherwise():
    """Of batch linear TD in the predecessor, as of softmax TD; and parameters may be of a coarser precision."""
    assert torch.equal(LinearTransformer.constructed(2, 1, 0.9).P, torch.diag(torch.tensor([0.0, 0, 0, 0, 1]).double()))
    assert [X.dtype for X in td_parameters(2, dtype=torch.float32)] == [torch.float32] * 2


def test_whole_numbers_in_a_prompt_stay_exact():
    Z = build_prompt([[1], [1]], [16777217])
    assert Z.dtype == torch.float64 and Z[1, 0].item() == 16777217


@pytest.mark.parametrize("n", [100, 700, 701])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_reading_in_shares_equals_one_product(n, threads, rng):
    before = torch.get_num_threads()
    E = torch.softmax(torch.from_numpy(rng.standard_normal((n, n))), dim=1).mT
    told = torch.from_numpy(rng.standard_normal((1, n)))
    torch.set_num_threads(threads)
    try:
        for each, matrix in ((told, E), (told.expand(2, 1, n), E.expand(2, n, n))):  # alone, and in a batch
            product = each.numpy() @ matrix.numpy()
            np.testing.assert_allclose(transformer.row_times(each, matrix), product, rtol=0, atol=1e-12)
    finally:
        torch.set_num_threads(before)


def test_two_layers_whose_scores_differ_take_the_general_path(rng):
    network = SoftmaxTransformer.constructed(2, 2, 0.9, tied=False)
    network.A[1] *= 3.0
    assert not network.scores_are_fixed()
    prompt = build_prompt(rng.normal(size=(7, 2)), rng.normal(size=6))
    Z = prompt
    for index in range(2):
        Z = network.layer(Z, index)
    assert torch.equal(network.values(prompt), Z[value_row(2)])


def test_a_new_linear_network_starts_at_a_tenth_of_gaussian_noise():
    network = LinearTransformer(12, 1, 0.9, torch.Generator().manual_seed(3))
    drawn = torch.Generator().manual_seed(3)
    for noise in (network.P, network.Q):
        assert torch.equal(noise, 0.1 * torch.randn(25, 25, generator=drawn, dtype=torch.float64))
