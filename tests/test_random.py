"""Fits, attacks, metrics and scorers in threads: the serial results to the bit, the global generators untouched."""

import copy
import functools
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader

from robustxai import metrics
from robustxai._random import RandomStreams, _integers, _normal, _uniform, like_normal, like_uniform
from robustxai.attacks import PGD, AutoExplanationAttack, ERAttack, MSEAttack, NESAttack, RandomAttack
from robustxai.certificates import certify_smoothed_top_k
from robustxai.classifiers import (
    AdversarialTrainingClassifier,
    ATEXClassifier,
    AttributionContrastClassifier,
    CrossLipschitzClassifier,
    EstimatedHessianClassifier,
    ExactHessianClassifier,
    ExplanationATClassifier,
    FARClassifier,
    IGNormClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    SSRClassifier,
    TRADESClassifier,
    VanillaClassifier,
)
from robustxai.explainers import SmoothGrad
from robustxai.model_selection import BatchedSearchCV, PrecisionAtKScorer, RobustnessScorer, ThicknessScorer
from robustxai.training import Term

N_THREADS = 4
SMALL = {"max_epochs": 2, "batch_size": 24, "module__hidden": (6,)}


class Noisy(nn.Module):
    """A user's module with every kind of draw that torch knows without a generator."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first = nn.Linear(n_features, 8)
        self.drop, self.slope = nn.Dropout(0.2), nn.RReLU()
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.2, batch_first=True)
        self.last = nn.Linear(8, n_classes)

    def forward(self, x):
        if self.training:
            x = x + 0.1 * torch.randn_like(x) + 0.1 * torch.rand(x.shape) + 0.01 * torch.randint_like(x, 3)
            x = x[:, torch.randperm(x.shape[1])]
        z = self.drop(self.slope(self.first(x)))[:, None]
        z = (z + self.attention(z, z, z)[0])[:, 0]
        return self.last(nn.functional.alpha_dropout(z, 0.1, self.training))


class NoisyPenalty:
    """A user's penalty, which knows nothing of generators."""

    def __call__(self, batch):
        return (batch.attribution * torch.randn_like(batch.x)).sum(dim=1).square() + torch.bernoulli(batch.y * 0.5)


class WithNoisyPenalty(VanillaClassifier):
    def terms(self, n_units):
        return [Term("noise", 0.1, NoisyPenalty())]


class NoisyWeights(Callback):
    """A user's callbacks of all sorts, which draw."""

    def on_epoch_begin(self, net, **kwargs):
        self.jitter(net)

    def on_batch_end(self, net, training=False, **kwargs):
        self.jitter(net)

    @torch.no_grad()
    def jitter(self, net):
        for weight in net.module_.parameters():
            weight.add_(0.001 * torch.randn_like(weight))


class Langevin(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for weight in group["params"]:
                weight.add_(torch.empty_like(weight).normal_(0, 1e-3))


def noisy_explainer(module, x, target, *, logits=None, create_graph=False):
    score = module(x + 0.01 * torch.randn(x.shape)).gather(1, target[:, None]).sum()
    return torch.autograd.grad(score, x, create_graph=create_graph)[0]


def dropout_net():
    return nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.3), nn.Softplus(), nn.Linear(8, 2))


