"""Where in a YAML file a value stands, and what makes a file unclear."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from mtl_pipeline.errors import UserError


def refuse_unclear_yaml(path: Path) -> None:
    """Raise UserError, with file and line, where a file is empty, no text, no mapping, or has a key twice.

    YAML would silently take the last of two values. What is not YAML at all is left to its reader.
    """
    try:
        text = path.read_text(encoding="utf-8")
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise UserError(f"{path}:{line}: holds the character {chr(error.character)!r}; delete it") from None
    except yaml.MarkedYAMLError:
        return
    if not nodes or not isinstance(nodes[0], yaml.MappingNode):
        raise UserError(
            f"{path}:1: declares nothing: start with `type:` and `attributes:`, or delete the folder"
        )
    for key, line, first_line in repeated_keys(nodes, set()):
        raise UserError(f"{path}:{line}: {key} stands here and in line {first_line}; delete one")


def repeated_keys(nodes: Sequence[yaml.Node], seen: set[int]) -> Iterator[tuple[str, int, int]]:
    """Each key that its mapping already has, its line and that of the first. `seen` keeps aliases from circling."""
    for node in nodes:
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            yield from repeated_keys(node.value, seen)
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, _ in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines:
                    yield name, line, lines[name]
                lines.setdefault(name, line)
            yield from repeated_keys([value for _, value in node.value], seen)


def line_of(path: Path, keys: Sequence[str | int]) -> int | None:
    """The line (from 1) of the value at `keys`, or of the innermost part of the way there that the file has.

    A mapping's value stands where its key does. None: the file holds no mapping.
    """
    node = next(yaml.compose_all(path.read_text(), Loader=yaml.SafeLoader), None)
    if not isinstance(node, yaml.MappingNode):
        return None
    line = node.start_mark.line
    for key in map(str, keys):
        inside = children(node)
        if key not in inside:
            break
        line, node = inside[key]
    return line + 1


def children(node: yaml.Node) -> dict[str, tuple[int, yaml.Node]]:
    """What a mapping or sequence holds, by key or position: the line (from 0) where each starts, and its value."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): (key.start_mark.line, value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return {str(position): (item.start_mark.line, item) for position, item in enumerate(node.value)}
    return {}
