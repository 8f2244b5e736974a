"""The log events of a package, read from its source: names and fields.

Operators filter and alert on them, so they are a contract. A line is made by a logger's
method or is a ``Say`` of the core. Where its name is a function's parameter it is found
in the calls of that function.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeGuard

from swarm_event_listener.core.model.record import Cause, Record

Events = dict[str, list[list[str]]]  # by name, the fields of each line, in their order

_METHODS: Final = {
    *("debug", "info", "warning", "error", "critical", "exception", "log"),
}
_NAME: Final = re.compile(r"(?!%s( |$))[a-z%][a-z0-9_%]*(?= |$)")
_FIELD: Final = re.compile(r" (\w+)=")
_RECORD: Final = Record(
    node="", pid=None, cause=Cause.RULE, status=None, reason="", detected_at_s=0.0
)
_ABOUT_A_RESTART: Final = ["node", "pid"]  # in each line of a restart


def log_events(*packages: Path) -> Events:
    """Return the events of all modules below the given folders."""
    found: dict[str, set[tuple[str, ...]]] = {}
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for package in packages
        for path in sorted(package.rglob("*.py"))
        if "demo" not in path.parts
    ]
    makers = [maker for tree in trees for maker in _makers(tree)]
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                for name, fields in _lines(node, makers):
                    found.setdefault(name, set()).add(tuple(fields))
    return {name: sorted(map(list, found[name])) for name in sorted(found)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maker:
    """A function that logs the event that one of its parameters names.

    Attributes:
        name: The function's.
        parameter: The parameter's.
        position: Where it stands among the arguments of a call.
        fields: The fields of the line.
        takes_more: Whether the keywords of a call are fields, too.
    """

    name: str
    parameter: str
    position: int
    fields: list[str]
    takes_more: bool


def _makers(tree: ast.Module) -> Iterator[_Maker]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        every = [*node.args.args, *node.args.kwonlyargs]
        names = [each.arg for each in every if each.arg != "self"]
        for call in filter(_is_call, ast.walk(node)):
            name, fields = _named_by(call)
            if name in names:
                position = names.index(name)
                takes_more = node.args.kwarg is not None
                yield _Maker(
                    name=node.name,
                    parameter=name,
                    position=position,
                    fields=_ABOUT_A_RESTART if takes_more else fields,
                    takes_more=takes_more,
                )


def _is_call(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call)


def _named_by(call: ast.Call) -> tuple[str, list[str]]:
    """Return the variable that names the event of a line, and the line's fields."""
    said = _keywords(call)
    if _called(call) == "Say" and isinstance(event := said.get("event"), ast.Name):
        return event.id, _keys(said.get("fields"))
    if _is_log(call) and len(call.args) > 1 and isinstance(call.args[1], ast.Name):
        for template in _texts(call.args[0]):
            if template.startswith("%s "):
                return call.args[1].id, _FIELD.findall(template)
    return "", []


def _lines(call: ast.Call, makers: Sequence[_Maker]) -> Iterator[tuple[str, list[str]]]:
    """Yield the events that a call logs, with their fields."""
    name, said = _called(call), _keywords(call)
    if name == "Say":
        for event in _texts(said.get("event")):
            yield event, _keys(said.get("fields"))
    if _is_log(call):
        templates = next(filter(None, map(_texts, call.args)), [])  # behind a level
        for template in templates:
            if event_found := _NAME.match(template):
                yield event_found[0], _FIELD.findall(template)
    for maker in makers:
        if maker.name == name:
            yield from _made(call, maker)


def _made(call: ast.Call, maker: _Maker) -> Iterator[tuple[str, list[str]]]:
    said = _keywords(call)
    given = dict(enumerate(call.args)).get(maker.position)
    more = list(said) if maker.takes_more else []
    for event in _texts(said.get(maker.parameter, given)):
        if _NAME.fullmatch(event):
            yield event, [*maker.fields, *more]


def _is_log(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(attr=method, value=ast.Name(id=owner)):
            return method in _METHODS and owner == "logger"
        case ast.Attribute(attr=method, value=ast.Attribute(attr=owner)):
            return method in _METHODS and owner == "_logger"
        case _:
            pass
    return _called(call) == "BootFailedError"  # its text is logged as it is


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {word.arg: word.value for word in call.keywords if word.arg}


def _texts(node: ast.expr | None) -> list[str]:
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=orelse):
            return [*_texts(body), *_texts(orelse)]
        case ast.JoinedStr(values=values):
            return ["".join((_texts(value) or ["%s"])[0] for value in values)]
        case _:
            return []


def _keys(node: ast.expr | None) -> list[str]:
    """Return the keys of a literal table, and those that a record's line puts in it."""
    match node:
        case ast.Dict(keys=keys, values=values):
            each = zip(keys, values, strict=True)
            return [
                name
                for key, value in each
                for name in (_keys(value) if key is None else _texts(key))
            ]
        case ast.Call(func=ast.Attribute(attr="line"), args=args):
            return [*_RECORD.line(*(text for arg in args for text in _texts(arg)))]
        case _:
            return []
