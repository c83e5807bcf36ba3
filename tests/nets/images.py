"""Images and derivatives for the networks that take them."""

import torch

from robustxai.engine import softplus_surrogate


def images(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made(cls, *args, **options):
    """A network in float64 and evaluation mode whose weights do not depend on other tests."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = cls(*args, **options).double().eval()
        for buffer in net.buffers():  # running statistics that differ from those of no normalization at all
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    return net


def derivatives(net, x):
    """Logits, the gradient of the first one, and the Hessian of it times a direction."""
    x = x.clone().requires_grad_()
    logits = net(x)
    (slope,) = torch.autograd.grad(logits[:, 0].sum(), x, create_graph=True)
    along = images(*x.shape, seed=1)
    bend = torch.autograd.grad((slope * along).sum(), x, allow_unused=True)[0]
    return logits.detach(), slope.detach(), torch.zeros_like(x) if bend is None else bend


def assert_surrogates_approach(net, x):
    """A net of ReLUs and maxima does not bend, its surrogates do, and they come to have its values and gradients."""
    logits, slope, bend = derivatives(net, x)
    assert not bend.any()
    errors = []
    for beta in (5.0, 100.0, 1e5):
        smooth_logits, smooth_slope, smooth_bend = derivatives(softplus_surrogate(net, beta), x)
        assert smooth_bend.isfinite().all()
        if beta == 5.0:
            assert (smooth_bend.flatten(1).norm(dim=1) > 1e-6).all()
        errors.append([(smooth_logits - logits).abs().max(), (smooth_slope - slope).norm() / slope.norm()])
    values, slopes = zip(*errors)
    assert values[0] > values[1] > values[2]
    assert values[2] < 1e-3 * values[0]
    assert slopes[2] < 1e-2 < slopes[0]
