"""Hyper-parameters by name: the estimator's own, and skorch's through ``**net_params``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from skorch import NeuralNet
from torch import nn
from typing_extensions import Self

from robustxai._arguments import Choice, Constraint, Each, Either, Exactly, Function, Instance, Nothing
from robustxai._inherited_params import InheritedParamsMixin
from robustxai._validation import nearest_name
from robustxai.nets import AUTO_NETS, NETS
from robustxai.training import TrainingProgress

__all__ = ["CALLBACKS", "MODULE", "NetParamsMixin"]

#: Arguments of a skorch net that the estimator fills in itself.
_OWNED = {"self", "module", "criterion", "lr", "max_epochs", "batch_size", "device", "verbose", "warm_start", "kwargs"}
_SKORCH = {name for name in inspect.signature(NeuralNet.__init__).parameters if name not in _OWNED}
#: Parameters of skorch in addition to the arguments of the optimizer.
_EXTRA = {"optimizer__param_groups"}
#: Prefixes of parameters that are passed to skorch.
_PREFIXES = ("callbacks", "compile", "criterion", "dataset", "iterator_train", "iterator_valid", "module", "optimizer")


class _IsCallback(Constraint):
    """A callback of skorch, its class, or a pair of a name and one of these or None."""

    def fault(self, value: Any) -> type[Exception] | None:
        """As `Constraint.fault`."""
        if isinstance(value, (tuple, list)):
            named = len(value) == 2 and isinstance(value[0], str)
            return None if named and (value[1] is None or hasattr(value[1], "on_train_begin")) else TypeError
        return None if hasattr(value, "on_train_begin") else TypeError

    def says(self) -> str:
        """As `Constraint.says`."""
        return "a skorch callback, or a pair of a name and one"

    def good(self) -> Iterator[Any]:
        """As `Constraint.good`."""
        yield TrainingProgress()


#: Constraints of two of skorch's parameters.
MODULE = Either(
    (Choice(("auto", *NETS)), Instance((nn.Module, type)), Function()),
    words="a name, a class of torch modules or a module",
)
CALLBACKS = Either(
    (Exactly("disable"), Each(_IsCallback()), Nothing()), words="a list of skorch callbacks, 'disable' or None"
)


class NetParamsMixin(InheritedParamsMixin):
    """``get_params`` / ``set_params`` for every ``__init__`` of the class hierarchy and for skorch parameters.

    A subclass names its own hyper-parameters and passes the others to ``super().__init__(**params)``. Parameters of
    skorch are stored as plain attributes, as ``clone`` and ``pickle`` require.
    """

    #: Default classes of skorch's parameters.
    net_defaults: ClassVar[dict[str, Any]] = {}

    def _net_params(self) -> dict[str, Any]:
        """Return the skorch parameters that were given."""
        own = set(self._get_param_names())
        return {
            name: value
            for name, value in vars(self).items()
            if name not in own and not name.startswith("_") and not name.endswith("_")
        }

    def _store_net_params(self, params: dict[str, Any], error: type[Exception]) -> None:
        """Store skorch parameters as attributes; an unknown name raises `error` with the nearest valid one."""
        if not params:
            return
        given = {**vars(self), **params}
        arguments = {owner: _arguments(given.get(owner, default)) for owner, default in self.net_defaults.items()}
        arguments["compile"] = set(_arguments_of(torch.compile) - {"model"})
        for name in params:
            prefix, _, rest = name.partition("__")
            if name in _EXTRA:
                known = True
            elif rest:
                known = prefix in _PREFIXES and (not arguments.get(prefix) or rest in arguments[prefix])
            else:
                known = name == "module" or name in _SKORCH
            if not known:
                valid = {*self._get_param_names(), "module", *_SKORCH}
                valid |= {f"{owner}__{argument}" for owner, names in arguments.items() for argument in names}
                raise error(f"{type(self).__name__} has no parameter {name!r}.{nearest_name(name, valid)}")
        vars(self).update(params)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of this estimator, those of skorch included, without the parameters of `init`."""
        params = super().get_params(deep=False)  # type: ignore[misc]
        return {**params, **self._net_params()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters; an unknown name raises ValueError with the nearest valid one."""
        own = {name: value for name, value in params.items() if name in self._get_param_names()}
        self._store_net_params({n: v for n, v in params.items() if n not in own}, ValueError)
        vars(self).update(own)
        return self


def _arguments(target: Any) -> set[str]:
    """Return the argument names of a module's or an optimizer's constructor; empty if it takes any name."""
    if isinstance(target, str):  # "auto": the data decide which of these it is
        nets = AUTO_NETS if target == "auto" else (NETS[target],) if target in NETS else ()
        return set().union(*map(_arguments, nets))
    constructor = target if inspect.isclass(target) else type(target)
    return set(_arguments_of(constructor.__init__) - {"self", "params"})


@functools.lru_cache(maxsize=256)  # each construction and clone asks for the same five
def _arguments_of(function: Callable[..., Any]) -> frozenset[str]:
    """Return the argument names of a function; empty if it takes any name."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return frozenset()
    return frozenset(parameters)
