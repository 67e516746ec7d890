import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alarm.compositions import (
    aspect_rewards,
    hierarchical_rewards,
    holistic_rewards,
    last_token,
    log_sigmoid_sum_rewards,
    raw_sum_rewards,
    weighted_sum_rewards,
)
from alarm.transforms import log_sigmoid_centered, sigmoid_shape, z_normalize


@st.composite
def batches(draw):
    lengths = draw(st.lists(st.integers(0, 7), min_size=1, max_size=6))
    width = max(max(lengths), 1) + draw(st.integers(0, 3))
    seed = draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    holistic = torch.randn(len(lengths), generator=generator)
    aspect = torch.randn(len(lengths), width, generator=generator)
    mask = torch.arange(width) < torch.tensor(lengths).unsqueeze(1)
    return holistic, aspect, mask


def slow_hierarchical(holistic, aspect, mask, threshold, holistic_weight, aspect_weight):
    """The paper's definition, token by token in float64."""
    rewards = [[0.0] * mask.shape[1] for _ in range(mask.shape[0])]
    for row in range(mask.shape[0]):
        length = int(mask[row].sum())
        for t in range(length):
            if holistic[row].item() >= threshold:
                rewards[row][t] += aspect_weight * aspect[row, t].item()
            if t == length - 1:
                rewards[row][t] += holistic_weight * holistic[row].item()
    return torch.tensor(rewards, dtype=torch.float64)


@given(batches(), st.floats(-1, 1), st.floats(0, 5), st.floats(0, 5))
def test_hierarchical_equals_the_slow_loop(batch, threshold, holistic_weight, aspect_weight):
    holistic, aspect, mask = batch
    got = hierarchical_rewards(
        holistic, aspect, mask, threshold=threshold, holistic_weight=holistic_weight, aspect_weight=aspect_weight
    )
    want = slow_hierarchical(holistic, aspect, mask, threshold, holistic_weight, aspect_weight)
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)


@given(batches())
def test_threshold_limits_reduce_the_hierarchy_to_its_baselines(batch):
    holistic, aspect, mask = batch
    settings = {"holistic_weight": 5.0, "aspect_weight": 0.7}
    low = hierarchical_rewards(holistic, aspect, mask, threshold=-math.inf, **settings)
    high = hierarchical_rewards(holistic, aspect, mask, threshold=math.inf, **settings)
    assert torch.equal(low, weighted_sum_rewards(holistic, aspect, mask, **settings))
    assert torch.equal(high, holistic_rewards(holistic, mask, holistic_weight=5.0))


@given(batches())
def test_crossing_the_threshold_never_lowers_the_total_with_a_positive_aspect(batch):
    holistic, aspect, mask = batch
    aspect = sigmoid_shape(aspect)
    settings = {"holistic_weight": 0.0, "aspect_weight": 1.0}
    below = hierarchical_rewards(holistic, aspect, mask, threshold=math.inf, **settings).sum(1)
    above = hierarchical_rewards(holistic, aspect, mask, threshold=-math.inf, **settings).sum(1)
    assert (above >= below).all()
    assert (above[mask.any(1)] > below[mask.any(1)]).all()


@given(batches(), st.integers(1, 5))
def test_more_padding_and_a_permuted_batch_change_nothing(batch, extra):
    holistic, aspect, mask = batch
    settings = {"threshold": 0.1, "holistic_weight": 3.0}
    want = hierarchical_rewards(holistic, aspect, mask, **settings)
    wide = hierarchical_rewards(
        holistic,
        torch.nn.functional.pad(aspect, (0, extra), value=float("nan")),
        torch.nn.functional.pad(mask, (0, extra)),
        **settings,
    )
    assert torch.equal(wide[:, : mask.shape[1]], want)
    assert not wide[:, mask.shape[1] :].any()
    order = torch.arange(len(holistic)).flip(0)
    assert torch.equal(hierarchical_rewards(holistic[order], aspect[order], mask[order], **settings), want[order])


