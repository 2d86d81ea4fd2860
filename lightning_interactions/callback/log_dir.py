"""Which folder is a run's own, whatever its logger: where the Trainer keeps the run's checkpoints, or would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["is_remote", "local_folder", "run_log_dir"]

_LOCAL_PROTOCOLS = ("file", "local")


def run_log_dir(trainer: Any) -> str:
    """The log directory of a run, of which no other run has the same.

    A collective call. It is the first logger's own ``log_dir``; of loggers without one, such as those of services,
    whose ``save_dir`` all runs share, the folder ``<save_dir>/<name>/<version>`` in which ``ModelCheckpoint`` keeps the
    run's checkpoints; without a logger the ``default_root_dir``.

    Args:
        trainer: the Trainer, after it has set up its loggers.

    Returns:
        the directory, which may be a remote one: see :func:`local_folder`.

    Example:
        >>> from types import SimpleNamespace
        >>> strategy = SimpleNamespace(broadcast=lambda value: value)
        >>> logger = SimpleNamespace(save_dir="logs", name="project", version="3kd9a1")
        >>> trainer = SimpleNamespace(is_global_zero=True, loggers=[logger], default_root_dir=".", strategy=strategy)
        >>> Path(run_log_dir(trainer)).parts
        ('logs', 'project', '3kd9a1')
    """
    # Only the first process asks: elsewhere a service's logger stands in for a run that it does not know.
    log_dir = _known_log_dir(trainer) if trainer.is_global_zero else None
    log_dir = trainer.strategy.broadcast(log_dir)
    return str(log_dir)


def local_folder(log_dir: str) -> Path:
    """A folder of this machine in the place of a remote one; a local one as it is.

    Example:
        >>> local_folder("s3://bucket/run").parts, local_folder("lightning_logs").parts
        (('interactions-s3', 'bucket', 'run'), ('lightning_logs',))
    """
    protocol, is_url, rest = log_dir.partition("://")
    if is_remote(log_dir):
        return Path(f"interactions-{protocol}", rest.lstrip("/"))
    return Path(rest if is_url else log_dir)


def is_remote(log_dir: str) -> bool:
    """Whether a directory is on another machine, such as a bucket of a cloud.

    Example:
        >>> is_remote("gs://bucket/run"), is_remote("file:///home/me/run"), is_remote("lightning_logs")
        (True, False, False)
    """
    protocol, is_url, _ = log_dir.partition("://")
    return bool(is_url) and protocol not in _LOCAL_PROTOCOLS


def _known_log_dir(trainer: Any) -> str | os.PathLike[str]:
    if not trainer.loggers:
        return trainer.default_root_dir
    logger = trainer.loggers[0]
    own = getattr(logger, "log_dir", None)
    if isinstance(own, (str, os.PathLike)) and own != logger.save_dir:
        return own
    # As `ModelCheckpoint` does, to the letter: who finds a run's checkpoints finds its interactions beside them.
    save_dir = trainer.default_root_dir if logger.save_dir is None else logger.save_dir
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return os.path.join(save_dir, str(logger.name), version)  # noqa: PTH118  # a `Path` would spoil "s3://"
