"""Where in a YAML file a value stands, and what makes a file unclear."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from mtl_pipeline.errors import UserError


def refuse_unclear_yaml(path: Path) -> None:
    """Raise UserError, with file and line, where a file is empty, no text, no mapping, or has a key twice.

    YAML would take the last of two values without a word. What is not YAML at all is left to its reader.
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
    for key, first_line in repeated_keys(nodes, set()):
        raise UserError(
            f"{path}:{key.start_mark.line + 1}: {key.value} stands here and in line {first_line + 1}; delete one"
        )


def repeated_keys(nodes: Sequence[yaml.Node], seen: set[int]) -> Iterator[tuple[yaml.ScalarNode, int]]:
    """Each key that its mapping has already, and the line (from 0) of the first. `seen` keeps aliases from circling."""
    for node in nodes:
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            yield from repeated_keys(node.value, seen)
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, _ in node.value:
                if str(key.value) in lines:
                    yield key, lines[str(key.value)]
                lines.setdefault(str(key.value), key.start_mark.line)
            yield from repeated_keys([value for _, value in node.value], seen)


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
