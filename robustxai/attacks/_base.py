"""Attack loop: propose a perturbation, observe it, keep the best feasible one of every row."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from typing_extensions import Self

from robustxai._all_or_nothing import all_or_nothing
from robustxai._arguments import COUNT, SEED
from robustxai._doubts import warn_of_mismatch
from robustxai._switches import own_switches
from robustxai.attacks._feasible import feasible
from robustxai.attacks._probability_change import CHANGE, below_limit, target_probability
from robustxai.attacks._result import AttackResult, zero_rows
from robustxai.attacks._search import Best, Reference, Search, Trace, observe
from robustxai.attacks._table import PROMISING, TableRun
from robustxai.attacks._transformer import AttackTransformer
from robustxai.attacks._unexplained import (
    Lenient,
    asked_twice,
    explained,
    lenient,
    precision_where_explained,
    unexplained_rows,
)
from robustxai.columns import TableThreat, check_table
from robustxai.engine import channels_last, has_piecewise_linear, of_rows, softplus_surrogate, stackable
from robustxai.exceptions import EvaluationWarning
from robustxai.perturbation import PerturbationSet, RowSets
from robustxai.protocols import Estimator, Ranking, Seed
from robustxai.ranking import RANKING, clip_k
from robustxai.training import draw_seed, small_net_threads

__all__ = ["BaseAttack"]


class BaseAttack(AttackTransformer):
    r"""Base of the attacks on explanations: a scikit-learn transformer that maps inputs to perturbed inputs.

    A subclass proposes the next perturbation (`propose`). This class checks the input, evaluates every proposal on the
    classifier itself, and keeps for each row the proposal with the lowest P@k (ties: the higher objective) among those
    that keep the prediction. The clean input counts as the first proposal, so that an attack is never worse than none.
    An attack with another goal than P@k (`selection`) is judged by its objective alone.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline or search
        Target estimator. ``clone(attack)`` keeps it, because an attack never trains anything. Of a Pipeline the last
        step is attacked, as :class:`AttackTransformer` describes.
    k : int, default=8
        Size of the top set; clipped with a warning when there are not more features than that.
    threat : ThreatModel or TableThreat, optional
        Perturbations that are allowed; ``ThreatModel()`` (l2, epsilon 0.5) by default. Under a
        :class:`robustxai.columns.TableThreat` a choice of switches of a row is searched in a box of its own, with the
        explanation of the row as the reference: the twelve choices in which the switches alone come furthest. What is
        found there is rounded to rows that the table can have, and improved among these: by steps in one column, or by
        trying all where a row has at most 2,000 admissible changes.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked scores.
    max_iter : int, default=100
        Iterations per row; where P@k is the goal, a row whose top-k set is entirely replaced stops early.
    max_probability_change : float, optional
        Largest change of the explained class's probability, :math:`|p_c(x + \delta) - p_c(x)|`, in [0, 1]: the second
        constraint of ATEX. An iterate beyond it is rejected like one of another prediction. None is no limit.
    batch_size : int, optional
        Rows that are searched at once. The default is the fastest number on a CPU, at most 1,024 (tables) and some
        dozens (images in a large network); on a GPU up to 65,536, within a few GB.
    random_state : int, RandomState or None, default=0
        Seed.

    Attributes
    ----------
    n_features_in_ : int
    k_ : int
        `k` after clipping.
    """

    _constraints = {
        "k": COUNT,
        "ranking": RANKING,
        "max_iter": COUNT,
        "max_probability_change": CHANGE,
        "random_state": SEED,
    }

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        k: int = 8,
        ranking: Ranking = "magnitude",
        max_iter: int = 100,
        max_probability_change: float | None = None,
        random_state: Seed = 0,
        **params: Any,
    ) -> None:
        super().__init__(estimator, **params)
        self.k = k
        self.ranking = ranking
        self.max_iter = max_iter
        self.max_probability_change = max_probability_change
        self.random_state = random_state

    # ---------------------------------------------------------------- hooks

    #: True if `learn` differentiates the explanation of the latest iterate.
    needs_graph = False

    def propose(self, search: Search, iteration: int) -> Tensor:
        """Return the next perturbation of every row, shape (n, *features), before projection.

        Parameters
        ----------
        search : Search
            State of the rows that are still searched.
        iteration : int
            Number of the iteration, from 1.
        """
        raise NotImplementedError

    def selection(self) -> str:
        """Return the rule by which a row keeps one of the iterates that keep the prediction.

        "overlap" keeps the lowest P@k (ties: the higher objective), and ends the search of a row whose top-k set is
        entirely replaced; "objective" keeps the highest objective, for goals other than P@k; "last" keeps the last.
        """
        return "overlap"

    def learn(self, search: Search, iteration: int, points: Tensor, objective: Tensor) -> None:
        """Store in ``search.extra`` what the next proposal needs from the latest iterate.

        Called first with iteration 0 at the clean input. May set ``search.stuck``.

        Parameters
        ----------
        search : Search
            State of the rows that are still searched.
        iteration : int
            Number of the iteration.
        points : Tensor of shape (n, *features)
            The latest iterate.
        objective : Tensor of shape (n,)
            Objective there, with a graph back to `points` where `needs_graph`.
        """

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        """Return the value to be maximized, shape (n,); it also decides between iterates of equal P@k.

        Parameters
        ----------
        attribution : Tensor of shape (n, *features)
            Attribution at the iterate, in the units of each row's clean one (``reference.log_scale``).
        reference : Reference
            The clean explanation.
        """
        return -reference.mean_gap(reference.rank(attribution))

    def check_target(self, module: nn.Module, surrogate: nn.Module | None, x: Tensor, target: Tensor) -> None:
        """Warn where the attack cannot find anything; called once, with the first chunk of rows."""

    # ---------------------------------------------------------------- scikit-learn

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, the target estimator and X of shape (n_samples, *features); nothing is learned.

        Raises
        ------
        NotFittedError
            The target estimator is not fitted.
        ValueError, TypeError
            No target estimator, or a parameter out of its range.
        """
        with all_or_nothing(self):
            X = self._check_fit(X)
            self._adopt(X)
            self._warn_of_ball(X)
            warn_of_mismatch(self._target_estimator, f"The {type(self).__name__}", k=self.k_, ranking=self.ranking)
        return self

    def _adopt(self, X: np.ndarray) -> None:
        """Set the fitted parameters that depend on the shape or the names of X."""
        self.k_ = clip_k(self.k, self._n_units(X))

    def transform(self, X: Any) -> np.ndarray:
        """Return the perturbed inputs, shape and dtype of X; of a Pipeline, of X as its last step sees it.

        Under a TableThreat, raw rows like X.
        """
        check_is_fitted(self)
        self._check_params()  # they may have been set since
        if self._table_threat is not None:
            return self._run_on_table(X, self._table_threat)[0].X_adv
        rows = self._validate(self._seen(X))
        if self.k != self.k_:
            self._adopt(rows)
        with own_switches():
            return self._attack(rows)[0]

    def run(self, X: Any, y: Any = None) -> AttackResult:
        """Attack X of shape (n_samples, *features) and report everything that was found; `y` is ignored.

        A DataFrame, of pandas, polars or another library, gives DataFrames of its kind.
        """
        self.fit(X)
        if self._table_threat is not None:
            result, doubts = self._run_on_table(X, self._table_threat)
            for doubt in doubts:
                warnings.warn(f"This P@k is probably not what it seems: {doubt}", EvaluationWarning, stacklevel=2)
            return result
        rows = self._seen(X)
        with own_switches():
            X_adv, trace = self._attack(self._validate(rows))
            seen = [self._as_fitted(part) for part in (rows, X_adv)]
            labels = self._target_estimator.predict(seen[0])
            attribution, failed = explained(self._target_estimator, seen[0], labels)
            attribution_adv, failed_adv = explained(self._target_estimator, seen[1], labels)
            if failed_adv.any():  # nothing to compare with: the row counts as not moved
                back = failed_adv & ~failed
                X_adv[back], attribution_adv[back] = np.asarray(seen[0])[back], attribution[back]
                seen[1] = self._as_fitted(X_adv)
            precision = precision_where_explained(attribution, attribution_adv, self.k_, self.ranking)
            before, after = self._probabilities(seen)
            doubts = [zero_rows(attribution, attribution_adv), unexplained_rows(failed)]
            if isinstance(lenient(self._target_estimator.explainer_), Lenient):
                doubts.append(asked_twice(self._target_estimator, seen[0], labels, attribution, self.k_, self.ranking))
        for doubt in filter(None, doubts):
            warnings.warn(f"This P@k is probably not what it seems: {doubt}", EvaluationWarning, stacklevel=2)
        return AttackResult(
            self._given_back(X, rows, X_adv),
            self._given_back(X, rows, attribution),
            self._given_back(X, rows, attribution_adv),
            precision,
            trace.first_flip.cpu().numpy(),
            int(self.max_iter),
            last_gain=trace.last_gain.cpu().numpy(),
            rejected=trace.rejected.cpu().numpy(),
            unexplained=trace.unexplained.cpu().numpy() + failed + failed_adv,
            X=self._given_back(X, rows, rows),
            k=self.k_,
            ranking=self.ranking,
            threat=self.resolved_threat(),
            predicted=labels,
            probability=before,
            probability_adv=after,
            **{name: values.cpu().numpy() for name, values in trace.extra.items()},
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "k_")

    def _run_on_table(self, X: Any, threat: TableThreat) -> tuple[AttackResult, list[str]]:
        """Return the result of an attack on raw rows, and reasons to doubt it."""
        frame = check_table(X, threat)
        with own_switches():
            objective = self.objective if self.selection() == "objective" else None
            run = TableRun(self, frame, threat, objective=objective)
            self._adopt(run.rows.x)
            result, seen, failed = run.result(X, run.search([self], PROMISING, polish=self.selection() != "last"))
            said = [zero_rows(result.attribution, result.attribution_adv), unexplained_rows(failed)]
            if isinstance(run.explainer, Lenient):
                attribution = np.asarray(result.attribution)
                said.append(
                    asked_twice(self._target_estimator, seen, result.predicted, attribution, self.k_, self.ranking)
                )
        return result, [doubt for doubt in said if doubt]

    # ---------------------------------------------------------------- the loop

    def _attack(self, X: np.ndarray) -> tuple[np.ndarray, Trace]:
        """Return perturbed inputs and the trace of the search."""
        threat, space = self._bind(X)
        if threat.epsilon == 0:
            return X.copy(), Trace.start(len(X), self.max_iter)
        target = self._predicted(X)
        delta, trace = self._search_in_chunks(self._tensor(X), target, space)
        X_adv = feasible(X, delta.cpu().numpy(), threat)
        # x + delta is rounded to the dtype of X: where rounding alone crosses a limit of the prediction, stay at X
        changed = (self._predicted(X_adv) != target).cpu().numpy()
        if self.max_probability_change is not None:
            classes = target.cpu().numpy()
            change = np.abs(self._probability(X_adv, classes) - self._probability(X, classes))
            changed |= ~(change <= below_limit(self.max_probability_change, 0.5))
        X_adv[changed] = X[changed]
        return X_adv, trace

    def _search_in_chunks(self, x: Tensor, target: Tensor, space: PerturbationSet) -> tuple[Tensor, Trace]:
        """Return the best perturbation of every row, and the trace of the search."""
        module = channels_last(self._frozen_module(), x)
        surrogate = softplus_surrogate(module) if has_piecewise_linear(module) else None
        deltas, traces = [], []
        seed = draw_seed(self.random_state)
        with small_net_threads(module):
            size = self._rows_at_once(module, x)
            first = torch.arange(min(len(x), size), device=x.device)
            self.check_target(of_rows(module, first), surrogate, x[first], target[first])
            for part in torch.arange(len(x), device=x.device).split(size):
                # the same draws for each chunk: rows do not depend on how they are divided
                generator = torch.Generator().manual_seed(seed)
                followed = of_rows(module, part)
                delta, trace = self._search(followed, surrogate, space.select(part), generator, x[part], target[part])
                deltas.append(delta)
                traces.append(trace)
        return torch.cat(deltas), Trace.cat(traces)

    @stackable
    def _search(
        self,
        module: nn.Module,
        surrogate: nn.Module | None,
        space: PerturbationSet,
        generator: torch.Generator,
        x: Tensor,
        target: Tensor,
    ) -> tuple[Tensor, Trace]:
        """Return the best perturbation of every row of one chunk, and the trace of the search."""
        explainer = lenient(self._target_estimator.explainer_)
        graph = self.needs_graph and surrogate is None
        points, found, logits = observe(module, explainer, x, target, graph)
        reference = Reference.of(found, self.k_, self.ranking)
        yes = torch.ones(len(x), dtype=torch.bool, device=x.device)
        trace = Trace.start(len(x), self.max_iter, x.device)
        search = Search(
            module, surrogate, explainer, space, generator, self.max_iter, trace,
            index=torch.arange(len(x), device=x.device), x=x, target=target, reference=reference,
            delta=torch.zeros_like(x), logits=logits, kept=yes, overlap=reference.top.sum(dim=1), stuck=~yes,
            probability=target_probability(logits, target), max_change=self.max_probability_change,
        )  # fmt: skip
        selection = self.selection()
        objective = self.objective(found.relative_to(reference.log_scale), reference)
        # where P@k decides, any iterate replaces the clean input; an objective must exceed that of the clean input
        beaten = objective.detach() if selection == "objective" else torch.full_like(objective.detach(), -torch.inf)
        best, best_delta = Best.start(x, self.k_, beaten, trace), torch.zeros_like(x)
        if isinstance(space, RowSets):  # which need not hold x: the search starts at the nearest point
            search.delta = space.project(search.delta, x)
            points, found, search.logits = observe(module, explainer, x + search.delta, target, graph)
            search.kept = search.keeps_prediction(search.logits)
            objective = self.objective(found.relative_to(reference.log_scale), reference)
        self.learn(search, 0, points, objective)

        for iteration in range(1, self.max_iter + 1):
            search.delta = search.space.project(self.propose(search, iteration), search.x)
            points, found, logits = observe(search.module, explainer, search.x + search.delta, search.target, graph)
            search.logits, search.kept = logits, search.keeps_prediction(logits)
            if isinstance(explainer, Lenient):
                search.kept &= ~explainer.failed
                trace.unexplained[search.index] += explainer.failed
            objective = self.objective(found.relative_to(search.reference.log_scale), search.reference)
            overlap = search.reference.overlap(search.reference.rank(found.direction.detach()))
            search.overlap = overlap
            best.update(search, iteration, overlap, objective.detach(), selection)

            if iteration == self.max_iter:
                break
            self.learn(search, iteration, points, objective)
            done = search.stuck
            if selection == "overlap":
                done = done | (best.overlap == 0)
            if bool(done.any()):
                best.write(search, iteration, best_delta)
                if bool(done.all()):
                    return best_delta, trace
                search.select(~done)
                best.select(~done)
        best.write(search, iteration, best_delta)
        return best_delta, trace
