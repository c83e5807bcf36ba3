import copy

import pytest
import torch

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ExplainedBatch, RankingGap

from .conftest import probability_gradient, weight_gradient


def naive(module, x, k, pairs, n_pairs, gap, ranking, margin=1.0, reduction="mean"):
    """Loops over samples and pairs, with the units in descending order of score."""
    values = []
    for row in x.detach():
        c = module(row[None])[0].argmax().item()
        attribution = probability_gradient(module, row, c)
        scores = attribution.abs() if ranking == "magnitude" else attribution
        if scores.ndim == 3:
            scores = sum(scores[channel] for channel in range(len(scores)))
        scores = list(scores.flatten())
        if gap != "linear":
            mean = sum(abs(s) for s in scores) / len(scores)
            scores = [s / mean for s in scores]
        s = [None, *sorted(scores, key=lambda v: -v.item())]  # s[1] is the largest
        n = len(scores)
        window = min(n_pairs or k, k, n - k)
        if pairs == "all":
            chosen = [(i, j) for i in range(1, k + 1) for j in range(k + 1, n + 1)]
        elif pairs == "minimal":
            chosen = [(k - i + 1, k + i) for i in range(1, window + 1)]
        else:
            chosen = [(k - i, k) for i in range(1, window)] + [(k, k + i) for i in range(1, window + 1)]
        gaps = [s[i] - s[j] for i, j in chosen]
        number = len(chosen) if pairs == "all" or gap in ("exponential", "hinge") else window
        if gap == "exponential":
            total = sum((-h).exp() for h in gaps)
        elif gap == "hinge":
            total = sum((margin - h).clamp_min(0) for h in gaps)
        else:
            total = -sum(gaps)
        values.append(total if reduction == "sum" else total / number)
    return torch.stack(values)


PAIRS = pytest.mark.parametrize(
    ("pairs", "n_pairs"), [("all", None), ("minimal", None), ("minimal", 1), ("anchor", None), ("anchor", 2)]
)
GAPS = pytest.mark.parametrize("gap", ["normalized", "linear", "exponential", "hinge"])
RANKINGS = pytest.mark.parametrize("ranking", ["magnitude", "signed"])


@pytest.mark.parametrize(("k", "reduction"), [(1, "mean"), (2, "mean"), (4, "mean"), (2, "sum")])
@PAIRS
@GAPS
@RANKINGS
def test_value_and_gradient_equal_the_loops(k, reduction, pairs, n_pairs, gap, ranking, net, x):
    value = RankingGap(k, pairs, n_pairs, gap, ranking, reduction=reduction)(ExplainedBatch(net, x, Gradient()))
    expected = naive(net, x, k, pairs, n_pairs, gap, ranking, reduction=reduction)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-7, atol=1e-11)


@PAIRS
@GAPS
@RANKINGS
def test_images_are_ranked_by_pixel(pairs, n_pairs, gap, ranking, image_net, images):
    value = RankingGap(3, pairs, n_pairs, gap, ranking)(ExplainedBatch(image_net, images, Gradient()))
    expected = naive(image_net, images, 3, pairs, n_pairs, gap, ranking)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)


@PAIRS
@GAPS
@RANKINGS
def test_a_stack_of_models_is_its_members(pairs, n_pairs, gap, ranking, stack):
    module, members, x = stack
    penalty = RankingGap(2, pairs, n_pairs, gap, ranking)
    value = penalty(ExplainedBatch(module, x, Gradient()))
    expected = [penalty(ExplainedBatch(m, r.detach().requires_grad_(), Gradient())) for m, r in zip(members, x)]
    torch.testing.assert_close(value, torch.stack(expected))


@PAIRS
@pytest.mark.parametrize("margin", [0.05, 0.4, 3.0])
def test_the_margin_of_the_hinge(pairs, n_pairs, margin, net, x):
    value = RankingGap(2, pairs, n_pairs, "hinge", margin=margin)(ExplainedBatch(net, x, Gradient()))
    expected = naive(net, x, 2, pairs, n_pairs, "hinge", "magnitude", margin)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-7, atol=1e-11)


def test_the_exponential_of_wide_gaps_stays_finite_in_float32():
    def one_large(module, x, target, **kwargs):
        return torch.cat([500 * x[:, :1], x[:, 1:]], dim=1)

    rows = torch.ones(2, 1000, requires_grad=True)
    batch = ExplainedBatch(torch.nn.Identity(), rows, one_large, target=torch.zeros(2, dtype=torch.long))
    value = RankingGap(1, gap="exponential")(batch)
    (slope,) = torch.autograd.grad(value.sum(), rows)
    assert value.isfinite().all()
    assert slope.isfinite().all()


def test_only_the_linear_gap_can_be_bought_by_scale(net, x):
    explainer = Gradient("logit")

    def value(gap):
        return RankingGap(2, gap=gap)(ExplainedBatch(net, x, explainer)).detach()

    before = {gap: value(gap) for gap in ("normalized", "linear")}
    with torch.no_grad():
        for p in net.layers[-1].parameters():
            p.mul_(3.0)
    torch.testing.assert_close(value("normalized"), before["normalized"])
    torch.testing.assert_close(value("linear"), 3 * before["linear"])


def test_a_zero_attribution_and_a_single_unit_have_no_gap_and_finite_gradients():
    flat = MLP(3, 2, (4,)).double()
    with torch.no_grad():
        flat.layers[-1].weight.zero_()
    for module, width in ((flat, 3), (MLP(1, 2, (4,)).double(), 1)):
        rows = torch.ones(2, width, dtype=torch.float64, requires_grad=True)
        value = RankingGap(1)(ExplainedBatch(module, rows, Gradient()))
        assert value.tolist() == [0.0, 0.0]
        assert weight_gradient(value, module).isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, "k must be"),
        ({"k": 2, "pairs": "minimum"}, "Did you mean 'minimal'"),
        ({"k": 2, "gap": "normalised"}, "Did you mean 'normalized'"),
        ({"k": 2, "margin": 0.0}, "margin must be"),
        ({"k": 2, "reduction": "total"}, "reduction"),
        ({"k": 2, "ranking": "sign"}, "Did you mean 'signed'"),
    ],
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        RankingGap(**wrong)


def test_confident_samples_keep_value_and_gradient_in_float32(net, x):
    with torch.no_grad():
        for p in net.layers[-1].parameters():
            p.mul_(300.0)
    assert (net(x).softmax(dim=1).amax(dim=1).float() == 1).any()  # where p (1 - p) is 0 in float32
    single = copy.deepcopy(net).float()
    results = []
    for module, rows in ((net, x), (single, x.detach().float().requires_grad_())):
        value = RankingGap(2)(ExplainedBatch(module, rows, Gradient()))
        results.append((value.detach().double(), weight_gradient(value, module).double()))
    (exact, slope), (value, single_slope) = results
    torch.testing.assert_close(value, exact, rtol=1e-3, atol=0)
    assert (single_slope - slope).norm() < 1e-3 * slope.norm()
