"""Strict papermill: a notebook's parameters are checked before a kernel starts, and its record says what happened.

papermill 2.7 accepts unknown parameters, writes their names into code unread, ignores annotations, calls every cell
"completed" after a timeout or a dead kernel, and writes its output in place. Here one cell tagged `parameters` holds
annotated assignments, read with `ast`; `StrictEngine` (papermill's `--engine strict`) keeps the cells' states true;
`execute` writes the executed notebook whole or not at all. Plain `papermill in.ipynb out.ipynb` works beside it.
"""

from __future__ import annotations

import ast
import contextlib
import json
import keyword
import logging
import math
import os
import signal
import tempfile
import time
import types
import typing
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import nbformat
from pydantic import ConfigDict, TypeAdapter, ValidationError

from workbench.schema import WorkbenchError, unknown
from workbench.studies import DONE, FAILED, INTERRUPTED, KERNEL_DIED, TIMEOUT, last_line, write_text
from workbench.studies.keys import code, names_read, read
from workbench.studies.watch import Watch

KERNEL = "python3"
PARTIAL = ".partial.ipynb"  # beside the output, while it runs


def __getattr__(name: str) -> Any:
    # papermill loads its engines while it is being imported, so it may ask for ours while this module waits for it;
    # the real class is registered at the end of this file.
    if name == "StrictEngine":
        return None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
    from papermill.exceptions import PapermillExecutionError


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
            raise WorkbenchError(
                f"parameter {self.name!r} of {where} must be {self.annotation}, not {type(value).__name__} "
                f"{value!r:.80}; nothing is converted, so write the value as that type"
            ) from None


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
    declared = parameters(read(path), where)
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


@dataclass(frozen=True)
class Outcome:
    """How an execution ended: state, the failing cell (index in the source notebook), the last error line, seconds."""

    state: str
    cell: int | None
    error: str | None
    seconds: float


class _ThisPython(KernelSpecManager):
    """Runs `python3` kernels with this process's interpreter, whatever a user's own kernelspec of that name says."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        if kernel_name == KERNEL:
            return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())
        return super().get_kernel_spec(kernel_name)


class _Manager(NotebookExecutionManager):
    """Keeps cells that never ran `pending`, and writes the notebook by rename."""

    watch = Watch()

    def save(self, **kwargs: Any) -> None:
        if self.output_path and os.path.isabs(self.output_path):
            write_text(Path(self.output_path), nbformat.writes(self.nb))
            self.last_save_time = self.now()
        else:  # a relative path may be meant from another folder, a URL is papermill's to write
            super().save(**kwargs)

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        if self.watch.stopped:
            raise KeyboardInterrupt
        injected = ["injected-parameters" in c.metadata.get("tags", []) for c in self.nb.cells]
        self.watch.entered(cell_index - sum(injected[: cell_index + 1]), len(injected) - sum(injected))
        super().cell_start(cell, cell_index, **kwargs)

    def notebook_complete(self, **kwargs: Any) -> None:
        pending = [cell for cell in self.nb.cells if cell.metadata.papermill["status"] == self.PENDING]
        path, self.output_path = self.output_path, None
        super().notebook_complete(**kwargs)  # calls cells that never ran completed
        for cell in pending:
            cell.metadata.papermill["status"] = self.PENDING
        self.output_path = path
        self.save()


class _Client(PapermillNotebookClient):
    """Records a timeout, a dead kernel and an interruption at the cell where it happened."""

    def create_kernel_manager(self) -> Any:
        manager = super().create_kernel_manager()
        manager.kernel_spec_manager = _ThisPython()
        if os.name == "posix":
            # Sockets in a private folder: several kernels starting at once cannot take each other's ports.
            folder = tempfile.TemporaryDirectory(prefix="kernel-", ignore_cleanup_errors=True)
            manager.transport = "ipc"
            manager.connection_file = os.path.join(self.cleanup.enter_context(folder), "k.json")
        return manager

    def execute(self, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as self.cleanup:
            return super().execute(**kwargs)

    def start_new_kernel(self, **kwargs: Any) -> None:
        super().start_new_kernel(**kwargs)
        self.nb_man.watch.started(self.km.provisioner.pid)

    def papermill_execute_cells(self) -> None:
        for index, cell in enumerate(self.nb.cells):
            try:
                self.nb_man.cell_start(cell, index)
                self.execute_cell(cell, index)
            except CellExecutionError as error:
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
                break
            except BaseException as error:
                self.shutdown_kernel = "immediate"  # a kernel that did not answer will not answer a polite request
                self.nb_man.watch.error = self._sentence(error)
                _mark(self.nb.cells[index], type(error).__name__, self.nb_man.watch.error)
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
                raise
            finally:
                self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)

    def _sentence(self, error: BaseException) -> str:
        if self.nb_man.watch.stopped or isinstance(error, KeyboardInterrupt):
            return "interrupted before the notebook ended"
        if isinstance(error, CellTimeoutError):
            return f"the cell ran longer than {self.timeout} s"
        status = getattr(self.km.provisioner.process, "returncode", None)
        if isinstance(error, DeadKernelError) and status is not None and status < 0:
            hint = " (the system does this when memory runs out)" if status == -signal.SIGKILL else ""
            return f"the kernel was ended by {signal.Signals(-status).name}{hint}"
        if isinstance(error, DeadKernelError):
            return f"the kernel ended by itself with exit status {status}"
        return last_line(str(error)) or type(error).__name__


class StrictEngine(NBClientEngine):
    """papermill's engine with a truthful record: `papermill --engine strict in.ipynb out.ipynb`."""

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, output_path: Any = None, **kwargs: Any) -> Any:
        """Execute as papermill's engine does; a failing cell is `failed`, later ones `pending`, also when it raises."""
        log = kwargs.pop("log_output", False)
        options = {name: kwargs.pop(name) for name in ("progress_bar", "autosave_cell_every") if name in kwargs}
        manager = _Manager(nb, output_path, log_output=log, **options)
        manager.watch = kwargs.pop("watch", None) or Watch()
        manager.notebook_start()
        try:
            cls.execute_managed_notebook(manager, kernel_name, log_output=log, **kwargs)
        except BaseException:
            manager.nb.metadata.papermill["exception"] = True
            manager.watch.kill()  # what the kernel started may have outlived it
            raise
        finally:
            manager.watch.kernel = None
            manager.cleanup_pbar()
            manager.notebook_complete()
        return manager.nb

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Run the cells; raises CellTimeoutError and DeadKernelError after recording them."""
        wait = {"timeout": kwargs.pop("execution_timeout", None), "startup_timeout": kwargs.pop("start_timeout", 60)}
        kwargs.pop("input_path", None)
        # A slow machine may need more than nbclient's 4 s to hand over what a cell has printed; that is no timeout.
        wait |= {"iopub_timeout": 60, "log": logging.getLogger("papermill")}
        return _Client(nb_man, kernel_name=kernel_name, **wait, **kwargs).execute()


papermill_engines.register("strict", StrictEngine)


def execute(
    notebook: Path,
    output: Path,
    values: dict[str, Any],
    *,
    timeout: float | None = None,
    log: Path | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Check the values, execute a notebook in a fresh kernel, write the result to `output`, and say how it ended.

    `timeout`: seconds a single cell may take; `log`: a file that gets what the cells print, as they print it.
    Raises WorkbenchError before a kernel starts.
    """
    from papermill.execute import execute_notebook  # not above: papermill may be importing this module just now

    resolve(notebook, values)
    watch, start, partial = watch or Watch(), time.monotonic(), output.with_suffix(PARTIAL)
    state, error = DONE, None
    try:
        with _quiet(), open(log or os.devnull, "a", encoding="utf-8", errors="replace") as printed:
            execute_notebook(
                _literal(notebook),
                _literal(partial),
                values,
                engine_name="strict",
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                execution_timeout=math.ceil(timeout) if timeout else None,
                stdout_file=printed,
                stderr_file=printed,
                watch=watch,
            )
    except BaseException as caught:
        state, error = _ending(caught, watch)
    if partial.exists():
        os.replace(partial, output)
    return Outcome(state, None if state == DONE else watch.cell, error, time.monotonic() - start)


