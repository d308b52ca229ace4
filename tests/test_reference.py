"""The reference that `make docs` writes: every public name is in it, and says what it is."""

import importlib
import pkgutil

import pytest
from pdoc.doc import Class, Function, Module

import mamlkit

NAMES = ["mamlkit", *(m.name for m in pkgutil.walk_packages(mamlkit.__path__, "mamlkit."))]


def public(module):
    """The functions and classes that a module defines for others: those in its `__all__`, or all
    without an underscore."""
    listed = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
    named = {name: getattr(module, name) for name in listed}
    is_ours = lambda value: getattr(value, "__module__", None) == module.__name__
    return {name for name, value in named.items() if callable(value) and is_ours(value)}


def described(members, prefix=""):
    """(a function's or class's name, its docstring), also of methods. What a function has made is
    a value, e.g. LOSS = mse(net.forward)."""
    for name, member in members.items():
        made = isinstance(member, Function) and "<locals>" in member.obj.__qualname__
        if name[0] == "_" or made or not isinstance(member, Function | Class):
            continue
        yield prefix + name, member.docstring
        if isinstance(member, Class):
            yield from described(member.members, f"{prefix}{name}.")


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_in_the_reference_and_says_what_it_is(name):
    module = importlib.import_module(name)
    page = Module(module)
    assert page.docstring or hasattr(module, "__path__"), "a module says what it holds"
    assert public(module) <= set(page.members)
    assert not [where for where, text in described(page.members) if not text.strip()]


def test_a_name_without_a_docstring_is_seen(tmp_path, monkeypatch):
    code = 'class A:\n    """A class."""\n    def f(self): ...\n\ndef _g(): ...\n'
    (tmp_path / "made_for_the_reference.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module("made_for_the_reference")
    page = Module(made)
    assert public(made) == {"A"} <= set(page.members)
    assert [where for where, text in described(page.members) if not text.strip()] == ["A.f"]
