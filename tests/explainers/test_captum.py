import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils import check_random_state

from robustxai import SoftplusClassifier
from robustxai.explainers import Gradient, GradientTimesInput, IntegratedGradients, captum_explainer


class Saliency:
    """What captum.attr offers, as far as the wrapper asks for it."""

    def __init__(self, forward_func, multiply_by_inputs=False):
        self.forward_func, self.multiply = forward_func, multiply_by_inputs

    def attribute(self, inputs, target=None, abs=True, baselines=0.0):
        assert inputs.requires_grad
        score = self.forward_func(inputs).gather(1, target[:, None]).sum()
        value = torch.autograd.grad(score, inputs)[0]
        value = value * (inputs - baselines) if self.multiply else value
        return value.abs() if abs else value


class GradientShap(Saliency):
    def attribute(self, inputs, target=None):
        noise = check_random_state(None).random_sample(inputs.shape)  # Captum draws from both global generators
        return torch.rand(inputs.shape) + torch.from_numpy(noise)


@pytest.fixture
def fake(monkeypatch):
    attr = ModuleType("captum.attr")
    attr.Saliency, attr.GradientShap = Saliency, GradientShap
    monkeypatch.setitem(sys.modules, "captum", ModuleType("captum"))
    monkeypatch.setitem(sys.modules, "captum.attr", attr)


@pytest.mark.usefixtures("fake")
class TestWithAFake:
    def test_the_logit_or_the_probability_is_explained(self, net, x, target):
        for output in ("logit", "probability"):
            value = captum_explainer("Saliency", output=output, abs=False)(net, x, target)
            torch.testing.assert_close(value, Gradient(output)(net, x, target))
            assert not value.requires_grad

    def test_arguments_find_the_constructor_or_attribute(self, net, x, target):
        baseline = np.full((1, 4), 0.5, dtype=np.float32)
        explainer = captum_explainer("Saliency", multiply_by_inputs=True, abs=False, baselines=baseline)
        torch.testing.assert_close(explainer(net, x, target), Gradient("logit")(net, x, target) * (x - 0.5))

    def test_draws_are_fixed_and_leave_the_global_generator(self, net, x, target):
        before, numpy_global = torch.get_rng_state(), check_random_state(None)
        numpy_before = numpy_global.get_state(legacy=False)
        value = captum_explainer("GradientShap")(net, x, target)
        assert torch.equal(torch.get_rng_state(), before)
        np.testing.assert_equal(numpy_global.get_state(legacy=False), numpy_before)
        assert torch.equal(captum_explainer("GradientShap")(net, x, target), value)
        assert not torch.equal(captum_explainer("GradientShap", random_state=1)(net, x, target), value)

    def test_it_has_no_derivative(self, net, x, target):
        with pytest.raises(NotImplementedError, match="Saliency has no derivative"):
            captum_explainer("Saliency")(net, x, target, create_graph=True)

    def test_a_classifier_explains_with_it(self):
        X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        explainer = captum_explainer("Saliency", abs=False)
        model = clone(SoftplusClassifier(explainer=explainer, max_epochs=2)).fit(X, X[:, 0] > 0)
        expected = SoftplusClassifier(explainer="logit_gradient", max_epochs=2).fit(X, X[:, 0] > 0)
        np.testing.assert_allclose(model.explain(X), expected.explain(X), rtol=1e-5)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.explain(X), model.explain(X))


def test_without_captum_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ImportError, match=r"pip install 'robustxai\[captum\]'"):
        captum_explainer("Saliency")


@pytest.mark.parametrize(("wrong", "nearest"), [("saliency", "Saliency"), ("Limes", "Lime"), ("DeepLfit", "DeepLift")])
def test_an_unknown_name_is_answered_with_the_nearest(wrong, nearest):
    with pytest.raises(ValueError, match=f"Did you mean '{nearest}'"):
        captum_explainer(wrong)


def test_captum_itself_agrees_where_both_have_the_method(net, x, target):
    pytest.importorskip("captum")
    value = captum_explainer("Saliency", abs=False, output="probability")(net, x, target)
    torch.testing.assert_close(value, Gradient()(net, x, target))
    value = captum_explainer("InputXGradient")(net, x, target)
    torch.testing.assert_close(value, GradientTimesInput("logit")(net, x, target))
    captum = captum_explainer("IntegratedGradients", n_steps=9, method="riemann_middle", baselines=0.25)
    torch.testing.assert_close(captum(net, x, target), IntegratedGradients(9, 0.25, output="logit")(net, x, target))


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("DeepLift", {}),
        ("DeepLiftShap", {"baselines": np.zeros((3, 4))}),
        ("FeatureAblation", {}),
        ("FeaturePermutation", {}),
        ("GradientShap", {"baselines": np.zeros((3, 4))}),
        ("Occlusion", {"sliding_window_shapes": (1,)}),
        ("ShapleyValueSampling", {"n_samples": 2}),
        ("ShapleyValues", {}),
        ("KernelShap", {"n_samples": 20}),
        ("Saliency", {}),
    ],
)
def test_captum_methods_run_by_name(name, kwargs, x, target):
    pytest.importorskip("captum")
    net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)).double()
    explainer = captum_explainer(name, **kwargs)
    value = explainer(net, x, target)
    assert value.shape == x.shape
    assert value.isfinite().all()
    assert torch.equal(explainer(net, x, target), value)
