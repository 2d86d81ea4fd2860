"""The package's version, read from its metadata."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("lightning-interactions")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
