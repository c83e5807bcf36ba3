"""Explanations of rows before and after an attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length
from typing_extensions import Self

from robustxai._arguments import COUNT, Each, Instance, Number, Rows, checked, optional
from robustxai._frames import aligned, column_names, like, take
from robustxai._models import EXPLANATIONS, named_rows, resolve_model, unwrap
from robustxai._plotting import AXES, fit_text, pyplot
from robustxai.attacks import OPTIONAL_ATTACK, AttackResult, ERAttack, retarget
from robustxai.inspection._check import ESTIMATORS, NAMES
from robustxai.inspection._raw import inside_the_data, raw_values
from robustxai.inspection._saliency_maps import (
    COLORS,
    SMALL,
    check_drawable,
    draw_input,
    draw_map,
    is_table,
    picture_shape,
    size_note,
)
from robustxai.metrics import precision_at_k
from robustxai.perturbation import THREAT_ARGUMENTS
from robustxai.protocols import Attack, Estimator, Ranking
from robustxai.ranking import RANKING, as_tensor, clip_k, count_units, top_k_indices, unit_scores

__all__ = ["SaliencyDisplay"]

#: Number of rows by default.
_N_ROWS = 4
#: Width of a character in inches; characters of a feature's name that fit beside its bars; longest name.
_LETTER, _FITTING, _LONGEST = 0.065, 24, 72

#: Constraint of `rows`.
_ROWS = optional(Each(Number(integer=True), least=1, words="a list of at least one row number"))


class SaliencyDisplay:
    """Explanations before and after an attack, with the top-k units marked (the R2ET paper's Figure 4).

    One line of panels for every row: the input, its map, the perturbed input and its map. The grays of a map are the
    scores of all units. Top-k units are red if they are in both top sets, and blue if they are in this set only; darker
    is higher in rank. Maps and bars before and after have separate scales, because rankings have no scale. The images
    of a pair stand side by side. Graphs are shown as matrices.

    A row of a table has two panels of bars, before and after, for the features of both top sets in the order of the
    first set. Bars are signed attributions, with the value of the feature beside them.

    Parameters
    ----------
    X, X_adv : array-like of shape (n_samples, *features)
        Inputs and perturbed inputs.
    attribution, attribution_adv : array-like of shape (n_samples, *features)
        Their explanations.
    k : int, default=8
        Size of the top set; clipped with a warning if there are too few units.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked quantity.
    predicted, predicted_adv : array-like of shape (n_samples,), optional
        Predicted classes, for the titles.
    names : list of str, optional
        Name of each line of panels, such as the model.
    feature_names : list of str, optional
        Names of the features of a table; the columns of `X` if it is a DataFrame.
    values, values_adv : array-like of shape (n_samples, n_features), optional
        Values beside the bars of a table instead of `X` and `X_adv`, in the user's own units.

    Attributes
    ----------
    precision_at_k_ : ndarray of shape (n_samples,)
        P@k of every line, after `plot`.
    axes_ : ndarray of Axes, shape (n_samples, 4), of tables (n_samples, 2), after `plot`
    figure_ : matplotlib Figure, after `plot`

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Figure 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from robustxai import VanillaClassifier
    >>> from robustxai.attacks import ERAttack
    >>> from robustxai.inspection import SaliencyDisplay
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> clf = VanillaClassifier(max_epochs=5).fit(X, y)
    >>> display = SaliencyDisplay.from_estimator(clf, X, attack=ERAttack(max_iter=10), k=2, rows=[0, 60, 120])
    >>> display.axes_.shape
    (3, 2)
    """

    @checked(
        X=Rows(),
        X_adv=Rows(),
        attribution=Rows(),
        attribution_adv=Rows(),
        k=COUNT,
        ranking=RANKING,
        predicted=optional(Rows()),
        predicted_adv=optional(Rows()),
        names=NAMES,
        feature_names=NAMES,
        values=optional(Rows()),
        values_adv=optional(Rows()),
    )
    def __init__(
        self,
        X: Any,
        X_adv: Any,
        attribution: Any,
        attribution_adv: Any,
        *,
        k: int = 8,
        ranking: Ranking = "magnitude",
        predicted: Any = None,
        predicted_adv: Any = None,
        names: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
        values: Any = None,
        values_adv: Any = None,
    ) -> None:
        self.X = X
        self.X_adv = X_adv
        self.attribution = attribution
        self.attribution_adv = attribution_adv
        self.k = k
        self.ranking = ranking
        self.predicted = predicted
        self.predicted_adv = predicted_adv
        self.names = names
        self.feature_names = feature_names
        self.values = values
        self.values_adv = values_adv

    @classmethod
    @checked(attack=OPTIONAL_ATTACK, X=Rows(), k=optional(COUNT), rows=_ROWS, feature_names=NAMES, axes=AXES)
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Any,
        *,
        attack: Attack | None = None,
        k: int | None = None,
        rows: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        axes: Any = None,
    ) -> Self:
        """Attack a few rows of a classifier and plot the explanations.

        Parameters
        ----------
        estimator : fitted classifier, Pipeline or search
            Model whose explanations are shown. A Pipeline's last step sees the output of the other steps; a column
            that they only scale is shown in its own units.
        X : array-like of shape (n_samples, *features)
            Inputs: a table, images, pairs of images or graphs.
        attack : attack on explanations, default=ERAttack()
            Its `estimator` is ignored and replaced by `estimator`. Without a threat model, it stays inside the range
            of the data.
        k : int, optional
            Size of the top set; that of `attack` by default.
        rows : sequence of int, optional
            Rows of X to attack and show; the first four by default.
        feature_names : list of str, optional
            Names of the features of a table; the columns of `X` if it is a DataFrame.
        axes : array of Axes, optional
            As in :meth:`plot`.
        """
        return cls._attacked({"": estimator}, X, attack, k, rows, feature_names).plot(axes=axes)

    @classmethod
    @checked(
        attack=OPTIONAL_ATTACK,
        estimators=ESTIMATORS,
        X=Rows(),
        k=optional(COUNT),
        rows=_ROWS,
        feature_names=NAMES,
        axes=AXES,
    )
    def from_estimators(
        cls,
        estimators: Mapping[str, Estimator],
        X: Any,
        *,
        attack: Attack | None = None,
        k: int | None = None,
        rows: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        axes: Any = None,
    ) -> Self:
        """Attack a few rows of several classifiers and plot one line of panels per row and classifier.

        Parameters
        ----------
        estimators : dict of str to fitted classifier, Pipeline or search
            Models by name.
        X : array-like of shape (n_samples, *features)
            Inputs: a table, images, pairs of images or graphs.
        attack : attack on explanations, default=ERAttack()
            Its `estimator` is ignored and replaced by each of the models. Without a threat model, it stays inside the
            range of the data.
        k : int, optional
            Size of the top set; that of `attack` by default.
        rows : sequence of int, optional
            Rows of X to attack and show; the first four by default.
        feature_names : list of str, optional
            Names of the features of a table; the columns of `X` if it is a DataFrame.
        axes : array of Axes, optional
            As in :meth:`plot`.
        """
        return cls._attacked(estimators, X, attack, k, rows, feature_names).plot(axes=axes)

    @classmethod
    @checked(
        result=Instance(AttackResult), X=Rows(), k=COUNT, ranking=RANKING, rows=_ROWS, feature_names=NAMES, axes=AXES
    )
    def from_result(
        cls,
        result: AttackResult,
        X: Any,
        *,
        k: int = 8,
        ranking: Ranking = "magnitude",
        estimator: Estimator | None = None,
        rows: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        axes: Any = None,
    ) -> Self:
        """Plot the result of an attack, without another attack or explanation.

        Parameters
        ----------
        result : AttackResult
            Result of ``attack.run(X)``.
        X : array-like of shape (n_samples, *features)
            Attacked inputs.
        k : int, default=8
            Size of the attacked top set.
        ranking : {"magnitude", "signed"}, default="magnitude"
            Ranked quantity of the attack.
        estimator : fitted classifier, optional
            Attacked model, for predicted classes in the titles.
        rows : sequence of int, optional
            Rows to show; the first four by default.
        feature_names : list of str, optional
            Names of the features of a table; the columns of `X` if it is a DataFrame.
        axes : array of Axes, optional
            As in :meth:`plot`.

        Raises
        ------
        ValueError
            The result belongs to other rows, or its P@k differs from the attack's, which was run with another k or
            ranking.
        """
        model = None
        if estimator is not None:
            model, before = unwrap(estimator, needs=("predict",), what="SaliencyDisplay")
            X = named_rows(X, before)
        if np.shape(X) != np.shape(result.X_adv):
            raise ValueError(
                f"X is not what was attacked: {np.shape(X)} here, {np.shape(result.X_adv)} there. Of a Pipeline, pass "
                "estimator=pipe, whose first steps transform X."
            )
        precision = precision_at_k(result.attribution, result.attribution_adv, k, ranking=ranking)
        if not np.allclose(precision, result.precision_at_k):
            raise ValueError(
                f"P@{k} of these explanations, ranked by {ranking}, is not what the attack reports; pass the k and the "
                "ranking that it was run with."
            )
        chosen = _rows(rows, len(X))
        parts = [take(part, chosen) for part in (X, result.X_adv, result.attribution, result.attribution_adv)]
        predicted: dict[str, Any] = {}
        if model is not None:
            parts[1] = aligned(parts[0], parts[1], ("X", "result.X_adv"))
            named = getattr(model, "feature_names_in_", None) is not None
            rows_seen = [part if named else np.asarray(part) for part in parts[:2]]
            predicted = dict(zip(("predicted", "predicted_adv"), map(model.predict, rows_seen)))
        return cls(*parts, k=k, ranking=ranking, **predicted, feature_names=feature_names).plot(axes=axes)

    @classmethod
    def _attacked(
        cls,
        estimators: Mapping[str, Estimator],
        X: Any,
        attack: Attack | None,
        k: int | None,
        rows: Sequence[int] | None,
        feature_names: Sequence[str] | None,
    ) -> Self:
        attack = ERAttack() if attack is None else attack
        chosen = take(X, _rows(rows, len(X)))
        found: list[tuple[np.ndarray, ...]] = []
        raw: list[list[np.ndarray]] = []
        for estimator in estimators.values():
            model, seen = resolve_model(estimator, chosen, needs=("predict", *EXPLANATIONS), what="SaliencyDisplay")
            retargeted = retarget(attack, estimator, k)
            everything = resolve_model(estimator, X, needs=("predict",), what="SaliencyDisplay")[1]
            if all(getattr(retargeted, name, None) is None for name in THREAT_ARGUMENTS):
                retargeted.set_params(threat=inside_the_data(model, everything))
            result = retargeted.run(chosen)
            names_there = column_names(result.X_adv)
            if feature_names is None and names_there is not None:
                feature_names = [str(name) for name in names_there]
            if np.ndim(seen) == 2:
                named = named_rows(X, unwrap(estimator, needs=(), what="SaliencyDisplay")[1])
                raw.append(raw_values(X, named, seen, result.X_adv))
            arrays = (seen, result.X_adv, result.attribution, result.attribution_adv)
            moved = like(seen, np.asarray(result.X_adv))
            found.append((*(np.asarray(a) for a in arrays), model.predict(seen), model.predict(moved)))
        shapes = {parts[0].shape for parts in found}
        if len(shapes) > 1:
            raise ValueError(f"The models must see X in one shape to be compared, got {sorted(shapes)}.")
        # all models of one row, then the next row
        lines = [np.stack(column, axis=1).reshape(-1, *column[0].shape[1:]) for column in zip(*found)]
        names = [name for _ in range(len(chosen)) for name in estimators]
        shown = [np.stack(column, axis=1).reshape(lines[0].shape) for column in zip(*raw)]
        values = dict(zip(("values", "values_adv"), shown))
        return cls(
            *lines[:4],
            k=retargeted.k_,
            ranking=retargeted.ranking,
            predicted=lines[4],
            predicted_adv=lines[5],
            names=names,
            feature_names=feature_names,
            **values,
        )

    @checked(axes=AXES)
    def plot(self, *, axes: Any = None) -> Self:
        """Draw on `axes`, or on a new figure.

        Parameters
        ----------
        axes : array of Axes, optional
            Shape (n_samples, 4); for tables (n_samples, 2).
        """
        plt = pyplot()
        X, X_adv, before, after = (np.asarray(part) for part in self._parts())
        if not X.shape == X_adv.shape == before.shape == after.shape:
            shapes = [part.shape for part in (X, X_adv, before, after)]
            raise ValueError(f"Inputs and explanations, before and after, must have one shape, got {shapes}.")
        check_consistent_length(X, self.predicted, self.predicted_adv, self.names)
        features = X.shape[1:]
        check_drawable(features)
        if self.feature_names is not None and is_table(features) and len(self.feature_names) != features[0]:
            raise ValueError(f"There are {features[0]} features, but {len(self.feature_names)} feature_names.")
        k = clip_k(self.k, count_units(features))
        tops = [top_k_indices(unit_scores(as_tensor(part), self.ranking), k).numpy() for part in (before, after)]
        self.precision_at_k_ = precision_at_k(before, after, k, ranking=self.ranking)
        table, figure = is_table(features), None
        n_columns = 2 if table else 4
        unions = [_union(first, second) for first, second in zip(*tops)]
        if axes is None:
            figure, axes = self._figure(plt, features, unions)
        axes = np.asarray(axes)
        if axes.size != len(X) * n_columns:
            raise ValueError(f"{len(X)} rows need {len(X)} x {n_columns} axes, got {axes.size}.")
        axes = axes.reshape(len(X), n_columns)
        for i, line in enumerate(axes):
            titles = self._titles(i, k)
            name = str(self.names[i]) if self.names is not None else ""
            kept = [np.isin(tops[0][i], tops[1][i]), np.isin(tops[1][i], tops[0][i])]
            if table:
                self._bars(line, i, unions[i], [top[i] for top in tops], titles)
            else:
                both = np.stack([X[i], X_adv[i]])
                for ax, x in zip(line[[0, 2]], both):
                    draw_input(ax, x, both)
                for ax, part, top, common in zip(line[[1, 3]], (before[i], after[i]), tops, kept):
                    draw_map(ax, part, top[i], common, ranking=self.ranking)
                for ax, title in zip(line, titles):
                    ax.set_title(title, fontsize="small")
                    ax.set_xticks([])
                    ax.set_yticks([])
            line[0].set_ylabel(name, fontsize="medium")
        self.axes_, self.figure_ = axes, axes[0, 0].figure
        if figure is not None:
            figure.align_ylabels(axes[:, 0])
            self._legend(plt, figure, k, table)
        fit_text(self.figure_, own=figure is not None)
        return self

    def _parts(self) -> list[Any]:
        """Return inputs and explanations, before and after, with columns and rows in the order of X."""
        names = ("X_adv", "attribution", "attribution_adv")
        return [self.X, *(aligned(self.X, getattr(self, name), ("X", name)) for name in names)]

    def _figure(self, plt: Any, features: tuple[int, ...], unions: list[np.ndarray]) -> tuple[Any, Any]:
        lines = len(unions)
        if is_table(features):
            heights = [0.6 + 0.21 * len(union) for union in unions]
            letters = max(len(name) for name in self._names())
            return plt.subplots(
                lines,
                2,
                figsize=(7.6 + _LETTER * max(min(letters, _LONGEST) - _FITTING, 0), 0.4 + sum(heights)),
                squeeze=False,
                layout="constrained",
                gridspec_kw={"height_ratios": heights},
            )
        height, width = picture_shape(features)
        size = 2.0 * width / height if width > height else 2.0
        figure = plt.subplots(
            lines, 4, figsize=(0.6 + 4 * size, 0.5 + 2.3 * lines), squeeze=False, layout="constrained"
        )
        return figure

    def _titles(self, i: int, k: int) -> list[str]:
        """Return the titles of the input, its map, the perturbed input and its map."""
        names = []
        for name, classes in (("input", self.predicted), ("perturbed", self.predicted_adv)):
            names.append(name if classes is None else f"{name}: predicted {np.asarray(classes)[i]}")
        small = [size_note(np.asarray(part)[i]) for part in (self.attribution, self.attribution_adv)]
        return [
            names[0],
            f"top {k} before{small[0]}",
            names[1],
            f"after: P@{k} {self.precision_at_k_[i]:.2f}{small[1]}",
        ]

    def _names(self) -> list[str]:
        """Return the names of a table's features; very long names are shortened to their beginning and end."""
        names = self.feature_names
        if names is None:
            names = column_names(self.X) or [f"x{j}" for j in range(np.shape(self.X)[1])]
        half = _LONGEST // 2 - 2
        return [n if len(n) <= _LONGEST else f"{n[:half]} ... {n[-half:]}" for n in map(str, names)]

    def _bars(self, line: Any, i: int, union: np.ndarray, tops: list[np.ndarray], titles: list[str]) -> None:
        """Draw the attributions of the features in both top sets, before and after."""
        from matplotlib import colormaps

        names = self._names()
        places = np.arange(len(union))
        both = np.isin(union, tops[0]) & np.isin(union, tops[1])
        x_before, x_after, *explanations = self._parts()
        values = [np.asarray(part)[i] for part in explanations]
        written = (
            x_before if self.values is None else self.values,
            x_after if self.values_adv is None else self.values_adv,
        )
        for side, (ax, top, inputs) in enumerate(zip(line, tops, written)):
            here = np.isin(union, top)
            shade = [COLORS["both"] if b else COLORS["here"] if h else "Greys" for b, h in zip(both, here)]
            depth = np.where(here, 0.75, 0.3)
            # axes cannot show the smallest float64 numbers; the title has the magnitude
            unit = np.abs(values[side][union]).max()
            small = 0 < unit < SMALL
            heights, unit_reach = (values[side][union] / unit, 1.0) if small else (values[side][union], unit or 1.0)
            ax.barh(places, heights, color=[colormaps[c](d) for c, d in zip(shade, depth)], height=0.75)
            x = np.asarray(inputs)[i]
            labels = [f"{x[j]:.3g}" if side else f"{names[j]} = {x[j]:.3g}" for j in union]
            ax.set_yticks(places, labels, fontsize="small")
            ax.set_ylim(len(union) - 0.4, -0.6)
            reach = 1.05 * unit_reach
            ax.set_xlim(-reach, reach)
            ax.locator_params(axis="x", nbins=4)
            ax.axvline(0.0, color="0.3", linewidth=0.8)
            ax.tick_params(labelsize="small")
            ax.grid(axis="x", alpha=0.3)
            ax.set_axisbelow(True)
        line[0].set_title(titles[0] + size_note(values[0]), fontsize="small")
        line[1].set_title(f"{titles[2]}, {titles[3].removeprefix('after: ')}", fontsize="small")

    @staticmethod
    def _legend(plt: Any, figure: Any, k: int, table: bool) -> None:
        from matplotlib.patches import Patch

        entries = [("both", 0.75, f"in both top {k}"), ("here", 0.75, f"in this top {k} alone")]
        handles = [Patch(color=plt.colormaps[COLORS[which]](depth), label=text) for which, depth, text in entries]
        if table:
            handles.append(Patch(color=plt.colormaps["Greys"](0.3), label="in the other alone"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small", frameon=False)


def _rows(rows: Sequence[int] | None, n_samples: int) -> np.ndarray:
    """Return the row numbers after checks."""
    chosen = np.arange(min(_N_ROWS, n_samples)) if rows is None else np.asarray(rows)
    if chosen.ndim != 1 or not len(chosen) or not np.issubdtype(chosen.dtype, np.integer):
        raise ValueError(f"rows must be a list of at least one row number, got {rows!r}.")
    if chosen.min() < -n_samples or chosen.max() >= n_samples:
        raise ValueError(f"rows must be row numbers below {n_samples}, got {chosen.tolist()}.")
    return chosen


def _union(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the units of both top sets: the first set in its order, then the other units of the second."""
    return np.concatenate([before, after[~np.isin(after, before)]])
