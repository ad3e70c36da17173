"""YAML as people write it, read so that nothing in it is lost or means something else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from workbench.errors import WorkbenchError

_BOOL = "tag:yaml.org,2002:bool"


class _StrictLoader(yaml.SafeLoader):
    """YAML without repeated keys, of which the last would win silently, and with YAML 1.2's booleans.

    Those are true and false alone: `yes`, `no`, `on` and `off` are words of posts, answers of annotators, and `no` is
    the code of a language and of a country.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Return a mapping, or raise for a key that stands twice."""
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if repeated := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.YAMLError(f"key {repeated!r} stands twice in line {node.start_mark.line + 1} ff.")
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(_BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, or raise WorkbenchError saying what is wrong with the file."""
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise WorkbenchError(f"cannot read {path}: {error.strerror or error}; check the path") from None
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise WorkbenchError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise WorkbenchError(f"{path} must hold a mapping of keys to values, not {type(values).__name__}")
    return values
