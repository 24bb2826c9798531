"""What import-linter and ruff cannot say about the house."""

from __future__ import annotations

import ast
import pathlib
import unittest
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PACKAGES = ('cellplug', 'cellplug_drivers')

LONGEST_MODULE = 300
LONGEST_FUNCTION = 50

# What stands above the front door and walks in like any service.
OUTSIDE = ('cellplug/cmd/', 'cellplug/lab/', 'cellplug/testing/')

# What a driver may import of cellplug; a third party may rely on no more.
OPEN_TO_DRIVERS = (
    'cellplug.interfaces',
    'cellplug.objects',
    'cellplug.exception',
    'cellplug.context',
    'cellplug.db',
)

MUTABLE_MAKERS = {
    'dict', 'list', 'set', 'defaultdict', 'deque', 'OrderedDict', 'Counter',
    'WeakKeyDictionary', 'WeakValueDictionary', 'WeakSet', 'local', 'Lock',
    'RLock', 'Condition', 'Event', 'Semaphore', 'BoundedSemaphore', 'count',
    'ContextVar', 'ThreadPoolExecutor', 'ConfigOpts', 'bytearray',
}  # fmt: skip


class Module:
    """One source file, parsed."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = str(path.relative_to(ROOT))
        parts = path.relative_to(ROOT).with_suffix('').parts
        self.is_package = parts[-1] == '__init__'
        self.name = '.'.join(parts[:-1] if self.is_package else parts)
        self.text = path.read_text()
        self.tree = ast.parse(self.text)

    def imports(self) -> Iterator[tuple[int, str, str]]:
        """Each import as line, module and name; '' for a whole module."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name, ''
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield node.lineno, node.module or '', alias.name


def modules(*packages: str) -> list[Module]:
    return [
        Module(path)
        for package in packages
        for path in sorted(ROOT.joinpath(package).rglob('*.py'))
    ]


def functions(
    tree: ast.AST,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def is_mutable_state(value: ast.expr | None) -> bool:
    """Something empty, or a lock: made to be changed later."""
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List | ast.Set):
        return not value.elts
    if isinstance(value, ast.Call):
        function = value.func
        name = getattr(function, 'attr', getattr(function, 'id', ''))
        return name in MUTABLE_MAKERS
    return False


class TestSizes(unittest.TestCase):
    def test_no_module_is_long(self) -> None:
        long = {
            module.path: module.text.count('\n')
            for module in modules(*PACKAGES)
            if module.text.count('\n') > LONGEST_MODULE
        }
        self.assertEqual({}, long)

    def test_no_function_is_long(self) -> None:
        long = [
            f'{module.path}:{function.lineno} {function.name}'
            for module in modules(*PACKAGES)
            for function in functions(module.tree)
            if code_lines(function) > LONGEST_FUNCTION
        ]
        self.assertEqual([], long)


class TestState(unittest.TestCase):
    def test_nobody_writes_global(self) -> None:
        found = [
            f'{module.path}:{node.lineno}'
            for module in modules(*PACKAGES)
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Global)
        ]
        self.assertEqual([], found)

    def test_no_module_holds_state(self) -> None:
        found = [
            f'{module.path}:{node.lineno}'
            for module in modules(*PACKAGES)
            for node in module.tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            and is_mutable_state(node.value)
        ]
        self.assertEqual([], found)

    def test_no_function_hides_a_cache(self) -> None:
        found = [
            f'{module.path}:{function.lineno} {function.name}'
            for module in modules(*PACKAGES)
            for function in functions(module.tree)
            for decorator in function.decorator_list
            if ast.unparse(decorator).rpartition('.')[2].split('(')[0]
            in ('cache', 'lru_cache')
        ]
        self.assertEqual([], found)


class TestLayers(unittest.TestCase):
    def test_nothing_inside_imports_the_front_door(self) -> None:
        """``import cellplug`` would reach every layer from every layer."""
        public = set(public_names('cellplug'))
        found = [
            f'{module.path}:{line}'
            for module in modules(*PACKAGES)
            for line, source, name in module.imports()
            if source == 'cellplug'
            and (not name or name in public)
            and not module.path.startswith(OUTSIDE)
        ]
        self.assertEqual([], found)

    def test_drivers_import_what_a_stranger_may(self) -> None:
        found = [
            f'{module.path}:{line} {source} {name}'.rstrip()
            for module in modules('cellplug_drivers')
            for line, source, name in module.imports()
            if source.split('.')[0] == 'cellplug' and not is_open(source, name)
        ]
        self.assertEqual([], found)

    def test_drivers_use_only_the_public_names_of_db(self) -> None:
        public = set(public_names('cellplug/db'))
        found = [
            f'{module.path}:{node.lineno} db.{node.attr}'
            for module in modules('cellplug_drivers')
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in names_of_db(module)
            and node.attr not in public
        ]
        self.assertEqual([], found)


def is_open(source: str, name: str) -> bool:
    """Whether a driver may import this."""
    if source == 'cellplug':
        return f'cellplug.{name}' in OPEN_TO_DRIVERS
    if source == 'cellplug.db':
        return name in public_names('cellplug/db')
    if source.startswith('cellplug.db.'):
        return False
    return any(f'{source}.'.startswith(f'{o}.') for o in OPEN_TO_DRIVERS)


def names_of_db(module: Module) -> set[str]:
    """What a module calls cellplug.db."""
    return {
        alias.asname or alias.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == 'cellplug'
        for alias in node.names
        if alias.name == 'db'
    }


def public_names(package: str) -> list[str]:
    """A package's ``__all__``, read without importing it."""
    tree = Module(ROOT / package / '__init__.py').tree
    for node in tree.body:
        targets = getattr(node, 'targets', [getattr(node, 'target', None)])
        if any(getattr(t, 'id', '') == '__all__' for t in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert isinstance(node.value, ast.List | ast.Tuple)
            return [
                element.value
                for element in node.value.elts
                if isinstance(element, ast.Constant)
            ]
    return []