FITS = {
    "vanilla": lambda s: VanillaClassifier(random_state=s, **SMALL),
    "r2et": lambda s: R2ETClassifier(k=2, random_state=s, **SMALL),
    "r2et exact": lambda s: R2ETClassifier(k=2, hessian="exact", random_state=s, **SMALL),
    "warm-up": lambda s: R2ETClassifier(k=2, warm_up_epochs=1, random_state=s, **SMALL),
    "atex": lambda s: ATEXClassifier(random_state=s, **SMALL),
    "atex reference": lambda s: ATEXClassifier(variant="reference", random_state=s, **SMALL),
    "probes": lambda s: ExactHessianClassifier(n_draws=2, random_state=s, **SMALL),
    "estimated": lambda s: EstimatedHessianClassifier(random_state=s, **SMALL),
    "ssr": lambda s: SSRClassifier(random_state=s, **{**SMALL, "module__activation": "softplus"}),
    "cross-lipschitz": lambda s: CrossLipschitzClassifier(k=2, random_state=s, **SMALL),
    "adversarial": lambda s: AdversarialTrainingClassifier(random_state=s, **SMALL),
    "explanation-at": lambda s: ExplanationATClassifier(k=2, random_state=s, **SMALL),
    "ig-norm 2": lambda s: IGNormClassifier(norm=2, max_iter=2, random_state=s, **SMALL),
    "adv-aat": lambda s: FARClassifier("adv_aat", max_iter=2, random_state=s, **SMALL),
    "ig-norm inf": lambda s: IGNormClassifier(max_iter=2, random_state=s, **SMALL),
    "trades": lambda s: TRADESClassifier(max_iter=2, random_state=s, **SMALL),
    "contrast": lambda s: AttributionContrastClassifier(max_iter=2, n_points=2, random_state=s, **SMALL),
    "dropout": lambda s: VanillaClassifier(module=dropout_net, max_epochs=2, batch_size=24, random_state=s),
    "user's module": lambda s: VanillaClassifier(module=Noisy, max_epochs=2, batch_size=24, random_state=s),
    "r2et of it": lambda s: R2ETClassifier(
        module=Noisy, k=2, warm_up_epochs=1, max_epochs=2, batch_size=24, random_state=s
    ),
    "user's penalty": lambda s: WithNoisyPenalty(random_state=s, **SMALL),
    "user's callback": lambda s: R2ETClassifier(k=2, random_state=s, callbacks=[("n", NoisyWeights())], **SMALL),
    "user's optimizer": lambda s: VanillaClassifier(optimizer=Langevin, random_state=s, **SMALL),
    "user's explainer": lambda s: EstimatedHessianClassifier(explainer=noisy_explainer, random_state=s, **SMALL),
    "loaders": lambda s: VanillaClassifier(
        iterator_train=DataLoader, iterator_valid=DataLoader, random_state=s, **SMALL
    ),
}
#: Those whose explanations are random by the user's own doing.
_RANDOM_EXPLANATIONS = ("user's explainer",)


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


@pytest.fixture(scope="module")
def clf(data):
    return SoftplusClassifier(**{**SMALL, "max_epochs": 8}).fit(*data)


@pytest.fixture(autouse=True)
def global_generators_are_untouched():
    numpy_global = np.random.mtrand._rand
    before = torch.get_rng_state(), numpy_global.get_state(legacy=False)
    yield
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_equal(numpy_global.get_state(legacy=False), before[1])


def in_threads(function, seeds):
    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(function, seeds))


