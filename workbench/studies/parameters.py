"""The parameters of a notebook: one cell of annotated assignments, read without running it and held to its types.

papermill accepts unknown parameters, writes their names into code unread and ignores annotations; here an unknown name,
a value of another type and a parameter that nothing reads are refused before a kernel starts.
"""

from __future__ import annotations

import ast
import json
import keyword
import re
import sys
import types
import typing
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from workbench.errors import WorkbenchError, unknown


@contextmanager
def _absent(package: str) -> Iterator[None]:
    """Let imports inside do without an optional package, unless it is loaded already."""
    hidden = package not in sys.modules
    if hidden:
        sys.modules[package] = None
    try:
        yield
    finally:
        if hidden:
            del sys.modules[package]


# jsonschema, which nbformat brings, would build 38 grammars for a format (`iri`) that no notebook's schema has: more
# than a second for every command, worker and kernel.
with _absent("rfc3987_syntax"):
    import nbformat


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook in format 4, or raise WorkbenchError where the file is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return nbformat.reads(Path(path).read_text(encoding="utf-8"), as_version=4)
    except OSError as error:
        raise WorkbenchError(f"cannot read notebook {path}: {error.strerror}; check the path") from None
    except Exception as error:  # nbformat raises its own, json's and jsonschema's errors
        raise WorkbenchError(f"{path} is not a notebook: {' '.join(str(error).split())[:120]}") from None


def code(notebook: nbformat.NotebookNode, where: str) -> list[tuple[int, ast.Module, list[str]]]:
    """Return (index, syntax tree, tags) of each code cell; IPython's magics become calls of `get_ipython()`."""
    cells = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            try:
                tree = ast.parse(_python(cell.source))
            except (SyntaxError, ValueError) as error:
                raise WorkbenchError(f"cell {index} of {where} is not valid Python: {error}") from None
            cells.append((index, tree, cell.metadata.get("tags", [])))
    return cells


def names_read(tree: ast.Module) -> set[str]:
    """Return the names a cell reads; the text of a magic may read any name it contains (`!ls {folder}`)."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("get_ipython()."):
            names.update(re.findall(r"[^\W\d]\w*", ast.unparse(node)))
    return names


def _python(source: str) -> str:
    try:
        ast.parse(source)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        # The body of a timing magic is Python; without its first line its names are seen.
        source = re.sub(r"\A\s*%%(time|timeit|capture|prun)\b.*\n", "\n", source)
        return TransformerManager().transform_cell(source)
    return source


@dataclass(frozen=True)
class Parameter:
    """One annotated assignment of the parameters cell: its name, its type as written, that type, and its default."""

    name: str
    annotation: str
    type: Any
    default: Any

    def check(self, value: Any, where: str) -> Any:
        """Return the value as the declared type; int to float is all that is converted, else WorkbenchError."""
        if not _is_plain(value):
            raise WorkbenchError(
                f"parameter {self.name!r} of {where} must be made of text, finite numbers, true, false, null, lists "
                f"and mappings with text keys, not {value!r:.80}"
            )
        try:
            return TypeAdapter(self.type, config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError:
            how = "nothing is converted, so write the value as that type"
            if isinstance(value, str) or (self.annotation.startswith("list") and not isinstance(value, list | dict)):
                how = f"papermill's -p gives a text or a number, so write -y '{self.name}: {self._as_yaml(value)}'"
            raise WorkbenchError(
                f"parameter {self.name!r} of {where} must be {self.annotation}, not {type(value).__name__} "
                f"{value!r:.80}; {how}"
            ) from None

    def _as_yaml(self, value: Any) -> str:
        """Return how papermill's -y takes a value that -p was given, "..." where it is long or has quotes."""
        text = str(value)
        if self.annotation.startswith("list") and not text.startswith("["):
            text = f"[{text}]"
        return text if len(text) <= 60 and not set("'\"\n") & set(text) else "..."


