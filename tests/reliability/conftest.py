"""What the tests of reliability share."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load(path):
    """A Python file that is no part of a package, as a module."""
    name = f"reliability_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def pytest_generate_tests(metafunc):
    """Give a test every wrong call in turn."""
    if "wrong_call" in metafunc.fixturenames:
        cases = load(Path(__file__).with_name("wrong_calls.py")).WRONG
        metafunc.parametrize("wrong_call", cases, ids=[case.call for case in cases])


@pytest.fixture(scope="session")
def docs_script():
    """A script of the documentation as a module."""
    return lambda name: load(ROOT / "docs" / f"{name}.py")


@pytest.fixture(scope="session")
def wrong_calls():
    return load(Path(__file__).with_name("wrong_calls.py"))
