"""The table of hooks in docs/extending.md and the code agree."""

import re
from pathlib import Path

import pytest

import robustxai.attacks
import robustxai.benchmark
import robustxai.classifiers
import robustxai.penalties
from robustxai.classifiers._hooks import DefenseHooks
from robustxai.explainers import Gradient
from robustxai.nets import MLP

PAGE = Path(__file__).parents[2] / "docs/extending.md"
CLASSES = {
    "BaseExplainableClassifier": robustxai.classifiers.BaseExplainableClassifier,
    "BasePenalty": robustxai.penalties.BasePenalty,
    "GradientAttack": robustxai.attacks.GradientAttack,
    "an explainer": Gradient,
    "a network": MLP,
    "benchmark.BaseCell": robustxai.benchmark.BaseCell,
}
#: Hooks that a class may define and its base has not.
OPTIONAL = {"point", "state_dict", "load_state_dict"}


def hooks():
    """(class, hook) of every row."""
    owner = ""
    for row in PAGE.read_text().split("| class | hook |")[1].split("\n\n")[0].splitlines()[2:]:
        first, names = (cell.strip() for cell in row.split(" | ")[:2])
        owner = first.strip("| `") or owner
        for name in re.findall(r"`(\w+)", names):
            yield owner, name


@pytest.mark.parametrize(
    ("owner", "name"), [pair for pair in hooks() if pair[0] in CLASSES and pair[1] not in OPTIONAL]
)
def test_every_hook_of_the_table_exists(owner, name):
    assert hasattr(CLASSES[owner], name)


def test_every_hook_of_the_classifiers_is_in_the_table():
    listed = {name for owner, name in hooks() if owner == "BaseExplainableClassifier"}
    assert listed == {name for name in vars(DefenseHooks) if not name.startswith("_")}
