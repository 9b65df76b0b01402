"""Where in a YAML file a value stands."""

from collections.abc import Sequence
from pathlib import Path

import yaml


def line_of(path: Path, keys: Sequence[str | int]) -> int | None:
    """The line (from 1) of the value at `keys`, or of the innermost part of the way there that the file has.

    A mapping's value stands where its key does. None: the file holds no mapping.
    """
    node = next(yaml.compose_all(path.read_text(), Loader=yaml.SafeLoader), None)
    if not isinstance(node, yaml.MappingNode):
        return None
    line = node.start_mark.line
    for key in keys:
        step = child(node, key)
        if step is None:
            break
        line, node = step
    return line + 1


def child(node: yaml.Node, key: str | int) -> tuple[int, yaml.Node] | None:
    """The line (from 0) at which a mapping has `key`, or a sequence its item, and the value."""
    if isinstance(node, yaml.MappingNode):
        return next(
            ((name.start_mark.line, value) for name, value in node.value if name.value == str(key)), None
        )
    if isinstance(node, yaml.SequenceNode) and str(key).isdigit() and int(key) < len(node.value):
        item = node.value[int(key)]
        return item.start_mark.line, item
    return None
