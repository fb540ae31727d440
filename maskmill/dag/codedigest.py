"""Digests of the code behind a rule, so that edited code reruns exactly the rules that use it.

A digest covers a script, the `maskmill` modules it imports (directly or through others), the package's templates where
one of them loads templates, and the lock of dependencies. Of code it is taken over the syntax tree without docstrings:
comments, formatting, timestamps and the Python that plans do not change it.
Standard library only: the DAG layer imports this while planning.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = "maskmill"
TEMPLATES = "templates"
"""Folder of the package whose files go into pages."""

TEMPLATE_LOADER = "PackageLoader"
"""What a module that loads templates imports."""


def library_digest(script: Path, root: Path, lock: Path) -> str:
    """Hexadecimal SHA-256 (16 digits) of `script`, its transitive imports below `root`/maskmill and the pins in `lock`.

    Templates count, all of them, where one of the modules loads templates.

    Raises FileNotFoundError if the script does not exist.
    """
    parts = [_read(script).text]
    modules = sorted(imported_modules(script, root))
    for module in modules:
        parts += [module.relative_to(root).as_posix(), _read(module).text]
    if any(name.endswith(f".{TEMPLATE_LOADER}") for module in modules for name in _read(module).imported):
        parts += _templates(root)
    parts += _pins(lock)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def imported_modules(script: Path, root: Path) -> set[Path]:
    """Files of the package that `script` imports, transitively, `__init__` files of packages on the way included."""
    found: set[Path] = set()
    pending = [script]
    while pending:
        for module in _direct_imports(pending.pop(), root):
            if module not in found:
                found.add(module)
                pending.append(module)
    return found


@cache
def _direct_imports(source: Path, root: Path) -> frozenset[Path]:
    return frozenset(file for name in _read(source).imported for file in _module_files(name, root))


def _module_files(name: str, root: Path) -> Iterator[Path]:
    """Files that importing `name` runs: every package's `__init__.py` on the way and the module itself."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return
    for length in range(2, len(parts) + 1):  # the package's own __init__ holds nothing but the version
        place = root.joinpath(*parts[:length])
        if (place / "__init__.py").is_file():
            yield place / "__init__.py"
        elif place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")


@cache
def _templates(root: Path) -> tuple[str, ...]:
    """Path and digest of every template, in turn; hidden files are an editor's."""
    files = sorted(file for file in (root / PACKAGE / TEMPLATES).rglob("[!.]*") if file.is_file())
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return tuple(f"{file.relative_to(root).as_posix()} {digest}" for file, digest in zip(files, digests, strict=True))


class _Code(NamedTuple):
    """What counts of a file of code: names that it imports, and its text without docstrings, comments and layout."""

    imported: frozenset[str]
    text: str


@cache
def _read(file: Path) -> _Code:
    tree, names = ast.parse(file.read_text(encoding="utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [statement for statement in node.body if not _is_text(statement)] or [ast.Pass()]
    return _Code(frozenset(names), _in_words(tree))


def _in_words(node: object) -> str:
    """A syntax tree in the same words under every version of Python, which neither `ast.unparse` nor `ast.dump` have.

    Fields that are empty are left out, as a later version may have more of them, and so are empty pieces of f-strings,
    which Python 3.12.0 and 3.12.1 add.
    """
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({_in_words([piece for piece in node.values if getattr(piece, 'value', None) != ''])})"
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
        return f"{type(node).__name__}({','.join([f'{name}={_in_words(value)}' for name, value in fields])})"
    if isinstance(node, list):
        return f"[{','.join(map(_in_words, node))}]"
    return ascii(node)


def _is_text(statement: ast.stmt) -> bool:
    """A docstring, or another string that stands alone (such as the description below a constant)."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@cache
def _pins(lock: Path) -> tuple[str, ...]:
    lines = (line.split("#")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    return tuple(sorted(line for line in lines if line))
