"""Smoothness of explanations: structural similarity with SmoothGrad."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from typing_extensions import Self

from robustxai._arguments import FLAG, Choice, Instance, Named, Number, Numbers, Rows, checked, optional
from robustxai._models import GRADIENTS, resolve_model, unwrap
from robustxai._plotting import AX, fit_text, legend_beside, pyplot
from robustxai.attacks import BlackBox
from robustxai.explainers import ExactAttribution, Gradient, SmoothGrad
from robustxai.inspection._check import ESTIMATORS
from robustxai.inspection._saliency_maps import draw_input, draw_map, picture_shape, size_note
from robustxai.inspection._scores import SCORES, in_words, model_score
from robustxai.metrics import ssim
from robustxai.protocols import Estimator, ExplainableClassifier, HistogramKind, Ranking, Score
from robustxai.ranking import RANKING

__all__ = ["SmoothnessDisplay"]

#: Draws per row in ATEX's Figure 2, and their noise as a share of the range of the inputs.
_N_DRAWS, _NOISE = 100, 0.1
#: (row, draw) pairs in one pass: images are large.
_PAIRS = 512
#: Characters of a model's name that fit below its box.
_WIDTH = 14

_KINDS = ("box", "histogram")


class SmoothnessDisplay:
    """SSIM of explanations with SmoothGrad maps, as a distribution per model (the ATEX paper's Figure 2).

    A model whose gradient resembles the average over a hundred noisy copies has little noise. Smoothness is not
    stability, which P@k under attack measures. A collapsed model may be smooth, hence the accuracy beside the name.

    Parameters
    ----------
    similarity : dict of str to ndarray of shape (n_samples,)
        SSIM of every row, by model.
    scores : dict of str to float, optional
        Accuracy or AUC of the models.
    score : {"accuracy", "roc_auc"}, default="accuracy"
        Which of the two `scores` are.
    example : ndarray of shape (*features,), optional
        Input to be shown below the distributions.
    maps : dict of str to (ndarray, ndarray), optional
        By model, the explanation and the SmoothGrad map of `example`, both in its shape.
    of_reference : bool, default=False
        Whether all SmoothGrad maps come from one reference model, for the label of the axis.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranking of the maps: "magnitude" compares and draws magnitudes.

    Attributes
    ----------
    ax_ : Axes of the distributions, after `plot`
    map_axes_ : ndarray of Axes, shape (2, 1 + n_models), or None without an example, after `plot`
        Input, then for every model its explanation above its SmoothGrad map.
    figure_ : matplotlib Figure, after `plot`

    References
    ----------
    Tang et al., *Defense against explanation manipulation*, 2021, Section 4.3 and Figure 2.
    """

    @checked(
        similarity=Named(Rows(), least=1, advice="Without one there is nothing to draw."),
        scores=optional(Named(Numbers(finite=False))),
        score=Choice(SCORES),
        example=optional(Rows()),
        maps=optional(Instance(Mapping)),
        of_reference=FLAG,
        ranking=RANKING,
    )
    def __init__(
        self,
        similarity: Mapping[str, np.ndarray],
        *,
        scores: Mapping[str, float] | None = None,
        score: Score = "accuracy",
        example: np.ndarray | None = None,
        maps: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
        of_reference: bool = False,
        ranking: Ranking = "magnitude",
    ) -> None:
        self.similarity = similarity
        self.scores = scores
        self.score = score
        self.example = example
        self.maps = maps
        self.of_reference = of_reference
        self.ranking = ranking

    @classmethod
    @checked(
        estimators=ESTIMATORS,
        X=Rows(),
        y=optional(Rows()),
        smooth_grad=optional(Instance(SmoothGrad)),
        ranking=RANKING,
        score=Choice(SCORES),
        example=optional(Number(0, integer=True)),
        kind=Choice(_KINDS),
        ax=AX,
    )
    def from_estimators(
        cls,
        estimators: Mapping[str, Estimator],
        X: Any,
        y: Any = None,
        *,
        smooth_grad: SmoothGrad | None = None,
        reference: Estimator | None = None,
        ranking: Ranking = "magnitude",
        score: Score = "accuracy",
        example: int | None = None,
        kind: HistogramKind = "box",
        ax: Any = None,
    ) -> Self:
        """Explain X by several classifiers, with and without SmoothGrad, and plot the similarity.

        Parameters
        ----------
        estimators : dict of str to fitted classifier
            The models by name.
        X : array-like of shape (n_samples, *features)
            Images, pairs of images or graphs, of at least 11 x 11 units.
        y : array-like of shape (n_samples,), optional
            Labels; needed for accuracy or AUC below the names.
        smooth_grad : SmoothGrad, optional
            By default 100 draws, as in the paper, with a noise of a tenth of the range of X, of the same output as the
            model's own explainer.
        reference : fitted classifier, optional
            Model whose SmoothGrad maps all explanations are compared with. By default, each explanation is compared
            with its own model's map, which measures its noise. The paper compares with the normally trained model's
            map, which also measures the change that a defense makes.
        ranking : {"magnitude", "signed"}, default="magnitude"
            "magnitude" compares maps of magnitudes.
        score : {"accuracy", "roc_auc"}, default="accuracy"
            Score below the names.
        example : int, optional
            Row of X whose maps are shown below; none by default.
        kind : {"box", "histogram"}, default="box"
            Form of the distributions.
        ax : matplotlib Axes, optional
            As in :meth:`plot`.
        """
        similarity, scores, maps, shown = {}, {}, {}, None
        if example is not None and example >= len(X):
            raise ValueError(f"example must be a row of X, below {len(X)}, got {example}.")
        for name, estimator in estimators.items():
            for one in (estimator, reference):
                if isinstance(one, BlackBox):
                    raise TypeError(f"SmoothGrad needs the gradient of a model, which a BlackBox ({name!r}) lacks.")
            needs = ("predict", "explain", "encode_target", *GRADIENTS)
            model, rows = resolve_model(estimator, X, needs=needs, what="SmoothnessDisplay")
            teacher = model
            if reference is not None:
                teacher, _ = unwrap(reference, needs=needs, what="SmoothnessDisplay's reference")
            rows = np.asarray(rows)
            if not 2 <= rows.ndim - 1 <= 4:
                raise ValueError(
                    "SmoothnessDisplay compares maps: images (n, channels, height, width), pairs of them or matrices "
                    f"(n, nodes, nodes); got {rows.shape}."
                )
            labels = model.predict(rows)
            own = np.asarray(model.explain(rows, y=labels))
            smooth = _smoothed(teacher, rows, labels, smooth_grad)
            similarity[name] = _similarity(own, smooth, ranking)
            if y is not None:
                scores[name] = model_score(score, estimator, X, y)
            if example is not None:
                maps[name], shown = (own[example], smooth[example]), rows[example]
        display = cls(
            similarity,
            scores=scores or None,
            score=score,
            example=shown,
            maps=maps or None,
            of_reference=reference is not None,
            ranking=ranking,
        )
        return display.plot(kind=kind, ax=ax)

    @checked(kind=Choice(_KINDS), ax=AX)
    def plot(self, *, kind: HistogramKind = "box", ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure.

        Parameters
        ----------
        kind : {"box", "histogram"}, default="box"
            Form of the distributions.
        ax : matplotlib Axes, optional
            Axes of the distributions. The maps of an example are drawn only on a new figure.
        """
        plt = pyplot()
        self.map_axes_ = None
        with_maps = self.example is not None and self.maps is not None
        own = ax is None
        if ax is None:
            n_models = len(self.similarity)
            if with_maps:
                ax, self.map_axes_ = self._figure(plt, 1 + n_models)
            else:
                size = (max(5.0, 1.2 + 1.3 * n_models), 3.6)
                _, ax = plt.subplots(figsize=size, layout="constrained")
        draw = self._boxes if kind == "box" else self._histograms
        draw(ax, own)
        if self.map_axes_ is not None:
            self._maps(self.map_axes_)
        fit_text(ax.figure, own=own)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _figure(self, plt: Any, columns: int) -> tuple[Any, np.ndarray]:
        assert self.example is not None
        height, width = picture_shape(self.example.shape)
        side = 1.7 * max(1.0, width / height)
        figure = plt.figure(figsize=(max(5.0, 0.8 + side * columns), 7.0), layout="constrained")
        grid = figure.add_gridspec(3, columns, height_ratios=(3.0, 1.7, 1.7))
        axes = np.array([[figure.add_subplot(grid[line, c]) for c in range(columns)] for line in (1, 2)])
        return figure.add_subplot(grid[0, :]), axes

    def _label(self, name: str, *, wrapped: bool = False) -> str:
        text = textwrap.fill(str(name), _WIDTH) if wrapped else str(name)
        if self.scores is None or name not in self.scores:
            return text
        return f"{text}\n{in_words(self.score, self.scores[name])}"

    def _quantity(self) -> str:
        return "SSIM with SmoothGrad" + (" of the reference" if self.of_reference else "")

    def _boxes(self, ax: Any, own: bool) -> None:
        values = [np.asarray(v) for v in self.similarity.values()]
        places = np.arange(1, 1 + len(values))
        style = {"medianprops": {"color": "black"}, "flierprops": {"markersize": 3, "alpha": 0.5}}
        boxes = ax.boxplot(values, positions=places, widths=0.5, patch_artist=True, **style)
        for number, (box, one) in enumerate(zip(boxes["boxes"], values)):
            box.set(facecolor=f"C{number}", alpha=0.5)
            ax.annotate(f"{np.median(one):.2f}", (places[number] + 0.28, np.median(one)), size="small", va="center")
        ax.set_xticks(places, [self._label(name, wrapped=True) for name in self.similarity])
        ax.set_xlim(0.5, len(values) + 0.7)
        ax.set_ylabel(self._quantity())
        ax.grid(axis="y", alpha=0.3)

    def _histograms(self, ax: Any, own: bool) -> None:
        values = [np.asarray(v) for v in self.similarity.values()]
        edges = np.histogram_bin_edges(np.concatenate(values), bins=20)
        for number, (name, one) in enumerate(zip(self.similarity, values)):
            label = f"{self._label(name)}\nmedian {np.median(one):.2f}".replace("\n", ", ")
            ax.hist(one, edges, histtype="stepfilled", alpha=0.3, color=f"C{number}", label=label)
            ax.hist(one, edges, histtype="step", color=f"C{number}")
        ax.set_xlabel(self._quantity())
        ax.set_ylabel("rows")
        ax.grid(alpha=0.3)
        legend_beside(ax, own=own)

    def _maps(self, axes: np.ndarray) -> None:
        assert self.example is not None
        assert self.maps is not None
        draw_input(axes[0, 0], self.example, self.example[None])
        axes[0, 0].set_title("input", fontsize="small")
        axes[1, 0].set_axis_off()
        for column, (name, pair) in zip(axes.T[1:], self.maps.items()):
            for ax, part in zip(column, pair):
                draw_map(ax, np.asarray(part), ranking=self.ranking)
            own, smooth = (np.asarray(part)[None] for part in pair)
            value = _similarity(own, smooth, self.ranking)[0]
            notes = [size_note(part[0]) for part in (own, smooth)]
            column[0].set_title(f"{name}{notes[0]}", fontsize="small")
            column[1].set_title(f"SmoothGrad: SSIM {value:.2f}{notes[1]}", fontsize="small")
        for ax in axes.flat:
            ax.set_xticks([])
            ax.set_yticks([])


def _smoothed(
    estimator: ExplainableClassifier, X: np.ndarray, labels: np.ndarray, smooth_grad: SmoothGrad | None
) -> np.ndarray:
    """Return SmoothGrad maps of X for the labels, in the shape of X."""
    if smooth_grad is None:
        own = estimator.explainer_
        sigma = _NOISE * float(X.max() - X.min())
        output = own.output if isinstance(own, Gradient) else "probability"
        smooth_grad = SmoothGrad(_N_DRAWS, sigma, output=output, internal_batch_size=_PAIRS)
    x = torch.tensor(X, device=estimator.device_)
    smooth = ExactAttribution(smooth_grad, estimator.module_)
    return smooth(x, estimator.encode_target(X, labels)).cpu().numpy()


def _similarity(own: np.ndarray, smooth: np.ndarray, ranking: Ranking) -> np.ndarray:
    """Return the SSIM of every row; for pairs, the mean over both images."""
    if own.ndim == 5:
        first, second = (_similarity(own[:, side], smooth[:, side], ranking) for side in (0, 1))
        return (first + second) / 2
    return ssim(own, smooth, ranking=ranking)
