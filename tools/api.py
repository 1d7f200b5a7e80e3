"""`make api`: writes docs/api.md, the reference of the Python API, which is made of signatures and docstrings.

Signatures are taken from the source's text, since Python versions print the same annotation in different ways.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import otel_tracker
from otel_tracker.tracking.block import Watched

PATH = Path(__file__).parents[1] / "docs" / "api.md"
EXPORTERS = ("circuit_breaker", "prometheus", "prometheus_vitals", "scrape")
_PACKAGES = ("otel_tracker", "otel_tracker_exporters")
_HEAD = """# Python API

Every public name with its signature and its docstring, made by `make api`. [Python](python.md) has examples. `from otel_tracker import NAME`
loads nothing but what NAME needs. Where `Raises` names an error, the function raises it before anything is recorded.
"""
_KINDS = (
    ("Classes", lambda one: inspect.isclass(one) and not issubclass(one, Exception)),
    ("Functions", inspect.isfunction),
    ("Errors", lambda one: inspect.isclass(one) and issubclass(one, Exception)),
)


def page() -> str:
    """Return the page."""
    lines = [_HEAD]
    names = {name: getattr(otel_tracker, name) for name in sorted(otel_tracker.__all__)}
    for title, is_of_kind in _KINDS:
        lines += [f"## {title}", ""]
        for name, one in names.items():
            if is_of_kind(one):
                lines += _entry(name, one)
    for module in (import_module(f"otel_tracker_exporters.{name}") for name in EXPORTERS):
        lines += [f"## `{module.__name__}`", "", _text(module), ""]
        for name, one in public_names(module).items():
            lines += [f"`{name}` is above.", ""] if name in names else _entry(name, one)
    return "\n".join(lines).rstrip() + "\n"


def public_names(module: Any) -> dict[str, Any]:
    """Return the classes and functions that a module defines for others, in the order of its text."""
    return {
        name: one
        for name, one in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(one) or inspect.isfunction(one))
        and one.__module__ == module.__name__
    }


def members(one: type) -> dict[str, Any]:
    """Return what a class of ours, or one of ours below it, defines for callers: methods and properties, by name."""
    found: dict[str, Any] = {}
    for base in reversed(one.__mro__):
        if base.__module__.partition(".")[0] in _PACKAGES:
            found |= {name: member for name, member in vars(base).items() if _is_shown(name, member)}
    return found


def _is_shown(name: str, member: Any) -> bool:
    """Tell whether callers use a member: not the inside of a `with` statement, nor how an error makes its text."""
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    is_inside = name.startswith("_") or name == "message" or hasattr(Watched, name)
    return inspect.isfunction(function) and not is_inside


def _entry(name: str, one: Any) -> Iterator[str]:
    yield from (f"### `{name}`", "", "```python", _signature(name, one), "```", "", _text(one), "")
    if not inspect.isclass(one):
        return
    if issubclass(one, Exception):
        yield from (f"A kind of {' and '.join(f'`{base.__name__}`' for base in one.__bases__)}.", "")
    shown = members(one)
    properties = {name: _text(member.fget) for name, member in shown.items() if isinstance(member, property)}
    attributes = {**dict(_attributes(one)), **properties}
    yield from (f"- `{attribute}`: {' '.join(text.split())}" for attribute, text in attributes.items())
    yield from [""] if attributes else []
    for member_name in (name for name in shown if name not in properties):
        member = shown[member_name]
        yield from (f"#### `{name}.{member_name}`", "", "```python", _signature(member_name, member), "```", "")
        yield from (_text(member), "")


def _text(one: Any) -> str:
    return inspect.getdoc(one) or ""


def _parsed(one: Any) -> Any:
    """Return the syntax tree of a class or a function."""
    return ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]


def _attributes(one: type) -> Iterator[tuple[str, str]]:
    """Yield the attributes of a class that have a text below them, with that text."""
    tree = _parsed(one)
    bodies = [
        tree.body,
        *(node.body for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"),
    ]
    for body in bodies:
        for node, text in pairwise(body):
            name = _assigned(node)
            if name and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                yield name, str(text.value.value)


def _assigned(node: ast.stmt) -> str | None:
    target = (
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    name = target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else None
    return None if name is None or name.startswith("_") else name


def _signature(name: str, one: Any) -> str:
    """Return how an object is called: `name(argument: type = default, ...) -> type`, in several lines where one is too long."""
    if not inspect.isclass(one):
        tree = _parsed(inspect.unwrap(getattr(one, "__func__", one)))
        prefix = "async " if isinstance(tree, ast.AsyncFunctionDef) else ""
        return _call(prefix + name, _arguments(tree.args, one), f" -> {_type(tree.returns)}" if tree.returns else "")
    made = next((vars(base)["__init__"] for base in one.__mro__ if _is_made_by(base)), None)
    if made is not None:
        return _call(name, _arguments(_parsed(made).args, made), "")
    fields = [
        f"{ast.unparse(node.target)}: {_type(node.annotation)}"
        for node in _parsed(one).body
        if isinstance(node, ast.AnnAssign)
    ]
    return _call(name, fields, "")


def _is_made_by(base: type) -> bool:
    """Tell whether a class of ours has an `__init__` of its own: typing gives one to a class of a protocol that is used."""
    return inspect.isfunction(vars(base).get("__init__")) and base.__module__.partition(".")[0] in _PACKAGES


def _call(name: str, arguments: list[str], returned: str) -> str:
    line = f"{name}({', '.join(arguments)}){returned}"
    listed = "".join(f"    {argument},\n" for argument in arguments)
    return line if len(line) <= 100 else f"{name}(\n{listed}){returned}"


def _arguments(of: ast.arguments, function: Any) -> list[str]:
    """Return the arguments of a function, without `self`, with the values of its defaults where these say more than the text."""
    values = {name: one.default for name, one in inspect.signature(function).parameters.items()}
    positional = [*of.posonlyargs, *of.args]
    texts: dict[str, ast.expr] = {
        argument.arg: default
        for arguments, defaults in (
            (positional[len(positional) - len(of.defaults) :], of.defaults),
            (of.kwonlyargs, of.kw_defaults),
        )
        for argument, default in zip(arguments, defaults, strict=True)
        if default is not None
    }

    def shown(argument: ast.arg, stars: str = "") -> str:
        annotation = f": {_type(argument.annotation)}" if argument.annotation else ""
        default = f" = {_value(values[argument.arg], texts[argument.arg])}" if argument.arg in texts else ""
        return f"{stars}{argument.arg}{annotation}{default}"

    arguments = [shown(argument) for argument in of.posonlyargs] + (["/"] if of.posonlyargs else [])
    arguments += [shown(argument) for argument in of.args]
    arguments += [shown(of.vararg, "*")] if of.vararg else ["*"] if of.kwonlyargs else []
    arguments += [shown(argument) for argument in of.kwonlyargs]
    arguments += [shown(of.kwarg, "**")] if of.kwarg else []
    return arguments[1:] if arguments[:1] == ["self"] else arguments


def _type(annotation: ast.expr) -> str:
    is_quoted = isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
    return str(annotation.value) if is_quoted else ast.unparse(annotation)  # type: ignore[attr-defined]


def _value(value: object, text: ast.expr) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    return repr(value) if value is None or isinstance(value, (bool, int, float)) else ast.unparse(text)


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
