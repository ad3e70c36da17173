"""Which encoder a name means, and which local files it is made of; needs neither torch nor open_clip.

Six kinds of name: `tiny` (the encoder that ships), a folder in open_clip's `local-dir:` layout, an open_clip
architecture with its weights after an `@`, `hf-hub:organisation/repository`, best with the commit after an `@`, and
`timm:` before a backbone of timm, which reads pictures only: `timm:resnet18@a1_in1k` (a tag of timm's, from the hub),
`timm:resnet18@weights.safetensors` (a file), `timm:resnet18@random`, `timm:hf-hub:timm/resnet18.a1_in1k@commit`, or
`timm:` and a folder in the hub's layout (config.json, model.safetensors). Encoders of texts alone are
`transformer:POOLING:TOKENS:` and a repository or folder in transformers' format.

Any of them may end in options of how pictures and clips are read, as `tiny?sampling=adaptive&frames=16` and
`timm:resnet18@a1_in1k?fit=squash` do: the recipe belongs to the encoder, so another recipe is another encoder
(`ReadingOptions` has them).
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from workbench.errors import WorkbenchError, unknown
from workbench.features.encoders import hub
from workbench.features.encoders.hub import FORMS as TEXT_FORMS
from workbench.features.encoders.hub import HUB, REPOSITORY
from workbench.preprocessing.video import reader
from workbench.schema import ROOT, located

TINY = ROOT / "data" / "weights" / "tiny-clip"
CONFIG = "open_clip_config.json"
RANDOM = "random"
Fit = Literal["crop", "squash", "pad"]
TIMM, TIMM_CONFIG, TIMM_WEIGHTS = "timm:", "config.json", "model.safetensors"
POOLINGS = ("mean", "cls")
WINDOW = 128  # tokens of a text's window where a name does not say
TRANSFORMER = "transformer:"
_SUFFIXES = {".json", ".safetensors", ".txt", ".model", ".bin", ".pt", ".pth"}  # a card's wording re-trains nothing
FORMS = f"'tiny', a folder with an {CONFIG}, or an open_clip name with weights such as 'ViT-B-32@openai'"


@dataclass(frozen=True)
class Source:
    """Where an encoder comes from: its kind, the folder, architecture or repository, and its weights or revision."""

    kind: Literal["folder", "architecture", "hub", "timm-folder", "timm-architecture", "timm-hub"]
    where: str
    weights: str | None = None

    @property
    def repository(self) -> hub.Repository:
        """The source as a folder, or as a repository of the hub."""
        folder = Path(self.where) if self.kind.endswith("folder") else None
        return hub.Repository(folder, self.where, self.weights)

    @property
    def step(self) -> str:
        """What to do where an architecture cannot be loaded."""
        if not self.kind.endswith("architecture"):
            return ""
        if self.weights and Path(self.weights).is_file():
            return f"check that {self.weights} holds the weights of {self.where}"
        timm = self.kind.startswith("timm")
        return "`timm.list_models()` has every name" if timm else "check the network, or save the model in a folder"


class ReadingOptions(reader.VideoOptions):
    """What may stand behind the `?` of a name: how pictures and frames are fitted, and how clips are read."""

    fit: Fit | None = Field(
        None,
        description="The middle (crop), the whole picture pressed into the shape (squash) or with black edges (pad); "
        "null: as the checkpoint was trained.",
    )


AS_TRAINED = ReadingOptions()


def reading_options(name: str) -> ReadingOptions:
    """Return how an encoder of that name reads; raises WorkbenchError for unknown options and values.

    >>> reading_options("tiny?fit=pad&frames=4").fit
    'pad'
    """
    asked = dict(pair.partition("=")[::2] for pair in name.partition("?")[2].split("&") if pair)
    numbers = {key: int(value) if value.isdecimal() else value for key, value in asked.items()}
    return ReadingOptions.parse(numbers, f"options of encoder {name!r}") if numbers else AS_TRAINED


def clip_options(name: str) -> reader.VideoOptions:
    """Return how an encoder of that name reads clips; raises as `reading_options`."""
    asked = reading_options(name)
    return reader.DEFAULT if asked is AS_TRAINED else reader.VideoOptions(**asked.model_dump(exclude={"fit"}))


def with_fit(name: str, fit: Fit | None) -> str:
    """Return the name of an encoder that fits pictures so; raises WorkbenchError where it asks for another fit itself.

    >>> with_fit("tiny?frames=4", "squash")
    'tiny?frames=4&fit=squash'
    """
    own = reading_options(name).fit
    if fit not in (None, own) and own is not None:
        raise WorkbenchError(f"encoder {name!r} and the option `fit: {fit}` ask for two fits; leave one of them out")
    return name if fit in (None, own) else f"{name}{'&' if '?' in name else '?'}fit={fit}"


def of_texts(name: str) -> str:
    """Return the full name of an encoder of texts, which may be a repository or folder in transformers' format.

    >>> of_texts("an-organisation/a-bert@a1b2c3"), of_texts("tiny")
    ('transformer:mean:128:an-organisation/a-bert@a1b2c3', 'tiny')
    """
    repository = REPOSITORY.fullmatch(name) and not located(name).exists()
    return f"{TRANSFORMER}{POOLINGS[0]}:{WINDOW}:{name}" if repository or _holds_a_model(name) else name


def of_pictures(name: str) -> str:
    """Return the full name of an encoder of pictures, which may be a folder of timm's."""
    return f"{TIMM}{name}" if _holds_a_model(name.partition("?")[0]) else name


