"""The names that users import, their documentation, and what importing them costs."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import experiments
import lightning_interactions

PROMISED = {
    "Columns",
    "FeatureMapPatches",
    "InputPatches",
    "InteractionMonitor",
    "Interactions",
    "PhaseDetector",
    "TokenWords",
    "explain",
    "lattice",
    "order_strength",
    "segment",
    "similarity",
    "sparsify",
}

MODULES = sorted(
    name
    for package in (lightning_interactions, experiments)
    for name in (
        package.__name__,
        *(module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")),
    )
)


def test_the_walk_finds_the_rooms():
    assert {
        "lightning_interactions.lattice",
        "lightning_interactions.masking.feature_map",
        "lightning_interactions.extraction.interior_point",
        "lightning_interactions.callback.monitor",
        "experiments.data.digits",
        "experiments.summary",
    } <= set(MODULES)


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_a_promised_name_can_be_imported(name):
    assert hasattr(lightning_interactions, name)
    assert name in lightning_interactions.__all__


def test_exactly_what_is_listed_is_exported():
    # What type checkers see: the package imports a name when it is first asked for.
    tree = ast.parse(inspect.getsource(lightning_interactions))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        (alias.asname or alias.name, node.module)
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert sorted(name for name, _ in imported) == sorted(lightning_interactions.__all__)
    for name, module in imported:
        assert getattr(lightning_interactions, name) is getattr(importlib.import_module(module), name)
    assert len(set(lightning_interactions.__all__)) == len(lightning_interactions.__all__)


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        lightning_interactions.missing  # noqa: B018


def test_a_star_import_brings_exactly_what_is_listed():
    names = {}
    exec("from lightning_interactions import *", names)  # noqa: S102
    names.pop("__builtins__")

    assert set(names) == set(lightning_interactions.__all__)


def test_the_version_is_a_text():
    assert isinstance(lightning_interactions.__version__, str)
    assert lightning_interactions.__version__


def own_public_names(module):
    """Public functions and classes that the module itself defines."""
    return {
        name: thing
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lists_what_it_defines(name):
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])

    assert all(hasattr(module, entry) for entry in listed)
    assert set(own_public_names(module)) <= set(listed)


def public_methods(cls):
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function):
            yield f"{cls.__name__}.{name}", function


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name):
    module = importlib.import_module(name)
    assert inspect.getdoc(module)
    documented = dict(own_public_names(module))
    for thing in list(documented.values()):
        if inspect.isclass(thing):
            documented |= dict(public_methods(thing))

    # A class's own text, not that of a parent, and not the signature that dataclasses write.
    undocumented = [
        path
        for path, thing in documented.items()
        if not (thing.__doc__ or "").strip() or (thing.__doc__ or "").startswith(f"{path}(")
    ]
    assert undocumented == []


def examples_of(name):
    module = importlib.import_module(name)
    return [test for test in doctest.DocTestFinder().find(module, name) if test.examples]


EXAMPLES = {test.name: test for name in MODULES for test in examples_of(name)}


def test_the_search_finds_examples():
    assert {
        "lightning_interactions.lattice.moebius",
        "lightning_interactions.interactions.Interactions.save",
        "lightning_interactions.callback.monitor.InteractionMonitor",
        "experiments.summary.bar_row",
    } <= set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_shows_what_happens(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    result = runner.run(EXAMPLES[name], out=said.append, clear_globs=False)

    assert result.failed == 0, "".join(said)
    assert result.attempted > 0


FUNCTIONS_WITH_EXAMPLES = ("explain", "sparsify", "order_strength", "PhaseDetector", "InteractionMonitor", "Columns")


@pytest.mark.parametrize("name", FUNCTIONS_WITH_EXAMPLES)
def test_the_main_names_have_an_example(name):
    thing = getattr(lightning_interactions, name)

    assert f"{thing.__module__}.{name}" in EXAMPLES


HEAVY = ("torchvision", "transformers", "sklearn", "rich", "jsonargparse", "matplotlib.pyplot", "pandas")


def test_names_are_imported_when_asked_for_and_bring_nothing_heavy():
    """Lightning and TorchMetrics import some of these themselves; forget those, and see whether they come again."""
    script = f"""
import sys
import lightning_interactions
assert "torch" not in sys.modules
assert "explain" in dir(lightning_interactions)
import torch, lightning.pytorch, pytorch_lightning, torchmetrics
heavy = {HEAVY!r}
for name in list(sys.modules):
    if any(name == root or name.startswith(root + ".") for root in heavy):
        del sys.modules[name]
import lightning_interactions.explain, lightning_interactions.sparsify
from lightning_interactions import explain
from lightning_interactions import *
assert explain is sys.modules["lightning_interactions.explain"].explain
assert callable(sparsify)
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)  # noqa: S603

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def imports_of(tree):
    """Modules that a file imports when it is run: not those under ``if TYPE_CHECKING``."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("lightning_interactions")])
def test_the_package_never_imports_the_experiments(name):
    module = importlib.import_module(name)
    assert isinstance(module, ModuleType)
    found = {imported.split(".")[0] for imported in imports_of(ast.parse(inspect.getsource(module)))}

    assert "experiments" not in found
    # The command line instantiates what a LightningCLI was configured with, and needs that extra only there.
    assert not found & ({"torchvision", "sklearn"} if ".cli." in name else {"torchvision", "sklearn", "jsonargparse"})