def test_golden_values_worked_by_hand():
    holistic = torch.tensor([0.6, 0.59])
    aspect = torch.tensor([[0.5, 0.25, 9.0], [0.5, 0.25, 0.125]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    got = hierarchical_rewards(holistic, aspect, mask, threshold=0.6, holistic_weight=5.0, aspect_weight=2.0)
    # Exactly at the threshold counts as above it; the second response is below and keeps its holistic reward only.
    torch.testing.assert_close(got, torch.tensor([[1.0, 0.5 + 3.0, 0.0], [0.0, 0.0, 2.95]]))
    torch.testing.assert_close(aspect_rewards(aspect, mask), torch.tensor([[0.5, 0.25, 0.0], [0.5, 0.25, 0.125]]))


def test_a_row_without_tokens_earns_nothing():
    mask = torch.zeros(2, 3, dtype=torch.bool)
    rewards = weighted_sum_rewards(torch.ones(2), torch.ones(2, 3), mask, holistic_weight=5.0)
    assert not rewards.any()
    assert not last_token(mask).any()


def test_bad_inputs_are_named():
    mask = torch.tensor([[True, True], [True, False]])
    with pytest.raises(ValueError, match=r"holistic reward is NaN or infinite in rows \[1\]"):
        holistic_rewards(torch.tensor([0.0, math.nan]), mask, holistic_weight=1.0)
    with pytest.raises(ValueError, match=r"aspect reward is NaN or infinite in rows \[0\]"):
        aspect_rewards(torch.tensor([[math.inf, 0.0], [0.0, math.nan]]), mask)
    with pytest.raises(ValueError, match="right-padded"):
        aspect_rewards(torch.zeros(1, 2), torch.tensor([[False, True]]))
    with pytest.raises(ValueError, match="boolean"):
        holistic_rewards(torch.zeros(2), mask.float(), holistic_weight=1.0)
    with pytest.raises(ValueError, match="one per response"):
        holistic_rewards(torch.zeros(3), mask, holistic_weight=1.0)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=30, unique=True))
def test_sigmoid_shape_is_positive_and_monotone(values):
    x = torch.tensor(sorted(values), dtype=torch.float64)
    shaped = sigmoid_shape(x)
    assert (shaped > 0).all()
    assert (shaped.diff() >= 0).all()
    torch.testing.assert_close(shaped, torch.tensor([1 / (1 + math.exp(-v)) for v in x.tolist()], dtype=torch.float64))


def test_z_normalize_gives_zero_mean_unit_deviation_and_refuses_a_constant_reward():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    z = z_normalize(x, mean=x.mean().item(), std=x.std().item())
    assert z.mean().abs() < 1e-12
    assert abs(z.std().item() - 1) < 1e-12
    with pytest.raises(ValueError, match="positive, finite std"):
        z_normalize(x, mean=0.0, std=0.0)
    with pytest.raises(ValueError, match="1 of 2 rewards"):
        z_normalize(torch.tensor([0.0, math.nan]), mean=0.0, std=1.0)


# Log-sigmoid-centred rewards.


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


@given(st.lists(st.floats(-300, 300), min_size=2, max_size=30, unique=True), st.floats(-300, 300))
def test_log_sigmoid_is_monotone_never_positive_and_the_log_of_a_probability(rewards, reference):
    rewards = doubles(*sorted(rewards))
    u = log_sigmoid_centered(rewards, doubles(reference))
    assert (u <= 0).all() and (u.diff() >= 0).all()
    torch.testing.assert_close(u.exp(), torch.sigmoid(rewards - reference))
    # A shift of both changes nothing.
    torch.testing.assert_close(log_sigmoid_centered(rewards + 7.0, doubles(reference + 7.0)), u, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_sigmoid_is_linear_far_below_the_reference_and_flat_far_above(dtype):
    rewards = torch.tensor([-1e4, -50.0, 0.0, 50.0, 1e4], dtype=dtype, requires_grad=True)
    u = log_sigmoid_centered(rewards, torch.zeros((), dtype=dtype))
    torch.testing.assert_close(u.detach(), torch.tensor([-1e4, -50.0, -math.log(2), 0.0, 0.0], dtype=dtype))
    u.sum().backward()
    torch.testing.assert_close(rewards.grad, torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0], dtype=dtype))


