"""What all tests share."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings


def pytest_addoption(parser):
    parser.addoption(
        "--long", action="store_true", help="also run the tests marked long, and draw new examples of every property"
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; runs with --long alone")
    # The verdict on a commit must not depend on chance; new examples are searched for in the long runs.
    settings.register_profile("the same every time", derandomize=True)
    if not config.getoption("--long"):
        settings.load_profile("the same every time")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: run with --long"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small tensors gain nothing from threads, and threads of several test processes block each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def shots(tmp_path):
    """Where screenshots go: kept where CI asks for them, to be looked at."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
