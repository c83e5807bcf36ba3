"""Explainers as methods of Captum, and its methods in an audit, beside formulas that both have."""

import numpy as np
import pytest
import torch
from torch import nn

from robustxai.audit import audit
from robustxai.audit._audit import chosen_rows
from robustxai.explainers import captum_explainer
from robustxai.integrations import captum_attribution
from robustxai.perturbation import ThreatModel

attr = pytest.importorskip("captum.attr")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 3)).double()


@pytest.fixture(scope="module")
def x():
    return torch.rand(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_it_is_an_attribution_with_the_values_of_captums_own(net, x):
    ours = captum_attribution(net, "logit_gradient")
    assert isinstance(ours, attr.Attribution)
    torch.testing.assert_close(ours.attribute(x, target=1), attr.Saliency(net).attribute(x, target=1, abs=False))
    rows = torch.tensor([0, 1, 2, 0, 1])
    torch.testing.assert_close(ours.attribute(x, rows), attr.Saliency(net).attribute(x, target=rows, abs=False))
    predicted = net(x).argmax(dim=1)
    torch.testing.assert_close(ours.attribute(x), ours.attribute(x, target=predicted))
    assert torch.equal(ours.attribute((x,), target=1)[0], ours.attribute(x, target=1))
    with pytest.raises(ValueError, match="one input"):
        ours.attribute((x, x))


def test_captum_averages_and_measures_it(net, x):
    ours = captum_attribution(net, "logit_gradient")
    theirs = attr.Saliency(net)
    options = {"nt_samples": 4, "stdevs": 0.1, "target": 1}
    torch.manual_seed(0)
    smooth = attr.NoiseTunnel(ours).attribute(x, **options)
    torch.manual_seed(0)
    torch.testing.assert_close(smooth, attr.NoiseTunnel(theirs).attribute(x, abs=False, **options))
    metrics = pytest.importorskip("captum.metrics")
    torch.manual_seed(0)
    found = metrics.sensitivity_max(ours.attribute, x, target=1)
    torch.manual_seed(0)
    torch.testing.assert_close(found, metrics.sensitivity_max(theirs.attribute, x, target=1, abs=False))


def test_classifiers_and_pipelines_lend_their_network_and_training_data(clf, pipe, features):
    x = torch.tensor(features[:5])
    expected = clf.explain(features[:5], "yes", explainer="column_contributions")
    for model in (clf, pipe):
        found = captum_attribution(model, "column_contributions").attribute(x, target=1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    own = captum_attribution(clf).attribute(x)
    assert own.dtype == x.dtype
    np.testing.assert_allclose(own, clf.explain(features[:5]), rtol=1e-5, atol=1e-7)
    with pytest.raises(TypeError, match="needs an explainer"):
        captum_attribution(clf.module_)


@pytest.mark.usefixtures("quick_ensemble")
@pytest.mark.parametrize("name", ["DeepLift", "ShapleyValueSampling"])
def test_its_methods_are_audited(name, clf, pipe, features, table):
    explainer = captum_explainer(name, **({"n_samples": 2} if name == "ShapleyValueSampling" else {}))
    options = {"k": 1, "n_rows": 4, "n_compared": 0, "n_draws": 3, "explainer": explainer}
    found = audit(clf, features, threat=ThreatModel(0.3), **options)
    assert found.frame["precision_strongest"].between(0, 1).all()
    tops = np.abs(clf.explain(features[chosen_rows(features, ThreatModel(0.3), 4, 0)[0]], explainer=explainer)).argmax(
        axis=1
    )
    assert [names[0] for names in found.frame["reasons"]] == [f"x{j}" for j in tops]
    assert found.settings["explanation"] == f"{name}, as a black box"
    raw = audit(pipe, table[0], **options)  # contributions of features, added up to those of columns
    assert set(raw.columns["column"]) == {"age", "home", "debt"}
