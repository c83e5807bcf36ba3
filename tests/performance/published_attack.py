"""What an iteration costs for a row: ERAttack beside the attack of R2ET's published code, on its own ResNet9.

``python -m tests.performance.published_attack FOLDER [DEVICE]`` from the repository's root. FOLDER holds the published
code (https://github.com/ccha005/R2ET), which is no part of this repository. The networks have random weights: time does
not depend on what they have learnt. The published attack goes row by row, ours in batches, as their users run them.
"""

import sys

import numpy as np
import torch
from torch import nn

from robustxai import VanillaClassifier
from robustxai.attacks import ERAttack
from robustxai.perturbation import ThreatModel
from tests.performance.ratios import take_turns

K = 100
#: Rows and iterations: ours, and the published attack's, which takes them one by one. Iterations are of
#: the number of real attacks: what one does before the first and after the last of them is part of its time.
OURS, PUBLISHED = (32, 50), (1, 50)


class ResNet9(nn.Module):
    """The published network, as a classifier of this library builds it."""

    def __init__(self, in_shape, n_classes, smooth):
        super().__init__()
        import cnn

        self.net = cnn.ResNet9()
        if smooth:
            cnn.replace_relu_to_sp(self.net)

    def forward(self, x):
        return self.net(x)


def contenders(smooth, device):
    """Both attacks on one network."""
    from batch_retrain import PGD_m

    X = np.random.default_rng(0).normal(size=(max(OURS[0], 20), 3, 32, 32)).astype(np.float32)
    clf = VanillaClassifier(module=ResNet9, module__smooth=smooth, max_epochs=1, lr=1e-6, batch_size=10, device=device)
    clf.fit(X, np.arange(len(X)) % 10)
    rows, n_iter = OURS
    ours = ERAttack(clf, k=K, threat=ThreatModel(0.5), max_iter=n_iter, random_state=0).fit(X[:rows])
    pairs = [(i, K - 1) for i in range(K - 1)] + [(K - 1, K + i) for i in range(K)]
    x = torch.tensor(X, device=clf.device_)
    y = torch.tensor(clf.predict(X), device=clf.device_)

    def run_published():
        for row in range(PUBLISHED[0]):
            row = slice(row, row + 1)
            PGD_m(clf.module_, x[row], y[row], PUBLISHED[1], "topk", pairs, K, clf.device_, epsilon=5e-3)
        if x.is_cuda:
            torch.cuda.synchronize()

    return {"published": run_published, "ours": lambda: ours.transform(X[:rows])}


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    device = sys.argv[2] if len(sys.argv) > 2 else "cpu"
    for smooth in (False, True):
        seconds = take_turns(contenders(smooth, device), 3)
        cost = {"published": seconds["published"] / np.prod(PUBLISHED), "ours": seconds["ours"] / np.prod(OURS)}
        name = "softplus" if smooth else "ReLU"
        print(
            f"{name}: published {1e3 * cost['published']:.1f} ms, ours {1e3 * cost['ours']:.1f} ms a row and iteration"
        )
        print(f"  ours / published: {cost['ours'] / cost['published']:.2f} (at most 0.33)", flush=True)
