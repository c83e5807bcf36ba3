"""Declarations belong to the class that makes them."""

import pytest

from robustxai.engine import declared, declares, stackable


class Fast:
    fast = True
    n_rows = 3

    @stackable
    def fit(self):
        return self


class Silent(Fast):
    """Declares nothing."""

    def fit(self):
        return super().fit()


class Again(Fast):
    fast = True
    fit = stackable(Silent.fit)


@pytest.mark.parametrize("form", [lambda kind: kind, lambda kind: kind()])
def test_a_subclass_does_not_inherit_a_declaration(form):
    assert declares(form(Fast), "fast")
    assert not declares(form(Silent), "fast")
    assert declares(form(Again), "fast")
    assert declared(form(Fast), "n_rows") == 3
    assert declared(form(Silent), "n_rows") is None
    assert declared(form(Silent), "n_rows", "none") == "none"


def test_an_attribute_of_an_object_declares_nothing():
    silent = Silent()
    silent.fast = True
    assert not declares(silent, "fast")


def test_a_method_that_is_overridden_is_not_stackable():
    assert declares(Fast.fit, "stackable")

    class Inherits(Fast):
        pass

    class Overrides(Fast):
        def fit(self):
            return super().fit()

    assert declares(Inherits.fit, "stackable")
    assert not declares(Overrides.fit, "stackable")
    assert not declares(None, "stackable")
