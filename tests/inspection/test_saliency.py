import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from robustxai import SoftplusClassifier
from robustxai.attacks import FGSM, BoundaryMarginAttack, ERAttack
from robustxai.inspection import SaliencyDisplay
from robustxai.metrics import precision_at_k
from robustxai.perturbation import ThreatModel

pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")


def fitted(*shape, n=24):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    X = rng.uniform(size=(n, *shape)).astype(np.float32)
    if len(shape) == 2:
        X = (X + X.swapaxes(1, 2)) / 2
    X += 0.3 * y.reshape(-1, *(1,) * len(shape)).astype(np.float32)
    X /= X.max()
    return SoftplusClassifier(max_epochs=3).fit(X, y), X


def fitted_table(names=None):
    """A model that is not nearly linear: such a one cannot be attacked."""
    X = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    y = (X[:, 0] > X[:, 1]) ^ (X[:, 2] > X[:, 3])
    rows = X if names is None else pd.DataFrame(X, columns=names)
    return SoftplusClassifier(max_epochs=100, lr=0.02).fit(rows, y), rows


def attack(k, **params):
    return BoundaryMarginAttack(k=k, threat=ThreatModel(0.5), max_iter=5, **params)


def scores_of(attribution):
    """Naively: magnitudes, channels summed."""
    values = np.abs(np.asarray(attribution))
    return values.sum(axis=-3) if values.ndim >= 3 else values


def top_of(attribution, k):
    scores = scores_of(attribution)
    order = np.argsort(-scores.ravel(), kind="stable")[:k]
    return {tuple(int(i) for i in np.unravel_index(place, scores.shape)) for place in order}


def marked(ax):
    """(row, column) of the units marked as being in both top sets, and in this one alone."""
    found = {}
    for collection in ax.collections:
        centers = [path.get_extents() for path in collection.get_paths()]
        found[collection.get_label()] = {
            (round((box.y0 + box.y1) / 2), round((box.x0 + box.x1) / 2)) for box in centers
        }
    return found["both"], found["here"]


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 10, 14), (8, 8), (60, 60)], ids=["gray", "color", "graph", "large"])
def test_maps_show_the_scores_and_mark_the_top_sets(shape):
    clf, X = fitted(*shape)
    k, rows = 9, [2, 5]
    display = SaliencyDisplay.from_estimator(clf, X, attack=attack(k), rows=rows)
    result = attack(k).set_params(estimator=clf).run(X[rows])
    assert display.axes_.shape == (2, 4)
    np.testing.assert_allclose(display.X_adv, result.X_adv)
    for i, line in enumerate(display.axes_):
        tops = [top_of(part[i], k) for part in (result.attribution, result.attribution_adv)]
        for ax, part, top, other in (
            (line[1], result.attribution, *tops),
            (line[3], result.attribution_adv, *tops[::-1]),
        ):
            np.testing.assert_allclose(ax.images[0].get_array(), scores_of(part[i]), rtol=1e-5)
            both, alone = marked(ax)
            assert both == top & other
            assert alone == top - other
        precision = precision_at_k(result.attribution, result.attribution_adv, k)[i]
        assert line[3].get_title() == f"after: P@{k} {precision:.2f}"
        assert display.precision_at_k_[i] == precision == len(tops[0] & tops[1]) / k
        assert line[0].get_title() == f"input: predicted {clf.predict(X[rows])[i]}"
        assert line[2].get_title() == f"perturbed: predicted {clf.predict(result.X_adv)[i]}"
    assert display.precision_at_k_.min() < 1, "nothing was attacked"


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 10, 14), (8, 8)], ids=["gray", "color", "graph"])
def test_inputs_are_drawn_on_one_scale(shape):
    clf, X = fitted(*shape)
    display = SaliencyDisplay.from_estimator(clf, X, attack=attack(5), rows=[0])
    (line,) = display.axes_
    before, after = line[0].images[0], line[2].images[0]
    expected = np.moveaxis(X[0], 0, -1) if shape[0] == 3 else X[0].reshape(shape[-2:])
    drawn = np.asarray(before.get_array())
    if shape[0] == 3:  # [0, 1], or moved there together with the perturbed one
        slope, offset = np.polyfit(expected.ravel(), drawn.ravel(), 1)
        np.testing.assert_allclose(drawn, slope * expected + offset, atol=1e-5)
        assert slope > 0
        moved = slope * np.moveaxis(display.X_adv[0], 0, -1) + offset
        np.testing.assert_allclose(after.get_array(), moved, atol=1e-5)
    else:
        np.testing.assert_allclose(drawn, expected)
        assert before.get_clim() == after.get_clim()