def test_log_sigmoid_gradient():
    rewards, references = doubles(-20, -1, 0, 0.3, 20).requires_grad_(), doubles(0.5, -0.5, 0, 2, 1).requires_grad_()
    assert torch.autograd.gradcheck(log_sigmoid_centered, (rewards, references))


def test_log_sigmoid_broadcasts_as_torch_does_and_refuses_what_is_not_finite():
    assert log_sigmoid_centered(torch.zeros(3, 4), torch.zeros(4)).shape == (3, 4)
    assert log_sigmoid_centered(torch.zeros(0), torch.zeros(())).shape == (0,)
    with pytest.raises(ValueError, match="1 of 2 rewards are NaN or infinite"):
        log_sigmoid_centered(doubles(0, math.inf), doubles(0))
    with pytest.raises(ValueError, match="1 of 1 references are NaN or infinite"):
        log_sigmoid_centered(doubles(0, 1), doubles(math.nan))


@st.composite
def properties(draw):
    holistic, _, mask = draw(batches())
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    size = {"generator": generator, "dtype": torch.float64}
    rewards, references = ({name: 3 * torch.randn(len(holistic), **size) for name in names} for _ in range(2))
    return rewards, references, mask


@given(properties(), st.floats(0.1, 5))
def test_sums_over_properties_equal_their_definitions(batch, weight):
    """The transformed sum is the log of the product of probabilities; both stand on the last token alone."""
    rewards, references, mask = batch
    product = torch.stack([torch.sigmoid(rewards[name] - references[name]) for name in rewards]).prod(dim=0)
    raw = torch.stack([rewards[name] - references[name] for name in rewards]).sum(dim=0)
    for function, total in ((log_sigmoid_sum_rewards, product.log()), (raw_sum_rewards, raw)):
        got = function(rewards, references, mask, weight=weight)
        wanted = torch.where(last_token(mask), weight * total.unsqueeze(1), 0.0)
        torch.testing.assert_close(got, wanted.float(), rtol=1e-4, atol=1e-5)
    transformed, plain = log_sigmoid_sum_rewards(*batch, weight=1.0), raw_sum_rewards(*batch, weight=1.0)
    assert (transformed <= 0).all()
    if len(rewards) == 1:
        assert (transformed <= plain.clamp(max=0)).all()


def test_one_bad_property_cannot_be_made_up_for():
    mask = torch.ones(2, 1, dtype=torch.bool)
    references = {"a": torch.zeros(2), "b": torch.zeros(2)}
    rewards = {"a": torch.tensor([-3.0, 1.0]), "b": torch.tensor([100.0, 1.0])}
    raw = raw_sum_rewards(rewards, references, mask, weight=1.0)
    transformed = log_sigmoid_sum_rewards(rewards, references, mask, weight=1.0)
    assert raw[0] > raw[1] and transformed[0] < transformed[1]
    torch.testing.assert_close(transformed[:, 0], torch.tensor([-3.04858735, -0.62652338]))


@pytest.mark.parametrize("function", [log_sigmoid_sum_rewards, raw_sum_rewards])
def test_bad_properties_are_named(function):
    mask, zeros = torch.ones(2, 1, dtype=torch.bool), torch.zeros(2)
    for rewards, references in (({}, {}), ({"a": zeros}, {"b": zeros}), ({"a": zeros}, {})):
        with pytest.raises(ValueError, match="at least one, each with a reference"):
            function(rewards, references, mask, weight=1.0)
    with pytest.raises(ValueError, match=r"reference of a must be \[2\], got \(1,\)"):
        function({"a": zeros}, {"a": torch.zeros(1)}, mask, weight=1.0)
    with pytest.raises(ValueError, match=r"a reward is NaN or infinite in rows \[1\]"):
        function({"a": torch.tensor([0, math.nan])}, {"a": zeros}, mask, weight=1.0)
    with pytest.raises(ValueError, match=r"a reference reward is NaN or infinite in rows \[0\]"):
        function({"a": zeros}, {"a": torch.tensor([math.inf, 0])}, mask, weight=1.0)
