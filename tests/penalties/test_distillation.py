import copy

import pytest
import torch

from robustxai.explainers import Gradient, SmoothGrad
from robustxai.penalties import Distillation, ExplainedBatch, TangentDistillation
from robustxai.perturbation import tangent_noise

from .conftest import make_net, weight_gradient


@pytest.fixture(autouse=True)
def own_generator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(params=[2, 3], ids=["binary", "three classes"])
def pair(request):
    """Teacher and student."""
    teacher = make_net(request.param).requires_grad_(False)
    student = copy.deepcopy(teacher).requires_grad_()
    with torch.no_grad():
        for p in student.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return teacher, student


def divergence(logits, expected, temperature):
    p, q = (expected / temperature).softmax(dim=0), (logits / temperature).softmax(dim=0)
    return temperature**2 * sum(p[c] * (p[c] / q[c]).log() for c in range(len(p)))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_clean_term_equals_the_loop(temperature, pair, x):
    teacher, student = pair
    value = Distillation(teacher, temperature)(ExplainedBatch(student, x, Gradient()))
    expected = torch.stack([divergence(student(r), teacher(r), temperature) for r in x.detach()])
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(weight_gradient(value, student), weight_gradient(expected, student))
    alike = Distillation(teacher, temperature)(ExplainedBatch(copy.deepcopy(teacher), x, Gradient()))
    torch.testing.assert_close(alike, torch.zeros_like(alike))


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_the_sum_over_copies_equals_the_loop(variant, pair, x):
    teacher, student = pair
    penalty = TangentDistillation(teacher, n_along=3, n_across=2, temperature=2.0, variant=variant)
    batch = ExplainedBatch(student, x, Gradient(), y=torch.zeros(7, dtype=torch.long))
    torch.manual_seed(5)
    value = penalty(batch)
    torch.manual_seed(5)
    on, off = penalty.samples(batch)
    expected = []
    for row in range(7):
        total = 0.0
        for i in range(3):
            for copy_ in range(2):
                said, asked = student(off[i, copy_, row]), teacher(on[i, row])
                if variant == "paper":
                    total = total + divergence(said, asked, 2.0)
                else:
                    p = (asked / 2.0).softmax(dim=0)
                    total = total + (p * (p.log() - said.log_softmax(dim=0))).mean() / 6
        expected.append(total)
    expected = torch.stack(expected)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(weight_gradient(value, student), weight_gradient(expected, student))


@pytest.mark.parametrize(("along", "across"), [(0.5, 0.5), (0.1, 2.0), (0.0, 0.3), (0.3, 0.0)])
def test_the_samples_lie_where_equations_5_and_6_say(along, across, pair, x):
    teacher, student = pair
    penalty = TangentDistillation(teacher, along, across, n_along=40, n_across=30)
    on, off = penalty.samples(ExplainedBatch(student, x, Gradient()))
    assert on.shape == (40, 7, 5)
    assert off.shape == (40, 30, 7, 5)
    phi = SmoothGrad(10, along / 5**0.5, "log_odds")(teacher, x, teacher(x).argmax(dim=1)).detach()
    phi = phi / phi.norm(dim=1, keepdim=True)
    first, second = on - x.detach(), off - on[:, None]
    steps = (first * phi).sum(dim=-1)
    torch.testing.assert_close(first, steps[..., None] * phi)  # along phi and nowhere else
    assert (steps.abs() <= along).all()
    assert (second.norm(dim=-1) <= across * (1 + 1e-12)).all()
    torch.testing.assert_close((second * phi).sum(dim=-1), torch.zeros(40, 30, 7).double(), rtol=0, atol=1e-12)
    if along and across:  # of both signs and up to the radius, and new directions each time
        assert steps.min() < -0.8 * along
        assert steps.max() > 0.8 * along
        assert second.norm(dim=-1).max() > 0.95 * across
        assert second.mean(dim=(0, 1)).norm(dim=-1).max() < 0.1 * across
    assert not on.requires_grad
    assert not off.requires_grad


def test_the_reference_moves_as_the_published_code(pair, x):
    teacher, student = pair
    labels = torch.ones(7, dtype=torch.long)
    penalty = TangentDistillation(teacher, 0.1, 0.2, n_across=50, variant="reference")
    on, off = penalty.samples(ExplainedBatch(student, x, Gradient(), y=labels))
    phi = SmoothGrad(10, 0.1, "log_odds")(student, x, labels).detach()
    shift = 0.4 * phi / phi.abs().amax(dim=1, keepdim=True)
    torch.testing.assert_close(on, torch.stack([x.detach() - shift, x.detach()]))
    noise = off - on[:, None]
    cosine = (noise * phi).sum(dim=-1) / phi.norm(dim=1)
    torch.testing.assert_close(cosine, torch.zeros_like(cosine), rtol=0, atol=1e-12)
    # four of five dimensions of U(-.8, .8) remain, each of variance .8^2 / 3
    assert noise.square().sum(dim=-1).mean().item() == pytest.approx(4 * 0.64 / 3, rel=0.05)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("shape", [(6, 3), (6, 2, 3, 4)])
def test_tangent_noise_has_length_one_and_is_perpendicular_in_float32(shape, scale):
    phi = scale * torch.randn(shape)
    noise = tangent_noise(phi).flatten(start_dim=1).double()
    torch.testing.assert_close(noise.norm(dim=1), torch.ones(6).double(), rtol=1e-6, atol=0)
    unit = (phi.double() / scale).flatten(start_dim=1)
    assert (noise * unit).sum(dim=1).abs().max() < 1e-6 * unit.norm(dim=1).max()
    both = tangent_noise(phi.expand(5, *shape), batch_ndim=2)
    assert both.shape == (5, *shape)
    assert not torch.equal(both[0], both[1])
    assert not tangent_noise(torch.ones(3, 1)).any()


def test_images(image_net, images):
    teacher = copy.deepcopy(image_net).requires_grad_(False)
    for variant in ("paper", "reference"):
        penalty = TangentDistillation(teacher, variant=variant)
        batch = ExplainedBatch(image_net, images, Gradient(), y=torch.zeros(4, dtype=torch.long))
        assert penalty(batch).shape == (4,)
        on, off = penalty.samples(batch)
        first, second = on[0] - images.detach(), off[0] - on[0]
        torch.testing.assert_close((first * second).sum(dim=(2, 3, 4)), torch.zeros(4, 4).double(), rtol=0, atol=1e-10)


def test_a_flat_teacher_and_a_single_feature_stay_finite(x):
    flat = make_net()
    with torch.no_grad():
        flat.layers[-1].weight.zero_()
    on, off = TangentDistillation(flat).samples(ExplainedBatch(flat, x, Gradient()))
    torch.testing.assert_close(on, x.detach().expand_as(on))
    assert (off - on[:, None]).norm(dim=-1).max() <= 0.5 + 1e-9
    one = make_net(2, 1)
    rows = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    on, off = TangentDistillation(one).samples(ExplainedBatch(one, rows, Gradient()))
    torch.testing.assert_close(off, on[:, None].expand_as(off), rtol=0, atol=1e-9)


@pytest.mark.parametrize("wrong", ["along", "across", "n_along", "n_across", "n_draws", "temperature"])
def test_numbers_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=wrong):
        TangentDistillation(make_net(), **{wrong: -1})


def test_an_unknown_variant_is_named():
    with pytest.raises(ValueError, match="variant='code'"):
        TangentDistillation(make_net(), variant="code")