def test_members_of_a_pair_stand_side_by_side():
    clf, X = fitted(2, 1, 12, 12)
    k = 40
    display = SaliencyDisplay.from_estimator(clf, X, attack=attack(k), rows=[3])
    (line,) = display.axes_
    picture = np.asarray(np.ma.filled(line[0].images[0].get_array(), np.nan))
    np.testing.assert_allclose(picture[:, :12], X[3, 0, 0])
    np.testing.assert_allclose(picture[:, -12:], X[3, 1, 0])
    assert np.isnan(picture[:, 12:-12]).all()
    shift = picture.shape[1] - 12
    both, alone = marked(line[1])
    top = {(row, column + member * shift) for member, row, column in top_of(display.attribution[0], k)}
    assert both | alone == top
    assert {column >= shift for _, column in top} == {True, False}, "one member alone is no test"


def test_bars_of_a_table_have_names_values_and_attributions():
    names = ["age", "hours", "gain", "loss", "size", "rate"]
    clf, frame = fitted_table(names)
    result = attack(3).set_params(estimator=clf).run(frame)
    display = SaliencyDisplay.from_estimator(clf, frame, attack=attack(3), rows=[1, 4, 6])
    assert display.axes_.shape == (3, 2)
    for row, (left, right), precision in zip([1, 4, 6], display.axes_, display.precision_at_k_):
        parts = [np.asarray(part)[row] for part in (result.attribution, result.attribution_adv)]
        before, after = (list(np.argsort(-np.abs(part), kind="stable")[:3]) for part in parts)
        union = before + [j for j in after if j not in before]
        for ax, part, inputs in ((left, parts[0], frame), (right, parts[1], result.X_adv)):
            np.testing.assert_allclose([bar.get_width() for bar in ax.patches], part[union], rtol=1e-3)
            labels = [text.get_text() for text in ax.get_yticklabels()]
            assert [label.split(" = ")[-1] for label in labels] == [f"{inputs.iloc[row, j]:.3g}" for j in union]
        assert [text.get_text().split(" = ")[0] for text in left.get_yticklabels()] == [names[j] for j in union]
        assert left.get_ylim() == right.get_ylim()
        reds = [bar.get_facecolor()[0] > 2 * bar.get_facecolor()[2] for bar in left.patches]
        assert reds == [j in before and j in after for j in union]
        assert right.get_title().endswith(f"P@3 {precision:.2f}")
        assert precision == result.precision_at_k[row]
    assert display.precision_at_k_.min() < 1, "nothing was attacked"


def test_a_result_is_drawn_without_another_attack(monkeypatch):
    clf, X = fitted(1, 12, 12)
    result = ERAttack(clf, k=5, max_iter=3).run(X)
    monkeypatch.setattr(ERAttack, "run", None)
    monkeypatch.setattr(type(clf), "explain", None)
    display = SaliencyDisplay.from_result(result, X, k=5, rows=[7])
    np.testing.assert_array_equal(display.attribution, result.attribution[[7]])
    assert [ax.get_title() for ax in display.axes_[0]] == [
        "input",
        "top 5 before",
        "perturbed",
        f"after: P@5 {result.precision_at_k[7]:.2f}",
    ]
    titled = SaliencyDisplay.from_result(result, X, k=5, estimator=clf)
    assert titled.axes_.shape == (4, 4)
    assert titled.axes_[3, 0].get_title() == f"input: predicted {clf.predict(X)[3]}"


