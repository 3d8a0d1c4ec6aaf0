"""Annotations are enforced while tests run, in every room."""

import inspect
import pkgutil
from importlib import import_module
from typing import Any

import pytest

import greenpose

ROOMS = sorted({module.name for module in pkgutil.iter_modules(greenpose.__path__)} - {"__main__", "pytest_plugin"})


@pytest.mark.parametrize("room", ROOMS)
def test_annotations_are_enforced(room):
    place = import_module(f"greenpose.{room}")
    inside = pkgutil.iter_modules(getattr(place, "__path__", []))
    modules = [place, *(import_module(f"greenpose.{room}.{module.name}") for module in inside)]
    functions = [
        each
        for module in modules
        for each in vars(module).values()
        if inspect.isfunction(each) and each.__module__ == module.__name__ and {*each.__annotations__.values()} - {Any}
    ]
    bare = {each.__module__ for each in functions} - {
        each.__module__ for each in functions if inspect.unwrap(each) != each
    }
    assert (
        bare == set()
    )  # beartype leaves those alone that take and give only what it cannot judge, not all of a module
    assert functions or room == "errors"
