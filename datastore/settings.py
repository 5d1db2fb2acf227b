"""Configuration files: YAML, then the environment, then `a.b=c`; errors that name the nearest key that is known."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from .errors import NotFoundError, UsageError, nearest

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path, *, what: str, hint: str) -> dict[str, Any]:
    """The keys and values of a file; `what` and `hint` are for errors, as `recipe`.

    Raises
    ------
    NotFoundError
        If the file is not there.
    UsageError
        If it is not YAML, or not keys and values.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise NotFoundError(f"there is no {what} at {path}", hint=hint) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    if not isinstance(data, dict):
        article = "an" if what[0] in "aeiou" else "a"
        raise UsageError(
            f"{path} is not {article} {what}: expected keys and values, got {type(data).__name__}"
        )
    return data


def override(data: dict[str, Any], settings: Sequence[str], *, example: str) -> None:
    """Set `a.b=c` in plain data, the value read as YAML. A number steps into a list, and so does an item's name.

    Raises
    ------
    UsageError
        If a setting cannot be read, or leads nowhere; `example` says how one is written.
    """
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise UsageError(f"cannot read the setting {setting!r}", hint=f"write --set {example}")
        _set_key(data, key.split("."), value, setting, example=example)


def override_from(data: dict[str, Any], environment: Mapping[str, str], prefix: str, *, example: str) -> None:
    """Set what variables of the environment say: `<prefix>A__B=c` is `a.b=c`."""
    for name, value in sorted(environment.items()):
        if name.startswith(prefix):
            _set_key(data, name.removeprefix(prefix).lower().split("__"), value, name, example=example)


def _set_key(data: dict[str, Any], keys: Sequence[str], value: str, setting: str, *, example: str) -> None:
    target: Any = data
    for key in keys[:-1]:
        if isinstance(target, list):
            target = _list_item(target, key, setting)
        elif isinstance(target, dict):
            target = target.setdefault(key, {})
        else:
            raise UsageError(f"the setting {setting!r} goes into {key!r}, which is a value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        quoted = f"{'.'.join(keys)}={json.dumps(value, ensure_ascii=False)}"
        raise UsageError(
            f"the value of {setting!r} is not YAML",
            hint=f"text stands in quotes: --set {shlex.quote(quoted)}",
        ) from error
    if not isinstance(target, dict):
        raise UsageError(f"the setting {setting!r} does not name a key", hint=f"for example {example}")
    target[keys[-1]] = parsed


def validated(model: type[Model], data: Mapping[str, Any], origin: str) -> Model:
    """The model of plain data.

    Raises
    ------
    UsageError
        If there is an unknown key (the nearest known one is named) or a value that cannot be; one line a fault.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UsageError("\n".join(f"{origin}: {line}" for line in _explain(error, model))) from error


def _list_item(items: list[Any], key: str, setting: str) -> Any:
    for position, item in enumerate(items):
        if key == str(position) or (isinstance(item, dict) and item.get("name") == key):
            return item
    names = [str(item.get("name")) for item in items if isinstance(item, dict)]
    raise UsageError(f"the setting {setting!r} names no item {key!r}", hint=nearest(key, names))


def _explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line a fault; an unknown key names the nearest one that is known there."""
    lines = []
    faults = error.errors()
    for fault in faults:
        if fault["type"] == "too_short" and any(_is_inside(other["loc"], fault["loc"]) for other in faults):
            continue  # items that are wrong are not counted: it is long enough
        where = ".".join(map(str, _written(model, fault["loc"])))
        if fault["type"] == "extra_forbidden":
            *parents, key = fault["loc"]
            lines.append(f"unknown key {where!r}: {nearest(str(key), _known_keys(model, parents))}")
        elif fault["type"] == "missing":
            lines.append(f"{where} is missing")
        elif fault["type"] in ("union_tag_not_found", "union_tag_invalid"):
            context = fault.get("ctx", {})
            key, tag = str(context["discriminator"]).strip("'"), context.get("tag")
            known = context.get("expected_tags") or ", ".join(map(repr, _tags(model, fault["loc"])))
            lines.append(
                f"{where}.{key} is {'missing' if tag is None else f'{tag!r}'}, and must be one of {known}"
            )
        elif fault["type"] == "string_type":
            lines.append(
                f"{where}: expected text, got {fault['input']!r:.400}; in quotes it is text, as in --set 'KEY=\"…\"'"
            )
        else:
            lines.append(f"{where}: {fault['msg']}, got {fault['input']!r}"[:500])
    return lines


def _is_inside(place: Sequence[str | int], outer: Sequence[str | int]) -> bool:
    return len(place) > len(outer) and tuple(place[: len(outer)]) == tuple(outer)


def _written(model: type[BaseModel], place: Sequence[str | int]) -> list[str | int]:
    """A fault's place as it is written in the file: pydantic also names which kind of a union it took."""
    return [part for i, part in enumerate(place) if not _tags(model, place[:i])]


def _tags(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The kinds of the union at a place; none where there is none."""
    return list(_node(model, place).get("discriminator", {}).get("mapping", {}))


def _known_keys(model: type[BaseModel], parents: Sequence[str | int]) -> list[str]:
    """The keys at a place in a configuration."""
    return list(_node(model, parents).get("properties", {}))


def _node(model: type[BaseModel], place: Sequence[str | int]) -> dict[str, Any]:
    """A place in the JSON schema of a configuration; empty where there is none."""
    schema = model.model_json_schema()
    node: Any = schema
    for part in place:
        node = _resolve(schema, node)
        if isinstance(part, int):
            node = node.get("items", {})
        elif "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        else:
            node = node.get("properties", {}).get(part, {})
    resolved: dict[str, Any] = _resolve(schema, node)
    return resolved


def _resolve(schema: Any, node: Any) -> Any:
    """Follow a reference; of several alternatives take the one that is an object."""
    for alternative in node.get("anyOf", []):
        if "$ref" in alternative:
            node = alternative
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node