def assert_threads_agree(function):
    """Calls at once, of two seeds, give what each gives alone."""
    alone = [function(seed) for seed in (0, 1)]
    together = in_threads(function, [0, 1] * (N_THREADS // 2))
    for number, found in enumerate(together):
        np.testing.assert_equal(found, alone[number % 2])
    return alone


@pytest.fixture(scope="module")
def serial(data):
    """The fit of a name and a seed, alone."""
    return functools.cache(lambda name, seed: FITS[name](seed).fit(*data))


@pytest.mark.parametrize("name", FITS)
def test_fits_in_threads_are_serial_fits(name, data, serial):
    X, y = data
    here = threading.current_thread()

    def fit(seed):
        # those that come first, alone, are of this thread
        clf = serial(name, seed) if threading.current_thread() is here else FITS[name](seed).fit(X, y)
        explanation = None if name in _RANDOM_EXPLANATIONS else clf.explain(X[:5])
        history = [row["train_loss"] for row in clf.history_]
        return [value.numpy() for value in clf.module_.state_dict().values()], history, explanation

    first, second = assert_threads_agree(fit)
    assert any((a != b).any() for a, b in zip(first[0], second[0]))  # the seed does matter


@pytest.mark.parametrize("name", FITS)
def test_a_draw_between_two_fits_changes_nothing(name, data, serial):
    first = serial(name, 0)
    with torch.random.fork_rng(devices=[]):
        torch.rand(7)
        second = FITS[name](0).fit(*data)
    for a, b in zip(first.module_.state_dict().values(), second.module_.state_dict().values()):
        assert torch.equal(a, b)


def test_fits_are_those_of_a_process_that_seeded_the_global_generator(data):
    """The numbers of a stream are those of torch's own generator, drawn in the same order."""
    from robustxai.training import ObjectiveNet, TensorBatches, draw_seed

    options = {"batch_size": 16, "iterator_train": TensorBatches, "iterator_train__shuffle": True, "verbose": 0}
    seed = draw_seed(3)
    nets = [ObjectiveNet(module=Noisy, module__n_features=5, module__n_classes=2, criterion=nn.CrossEntropyLoss,
                         train_split=None, max_epochs=2, streams=streams, **options)
            for streams in (None, RandomStreams(seed))]  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nets[0].fit(data[0], data[1].astype(np.int64))
    nets[1].fit(data[0], data[1].astype(np.int64))
    for a, b in zip(nets[0].module_.state_dict().values(), nets[1].module_.state_dict().values()):
        assert torch.equal(a, b)


def test_searches_in_threads_are_serial_searches(data):
    X, y = data

    def search(seed):
        grid = {"lambda_gap": [0.0, 0.1], "warm_up_epochs": [1]}
        found = BatchedSearchCV(R2ETClassifier(k=2, random_state=seed, **SMALL), grid, cv=2).fit(X, y)
        assert found.cv_results_["stacked"].all()
        return found.cv_results_["mean_test_score"], found.best_estimator_.predict_proba(X)

    assert_threads_agree(search)


USES = {
    "ERAttack": lambda clf, X, y, s: ERAttack(clf, k=2, max_iter=5, random_state=s).run(X).X_adv,
    "MSEAttack": lambda clf, X, y, s: MSEAttack(clf, k=2, max_iter=5, random_state=s).run(X).X_adv,
    "RandomAttack": lambda clf, X, y, s: RandomAttack(clf, k=2, max_iter=5, random_state=s).run(X).X_adv,
    "NESAttack": lambda clf, X, y, s: NESAttack(clf, k=2, max_iter=3, n_draws=4, random_state=s).run(X).X_adv,
    "PGD": lambda clf, X, y, s: PGD(clf, random_state=s, max_iter=5).fit(X).transform(X),
    "thickness": lambda clf, X, y, s: metrics.ranking_thickness(clf, X, 2, n_draws=4, n_points=3, random_state=s),
    "bounds": lambda clf, X, y, s: metrics.thickness_bounds(clf, X, 2, random_state=s),
    "hessian": lambda clf, X, y, s: [
        metrics.hessian_norm(clf, X, norm=norm, max_exact=0, n_draws=2, random_state=s) for norm in ("fro", "spectral")
    ],
    "smoothed": lambda clf, X, y, s: certify_smoothed_top_k(clf, X[:3], 2, n_draws=100, random_state=s).scores,
    "smooth grad": lambda clf, X, y, s: SmoothGrad(4, random_state=s)(
        clf.module_, torch.from_numpy(X), torch.from_numpy(y)
    ).numpy(),
    "precision scorer": lambda clf, X, y, s: PrecisionAtKScorer(RandomAttack(k=2, max_iter=5, random_state=s))(clf, X),
    "thickness scorer": lambda clf, X, y, s: ThicknessScorer(k=2, n_draws=3, n_points=2, random_state=s)(clf, X),
    "robustness scorer": lambda clf, X, y, s: RobustnessScorer(
        MSEAttack(k=2, max_iter=3, random_state=s), n_draws=2
    ).score_together([clf, clf], X, y),
}


@pytest.mark.parametrize("name", USES)
def test_uses_in_threads_are_serial_uses(name, clf, data):
    X, y = data[0][:12], data[1][:12]
    assert_threads_agree(lambda seed: USES[name](clf, X, y, seed))


@pytest.mark.usefixtures("quick_ensemble")
@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
def test_the_ensemble_in_threads(clf, data):
    assert_threads_agree(
        lambda s: AutoExplanationAttack(clf, k=2, preset="fast", random_state=s).run(data[0][:2]).X_adv
    )


# ------------------------------------------------------------------ the streams themselves

DRAWS = {
    "rand": lambda: torch.rand(40),
    "randn out": lambda: torch.randn(40, out=torch.empty(40)),
    "randint": lambda: torch.randint(9, (40,)),
    "randint low": lambda: torch.randint(-4, 9, (40,)),
    "randperm": lambda: torch.randperm(40),
    "rand_like": lambda: torch.rand_like(torch.empty(4, 10).T),
    "randn_like": lambda: torch.randn_like(torch.empty(4, 10).T),
    "randint_like": lambda: torch.randint_like(torch.empty(40), 2, 9),
    "in place": lambda: torch.empty(40).uniform_(-2, 2).mul_(torch.empty(40).exponential_()),
    "normal": lambda: torch.normal(torch.zeros(40), 2.0),
    "bernoulli": lambda: torch.bernoulli(torch.full((40,), 0.4)),
    "multinomial": lambda: torch.multinomial(torch.ones(50), 40),
    "poisson": lambda: torch.poisson(torch.full((40,), 3.0)),
    "gamma": lambda: torch.distributions.Gamma(2.0, 1.0).sample((40,)),
    "dropout": lambda: nn.functional.dropout(torch.ones(40)),
    "native_dropout": lambda: torch.native_dropout(torch.ones(40), 0.5, True)[0],
    "feature dropout": lambda: nn.functional.dropout2d(torch.ones(4, 10, 2, 2)),
    "rrelu": lambda: nn.functional.rrelu(-torch.ones(40), training=True),
    "gumbel": lambda: nn.functional.gumbel_softmax(torch.zeros(4, 10)),
    "fractional": lambda: nn.FractionalMaxPool2d(2, output_size=9)(torch.arange(4.0 * 400).reshape(1, 4, 20, 20)),
    "linear": lambda: nn.Linear(6, 6).weight.detach(),
    "lstm": lambda: nn.LSTM(3, 4, num_layers=2, dropout=0.5)(torch.ones(5, 2, 3))[0].detach(),
    "attention": lambda: nn.functional.scaled_dot_product_attention(*[torch.ones(1, 4, 8)] * 3, dropout_p=0.5),
}


# torch itself takes an LSTM apart otherwise in inference mode, where nobody trains
@pytest.mark.parametrize(
    ("name", "inference"), [(name, mode) for name in DRAWS for mode in (False, True) if not mode or name != "lstm"]
)
def test_a_stream_gives_what_the_global_generator_gives(name, inference):
    draw = DRAWS[name]
    with torch.inference_mode(inference), torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        wanted = [draw() for _ in range(2)]
    with torch.inference_mode(inference), RandomStreams(5).in_use():
        found = [draw() for _ in range(2)]
    for a, b in zip(found, wanted):
        assert torch.equal(a, b)
    assert not torch.equal(found[0], found[1])


def test_a_generator_that_is_given_is_used():
    with RandomStreams(0).in_use():
        assert torch.equal(
            torch.rand(3, generator=torch.Generator().manual_seed(1)),
            torch.rand(3, generator=torch.Generator().manual_seed(1)),
        )


def test_older_versions_have_no_generator_for_draws_in_the_shape_of_another_tensor():
    like = torch.empty(4, 10).T
    for own, theirs in (
        (lambda g: _uniform(g, like), lambda: torch.rand_like(like)),
        (lambda g: _normal(g, like), lambda: torch.randn_like(like)),
        (lambda g: _integers(g, like, 7), lambda: torch.randint_like(like, 7)),
        (lambda g: _integers(g, like, -3, 7), lambda: torch.randint_like(like, -3, 7)),
        (lambda g: like_uniform(like, g), lambda: torch.rand_like(like)),
        (lambda g: like_normal(like, g), lambda: torch.randn_like(like)),
    ):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            wanted = theirs()
        assert torch.equal(own(torch.Generator().manual_seed(2)), wanted)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))], ids=["copy", "pickle"])
def test_copies_go_on_where_the_stream_is(copied):
    streams = RandomStreams(1)
    torch.rand(3, generator=streams.of("cpu"))
    other = copied(streams)
    assert torch.equal(torch.rand(4, generator=other.of("cpu")), torch.rand(4, generator=streams.of("cpu")))


def test_states_that_are_put_back_reach_whoever_holds_the_generator():
    streams = RandomStreams(1)
    generator, states = streams.of("cpu"), streams.states()
    first = torch.rand(4, generator=generator)
    streams.set_states(states)
    assert torch.equal(torch.rand(4, generator=generator), first)


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = dropout_net()

    def forward(self, x):
        return checkpoint(self.net, x, use_reentrant=False)


def test_recomputation_with_other_draws_is_refused(data):
    with pytest.raises(NotImplementedError, match="internal_batch_size"):
        VanillaClassifier(module=Checkpointed, max_epochs=1).fit(*data)
