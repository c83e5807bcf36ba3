import numpy as np
import pytest
import torch

from robustxai import SoftplusClassifier
from robustxai.explainers import SmoothGrad
from robustxai.inspection import SmoothnessDisplay
from robustxai.metrics import ssim

pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")

SMOOTH = SmoothGrad(n_draws=3, sigma=0.2)


def fitted(*shape, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(20) % 2
    X = rng.uniform(size=(20, *shape)).astype(np.float32) + 0.3 * y.reshape(-1, *(1,) * len(shape)).astype(np.float32)
    return SoftplusClassifier(max_epochs=2, random_state=seed).fit(X, y), X, y


@pytest.fixture(scope="module")
def images():
    first, X, y = fitted(1, 14, 14)
    return {"first": first, "second": SoftplusClassifier(max_epochs=1, random_state=1).fit(X, y)}, X, y


def smooth_maps(clf, X, labels, smooth_grad=SMOOTH):
    return smooth_grad(clf.module_, torch.from_numpy(X), torch.as_tensor(labels)).numpy()


def test_the_distribution_is_that_of_ssim_with_smoothgrad(images):
    models, X, y = images
    display = SmoothnessDisplay.from_estimators(models, X, y, smooth_grad=SMOOTH)
    assert display.map_axes_ is None
    labels = [text.get_text() for text in display.ax_.get_xticklabels()]
    for (name, clf), label in zip(models.items(), labels):
        expected = ssim(clf.explain(X), smooth_maps(clf, X, clf.predict(X)))
        np.testing.assert_allclose(display.similarity[name], expected, rtol=1e-4)
        assert label == f"{name}\naccuracy {clf.score(X, y):.2f}".replace("0.", ".")
    medians = [line.get_ydata()[0] for line in display.ax_.lines if len(set(line.get_ydata())) == 1]
    for values in display.similarity.values():
        assert np.isclose(medians, np.median(values)).any()
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts == [f"{np.median(values):.2f}" for values in display.similarity.values()]


def test_by_default_a_hundred_draws_with_a_tenth_of_the_range(images):
    models, X, _ = images
    rows = X[:4]
    display = SmoothnessDisplay.from_estimators({"first": models["first"]}, rows)
    smooth_grad = SmoothGrad(n_draws=100, sigma=0.1 * float(rows.max() - rows.min()))
    smooth = smooth_maps(models["first"], rows, models["first"].predict(rows), smooth_grad)
    np.testing.assert_allclose(display.similarity["first"], ssim(models["first"].explain(rows), smooth), rtol=1e-4)


def test_a_reference_lends_its_smoothgrad_for_the_class_that_the_model_predicts(images):
    models, X, _ = images
    display = SmoothnessDisplay.from_estimators(
        models, X, smooth_grad=SMOOTH, reference=models["first"], ranking="signed"
    )
    assert display.ax_.get_ylabel() == "SSIM with SmoothGrad of the reference"
    second = models["second"]
    smooth = smooth_maps(models["first"], X, second.predict(X))
    np.testing.assert_allclose(
        display.similarity["second"], ssim(second.explain(X), smooth, ranking="signed"), rtol=1e-3, atol=1e-5
    )


def test_an_example_has_its_maps_below(images):
    models, X, _ = images
    display = SmoothnessDisplay.from_estimators(models, X, smooth_grad=SMOOTH, example=3)
    assert display.map_axes_.shape == (2, 3)
    np.testing.assert_allclose(display.map_axes_[0, 0].images[0].get_array(), X[3, 0])
    for column, (name, clf) in zip(display.map_axes_.T[1:], models.items()):
        parts = clf.explain(X[[3]])[0, 0], smooth_maps(clf, X[[3]], clf.predict(X[[3]]))[0, 0]
        for ax, part in zip(column, parts):
            np.testing.assert_allclose(ax.images[0].get_array(), np.abs(part), rtol=1e-3, atol=1e-6)
        assert column[0].get_title() == name
        assert column[1].get_title() == f"SmoothGrad: SSIM {display.similarity[name][3]:.2f}"


def test_of_a_pair_the_mean_of_both_members():
    clf, X, _ = fitted(2, 1, 12, 12)
    display = SmoothnessDisplay.from_estimators({"pairs": clf}, X, smooth_grad=SMOOTH, example=0)
    own, smooth = clf.explain(X), smooth_maps(clf, X, clf.predict(X))
    expected = np.mean([ssim(own[:, member], smooth[:, member]) for member in (0, 1)], axis=0)
    np.testing.assert_allclose(display.similarity["pairs"], expected, rtol=1e-4)


def test_histograms_count_every_row_on_given_axes(plt):
    rng = np.random.default_rng(0)
    figure, ax = plt.subplots()
    similarity = {"A": rng.uniform(size=30), "B": rng.uniform(0.5, 1.0, size=40)}
    display = SmoothnessDisplay(similarity, scores={"A": 0.5}).plot(kind="histogram", ax=ax)
    assert display.figure_ is figure
    heights = [patch.get_path().vertices[:, 1].max() for patch in ax.patches]
    counts = [
        np.histogram(v, np.histogram_bin_edges(np.concatenate([*similarity.values()]), 20))[0]
        for v in similarity.values()
    ]
    assert sorted(set(heights)) == sorted({count.max() for count in counts})
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == [
        f"A, accuracy .50, median {np.median(similarity['A']):.2f}",
        f"B, median {np.median(similarity['B']):.2f}",
    ]


def test_tables_have_no_maps_and_a_wrong_example_is_refused(images):
    models, X, y = images
    table = SoftplusClassifier(max_epochs=1).fit(X[:, 0, 0], y)
    with pytest.raises(ValueError, match=r"compares maps.*got \(20, 14\)"):
        SmoothnessDisplay.from_estimators({"table": table}, X[:, 0, 0])
    with pytest.raises(ValueError, match="below 20, got 20"):
        SmoothnessDisplay.from_estimators(models, X, example=20)
    with pytest.raises(ValueError, match="'boxes' is not known"):
        SmoothnessDisplay.from_estimators(models, X, kind="boxes")
    with pytest.raises(ValueError, match="nothing to draw"):
        SmoothnessDisplay({}).plot()