def parameters(notebook: nbformat.NotebookNode, where: str) -> dict[str, Parameter]:
    """Return what the notebook's one parameters cell declares; raise WorkbenchError unless every line is usable.

    Refused: no such cell or several, a line that is no annotated assignment of a literal, a default that is not of its
    type, a parameter that no later cell reads.
    """
    cells = code(notebook, where)
    if any("injected-parameters" in tags for _, _, tags in cells):
        raise WorkbenchError(f"{where} is the output of an earlier execution; name the notebook it was made from")
    tagged = [(index, tree) for index, tree, tags in cells if "parameters" in tags]
    if len(tagged) != 1:
        raise WorkbenchError(f"{where} needs exactly one cell tagged `parameters`, but it has {len(tagged)}")
    position, tree = tagged[0]
    declared = {item.name: item for item in (_declaration(line, where) for line in tree.body)}
    readable = set().union(*(names_read(tree) for index, tree, _ in cells if index > position))
    for name in declared:
        if name not in readable:
            raise WorkbenchError(f"parameter {name!r} of {where} is read by no later cell; use it or delete it")
    return declared


def resolve(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Return all parameters of a notebook, its defaults overlaid with the values given, checked; starts no kernel.

    Raises WorkbenchError for a name that is no identifier, an unknown name and a value that is not of its type.
    """
    where = Path(path).name
    return overlay(parameters(read(path), where), values, where)


def overlay(declared: dict[str, Parameter], values: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the defaults of declared parameters overlaid with values, each checked as `resolve` says."""
    resolved = {name: item.default for name, item in declared.items()}
    for name, value in values.items():
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise WorkbenchError(
                f"parameter name {name!r} is no plain identifier (letters, digits, underscores); "
                f"the choices of {where} are: {', '.join(declared)}"
            )
        if name not in declared:
            raise WorkbenchError(unknown(f"parameter of {where}", name, declared))
        resolved[name] = declared[name].check(value, where)
    return resolved


def hold(values: dict[str, Any]) -> None:
    """Hold a running notebook's variables, its `globals()`, to what its parameters cell declares of them.

    For papermill without the strict engine, whose `-p` makes a text of a list, and for people who edit the cell. Raises
    WorkbenchError.
    """
    for name, kind in values.get("__annotations__", {}).items():
        if name in values:
            annotation = kind.__name__ if isinstance(kind, type) else str(kind)
            Parameter(name, annotation, kind, None).check(values[name], "this notebook")


def _declaration(line: ast.stmt, where: str) -> Parameter:
    if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None):
        raise WorkbenchError(
            f"the parameters cell of {where} must hold only lines like `name: int = 1`, not "
            f"`{ast.unparse(line).splitlines()[0]:.80}`"
        )
    name = line.target.id
    try:
        default = ast.literal_eval(line.value)
    except ValueError:
        raise WorkbenchError(
            f"the default of parameter {name!r} of {where} must be a literal, not `{ast.unparse(line.value):.80}`"
        ) from None
    item = Parameter(name, ast.unparse(line.annotation), _type(line.annotation, name, where), default)
    return replace(item, default=item.check(default, where))


_PLAIN_TYPES = {"str": str, "int": int, "float": float, "bool": bool, "dict": dict, "list": list}


def _type(node: ast.expr, name: str, where: str) -> Any:
    match node:
        case ast.Constant(value=None):
            return types.NoneType
        case ast.Name(id=plain) if plain in _PLAIN_TYPES:
            return _PLAIN_TYPES[plain]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return typing.Union[_type(left, name, where), _type(right, name, where)]  # noqa: UP007 (built at run time)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return list[_type(item, name, where)]
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, value])):
            return dict[_type(key, name, where), _type(value, name, where)]
        case ast.Subscript(value=ast.Name(id="Literal") | ast.Attribute(attr="Literal"), slice=choices):
            values = choices.elts if isinstance(choices, ast.Tuple) else [choices]
            return Literal[tuple(ast.literal_eval(value) for value in values)]
    raise WorkbenchError(
        f"the type `{ast.unparse(node)}` of parameter {name!r} of {where} is not supported; "
        f"the choices are: {', '.join(_PLAIN_TYPES)}, None, list[...], dict[..., ...], X | None, Literal[...]"
    )


def _is_plain(value: Any) -> bool:
    try:
        return json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError):
        return False
