"""What the API pages leave out: names that other modules of the package use, and users have no need of."""

from __future__ import annotations

__all__ = ["is_internal"]

_MODULES = {
    "callback": (
        *("faults", "followers", "held_out", "log_dir", "loggers", "losses", "measurement", "probabilities"),
        *("progress", "publish", "ranks", "record", "reference_network", "tab", "warned", "watching"),
    ),
    "distribution": ("hinge", "plausible", "projection"),
    "extraction": ("cholesky", "lapack", "normal_matrix", "sign_dual", "symmetric_inverse"),
    "masking": (
        *("batches", "choose", "compiled", "devices", "fallback", "layer_bytes", "layers", "local", "padding"),
        *("patches", "tokenizer", "ways", "wrapped"),
    ),
}
_NAMES = {
    "checks": ("check_ranges", "check_whole", "reason_of"),
    "distribution.decay": ("Shrunk", "shrink"),
    "distribution.phases": ("EXPECTED_NOISE",),
    "distribution.reference": ("FIT_LISTS", "FIT_NUMBERS", "REFITS_PER_EPOCH", "check_reference", "unfitted"),
    "distribution.segmentation": ("Records",),
    "distribution.strength": ("Effects", "check_strength", "salient", "signed_strength"),
    "explain": ("ShareOut", "check_noise_ratio"),
    "extraction.interior_point": (*("MARGIN", "Batch", "Solved", "narrowed", "overshoot", "polished", "solve_batch"),),
    "extraction.lowest_order": ("FACE_ACCURACY", "order_cost"),
    "interactions": (
        "SHOWN_SAMPLES",
        "check_interactions",
        "check_same_n_variables",
        "common_rows",
        "strongest_effects",
    ),
    "lattice": ("check_n_variables", "dense_power", "kronecker_power", "variable_count"),
    "masking.network": ("MaskedNetwork",),
    "masking.noise_floor": ("propagated",),
    "masking.observe": ("evaluation_mode", "is_uninitialised", "random_state_kept", "tensors_kept"),
    "masking.outputs": ("check_targets", "logits_of"),
    "report.page": ("render",),
    "report.run": ("Run",),
    "run_files": ("monitor_folders", "run_folder"),
    "masking.variables": ("check_baseline", "check_variables", "usable_draws"),
}
_ALL_BUT = {
    "callback.samples": ("Samples", "SplitBatch", "split_batch"),
    "extraction.programme": ("Solution", "WarmStart"),
    "masking.memory": ("MaskBatchSize",),
    "masking.precision": ("Precision",),
    "plots.style": ("DECAY", "GAP", "HELD_OUT", "NEGATIVE", "POSITIVE", "RESIDUAL", "SPINDLE", "TRAIN"),
}


def is_internal(module: str, name: str) -> bool:
    """Whether a module's public name is for the package alone.

    Args:
        module: without the package's own name, e.g. ``"masking.memory"``.
        name: in its ``__all__``.

    Example:
        >>> is_internal("lattice", "variable_count"), is_internal("lattice", "subset_order")
        (True, False)
        >>> is_internal("extraction.programme", "Solution"), is_internal("extraction.programme", "Programme")
        (False, True)
    """
    room, _, file = module.partition(".")
    if file in _MODULES.get(room, ()) or name in _NAMES.get(module, ()):
        return True
    return module in _ALL_BUT and name not in _ALL_BUT[module]
