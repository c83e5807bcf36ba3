"""Reasons: ranks, proofs that no admissible row breaks, attacked rows that are admissible, orders and codes."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from robustxai import LinearClassifier, SoftplusClassifier
from robustxai.columns import TableThreat
from robustxai.datasets import make_preprocessor
from robustxai.reasons import _reasons, explain_columns, reasons

from .conftest import admissible, random_weights


def ranked(contributions, direction, k):
    """Names of the first k columns of one row that are reasons, by a naive rule."""
    score = {"adverse": -contributions, "favorable": contributions, "both": contributions.abs()}[direction]
    first = score.sort_values(ascending=False, kind="stable")[:k]
    return list(first[first > 0].index)


@pytest.mark.parametrize("direction", ["adverse", "favorable", "both"])
def test_the_reasons_are_the_largest_contributions(direction, data, pipe):
    X, _ = data
    found = reasons(pipe, X[:25], top=3, direction=direction).frame
    contributions = explain_columns(pipe, X[:25], y="paid")
    for label, part in found.groupby("row"):
        names = ranked(contributions.loc[label], direction, 3)
        assert list(part["column"]) == names
        np.testing.assert_allclose(part["contribution"], contributions.loc[label, names], atol=1e-9)
        assert list(part["value"].map(str)) == [str(X.loc[label, name]) for name in names]
        assert (part["direction"] == np.where(part["contribution"] > 0, "favorable", "adverse")).all()
    assert "status" not in found


def check_soundness(pipe, X, threat, direction, method, rng, n_points=60):
    """No proven reason leaves the top at an admissible row of the same decision, at any share of the budget."""
    result = reasons(pipe, X, top=2, direction=direction, threat=threat, method=method, n_points=4, attack=None)
    n_checked = 0
    for label, part in result.frame.groupby("row"):
        for share, group in part[part["radius"] > 0].groupby("radius"):
            within = threat if share == 1 else threat.scaled(share)
            rows = admissible(within, X.loc[[label]], n_points, rng)
            rows = rows[pipe.predict(rows) == pipe.predict(X.loc[[label]])[0]]
            if not len(rows):
                continue
            contributions = explain_columns(pipe, rows, y="paid", method=method, n_points=4)
            score = {"adverse": -contributions, "favorable": contributions, "both": contributions.abs()}[direction]
            kth = np.sort(score.to_numpy(), axis=1)[:, -2]
            assert (score[list(group["column"])].to_numpy() >= kth[:, None]).all()
            n_checked += len(group) * len(rows)
            if share == 1:
                assert all((score[a] > score[b]).all() for a, b in result.proven_pairs[label])
    return result, n_checked


def check_random_net(seed, X, pipe, threat, n_rows, n_points):
    """Check the proofs of a network of random weights; direction, method and switches go with the seed."""
    direction = ["adverse", "favorable", "both"][seed % 3]
    method = ["integrated_gradients", "gradient_times_input"][seed % 2]
    few = TableThreat(threat.rules, seed % 3, threat.norm)
    rows, rng = X.sample(n_rows, random_state=seed), np.random.default_rng(seed)
    check_soundness(random_weights(pipe, seed), rows, few, direction, method, rng, n_points)


@pytest.mark.parametrize("seed", range(30))
def test_no_admissible_row_breaks_a_proof(seed, data, pipe, threat):
    check_random_net(seed, data[0], pipe, threat, n_rows=3, n_points=40)


@pytest.mark.parametrize("max_switches", [0, 1])
def test_shares_that_are_proven_together_give_the_radii_of_one_after_the_other(
    max_switches, data, pipe, threat, monkeypatch
):
    X, _ = data
    few = TableThreat(threat.rules, max_switches, threat.norm)
    together = [reasons(pipe, X[i : i + 1], top=3, direction="both", threat=few, attack=None) for i in range(12)]
    monkeypatch.setattr(_reasons, "_AT_ONCE", 0)
    apart = reasons(pipe, X[:12], top=3, direction="both", threat=few, attack=None)
    pd.testing.assert_frame_equal(pd.concat([one.frame for one in together], ignore_index=True), apart.frame)
    assert {label: pairs for one in together for label, pairs in one.proven_pairs.items()} == apart.proven_pairs
    assert max_switches or apart.frame["radius"].between(0, 1, inclusive="neither").any()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_no_admissible_row_breaks_a_proof_at_length(seed, data, pipe, threat):
    check_random_net(seed, data[0], pipe, threat, n_rows=4, n_points=200)


def test_proofs_are_not_empty(data, pipe, threat):
    X, _ = data
    still = TableThreat(threat.rules, 0, threat.norm)
    result, n_checked = check_soundness(
        pipe, X[:40], still, "adverse", "integrated_gradients", np.random.default_rng(0)
    )
    assert n_checked > 500
    assert (result.frame["status"] == "proven").mean() > 0.5
    one = reasons(pipe, X[:12], top=2, threat=threat, attack=None)
    assert 0 < (one.frame["status"] == "proven").sum() <= (result.frame["status"] == "proven").sum()


def test_a_reason_stays_where_columns_above_it_change_places(data, pipe, threat, monkeypatch):
    """Columns that come up in one box and go down in another displace no third one."""
    X, _ = data
    free = TableThreat(threat.rules, 1, threat.norm)
    seen = reasons(pipe, X[:40], top=3, direction="both", threat=free, attack=None)
    monkeypatch.setattr(_reasons, "_stays", lambda pairs: pairs[:, :, 3:].all(axis=2))
    same_columns = reasons(pipe, X[:40], top=3, direction="both", threat=free, attack=None)
    assert (seen.frame["radius"] >= same_columns.frame["radius"]).all()
    assert (seen.frame["radius"] > same_columns.frame["radius"]).any()
    for label, pairs in same_columns.proven_pairs.items():
        assert set(pairs) <= set(seen.proven_pairs[label])


@pytest.mark.parametrize("seed", range(20))
def test_a_column_stays_that_is_above_enough_others(seed):
    r = np.random.default_rng(seed)
    n, k = 6, int(r.integers(1, 7))
    pairs = r.random((5, k, n)) < 0.6
    naive = [[sum(box[i, j] for j in range(n) if j != i) >= n - k for i in range(k)] for box in pairs]
    np.testing.assert_array_equal(_reasons._stays(pairs), naive)


def test_a_linear_models_radius_is_that_of_arithmetic():
    """Whole numbers do not matter: the gap of two reasons closes linearly with the share of the budget."""
    r = np.random.default_rng(0)
    X = pd.DataFrame({name: r.random(200) for name in "abc"})
    y = (X["a"] + X["b"] > 1).astype(int)
    pipe = make_pipeline(make_preprocessor(X), LinearClassifier(max_epochs=5)).fit(X, y)
    threat = TableThreat.from_frame(X, budgets=dict.fromkeys("abc", 0.2), bounds=dict.fromkeys("abc", (-9, 9)))
    found = reasons(pipe, X[:60], top=1, direction="both", threat=threat, attack=None).frame
    span = explain_columns(pipe, X[:60], y=1)
    slope = {n: abs(np.polyfit(X[n][:60], span[n], 1)[0]) for n in "abc"}
    for _, line in found.iterrows():
        name = line["column"]
        rest = [o for o in "abc" if o != name]
        shares = [
            (abs(span.loc[line["row"], name]) - abs(span.loc[line["row"], o])) / (0.2 * (slope[name] + slope[o]))
            for o in rest
        ]
        grid = [s for s in (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05) if s < min(shares) - 1e-3]
        assert line["radius"] >= max(grid, default=0.0)
        assert line["radius"] <= min(shares) + 1e-3


def test_attacked_rows_displace_and_are_admissible(data, pipe, threat):
    X, _ = data
    result = reasons(pipe, X[:30], top=2, threat=threat)
    attacked = result.frame[result.frame["status"] == "attacked"]
    assert len(attacked) > 5
    for _, line in attacked.iterrows():
        before, of_row = X.loc[[line["row"]]], result.attacked_rows.loc[[line["row"]]]
        after = before.assign(**line["changes"]).astype(X.dtypes.to_dict())
        assert sum(after.iloc[0].equals(one) for _, one in of_row.iterrows()) == 1
        assert threat.contains(before, after).inside
        assert line["changes"]
        assert pipe.predict(after)[0] == pipe.predict(before)[0]
        score = -explain_columns(pipe, after, y="paid").iloc[0]
        assert line["column"] not in score.sort_values(ascending=False).index[:2]
        together = (attacked["row"] == line["row"]) & (attacked["changes"] == line["changes"])
        lost = set(attacked.loc[together, "column"])
        for name in line["changes"]:  # none of them is idle
            fewer = after.assign(**{name: before[name]})
            score = -explain_columns(pipe, fewer, y="paid").iloc[0]
            left = lost - set(score.sort_values(ascending=False).index[:2])
            assert left != lost or pipe.predict(fewer)[0] != pipe.predict(before)[0]
    assert (result.attacked_rows.dtypes == X.dtypes).all()


def test_exhaustive_search_agrees_with_the_statuses():
    """On a small lattice every admissible row is tried: proven reasons stay, and those that leave are attacked."""
    r = np.random.default_rng(3)
    X = pd.DataFrame({name: r.integers(0, 6, 250) for name in "abc"} | {n: r.choice(["u", "v"], 250) for n in "de"})
    y = ((X["a"] - X["b"] * (X["d"] == "u") + X["c"] / 2) > 1).astype(int)
    pipe = make_pipeline(make_preprocessor(X), SoftplusClassifier(max_epochs=20)).fit(X, y)
    threat = TableThreat.from_frame(X, budgets=dict.fromkeys("abc", 1), max_switches=1)
    rows = X[:25]
    result = reasons(pipe, rows, top=2, threat=threat)
    steps = list(itertools.product((-1, 0, 1), repeat=3))
    n_left = 0
    for label, part in result.frame.groupby("row"):
        row = rows.loc[[label]]
        every = pd.concat([row.assign(a=row["a"] + i, b=row["b"] + j, c=row["c"] + m) for i, j, m in steps])
        other = {"u": "v", "v": "u"}
        every = pd.concat([every, every.assign(d=every["d"].map(other)), every.assign(e=every["e"].map(other))])
        every = every[(every[list("abc")] >= 0).all(axis=1) & (every[list("abc")] <= 5).all(axis=1)]
        every = every[pipe.predict(every) == pipe.predict(row)[0]].reset_index(drop=True)
        score = -explain_columns(pipe, every, y=1)
        kth = np.sort(score.to_numpy(), axis=1)[:, -2]
        overlap = 2 - pd.DataFrame({c: score[c] < kth for c in part["column"]}).sum(axis=1)
        for _, line in part.iterrows():
            leaves = bool((score[line["column"]] < kth).any())
            n_left += leaves
            assert not (leaves and line["status"] == "proven")
            if line["status"] == "attacked":
                assert leaves
        if len(part) == 2 and overlap.min() == 0:  # the worst row of all displaces both
            assert set(part["status"]) == {"attacked"}
    assert n_left > 10


def test_three_classes(data):
    X, _ = data
    y = np.digitize(X["age"] - 3 * X["debts"], [20, 40])
    pipe = make_pipeline(make_preprocessor(X), SoftplusClassifier(max_epochs=10)).fit(X, y)
    with pytest.raises(ValueError, match="needs the class that is favorable"):
        reasons(pipe, X[:5])
    own = reasons(pipe, X[:8], top=2, direction="both").frame
    contributions = explain_columns(pipe, X[:8])
    for label, part in own.groupby("row"):
        assert list(part["column"]) == ranked(contributions.loc[label], "both", 2)
    against = reasons(pipe, X[:8], top=2, favorable=2).frame
    contributions = explain_columns(pipe, X[:8], y=2)
    for label, part in against.groupby("row"):
        assert list(part["column"]) == ranked(contributions.loc[label], "adverse", 2)
        np.testing.assert_allclose(part["contribution"], contributions.loc[label, part["column"]], atol=1e-9)


def test_the_order_is_reduced_and_drawn(data, pipe, threat):
    X, _ = data
    result = reasons(pipe, X[:10], top=3, threat=TableThreat(threat.rules, 0, threat.norm), attack=None)
    label = max(result.proven_pairs, key=lambda row: len(result.proven_pairs[row]))
    pairs, edges = set(result.proven_pairs[label]), result.order(label)
    closure = set(edges)
    while True:
        more = {(a, d) for a, b in closure for c, d in closure if b == c} - closure
        if not more:
            break
        closure |= more
    assert closure == pairs
    ax = result.plot_order(label)
    texts = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert all(texts[a] > texts[b] for a, b in edges)
    with pytest.raises(ValueError, match="No order is known"):
        result.order(-1)


def test_codes(data, pipe):
    X, _ = data
    result = reasons(pipe, X[:20], top=4)
    book = {name: (f"R{place // 2}", f"text of {place // 2}") for place, name in enumerate(X.columns)}
    codes = result.codes(book, most=3)
    for label, part in codes.groupby("row"):
        assert part["code"].is_unique
        assert len(part) <= 3
        assert list(part["rank"]) == list(range(1, len(part) + 1))
        columns = result.frame.loc[result.frame["row"] == label, "column"]
        naive = list(dict.fromkeys(book[c][0] for c in columns))[:3]
        assert list(part["code"]) == naive
    used = result.frame["column"].iloc[0]
    with pytest.raises(ValueError, match=f"no code for '{used}'"):
        result.codes({name: entry for name, entry in book.items() if name != used})
    with pytest.raises(TypeError, match="book must map columns"):
        result.codes([("age", 1)])


def test_bad_input_is_said(data, pipe, threat):
    X, _ = data
    with pytest.raises(ValueError, match="favorable='payed' is none of the classes"):
        reasons(pipe, X[:2], favorable="payed")
    with pytest.raises(TypeError, match="threat must be a TableThreat"):
        reasons(pipe, X[:2], threat=0.1)
    with pytest.raises(ValueError, match="made of another table"):
        reasons(pipe, X[:2], threat=TableThreat.from_frame(X.drop(columns="months")))
    with pytest.raises(ValueError, match=r"Two rows of X have the label .0., .*reset_index"):
        reasons(pipe, pd.concat([X[:2], X[:1]]))
    with pytest.raises(ValueError, match="X has no row"):
        reasons(pipe, X[:0])
    with pytest.raises(ValueError, match="castle"):
        reasons(pipe, X[:2].assign(home="castle"), threat=threat)
    with pytest.raises(ValueError, match="outside of its bounds"):
        reasons(pipe, X[:2].assign(age=130), threat=threat)
    with pytest.warns(UserWarning, match="k=9 is not smaller"):
        assert reasons(pipe, X[:2], top=9).top == 6


@pytest.mark.parametrize("at_once", [0, 1, 2, 3, 7, 100])
def test_the_search_of_shares_finds_the_largest_that_holds(at_once):
    r = np.random.default_rng(at_once)
    alive, holds = r.random((40, 3)) < 0.8, r.choice([0.0, *_reasons._SHARES], (40, 3))
    search, n_rounds = _reasons._Shares(alive), 0
    while search.open().any():
        asked = search.ask(at_once)
        assert (asked[:-1] & search.open()).any() if n_rounds else asked[-1][alive].all() and not asked[:-1].any()
        number, place = np.nonzero(asked.any(axis=2))
        search.tell(number, place, holds[place] >= _reasons._SHARES[number][:, None])
        n_rounds += 1
    assert n_rounds <= (4 if at_once < 2 else 3 if at_once < 7 else 2)
    np.testing.assert_array_equal(search.radius(), np.where(alive, holds, 0))
