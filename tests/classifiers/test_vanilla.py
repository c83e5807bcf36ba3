import numpy as np
import torch
from torch import nn

from robustxai.classifiers import VanillaClassifier
from robustxai.nets import MLP
from robustxai.training import OneCycle, draw_seed


def test_the_fit_equals_a_bare_loop(data):
    """Cross-entropy on a ReLU network with fused Adam, one-cycle rates and batches in a shuffled order."""
    X, y = (torch.as_tensor(a, dtype=t) for a, t in zip(data, (torch.float32, torch.long)))
    clf = VanillaClassifier(max_epochs=3, batch_size=32, lr=0.02, module__hidden=(8,), random_state=4).fit(*data)
    with torch.random.fork_rng():
        torch.manual_seed(draw_seed(4))
        module = MLP(4, 3, (8,), "relu")
        optimizer = torch.optim.Adam(module.parameters(), lr=0.02, fused=True)
        step = 0
        for _ in range(3):
            for rows in torch.randperm(150).split(32):
                optimizer.param_groups[0]["lr"] = 0.02 * OneCycle().factor(step / (3 * 5 - 1))
                optimizer.zero_grad()
                nn.functional.cross_entropy(module(X[rows]), y[rows]).backward()
                optimizer.step()
                step += 1
    for ours, theirs in zip(clf.module_.parameters(), module.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert np.array_equal(clf.predict(data[0]), module(X).argmax(dim=1).numpy())
