"""Single-line mutations of a source file: what `mutants.py` makes wrong.

Operators, conditions, numbers, the functions called and the keywords they get, and floats that come back as NaN.
Annotations, decorators and texts are left alone, and so are keywords that change no number.
"""

from __future__ import annotations

import ast
import bisect
import builtins
import io
import itertools
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

OPERATORS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "/", "/": "*"}
OPERATORS |= {"//": "/", "%": "*", "**": "*", "&": "|", "|": "&", "^": "&", "and": "or", "or": "and", "is": "is not"}
OPERATORS |= {"is not": "is", "in": "not in", "not in": "in", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*="}
OPERATORS |= {"|=": "&=", "&=": "|="}
_PAIRS = (("min", "max"), ("any", "all"), ("minimum", "maximum"), ("floor", "ceil"), ("nanmin", "nanmax"))
_PAIRS += (("argmin", "argmax"), ("sum", "mean"), ("nansum", "nanmean"), ("zeros", "ones"), ("log1p", "log"))
CALLS = dict(_PAIRS) | {other: name for name, other in _PAIRS}
WORDLESS = ("description", "strict")  # keywords whose loss changes no number: words, and checks that never fire


@dataclass(frozen=True)
class Mutation:
    """One changed line of a file; before and after without indentation."""

    path: str
    line: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """What it is called wherever its line has moved to; `LOG.md` names equivalent ones so."""
        return f"{self.path}: {self.before} -> {self.after}"


class _Lines:
    """A source file whose nodes are placed by line and character, as its tokens are."""

    def __init__(self, source: str) -> None:
        self.lines = source.splitlines()
        marks = (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT)
        self.tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in marks]
        self.starts = [t.start for t in self.tokens]

    def _at(self, line: int, column: int) -> tuple[int, int]:
        return line, len(self.lines[line - 1].encode()[:column].decode())

    def start(self, node: ast.AST) -> tuple[int, int]:
        return self._at(node.lineno, node.col_offset)

    def end(self, node: ast.AST) -> tuple[int, int]:
        return self._at(node.end_lineno, node.end_col_offset)

    def between(self, left: tuple[int, int], right: tuple[int, int]) -> list[tokenize.TokenInfo]:
        """Return the tokens from one place to another, parentheses aside."""
        among = self.tokens[bisect.bisect_left(self.starts, left) : bisect.bisect_left(self.starts, right)]
        return [t for t in among if t.string not in ("(", ")")]

    def around(self, place: tuple[int, int]) -> tuple[tokenize.TokenInfo, tokenize.TokenInfo]:
        """Return the token before a place and the one that begins there or after."""
        n = bisect.bisect_left(self.starts, place)
        return self.tokens[n - 1], self.tokens[n]


_Edit = tuple[tuple[int, int], tuple[int, int], str]  # from here to there this stands instead


def mutations(path: str, source: str) -> list[Mutation]:
    """Return all single-line mutations of a source file, by line."""
    lines, found = _Lines(source), set()
    for node in _code(ast.parse(source)):
        for (row, start), (end_row, end), text in _edits(node, lines):
            if row == end_row:
                line = lines.lines[row - 1]
                found.add(Mutation(path, row, line.strip(), (line[:start] + text + line[end:]).strip()))
    return sorted(found, key=lambda one: (one.line, one.after))


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what can be wrong: no annotations, decorators, type checks and texts."""
    yield node
    skipped = ("annotation", "returns", "decorator_list")
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if name in skipped or not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                continue
            if isinstance(child, ast.keyword) and child.arg in WORDLESS:
                continue
            if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
                yield from _code(child)


def _edits(node: ast.AST, lines: _Lines) -> Iterator[_Edit]:
    operands: Sequence[ast.AST] = ()
    if isinstance(node, ast.BinOp):
        operands = (node.left, node.right)
    elif isinstance(node, ast.BoolOp):
        operands = node.values
    elif isinstance(node, ast.Compare):
        operands = (node.left, *node.comparators)
    elif isinstance(node, ast.AugAssign):
        operands = (node.target, node.value)
    elif isinstance(node, ast.UnaryOp):
        _, sign = lines.around(lines.start(node))
        _, following = lines.around(sign.end)
        yield sign.start, following.start if sign.start[0] == following.start[0] else sign.end, ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        yield lines.start(node), lines.end(node), _other(node.value)
    elif isinstance(node, ast.Call):
        yield from _calls(node, lines)
    elif isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.Name) and node.returns.id == "float":
        returns = (part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value)
        yield from ((lines.start(value), lines.end(value), 'float("nan")') for value in returns)
    for left, right in itertools.pairwise(operands):
        sign = lines.between(lines.end(left), lines.start(right))
        if (other := OPERATORS.get(" ".join(t.string for t in sign))) and not _texts(left, right):
            yield sign[0].start, sign[-1].end, other
    tests = [node.test] if isinstance(node, ast.If | ast.IfExp) else getattr(node, "ifs", [])
    for test in tests:
        if isinstance(test, ast.Name | ast.Call | ast.Attribute):
            yield lines.start(test), lines.start(test), "not "


def _other(value: bool | int | float) -> str:
    if isinstance(value, bool):
        return str(not value)
    return repr(value + 1 if isinstance(value, int) else 2 * value or 1.0)


def _texts(*nodes: ast.AST) -> bool:
    return any(isinstance(n, ast.JoinedStr) or isinstance(getattr(n, "value", None), str) for n in nodes)


def _calls(node: ast.Call, lines: _Lines) -> Iterator[_Edit]:
    """Return the edits of a call: another function in its place, and each keyword dropped."""
    row, end = lines.end(node.func)
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    plain = isinstance(node.func, ast.Name)
    if name in CALLS and not (plain and not hasattr(builtins, CALLS[name])):
        yield (row, end - len(name)), (row, end), CALLS[name]
    for keyword in node.keywords:
        if keyword.arg and keyword.arg not in WORDLESS:
            start, end = lines.start(keyword), lines.end(keyword)
            (before, _), (_, after) = lines.around(start), lines.around(end)
            if after.string == ",":
                end = after.end
            elif before.string == "," and before.start[0] == start[0]:
                start = before.start
            yield start, end, ""
