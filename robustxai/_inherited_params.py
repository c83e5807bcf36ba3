"""Hyper-parameters that a class names once and all of its subclasses inherit."""

from __future__ import annotations

import inspect
from typing import Any

from robustxai._validation import nearest_name

__all__ = ["InheritedParamsMixin"]


class InheritedParamsMixin:
    """Mixin whose parameters are those of every ``__init__`` in the class hierarchy.

    A subclass names its own and hands the rest to ``super().__init__(**params)``. Users and scikit-learn still see
    every parameter by name, in ``help`` and in ``get_params``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give the class a signature with the parameters of its ``**params``."""
        super().__init_subclass__(**kwargs)
        named: dict[str, inspect.Parameter] = {}
        for base in cls.__mro__:
            init = base.__dict__.get("__init__")
            if init is not None and base is not object:
                for p in inspect.signature(init).parameters.values():
                    if p.name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
                        named.setdefault(p.name, p)
        # a positional parameter of a base may follow a keyword-only one of its subclass
        ordered = sorted(named.values(), key=lambda p: p.kind)
        cls.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        init = cls.__dict__.get("__init__")
        if init is not None:
            # scikit-learn reads defaults here, so that repr prints changed parameters only
            own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
            rest = [p for p in inspect.signature(init).parameters.values() if p.kind is p.VAR_KEYWORD]
            init.__signature__ = inspect.Signature([own, *ordered, *rest])

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted(inspect.signature(cls).parameters)

    def _refuse(self, unknown: dict[str, Any]) -> None:
        """Raise TypeError for the first unknown parameter, with the nearest valid name."""
        for name in unknown:
            hint = nearest_name(name, self._get_param_names())
            raise TypeError(f"{type(self).__name__} has no parameter {name!r}.{hint}")
