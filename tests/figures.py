"""``python -m tests.figures [DIR]``: the size and the shape of the product's code.

Counts, of both packages below DIR (this checkout by default): lines with and without
comments and docstrings, modules per folder, lengths of functions and modules, and the
imports between rooms that take place at run time.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Final

import grimp

PACKAGES: Final = ("swarm_worker", "swarm_event_listener")
_NO_CODE: Final = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT),
    *(tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER),
}
_DEFINITIONS: Final = (
    *(ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef),
)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths in lines: the median, the ninth decile, the longest."""

    median: float
    p90: float
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Lengths:
        """Return the lengths of some things, at least two."""
        deciles = quantiles(lengths, n=10, method="inclusive")
        return cls(round(deciles[4], 1), round(deciles[8], 1), max(lengths))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of a tree.

    Attributes:
        lines: All lines of all modules.
        code_lines: Those that hold code: not blank, no comment, no docstring.
        comment_lines: Those that hold a comment, beside code or alone.
        modules: Modules by folder, ``__init__`` left out.
        module_lengths: In lines.
        function_lengths: In lines, from ``def`` to the end, methods included.
        imports: How often modules of a room import one of another room at run time, by
            room and imported room. Without folders each module is a room.
    """

    lines: int
    code_lines: int
    comment_lines: int
    modules: dict[str, int]
    module_lengths: Lengths
    function_lengths: Lengths
    imports: dict[str, dict[str, int]]


def figures_of(root: Path) -> Figures:
    """Return the figures of the packages below a folder."""
    paths = [path for name in PACKAGES for path in sorted((root / name).rglob("*.py"))]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    counts = [len(text.splitlines()) for text in texts]
    return Figures(
        lines=sum(counts),
        code_lines=sum(len(code_lines(text)) for text in texts),
        comment_lines=sum(len(_lines_of(text, {tokenize.COMMENT})) for text in texts),
        modules=dict(
            Counter(
                str(path.parent.relative_to(root))
                for path in paths
                if path.name != "__init__.py"
            )
        ),
        module_lengths=Lengths.of([count for count in counts if count > 1]),
        function_lengths=Lengths.of(
            [length for text in texts for length in function_lengths(text)]
        ),
        imports=_imports(root),
    )


def code_lines(text: str) -> set[int]:
    """Return the lines of a module that hold code, by number."""
    docstrings = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, _DEFINITIONS) and ast.get_docstring(node) is not None
        for number in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    every = set(tokenize.tok_name) - _NO_CODE
    return _lines_of(text, every) - docstrings


def _lines_of(text: str, kinds: set[int]) -> set[int]:
    return {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type in kinds
        for number in range(token.start[0], token.end[0] + 1)
    }


def function_lengths(text: str) -> Iterator[int]:
    """Yield the length of each function and method of a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def _imports(root: Path) -> dict[str, dict[str, int]]:
    sys.path.insert(0, str(root))
    try:
        graph = grimp.build_graph(
            *PACKAGES, exclude_type_checking_imports=True, cache_dir=None
        )
    finally:
        sys.path.remove(str(root))
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for module in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            if room(module) != room(imported):
                found[room(module)][room(imported)] += 1
    return {importing: dict(counts) for importing, counts in found.items()}


def room(module: str) -> str:
    """Return the room of a module: ``package.room``, or the package for its top."""
    return ".".join(module.split(".")[:2]) if module.count(".") > 1 else module


def _shown(figures: Figures) -> Iterator[str]:
    whole, code = figures.lines, figures.code_lines
    yield f"lines       {whole}, of these code {code}, comments {figures.comment_lines}"
    for name, lengths in (
        ("modules", figures.module_lengths),
        ("functions", figures.function_lengths),
    ):
        median, p90 = f"{lengths.median:g}", f"{lengths.p90:g}"
        yield f"{name:11} {median} / {p90} / {lengths.longest} lines: median, p90, most"
    yield "modules per folder:"
    for folder, count in figures.modules.items():
        yield f"  {count:3}  {folder}"
    arrows = [n for counts in figures.imports.values() for n in counts.values()]
    yield f"imports between rooms at run time: {sum(arrows)} in {len(arrows)} arrows"
    for importing, counts in figures.imports.items():
        shown = ", ".join(f"{imported} {count}" for imported, count in counts.items())
        yield f"  {importing} -> {shown}"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="tests.figures", description=__doc__)
    here = Path(__file__).resolve().parents[1]
    parser.add_argument(
        "root", nargs="?", type=Path, default=here, metavar="DIR",
        help="a checkout of any version (this one)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="data in place of text")
    told = parser.parse_args()
    if not (told.root / PACKAGES[0]).is_dir():
        parser.error(f"expected a checkout, found no {PACKAGES[0]}/ in {told.root}")
    figures = figures_of(told.root.resolve())
    shown = json.dumps(asdict(figures), indent=2) if told.json else None
    sys.stdout.write(shown or "\n".join(_shown(figures)))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