def _holds_a_model(folder: str) -> bool:
    """Say whether a name is a folder in the format of transformers or timm, who call their configuration the same."""
    named = folder.strip() and folder != "tiny"
    return bool(named) and (located(folder) / TIMM_CONFIG).is_file() and not (located(folder) / CONFIG).is_file()


def parse(name: str) -> Source:
    """Return the source that a name means; raises WorkbenchError where the name is empty or its folder is missing.

    >>> parse("ViT-B-32@openai")
    Source(kind='architecture', where='ViT-B-32', weights='openai')
    >>> parse("hf-hub:timm/vit_base_patch32_clip_224.openai@a1b2c3")
    Source(kind='hub', where='timm/vit_base_patch32_clip_224.openai', weights='a1b2c3')
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise WorkbenchError(f"an encoder needs a name, not {name!r}; write {FORMS}")
    name = name.partition("?")[0]
    timm = name.startswith(TIMM)
    prefix, rest = ("timm-", name.removeprefix(TIMM)) if timm else ("", name)
    if name == "tiny":
        return Source("folder", str(_folder(TINY, "the encoder 'tiny' (notebooks/00 trains it)", CONFIG)))
    if rest.startswith(HUB):
        repository, _, revision = rest.removeprefix(HUB).partition("@")
        if not REPOSITORY.fullmatch(rest.removeprefix(HUB)):
            form = f"{name[: -len(rest)]}{HUB}{'timm/NAME' if timm else 'organisation/repository'}@commit"
            raise WorkbenchError(f"encoder {name!r} names no repository; write '{form}'")
        return Source(f"{prefix}hub", repository, revision or None)
    path = rest.removeprefix("local-dir:")
    if path != rest or Path(path).expanduser().is_dir() or ("@" not in rest and ("/" in rest or "\\" in rest)):
        files = (TIMM_CONFIG, TIMM_WEIGHTS) if timm else (CONFIG,)
        return Source(f"{prefix}folder", str(_folder(located(path), f"the encoder {name!r}", *files)))
    if timm:
        return _timm(name, rest)
    architecture, at, weights = name.partition("@")
    if at and not weights:
        raise WorkbenchError(f"encoder {name!r} names no weights after its '@'; write {FORMS}")
    if weights and located(weights).is_file():
        weights = str(located(weights))
    return Source("architecture", architecture, weights or None)


def _timm(name: str, rest: str) -> Source:
    """Return the source of a backbone of timm with its weights; a tag of timm's names a repository of the hub."""
    architecture, _, weights = rest.partition("@")
    if not re.fullmatch(r"\w+", architecture) or not weights:
        raise WorkbenchError(
            f"encoder {name!r} names no backbone with weights; write '{TIMM}NAME@TAG' with a tag of timm's, a file "
            f"(.safetensors) or '{RANDOM}' if untrained weights are meant after the '@', or '{TIMM}' and a folder"
        )
    if weights == RANDOM:
        return Source("timm-architecture", architecture, weights)
    if weights.endswith(".safetensors"):
        if not located(weights).is_file():
            raise WorkbenchError(f"encoder {name!r}: there is no file {located(weights)}; check the path")
        return Source("timm-architecture", architecture, str(located(weights)))
    if not re.fullmatch(r"[\w.-]+", weights):
        raise WorkbenchError(f"encoder {name!r}: {weights!r} is no tag of timm's and no .safetensors file; name one")
    return Source("timm-hub", f"timm/{architecture}.{weights}")


def text_encoder(name: str) -> tuple[str, int, str]:
    """Return pooling, most tokens of a window, and the repository or folder of a transformer's name.

    >>> text_encoder("transformer:mean:128:an-organisation/a-bert@a1b2c3")
    ('mean', 128, 'an-organisation/a-bert@a1b2c3')
    """
    pooling, _, rest = name.removeprefix(TRANSFORMER).partition(":")
    tokens, _, where = rest.partition(":")
    if not name.startswith(TRANSFORMER) or pooling not in POOLINGS or not tokens.isdecimal() or not where:
        raise WorkbenchError(f"encoder {name!r} is no transformer; write '{TRANSFORMER}mean:128:' and {TEXT_FORMS}")
    return pooling, int(tokens), where


