"""What is claimed about reliability, and the tests that show it."""

from __future__ import annotations

__all__ = ["CLAIMS"]

CLAIMS: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "It only watches": [
        (
            (
                "Weights, optimizer state, metrics and random numbers after a training are bitwise those of a "
                "training without the monitor: batch norm, dropout, shuffling, augmentation, loaders and samplers with "
                "a `torch.Generator` of their own, a worker process"
            ),
            ("callback/test_read_only.py::test_training_is_bitwise_the_same",),
        ),
        (
            "So they are with two monitors at once",
            ("callback/test_read_only.py::test_so_it_is_with_two_monitors",),
        ),
        (
            "And with transfer hooks that draw random numbers",
            ("callback/test_read_only.py::test_so_it_is_with_hooks_that_draw_random_numbers",),
        ),
        (
            "And with validation loaders that draw random numbers when they are made or iterated, set up early or late",
            (
                "callback/test_held_out.py::test_a_validation_loader_that_draws_random_numbers_is_drawn_as_without_the_monitor",
            ),
        ),
        (
            "And where the reference is a checkpoint, whose weights are loaded and put back",
            ("callback/test_fits.py::test_a_checkpoint_as_reference",),
        ),
        (
            "No hook and no flag is left on the network",
            ("callback/test_read_only.py::test_no_hook_and_no_flag_is_left",),
        ),
        (
            (
                "Training flags, gradients, autocast, random state and batch-norm statistics are restored when the "
                "network raises in the middle"
            ),
            (
                "masking/test_observe.py::test_each_module_has_its_own_flag_back",
                "masking/test_observe.py::test_random_numbers_go_on_as_if_nothing_had_been_drawn",
                "masking/test_observe.py::test_batch_norm_learns_nothing",
            ),
        ),
        (
            "Two worker processes with augmentation, for training and validation",
            ("callback/test_read_only.py::test_training_is_bitwise_the_same",),
        ),
        (
            "Averaged weights: exponential, parameters alone, stochastic",
            ("callback/test_read_only_trainings.py::test_averaged_weights",),
        ),
        (
            "What is measured is the network that is trained, not its average",
            (
                "callback/test_read_only_trainings.py::test_what_is_measured_is_the_network_that_is_trained_and_not_its_average",
            ),
        ),
        (
            "Several optimizers, manual optimization, optimizers whose steps Lightning does not count",
            (
                "callback/test_read_only_trainings.py::test_several_optimizers_and_manual_optimization",
                "callback/test_read_only_trainings.py::test_a_module_that_steps_a_raw_optimizer",
            ),
        ),
        (
            "A small BERT with dropout, whose `forward` returns a `ModelOutput`",
            ("callback/test_read_only_trainings.py::test_sentences",),
        ),
        (
            "`torch.compile`d modules: wrapped, in place, one layer, whole; measured as if not compiled",
            ("callback/test_compiled.py::test_a_compiled_module",),
        ),
        (
            "And one that the Trainer itself is given compiled",
            ("callback/test_compiled.py::test_a_module_given_to_the_trainer_compiled",),
        ),
        (
            "Compiled code is used again afterwards, not made anew",
            ("callback/test_compiled.py::test_compiled_code_is_used_again_afterwards",),
        ),
        (
            "With `compiled=True` the real compiler's outputs are those of the network",
            ("masking/test_compiled.py::test_the_real_compiler",),
        ),
        (
            "Mixed bfloat16 precision, accumulated gradients",
            (
                "callback/test_trainers.py::test_precision",
                "callback/test_trainers.py::test_accumulated_gradients_and_a_validation_inside_the_epoch",
            ),
        ),
    ],
    "It survives": [
        (
            "A measurement that fails is NaN, counted in `failures`, and warned of once; the training goes on",
            ("callback/test_failures.py::test_a_failed_measurement_is_nan_counted_and_warned_of_once",),
        ),
        (
            "Failing half-way through, it leaves the network as it was",
            ("callback/test_failures.py::test_a_failure_half_way_through_a_measurement_leaves_the_network_as_it_was",),
        ),
        (
            "Samples on which the network is NaN are left out and counted",
            ("callback/test_failures.py::test_samples_with_nan_are_dropped_counted_and_warned_of_once",),
        ),
        (
            "A folder that cannot be written to costs the files alone",
            ("callback/test_failures.py::test_a_folder_that_cannot_be_written_to_costs_the_files_alone",),
        ),
        (
            "A logger that raises costs one warning of each kind",
            ("callback/test_failures.py::test_a_logger_that_raises_costs_one_warning_of_each_kind",),
        ),
        (
            "Filters that ignore warnings, or make errors of them, change no training and no measurement",
            ("callback/test_warned.py::test_a_filter_changes_no_training_and_no_measurement",),
        ),
        (
            "A user who stops the training is obeyed",
            ("callback/test_failures.py::test_the_user_can_still_stop_the_training",),
        ),
        (
            "What is set up wrongly is an error before the first step",
            (
                "callback/test_set_up.py::test_an_unknown_layer",
                "callback/test_set_up.py::test_held_out_labels_out_of_range",
                "callback/test_set_up.py::test_neither_validation_data_nor_samples",
            ),
        ),
        (
            "Probabilities that are read as logits are warned of, and how to give logits",
            (
                "callback/test_probabilities.py::test_a_softmax_is_warned_of_once",
                "callback/test_probabilities.py::test_a_sigmoid_is_warned_of_once",
                "callback/test_probabilities.py::test_logits_are_not",
            ),
        ),
        (
            "Early stopping and checkpoints that act before the value that they follow exists are named, with a remedy",
            (
                "callback/test_followers.py::test_a_stopping_that_acts_too_early_is_named_with_the_setting",
                "callback/test_followers.py::test_so_is_a_checkpoint",
            ),
        ),
        (
            (
                "What is given wrongly is refused with a message that names it, shows what was given and says what "
                "is allowed: [all of them](errors.md)"
            ),
            ("reliability/test_wrong_calls.py::test_a_wrong_call_is_refused_and_told_why",),
        ),
        (
            "A network that raises at the first, middle or last call of a measurement",
            ("callback/test_faults.py::test_a_network_that_raises_at_any_call",),
        ),
        (
            "Memory that runs out: fewer masks at a time, or a failure",
            ("callback/test_faults.py::test_memory_that_runs_out",),
        ),
        (
            "A disk that is full for a while: no half file, the next ones are whole",
            ("callback/test_faults.py::test_a_disk_that_is_full_for_a_while",),
        ),
        (
            "Data that gets less while the training runs",
            ("callback/test_faults.py::test_data_that_gets_less_while_the_training_runs",),
        ),
        (
            "A tokenizer that fails later costs one measurement; one that is not there is an error at once",
            (
                "callback/test_read_only_trainings.py::test_a_tokenizer_that_fails_later_costs_one_measurement",
                "callback/test_read_only_trainings.py::test_a_tokenizer_that_is_not_there_is_an_error_at_once",
            ),
        ),
        (
            'With `on_error="raise"` all of this is raised, with the network as it was',
            (
                "callback/test_failures.py::test_a_failed_measurement_is_raised_where_that_is_wanted",
                "callback/test_failures.py::test_so_is_a_failed_rehearsal",
                "callback/test_failures.py::test_so_is_a_folder_that_cannot_be_written_to",
                "callback/test_failures.py::test_so_is_a_logger_that_raises",
            ),
        ),
        (
            "And in all processes",
            ("callback/test_ddp.py::test_an_error_of_one_process_is_raised_in_all_where_that_is_wanted",),
        ),
    ],
    "Nothing measured is lost": [
        (
            "A resumed training has the history of an uninterrupted one",
            ("callback/test_resume.py::test_a_resumed_training_has_the_history_of_an_uninterrupted_one",),
        ),
        (
            (
                "With `solver='admm'` the first measurement after a resume starts from nothing; it is certified like "
                "one that starts from the measurement before it, which needs fewer iterations"
            ),
            (
                "callback/test_warm_start.py::test_a_resumed_training_starts_from_nothing_and_is_as_right",
                "callback/test_warm_start.py::test_a_network_that_learns_needs_fewer_than_from_nothing",
                "callback/test_warm_start.py::test_a_sample_that_is_left_out_once_shifts_no_other",
                "callback/test_warm_start.py::test_interactions_that_do_not_fit_are_no_start_and_break_no_measurement",
            ),
        ),
        (
            "Checkpoints load with `weights_only=True`, and an epoch measured twice counts once",
            ("callback/test_resume.py::test_model_checkpoints_load_weights_only_and_do_not_count_an_epoch_twice",),
        ),
        (
            "An older checkpoint that is validated or tested after the training costs no history and writes no file",
            ("callback/test_resume.py::test_the_best_checkpoint_tested_after_the_training_costs_no_history",),
        ),
        (
            "Files are written whole or not at all, whatever goes wrong in between",
            (
                "test_files.py::test_an_error_leaves_what_was_there_and_nothing_else",
                "test_history.py::test_a_file_is_written_whole_or_not_at_all",
                "test_interactions.py::test_an_error_in_the_middle_of_writing_leaves_the_old_file",
            ),
        ),
        (
            "A damaged file is named and passed over",
            ("callback/test_fits.py::test_a_damaged_file_is_named_and_its_epoch_has_no_fit",),
        ),
        (
            (
                "Runs of a service such as W&B or MLflow have a folder each, beside their checkpoints; in the place of"
                " a remote folder there is a local one, and the training says so"
            ),
            (
                "callback/test_log_dir.py::test_runs_of_a_service_lie_beside_their_checkpoints",
                "callback/test_log_dir.py::test_two_runs_of_a_service_do_not_meet",
                "callback/test_log_dir.py::test_a_remote_folder_is_said_and_replaced",
            ),
        ),
        (
            "The samples do not depend on the random state of the process",
            ("callback/test_resume.py::test_the_samples_do_not_depend_on_the_random_state_of_the_process",),
        ),
        (
            (
                "Killed (SIGKILL) at twenty moments drawn at random, ten anywhere, five in a measurement and five "
                "in a write, and resumed from its last checkpoint, a training ends with the history and the files "
                "of one that nobody disturbed; every epoch measured before is there once, and no file is ever half-"
                "written"
            ),
            (
                "reliability/test_kill.py::test_killed_and_resumed",
                "reliability/test_kill.py::test_killed_at_twenty_moments_and_resumed",
            ),
        ),
        (
            "So does one that is killed again and again, and what was being written does not pile up",
            (
                "reliability/test_kill.py::test_killed_again_and_again",
                "test_files.py::test_what_a_killed_process_left_is_removed",
            ),
        ),
        (
            "SIGTERM and Ctrl-C leave readable files",
            ("reliability/test_kill.py::test_a_training_that_is_asked_to_stop_leaves_readable_files",),
        ),
        (
            (
                "A resume does not need the files: those damaged meanwhile are written again or named, and cost "
                "their epoch alone"
            ),
            (
                "reliability/test_kill.py::test_files_damaged_between_kill_and_resume_are_named_and_cost_their_epoch_alone",
            ),
        ),
        (
            (
                "`lightning-interactions explain` skips a checkpoint only where its file was made from the same "
                "content with the same settings, also after an interruption or a move; one that has changed is "
                "explained again"
            ),
            (
                "cli/test_explain.py::test_after_an_interruption_only_the_rest_is_explained",
                "cli/test_explain.py::test_the_same_settings_in_another_form_are_the_same",
                "cli/test_explain.py::test_a_checkpoint_that_has_changed_is_explained_again",
                "cli/test_explain.py::test_so_are_all_after_a_change_of_a_setting_that_decides_the_numbers",
                "cli/test_explain.py::test_other_settings_change_nothing",
                "cli/test_explain.py::test_a_run_that_was_moved_is_still_explained",
            ),
        ),
        (
            "It writes over no file that something else has made",
            (
                "cli/test_explain.py::test_a_file_that_does_not_say_from_what_it_was_made_is_left",
                "cli/test_explain.py::test_a_checkpoint_of_the_same_name_elsewhere_takes_no_file",
            ),
        ),
    ],
    "Under every Trainer": [
        (
            "`lightning` and `pytorch_lightning`",
            ("callback/test_trainers.py::test_the_standalone_package",),
        ),
        (
            "Reduced precision",
            ("callback/test_trainers.py::test_precision",),
        ),
        (
            "Losses and interactions are in the precision that the monitor is asked for, whatever the Trainer's",
            ("callback/test_trainers.py::test_the_losses_are_in_the_precision_of_the_interactions",),
        ),
        (
            (
                "Data in half precision under mixed precision; networks that make tensors in their forward under true "
                "bfloat16 and float64"
            ),
            (
                "callback/test_trainers.py::test_data_in_half_under_mixed_precision",
                "callback/test_trainers.py::test_a_network_that_makes_tensors_in_its_forward_under_true_precision",
            ),
        ),
        (
            (
                "`torch.set_default_dtype` in the process or in the network's forward: the same numbers, and the "
                "default as it was, also after a failure"
            ),
            (
                "test_default_dtype.py::test_explaining_images",
                "test_default_dtype.py::test_a_network_that_sets_it_in_its_forward",
                "test_default_dtype.py::test_it_is_as_before_also_after_a_fault",
            ),
        ),
        (
            "Networks set up by Lightning Fabric, of either package: measured as they are inside",
            ("masking/test_wrapped.py::test_interactions_are_those_of_the_network_itself",),
        ),
        (
            "A device without float64, by a stand-in: the numbers of the CPU",
            (
                "test_no_float64.py::test_interactions",
                "test_no_float64.py::test_a_measurement_of_the_monitor",
            ),
        ),
        (
            "Accumulated gradients, `val_check_interval` below 1",
            ("callback/test_trainers.py::test_accumulated_gradients_and_a_validation_inside_the_epoch",),
        ),
        (
            "Several loaders, iterable data, batches in dictionaries",
            (
                "callback/test_trainers.py::test_several_loaders_for_training_and_validation",
                "callback/test_trainers.py::test_iterable_data",
                "callback/test_trainers.py::test_batches_in_dictionaries",
            ),
        ),
        (
            "Iterable data whose batches are of a class of their own",
            ("callback/test_trainers.py::test_iterable_data_whose_batches_are_of_their_own_kind",),
        ),
        (
            "Labels that are mixed or smoothed: probabilities of all classes",
            ("callback/test_trainers.py::test_labels_that_are_mixed",),
        ),
        (
            "Transfer hooks that tell several validation loaders apart",
            ("callback/test_held_out.py::test_hooks_are_told_which_validation_loader_a_batch_comes_from",),
        ),
        (
            "`fast_dev_run`, `barebones`",
            (
                "callback/test_logging.py::test_a_fast_dev_run_writes_nothing",
                "callback/test_logging.py::test_a_barebones_training",
            ),
        ),
        (
            (
                "Strategies that were not tested, FSDP and DeepSpeed among them, are refused by name before they touch "
                "the network; `allow_untested=True` lets them pass"
            ),
            (
                "callback/test_strategies.py::test_a_sharded_model_is_refused_before_it_is_sharded",
                "callback/test_strategies.py::test_a_parallel_model_is_refused_and_the_way_out_measures_it",
                "callback/test_strategies.py::test_every_strategy_that_lightning_knows_by_name_is_refused_but_for_those_tested",
            ),
        ),
        (
            "Two processes (DDP) measure what one does, and train as if nobody watched",
            (
                "callback/test_ddp.py::test_two_processes_measure_what_one_does",
                "callback/test_ddp.py::test_a_training_on_two_processes",
            ),
        ),
        (
            "A process that fails makes the others fail and not wait",
            ("callback/test_ddp.py::test_a_process_that_fails_makes_the_others_fail_and_not_wait",),
        ),
        (
            (
                "`limit_val_batches=0`, `check_val_every_n_epoch`, no sanity check, `overfit_batches`, reloaded"
                " loaders, `max_time`"
            ),
            ("callback/test_loops.py::test_loops",),
        ),
        ("No validation loader, with samples given", ("callback/test_loops.py::test_no_validation_loader",)),
        (
            "`max_steps` in the middle of an epoch",
            ("callback/test_loops.py::test_a_number_of_steps_that_ends_in_the_middle_of_an_epoch",),
        ),
        (
            "Nothing is measured in the sanity check",
            ("callback/test_loops.py::test_nothing_is_measured_in_the_sanity_check",),
        ),
        ("`validate`, `test`, `predict`", ("callback/test_loops.py::test_stages_without_training",)),
        (
            "Learning-rate finder and batch-size scaler before, learning-rate finder in the middle of a training",
            (
                "callback/test_loops.py::test_a_search_for_settings_before_the_training",
                "callback/test_loops.py::test_a_search_in_the_middle_of_the_training",
            ),
        ),
        ("Batches as tuples, named tuples, dataclasses", ("callback/test_loops.py::test_batches",)),
    ],
    "The same numbers": [
        (
            (
                "What is found of a sample does not depend, to the last digit, on the samples beside it, on the memory "
                "or on the threads: every solver, on a CPU"
            ),
            (
                "extraction/test_properties.py::test_a_batch_equals_single_runs_to_the_last_digit",
                "extraction/test_properties.py::test_memory_threads_and_batch_change_no_digit",
                "extraction/test_properties.py::test_nor_do_they_where_threads_share_a_matrix",
            ),
        ),
        (
            "A solver uses no more threads than torch, and leaves their number as it was, also after a failure",
            (
                "extraction/test_threads.py::test_within_a_part_there_is_one_thread_and_afterwards_as_many_as_before",
                "extraction/test_threads.py::test_so_there_are_after_an_error",
                "extraction/test_threads.py::test_another_thread_keeps_its_own_number",
            ),
        ),
        (
            "A variable that changes no output has no effects",
            ("extraction/test_properties.py::test_a_dummy_variable_has_no_effects",),
        ),
        (
            "A solver that comes less near to the optimum than asked says so, once",
            (
                "extraction/test_interior_point.py::test_a_run_cut_short_is_honest",
                "extraction/test_admm.py::test_a_missed_target_is_told_once_and_a_fair_gap_without_one_is_not",
            ),
        ),
    ],
    "Hostile files": [
        (
            "A file cut off anywhere, or with a flipped bit, is refused or read as it was",
            (
                "test_interactions.py::test_a_file_cut_off_anywhere_is_refused",
                "test_interactions.py::test_a_flipped_bit_is_refused_or_changes_nothing",
            ),
        ),
        (
            "A pickle inside a file, or instead of one, is refused and never run",
            (
                "test_interactions.py::test_a_pickle_inside_is_refused_and_never_run",
                "test_interactions.py::test_a_pickle_instead_is_refused_and_never_run",
            ),
        ),
        (
            "A newer schema is refused and named",
            (
                "test_interactions.py::test_a_newer_schema_is_refused_and_named",
                "test_history.py::test_a_file_of_a_newer_version",
            ),
        ),
        (
            "The tab passes over broken event files and foreign data",
            (
                "tensorboard_plugin/test_plugin.py::test_a_broken_event_file_is_passed_over",
                "tensorboard_plugin/test_runs.py::test_foreign_documents_are_counted_and_hurt_nothing",
            ),
        ),
        (
            "Names that are markup stay text",
            ("tensorboard_plugin/test_browser.py::test_names_that_are_markup_stay_text",),
        ),
        (
            "A zip bomb is refused before it is unpacked, and a claim to be huge before memory is spent on it",
            (
                "reliability/test_hostile_files.py::test_a_zip_bomb_is_refused_before_it_is_unpacked",
                "reliability/test_hostile_files.py::test_a_claim_to_be_huge_is_refused",
            ),
        ),
        (
            (
                "Absurd numbers of variables, shapes that do not fit, numbers of another kind and missing parts are"
                " refused"
            ),
            (
                "reliability/test_hostile_files.py::test_absurd_numbers_of_variables",
                "reliability/test_hostile_files.py::test_shapes_that_do_not_fit_each_other",
                "reliability/test_hostile_files.py::test_numbers_of_another_kind",
                "reliability/test_hostile_files.py::test_a_missing_member",
                "reliability/test_hostile_files.py::test_a_member_of_any_bytes",
            ),
        ),
        (
            (
                "A history of any bytes or any JSON is read or refused: nesting of 200,000 levels, huge numbers, "
                "wrong types, keys given twice"
            ),
            (
                "reliability/test_hostile_files.py::test_any_bytes_and_any_json",
                "reliability/test_hostile_files.py::test_any_records",
                "reliability/test_hostile_files.py::test_what_no_version_has_written_is_refused",
                "reliability/test_hostile_files.py::test_of_what_is_there_twice_the_last_counts",
                "reliability/test_hostile_files.py::test_a_run_with_any_history_is_fitted_or_refused",
            ),
        ),
        (
            "A configuration changed at any place is parsed or refused with a message",
            (
                "reliability/test_hostile_configs.py::test_a_changed_configuration_is_parsed_or_refused",
                "reliability/test_hostile_configs.py::test_many_changed_configurations_are_parsed_or_refused",
                "reliability/test_hostile_configs.py::test_a_changed_configuration_is_refused_when_explaining",
                "reliability/test_hostile_configs.py::test_many_changed_configurations_are_refused_when_explaining",
            ),
        ),
        (
            (
                "Reading a configuration calls nothing that it names; running it does: [open only those you "
                "trust](versions.md#configurations)"
            ),
            (
                "reliability/test_hostile_configs.py::test_what_is_named_in_the_place_of_a_class_is_not_called",
                "reliability/test_hostile_configs.py::test_so_it_is_when_explaining",
                "reliability/test_hostile_configs.py::test_yaml_builds_no_objects",
            ),
        ),
    ],
    "Size and time": [
        (
            "256 measurements leave less than 20 MB of event files",
            ("callback/test_loggers.py::test_a_run_of_256_epochs_leaves_less_than_20_mb",),
        ),
        (
            "Figures are let go",
            ("callback/test_loggers.py::test_figures_are_let_go",),
        ),
        (
            "Importing the tab's server is fast and brings no PyTorch",
            ("tensorboard_plugin/test_plugin.py::test_importing_the_plugin_is_fast_and_brings_no_torch",),
        ),
        (
            "Three runs of 300 epochs are answered in 200 ms",
            ("tensorboard_plugin/test_plugin.py::test_three_runs_of_300_epochs_are_answered_in_200_ms",),
        ),
        (
            (
                "500 measurements in one run: after the first hundred the memory stays within 5 %, and no hook, "
                "thread or file handle is added; less than 100 kB of event files and 4 kB of history for each "
                "measurement"
            ),
            (
                "reliability/test_load.py::test_a_dozen_measurements",
                "reliability/test_load.py::test_five_hundred_measurements",
            ),
        ),
    ],
    "The package": [
        (
            "Wheel and source archive hold all files that are needed, no tests, and work from a folder of their own",
            (
                "test_package.py::test_the_wheel_holds_the_whole_package_and_nothing_else",
                "test_package.py::test_the_unpacked_wheel_works_alone",
            ),
        ),
        (
            "The tab, these pages and the report load nothing from elsewhere",
            (
                "tensorboard_plugin/test_plugin.py::test_the_page_loads_nothing_from_elsewhere",
                "test_docs.py::test_the_site_loads_nothing_from_elsewhere",
            ),
        ),
        (
            "Every Python block of these pages and every example runs",
            (
                "test_docs.py::test_the_python_blocks_of_a_page_run",
                "test_examples.py::test_an_example_runs",
            ),
        ),
        (
            "Everything that is installed is pinned, and fits together",
            (
                "reliability/test_supply.py::test_everything_is_pinned_and_installed_as_pinned",
                "reliability/test_supply.py::test_the_packages_fit_together",
            ),
        ),
        (
            "The licence of everything that is installed is [listed](licences.md), and allowed",
            ("reliability/test_supply.py::test_every_licence_is_listed_and_allowed",),
        ),
        (
            "Training, explaining and reporting fetch nothing",
            ("reliability/test_supply.py::test_nothing_is_fetched_while_training_explaining_and_reporting",),
        ),
    ],
}
"""Section by section: what is claimed, and the tests that show it, below tests/."""
