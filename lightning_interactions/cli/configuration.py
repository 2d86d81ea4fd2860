"""What a LightningCLI was configured with: read, changed by settings of the call, and built again."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import LightningDataModule, LightningModule, seed_everything

from lightning_interactions.callback.monitor import InteractionMonitor
from lightning_interactions.callback.settings import name_of
from lightning_interactions.version import __version__

try:
    import yaml  # type: ignore[import-untyped]  # comes with jsonargparse
    from jsonargparse import ArgumentError
    from lightning.pytorch.cli import LightningArgumentParser
except ImportError as error:
    msg = f"{error}. HINT: pip install 'lightning-interactions[experiments]'."
    raise ImportError(msg) from error

__all__ = ["Built", "build", "described", "monitor_settings", "override", "read"]


class Built(NamedTuple):
    """What a configuration describes."""

    model: LightningModule
    data: LightningDataModule
    monitor: InteractionMonitor


def read(path: Path) -> dict[str, Any]:
    """The settings of a file; those of ``fit`` where the command line had subcommands.

    Args:
        path: of a YAML file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no YAML, or says nothing about a model.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "config.yaml")
        >>> _ = path.write_text("fit: {model: {class_path: my.Net}}")
        >>> read(path)
        {'model': {'class_path': 'my.Net'}}
    """
    if not path.is_file():
        msg = f"`--config` must be a YAML file, got '{path}', which is none."
        raise FileNotFoundError(msg)
    config = _parsed(path.read_text(), f"'{path}'")
    if isinstance(config, dict) and "model" not in config and isinstance(config.get("fit"), dict):
        config = config["fit"]
    if not isinstance(config, dict) or "model" not in config:
        msg = f"'{path}' is no configuration of a LightningCLI: it has no `model`. HINT: the run's 'config.yaml'."
        raise ValueError(msg)
    return config


def override(config: dict[str, Any], setting: str) -> None:
    """Change one setting of a configuration, in place.

    Args:
        config: the settings.
        setting: ``"key.inner_key=value"``; the value is YAML.

    Raises:
        ValueError: if it is no such pair, or if a key before the last holds no settings.

    Example:
        >>> config = {"monitor": {"n_samples": 50}}
        >>> override(config, "monitor.n_samples=10")
        >>> config
        {'monitor': {'n_samples': 10}}
    """
    key, separator, value = setting.partition("=")
    if not separator or not key:
        msg = f"`--set` must be KEY=VALUE, got {setting!r}."
        raise ValueError(msg)
    *above, last = key.split(".")
    for name in above:
        config = config.setdefault(name, {})
        if not isinstance(config, dict):
            msg = f"`--set {setting}`: '{name}' holds no settings."
            raise ValueError(msg)  # noqa: TRY004  # what a user wrote, not a programmer
    config[last] = _parsed(value, f"`--set {setting}`")


def monitor_settings(config: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """The class and the arguments of the monitor: under ``monitor``, or the first among the Trainer's callbacks.

    Args:
        config: the settings.

    Raises:
        ValueError: if there is no monitor, or if a class that is named does not exist.

    Example:
        >>> cls, arguments = monitor_settings({"monitor": {"n_samples": 10}})
        >>> cls.__name__, arguments
        ('InteractionMonitor', {'n_samples': 10})
    """
    settings = config.get("monitor")
    cls, arguments = _own_settings(settings) if isinstance(settings, dict) else _settings_among_callbacks(config)
    variables = arguments.get("variables")
    if not isinstance(variables, dict) or "n" not in config:
        return cls, arguments
    # The experiments' command line has one option for it, which a saved configuration names only there.
    complete = variables | {"init_args": {"n_variables": config["n"]} | _part(variables, "init_args")}
    return cls, arguments | {"variables": complete}


def build(config: dict[str, Any], model: str | None, data: str | None) -> Built:
    """The module, the data module and the monitor of a configuration.

    Args:
        config: the settings.
        model: class path of the module, where the configuration holds only its arguments.
        data: class path of the data module, likewise.

    Raises:
        ValueError: if the configuration does not say what is needed, or does not fit its classes.
    """
    _find_classes_in_this_folder()
    if "data" not in config:
        msg = "The configuration has no `data`, so there are no samples to explain. HINT: --set data.class_path=…"
        raise ValueError(msg)
    monitor_class, monitor_arguments = monitor_settings(config)
    parser = LightningArgumentParser(exit_on_error=False)
    _add_argument(parser, "model", LightningModule, config, model)
    _add_argument(parser, "data", LightningDataModule, config, data)
    parser.add_lightning_class_args(monitor_class, "monitor")
    # Only when all classes are imported: their modules may draw random numbers, too.
    _seed(config)
    return _instantiated(parser, {"model": config["model"], "data": config["data"], "monitor": monitor_arguments})


def described(config: dict[str, Any], built: Built) -> dict[str, str]:
    """What decides the numbers of an explanation beside the weights, as texts; not settings of speed and memory.

    A setting has the same name whether its class is named in the configuration or on the command line.

    Args:
        config: the settings.
        built: what they describe.
    """
    monitor = built.monitor
    texts = {
        "version": __version__,
        "seed_everything": repr(config.get("seed_everything")),
        "monitor.n_samples": repr(monitor.n_samples),
        "monitor.seed": repr(monitor.seed),
        "monitor.split_batch": repr(name_of(monitor.split_batch)),
    }
    for key, made in (("model", built.model), ("data", built.data)):
        part = _part(config, key)
        texts[key] = f"{type(made).__module__}.{type(made).__qualname__}"
        texts |= _one_by_one(_part(part, "init_args") if "class_path" in part else part, key)
    return texts | monitor.settings.described(monitor.variables)


def _one_by_one(settings: dict[str, Any], name: str) -> dict[str, str]:
    """Settings inside others, each under its whole name."""
    texts: dict[str, str] = {}
    for key, value in settings.items():
        whole = f"{name}.{key}"
        texts |= _one_by_one(value, whole) if value and isinstance(value, dict) else {whole: repr(value)}
    return texts


def _parsed(text: str, what: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"{what} must be readable YAML, got: {error}"
        raise ValueError(msg) from error


def _own_settings(settings: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    if "class_path" not in settings:
        return InteractionMonitor, settings
    return _class(settings["class_path"], InteractionMonitor), _part(settings, "init_args")


def _settings_among_callbacks(config: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    callbacks = _part(config, "trainer").get("callbacks") or []
    entries = [entry for entry in (callbacks if isinstance(callbacks, list) else [callbacks]) if entry]
    named = [entry if isinstance(entry, dict) else {"class_path": entry} for entry in entries]
    classes = [(_class(entry.get("class_path")), _part(entry, "init_args")) for entry in named]
    monitors = [(cls, arguments) for cls, arguments in classes if issubclass(cls, InteractionMonitor)]
    if not monitors:
        msg = (
            "The configuration has no InteractionMonitor, neither under `trainer.callbacks` nor under `monitor`."
            " HINT: --set monitor.variables.class_path=lightning_interactions.FeatureMapPatches"
            " --set monitor.variables.init_args.layer=…"
        )
        raise ValueError(msg)
    return monitors[0]


def _part(settings: dict[str, Any], key: str) -> dict[str, Any]:
    """The settings under a key; none where it is missing or empty."""
    part = settings.get(key) or {}
    if not isinstance(part, dict):
        msg = f"`{key}` of the configuration must hold settings, got {part!r}."
        raise ValueError(msg)  # noqa: TRY004  # what a user wrote, not a programmer
    return part


def _class(path: Any, base: type = object) -> type:
    """The class of that name; only a class, so that a configuration cannot have any function called."""
    module, _, name = str(path).rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        msg = (
            f"There is no class '{path}': {error}. HINT: run this where Python finds it, e.g. in the project's folder."
        )
        raise ValueError(msg) from error
    if not isinstance(found, type) or not issubclass(found, base):
        msg = f"`class_path` must name a class of the kind {base.__name__}, got '{path}'."
        raise ValueError(msg)  # noqa: TRY004  # what a user wrote, not a programmer
    return found


def _find_classes_in_this_folder() -> None:
    """Let Python import the user's own modules from the working directory, as ``python -m`` does."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _add_argument(
    parser: LightningArgumentParser, key: str, base: type[Any], config: dict[str, Any], named: str | None
) -> None:
    """Let the parser read ``key``: the class that is named, or the one that the configuration names."""
    if named is not None:
        parser.add_lightning_class_args(_class(named, base), key)
    elif "class_path" in _part(config, key):
        parser.add_lightning_class_args(base, key, subclass_mode=True)
    else:
        msg = f"`{key}` of the configuration has no `class_path`. HINT: name the class with --{key}."
        raise ValueError(msg)


def _seed(config: dict[str, Any]) -> None:
    seed = config.get("seed_everything")
    if isinstance(seed, int) and not isinstance(seed, bool):
        seed_everything(seed, verbose=False)


def _instantiated(parser: LightningArgumentParser, settings: dict[str, Any]) -> Built:
    try:
        parsed = parser.parse_object(settings)
        # The older name of the two; newer versions warn of it.
        built = getattr(parser, "instantiate", parser.instantiate_classes)(parsed)
    except (ArgumentError, TypeError) as error:
        msg = f"The configuration does not fit its classes: {error}"
        raise ValueError(msg) from error
    return Built(built.model, built.data, built.monitor)
