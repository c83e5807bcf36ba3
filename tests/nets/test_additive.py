import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import make_pipeline

from robustxai import R2ETClassifier, VanillaClassifier
from robustxai.activations import ACTIVATIONS
from robustxai.bounds import read_network
from robustxai.columns import TableThreat, column_map
from robustxai.datasets import make_preprocessor
from robustxai.explainers import ColumnContributions
from robustxai.nets import AdditiveNet
from robustxai.reasons import reasons

from .test_mlp import NUMPY

GROUPS = [[0], [1, 2, 3], [4]]


def made(**params):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AdditiveNet((5,), 3, GROUPS, **params).double()


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_logits_equal_a_sum_over_columns_in_numpy(activation):
    net = made(n_units=4, activation=activation, beta=2.5)
    w = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    x = np.random.default_rng(0).normal(size=(6, 5))
    expected = np.tile(w["out.bias"], (6, 1))
    for column, group in enumerate(GROUPS):
        units = slice(4 * column, 4 * column + 4)
        inside = x[:, group] @ w["hidden.weight"][units][:, group].T + w["hidden.bias"][units]
        expected += NUMPY[activation](inside, 2.5) @ w["out.weight"][:, units].T
        expected += x[:, group] @ w["skip.weight"][:, group].T
    np.testing.assert_allclose(net(torch.as_tensor(x)).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_second_derivatives_between_columns_are_zero():
    net, x = made(), torch.rand(5, dtype=torch.float64)
    for logit in range(3):
        hessian = torch.autograd.functional.hessian(lambda x: net(x)[logit], x)  # noqa: B023
        column = np.array([0, 1, 1, 1, 2])
        other = torch.as_tensor(column[:, None] != column)
        assert (hessian[other] == 0).all()
        assert hessian[0, 0] != 0
        assert hessian[1, 2] != 0


def test_certificates_read_the_masked_weights():
    net, x = made(), torch.rand(7, 5, dtype=torch.float64)
    torch.testing.assert_close(read_network(net, (5,))(x), net(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("groups", [[[0], [1, 2]], [[0, 1], [1, 2, 3], [4]], [[0], [1, 2, 3], [5]]])
def test_groups_have_every_feature_once(groups):
    with pytest.raises(ValueError, match="exactly once"):
        AdditiveNet((5,), 2, groups)


def test_images_are_refused():
    with pytest.raises(ValueError, match=r"AdditiveNet takes tables.*reshape"):
        AdditiveNet((1, 4, 4), 2)


@pytest.fixture(scope="module")
def table():
    r = np.random.default_rng(0)
    n = 400
    X = pd.DataFrame(
        {
            "age": r.integers(18, 80, n),
            "job": r.choice(["a", "b", "c"], n),
            "debt": np.where(r.random(n) < 0.1, np.nan, r.random(n)),
        }
    )
    return X, (np.abs(X["age"] - 50) + 20 * (X["job"] == "b") + 10 * X["debt"].fillna(0) > 25).astype(int)


def test_a_classifier_gives_the_groups_of_its_explainer_or_of_its_training_data(table):
    X, y = table
    preprocessor = make_preprocessor(X).fit(X)
    features = preprocessor.transform(X)
    groups = [group.tolist() for group in column_map(preprocessor).groups]
    assert features.shape[1] == 6  # an amount, three jobs, an amount and the mark of its gaps
    assert len(groups) == 3
    own = VanillaClassifier(module="additive", max_epochs=1).fit(features, y).module_
    assert own.mask[::16].sum(dim=1).sort().values.tolist() == [1, 1, 1, 3]
    explained = VanillaClassifier(
        module="additive", module__n_units=2, max_epochs=1, explainer=ColumnContributions(groups=groups)
    ).fit(features, y)
    expected = torch.zeros(3, 6)
    for column, group in enumerate(groups):
        expected[column, group] = 1
    torch.testing.assert_close(explained.module_.mask, expected.repeat_interleave(2, dim=0))


def test_contributions_of_a_column_do_not_depend_on_the_others(table):
    X, y = table
    preprocessor = make_preprocessor(X).fit(X)
    groups = [group.tolist() for group in column_map(preprocessor).groups]
    model = R2ETClassifier(
        2, module="additive", max_epochs=5, explainer=ColumnContributions(n_points=2, groups=groups), random_state=0
    )
    pipe = make_pipeline(preprocessor, model).fit(X, y)
    rows = X.iloc[:40].copy()
    before = model.explain(preprocessor.transform(rows))
    rows["age"] = 30
    other = model.explain(preprocessor.transform(rows), pipe.predict(X.iloc[:40]))
    np.testing.assert_allclose(other[:, 1:], before[:, 1:], rtol=1e-4, atol=1e-5)
    assert not np.allclose(other[:, 0], before[:, 0], atol=1e-2)
    threat = TableThreat.from_frame(X, budgets={"age": 1}, max_switches=0)
    assert (reasons(pipe, X[:20], top=2, threat=threat, attack=None).frame["status"] == "proven").mean() > 0.5