def test_a_result_of_other_rows_or_another_k_is_refused():
    clf, X = fitted_table()
    result = attack(2).set_params(estimator=clf).run(X)
    assert result.precision_at_k.min() < 1
    with pytest.raises(ValueError, match="not what was attacked"):
        SaliencyDisplay.from_result(result, X[:3], k=2)
    with pytest.raises(ValueError, match=r"P@4.*pass the k and the ranking"):
        SaliencyDisplay.from_result(result, X, k=4)


def test_models_stand_below_each_other_row_by_row():
    clf, X = fitted(6)
    other = SoftplusClassifier(max_epochs=1, random_state=1).fit(X, np.arange(24) % 2)
    display = SaliencyDisplay.from_estimators({"A": clf, "B": other}, X, attack=attack(4), k=2, rows=[3, 0])
    assert display.k == 2
    assert [line[0].get_ylabel() for line in display.axes_] == ["A", "B", "A", "B"]
    np.testing.assert_array_equal(display.X, X[[3, 3, 0, 0]])
    np.testing.assert_allclose(display.attribution[[1, 3]], other.explain(X[[3, 0]]), rtol=1e-5)


def test_a_pipeline_is_attacked_behind_its_scaler():
    _, X = fitted(6)
    frame = pd.DataFrame(10 * X, columns=list("abcdef"))
    scaler = MinMaxScaler().set_output(transform="pandas")
    pipe = make_pipeline(scaler, SoftplusClassifier(max_epochs=2)).fit(frame, np.arange(24) % 2)
    display = SaliencyDisplay.from_estimator(pipe, frame, attack=attack(2), rows=[0])
    np.testing.assert_allclose(display.X, scaler.transform(frame[:1]))
    assert display.feature_names == list("abcdef")


def test_the_axes_may_be_given(plt):
    clf, X = fitted(6)
    figure, axes = plt.subplots(2, 2)
    display = SaliencyDisplay.from_estimator(clf, X, attack=attack(2), rows=[0, 1], axes=axes)
    assert display.figure_ is figure
    assert list(display.axes_.flat) == list(axes.flat)
    with pytest.raises(ValueError, match="1 rows need 1 x 2 axes, got 4"):
        SaliencyDisplay.from_estimator(clf, X, attack=attack(2), rows=[0], axes=axes)


def test_what_cannot_be_drawn_is_refused():
    clf, X = fitted(6)
    with pytest.raises(ValueError, match="row numbers below 24"):
        SaliencyDisplay.from_estimator(clf, X, rows=[24])
    with pytest.raises(ValueError, match="list of at least one row"):
        SaliencyDisplay.from_estimator(clf, X, rows=[])
    with pytest.raises(TypeError, match="attack on explanations"):
        SaliencyDisplay.from_estimator(clf, X, attack=FGSM())
    with pytest.raises(TypeError, match="dict of at least one name"):
        SaliencyDisplay.from_estimators([clf], X)
    cube = np.zeros((1, 3, 1, 4, 4))
    with pytest.raises(ValueError, match=r"can be drawn; got samples of shape \(3, 1, 4, 4\)"):
        SaliencyDisplay(cube, cube, cube, cube).plot()
    with pytest.raises(ValueError, match="6 features, but 2 feature_names"):
        SaliencyDisplay(X, X, X, X, feature_names=["a", "b"]).plot()
    with pytest.raises(ValueError, match="must have one shape"):
        SaliencyDisplay(X, X, X, X[:, :5]).plot()


def test_signed_rankings_mark_the_highest_values():
    X = np.zeros((1, 1, 3, 3))
    attribution = np.arange(-4.0, 5.0).reshape(1, 1, 3, 3)
    display = SaliencyDisplay(X, X, attribution, -attribution, k=2, ranking="signed").plot()
    assert marked(display.axes_[0, 1]) == (set(), {(2, 1), (2, 2)})
    assert marked(display.axes_[0, 3]) == (set(), {(0, 0), (0, 1)})
    assert display.precision_at_k_[0] == 0