def check(name: str) -> Source:
    """Return the source of a name; raises WorkbenchError for whatever can be seen to be wrong without loading it.

    That is an unknown architecture, weights that open_clip does not know and that are no file, a folder that is none,
    and a repository that is not in the local cache while the hub is switched off.
    """
    source = parse(name)
    reading_options(name)
    if source.kind == "architecture":
        _check_architecture(name, source)
    if source.kind in ("hub", "timm-hub"):
        config = CONFIG if source.kind == "hub" else TIMM_CONFIG
        hub.require_cached(f"encoder {name!r}", source.where, config, source.weights)
    return source


def encoder_files(name: str) -> list[Path]:
    """Return the local files whose content the encoder depends on, sorted; none where its name pins it.

    Raises WorkbenchError as `check` does, so that a wrong name is told before a run starts.
    """
    if name.startswith(TRANSFORMER):
        return hub.files(text_encoder(name)[2], "encoder")
    source = check(name)
    if source.kind == "timm-folder":
        return [Path(source.where) / file for file in (TIMM_CONFIG, TIMM_WEIGHTS)]
    if source.kind == "folder":
        return sorted(path for path in Path(source.where).iterdir() if path.suffix in _SUFFIXES and path.is_file())
    if source.kind.endswith("architecture") and source.weights and Path(source.weights).is_file():
        return [Path(source.weights)]
    return []


def _check_architecture(name: str, source: Source) -> None:
    tags = architectures()
    loaded = sys.modules.get("open_clip")
    if loaded is not None:  # a program can add architectures of its own
        tags = {architecture: [] for architecture in loaded.list_models()} | tags
    if source.where not in tags:
        near = difflib.get_close_matches(source.where, ["tiny", *tags], n=3)
        hint = f"; did you mean {' or '.join(repr(match) for match in near)}? Write" if near else "; write"
        raise WorkbenchError(f"unknown encoder {name!r}{hint} {FORMS}; `open_clip.list_models()` has every name")
    known = tags[source.where]
    if source.weights is None:
        raise WorkbenchError(
            f"encoder {name!r} is an architecture without weights; write '{name}@TAG' with a tag of open_clip's "
            f"({', '.join(known[:4]) or 'it has none'}{' ...' if known[4:] else ''}), '{name}@FILE' with a file of "
            f"weights, or '{name}@{RANDOM}' if untrained weights are meant"
        )
    if source.weights == RANDOM or Path(source.weights).is_file():
        return
    if source.weights.lower().replace("-", "_") not in known:  # open_clip's own way to compare tags
        raise WorkbenchError(unknown(f"weights or file for {source.where!r}:", source.weights, [*known, RANDOM]))


@cache
def architectures() -> dict[str, list[str]]:
    """Return the architectures of the installed open_clip with their tags of weights, read from its files.

    Importing it takes seconds, for it imports torch.
    """
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise WorkbenchError("open_clip is not installed; install the package open_clip_torch")
    folder = Path(spec.origin).parent
    names = sorted((path.stem for path in (folder / "model_configs").glob("*.json")), key=str.lower)
    tags = _tags((folder / "pretrained.py").read_text(encoding="utf-8"))
    quick = {name: [tag for tag, settings in own.items() if "quick_gelu" in settings] for name, own in tags.items()}
    return {name: list(tags.get(name) or quick.get(name.removesuffix("-quickgelu"), ())) for name in names}


def _tags(source: str) -> dict[str, dict[str, set[str]]]:
    """Return, for each architecture, its tags with the names of their settings, from the text of `pretrained.py`."""
    values = {
        node.targets[0].id: node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    tables = _entries(values["_PRETRAINED"])
    tables = {name: values[table.id] if isinstance(table, ast.Name) else table for name, table in tables.items()}
    return {
        name: {
            tag: {word.arg for word in call.keywords if word.arg} if isinstance(call, ast.Call) else set()
            for tag, call in _entries(table).items()
        }
        for name, table in tables.items()
    }


def _entries(value: ast.expr) -> dict[str, ast.expr]:
    """Return what a dictionary holds that is written as `{"key": value}` or as `dict(key=value)`."""
    if isinstance(value, ast.Dict):
        return {
            key.value: of for key, of in zip(value.keys, value.values, strict=True) if isinstance(key, ast.Constant)
        }
    return {word.arg: word.value for word in value.keywords if word.arg} if isinstance(value, ast.Call) else {}


def _folder(path: Path, what: str, *files: str) -> Path:
    for file in files:
        if not (path / file).is_file():
            raise WorkbenchError(f"{what} has no {file} in {path}; save it there, or write {FORMS}")
    return path
