"""Results kept on disk for as long as everything that they depend on is the same."""

import ast
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studykit.files import replacing

_PACKAGE = Path(__file__).parent


def fingerprint(depends: Any) -> str:
    """BLAKE2b of numbers, texts, arrays, tables, dataclasses, lists and dicts of them; dicts in any order."""
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, depends)
    return digest.hexdigest()


def _feed(digest, value):
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, pd.DataFrame):
        digest.update(value.to_csv(float_format="%.17g").encode())
    elif is_dataclass(value):
        _feed(digest, {"": type(value).__qualname__} | asdict(value))
    elif isinstance(value, dict):
        for name in sorted(value, key=str):
            digest.update(f"{name}:".encode())
            _feed(digest, value[name])
    elif isinstance(value, list | tuple | range):
        digest.update(f"{len(value)}[".encode())
        for one in value:
            _feed(digest, one)
    else:
        digest.update(f"{json.dumps(value, default=str)};".encode())


@cache
def code_digest(*rooms: str, without: str = "") -> str:
    """Fingerprint of the package's modules in some rooms, such as "pose" and "models", or of single ones.

    Comments, docstrings and formatting do not count, nor does the room `without`.
    """
    digest = hashlib.blake2b(digest_size=16)
    paths = {path for room in rooms for path in (_PACKAGE / f"{room}.py", *(_PACKAGE / room).rglob("*.py"))}
    paths = {path.relative_to(_PACKAGE).as_posix() for path in paths if path.is_file()}
    for path in sorted(path for path in paths if not (without and path.startswith(f"{without}/"))):
        digest.update(f"{path}\n{meaning((_PACKAGE / path).read_text(encoding='utf-8'))}".encode())
    return digest.hexdigest()


@cache
def meaning(source: str) -> str:
    """Python code without comments, docstrings and formatting."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def keras_backend() -> str:
    """The backend that Keras will take: that of KERAS_BACKEND, else of its configuration file, else TensorFlow."""
    file = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    configured = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return os.environ.get("KERAS_BACKEND") or configured.get("backend", "tensorflow")


def kept(path: str | Path, depends: Any, make: Callable[[], Any]) -> Any:
    """What `make()` gives, read from a file while `depends` is the same; made and written otherwise.

    Parameters
    ----------
    path : path-like
        `.npz`; arrays without pickles, so that a file of someone else runs no code.
    depends : anything that `fingerprint` takes
        All that the result depends on, the digest of the code among it.
    make : callable
        Gives numbers, texts, None, arrays, tables, or lists, tuples and dicts (with str or int keys) of them.
    """
    path, key = Path(path), fingerprint(depends)
    try:
        with np.load(path) as found:
            if str(found["key"]) == key:
                return _unpack(json.loads(str(found["form"])), found)
    except (OSError, ValueError, KeyError, EOFError):
        pass  # missing or damaged: made again
    value, arrays = make(), []
    form = json.dumps(_pack(value, arrays))
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, key=key, form=form, **{f"a{n}": array for n, array in enumerate(arrays)})
    return value


def _pack(value, arrays):
    """The form of a value as JSON; its arrays are added to the list."""
    if isinstance(value, pd.DataFrame):
        return {"table": [[name, _pack(value[name].to_numpy(), arrays)] for name in value]}
    if isinstance(value, np.ndarray) and value.dtype != object:
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, np.ndarray):
        return {"objects": value.tolist()}
    if isinstance(value, dict):
        return {"dict": [[name, _pack(one, arrays)] for name, one in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_pack(one, arrays) for one in value]}
    return {"value": value.item() if isinstance(value, np.generic) else value}


def _unpack(form, arrays):
    ((kind, content),) = form.items()
    if kind == "table":
        return pd.DataFrame({name: _unpack(column, arrays) for name, column in content})
    if kind == "array":
        return arrays[f"a{content}"]
    if kind == "objects":
        return np.array(content, dtype=object)
    if kind == "dict":
        return {name: _unpack(one, arrays) for name, one in content}
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](_unpack(one, arrays) for one in content)
    return content