def salvage(output: Path, error: str) -> None:
    """Finish what a killed process left of an executed notebook: its running cell becomes `failed` with the error."""
    partial = output.with_suffix(PARTIAL)
    if not partial.exists():
        return
    with contextlib.suppress(WorkbenchError, KeyError, OSError):  # a torn one says nothing
        notebook = read(partial)
        for cell in notebook.cells:
            if cell.metadata.get("papermill", {}).get("status") == "running":
                _mark(cell, "Interrupted", error)
                cell.metadata.papermill.update(status="failed", exception=True)
        notebook.metadata.papermill["exception"] = True
        write_text(output, nbformat.writes(notebook))
    partial.unlink(missing_ok=True)


def _ending(caught: BaseException, watch: Watch) -> tuple[str, str]:
    line = watch.error or f"{type(caught).__name__}: {last_line(str(caught))}".removesuffix(": ")
    if watch.stopped or isinstance(caught, KeyboardInterrupt):
        return INTERRUPTED, line
    if isinstance(caught, PapermillExecutionError):
        return FAILED, f"{caught.ename}: {last_line(caught.evalue)}".removesuffix(": ")
    if isinstance(caught, CellTimeoutError):
        return TIMEOUT, line
    if isinstance(caught, (DeadKernelError, RuntimeError)):  # RuntimeError: the kernel did not start
        return KERNEL_DIED, line
    return FAILED, line


def _mark(cell: Any, name: str, sentence: str) -> None:
    """Append an error to a cell's outputs."""
    if cell.cell_type == "code":
        cell.outputs.append(nbformat.v4.new_output("error", ename=name, evalue=sentence, traceback=[sentence]))


def _literal(path: Path) -> str:
    """Return an absolute path for papermill, which reads braces in paths as fields to fill in."""
    return str(Path(path).absolute()).replace("{", "{{").replace("}", "}}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep papermill's and jupyter's warnings off the terminal: what they are about is checked or recorded here."""
    logger = logging.getLogger("papermill")
    with warnings.catch_warnings(), contextlib.ExitStack() as after:
        warnings.simplefilter("ignore")
        after.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL + 1)
        yield
