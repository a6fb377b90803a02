"""Checks YAML files against a JSON schema and says what is wrong in one sentence: file, key, value, remedy."""

import difflib
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

from scbench.errors import UserError
from scbench.places import ROOT

SCHEMAS = ROOT / "resources" / "schemas"


def read_yaml(path: str | Path) -> Any:
    """The value in a YAML (or JSON) file. Raises UserError when it cannot be read or is not YAML."""
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: not valid YAML ({problem}); correct the file") from error


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Safe YAML that refuses a key written twice instead of keeping the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def validate(value: Any, schema: str, origin: str) -> Any:
    """A copy of `value` with the schema's defaults filled in.

    schema: file name in resources/schemas; origin: the file that the sentence names.
    Raises UserError for the first thing that is wrong.
    """
    rules = _schema(schema)
    if not isinstance(value, Mapping):
        raise UserError(f"{origin}: the file holds {_show(value)}, not keys and values; see config.yaml for an example")
    error = best_match(Draft202012Validator(rules).iter_errors(value))
    if error is not None:
        raise UserError(_sentence(error, origin))
    return _fill(deepcopy(dict(value)), rules)


def unknown(origin: str, key: str, value: str, allowed: Iterable[str]) -> UserError:
    """The error for a name that is not one of `allowed`."""
    return UserError(f"{origin}: {key}: {_show(value)} is unknown; {_choices(value, list(allowed))}")


@lru_cache
def _schema(name: str) -> dict:
    return read_yaml(SCHEMAS / name)


def _fill(value: dict, schema: Mapping) -> dict:
    """Defaults of absent keys, at every level; a `properties` schema only, which is all that the defaults need."""
    for key, rules in schema.get("properties", {}).items():
        if "default" in rules:
            value.setdefault(key, deepcopy(rules["default"]))
        if isinstance(value.get(key), dict):
            _fill(value[key], rules)
    return value


def _sentence(error: ValidationError, origin: str) -> str:
    path = ".".join(map(_name, error.absolute_path))
    where = f"{origin}: {path}" if path else origin
    rule = error.validator
    if rule == "additionalProperties":
        allowed = list(error.schema["properties"])
        key = next(key for key in error.instance if key not in allowed)
        full = f"{path}.{_name(key)}" if path else _name(key)
        return f"{origin}: {full}: unknown key (value {_show(error.instance[key])}); {_choices(key, allowed)}"
    if rule in ("required", "dependentRequired"):
        wanted = error.validator_value
        if rule == "dependentRequired":
            wanted = [key for given, keys in wanted.items() if given in error.instance for key in keys]
        key = next(key for key in wanted if key not in error.instance)
        about = error.schema["properties"][key].get("description")
        return f"{where}: the key {key!r} is missing; add it{f' ({about})' if about else ''}"
    about = error.schema.get("description")
    about = f" ({about})" if about else ""
    if rule == "enum":
        return (
            f"{where}: {_show(error.instance)} is not allowed{about}; {_choices(error.instance, error.validator_value)}"
        )
    return f"{where}: {_show(error.instance)} is not allowed{about}; {_remedy(error)}"


def _remedy(error: ValidationError) -> str:
    limit = error.validator_value
    if error.validator == "type":
        names = {"object": "keys and values", "array": "a list", "null": "null", "boolean": "true or false"}
        kinds = [limit] if isinstance(limit, str) else limit
        return "give " + " or ".join(names.get(kind, f"a value of type {kind}") for kind in kinds)
    sentences = {
        "minimum": f"give {limit} or more",
        "maximum": f"give {limit} or less",
        "exclusiveMinimum": f"give more than {limit}",
        "minItems": f"give at least {limit}",
        "minProperties": f"give at least {limit}",
        "uniqueItems": "name each once",
        "pattern": f"it must match {limit}",
        "not": "choose another",
    }
    return sentences.get(error.validator, error.message)


def _choices(value: Any, allowed: list) -> str:
    close = difflib.get_close_matches(str(value), [str(item) for item in allowed], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(str(item) for item in allowed)}"


def _name(key: Any) -> str:
    """A key or index as it stands in a dotted path; quoted where it is not a plain word."""
    return str(key) if re.fullmatch(r"[\w-]+", str(key)) else _show(key)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
