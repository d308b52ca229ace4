"""What once went wrong: each kind of fault, and the tests that hold it mended."""

import ast

import pytest

from mamlkit.files import ROOT

FAULTS = {
    "1 a second derivative that torch has wrong is used": {
        "test_modules": "a_module_that_cannot_work_is_refused_with_the_remedy "
        "a_module_that_works_has_the_meta_gradient_of_finite_differences",
    },
    "2 NaN is chosen as the best": {
        "test_evaluate": "a_score_that_is_no_number_is_never_the_best",
    },
    "3 a frozen layer moves": {"test_modules": "a_frozen_layer_stays_as_it_is"},
    "4 parameters that require grad keep a graph": {
        "test_train": "parameters_that_require_grad_give_the_same_numbers_and_no_graph",
        "baselines/test_averaging": "parameters_that_require_grad_leave_no_graph",
    },
    "5 a learner trains without its own meta-parameters": {
        "test_train": "a_learners_own_meta_parameters_are_made_where_they_are_missing",
    },
    "6 labels, settings and Steps that cannot be are taken": {
        "test_learner": "a_loss_that_is_cut_off_from_the_parameters_is_refused",
        "test_losses": "labels_that_are_none_are_refused "
        "a_label_outside_is_not_left_out_where_its_value_is_hidden",
        "test_train": "a_step_of_another_net_or_optimizer_is_refused_naming_both "
        "a_setting_out_of_range_is_refused_naming_it",
        "test_boundary": "what_is_no_step_size_is_refused",
        "test_optimizer": "what_is_no_meta_step_size_is_refused",
        "rl/test_navigation": "what_is_out_of_range_is_refused",
        "baselines/test_fine_tune": "settings_that_cannot_be_are_refused_before_anything_is_tuned",
        "baselines/test_averaging": "a_penalty_that_rewards_is_refused",
        "variants/test_reptile": "without_a_step_it_would_learn_nothing_and_refuses_to_train",
        "audit/test_claims": "other_checks_than_the_criterions_are_refused_naming_both",
    },
    "7 decoded images are others than the files": {
        "families/test_archive_cache": "every_flipped_byte_of_a_decoded_file_is_noticed "
        "other_files_in_the_same_place_are_decoded_anew",
        "families/test_pictures": "sixteen_bits_of_grey_are_scaled "
        "classes_of_unequal_length_are_refused",
    },
    "8 a record is believed": {
        "audit/test_records": "a_record_that_does_not_hold_is_refused_by_name "
        "a_ledger_is_whole_and_names_each_claim_once readme_publishes_no_record_that_does_not_hold",
    },
    "9 an action is broadcast": {
        "rl/test_gym": "an_action_that_is_not_in_the_space_is_refused_and_never_broadcast "
        "a_batch_takes_one_action_for_each_environment",
    },
    "10 a wrong MAMLKIT_DATA is passed over": {
        "families/test_archive_cache": "a_wrong_MAMLKIT_DATA_is_refused a_home_is_expanded",
    },
    "11 an interrupted run forgets what was done": {
        "bank/test_work": "cells_are_made_in_processes_of_their_own_and_not_again",
    },
    "12 two runs on one path harm each other": {
        "test_files": "many_threads_and_a_process_write_one_file "
        "what_another_process_is_writing_is_left_alone",
        "bank/test_checkpoint": "a_second_run_on_one_checkpoint_is_refused_and_harms_nothing",
        "bank/test_work": "two_processes_never_make_one_cell",
        "book/test_headless": "two_runs_do_not_write_one_folder",
        "book/test_sweep": "two_sweeps_do_not_write_one_folder",
    },
    "13 a full disk or a bad record cuts what is there": {
        "test_files": "an_error_leaves_the_old_file_and_names_it",
        "test_main": "readme_on_a_full_disk_is_as_it_was",
        "book/test_headless": "a_full_disk_leaves_nothing_cut "
        "records_that_cannot_be_read_are_named_and_end_nothing",
        "book/test_sweep": "a_point_whose_result_is_damaged_is_run_again",
    },
    "14 a reader's notebook is overwritten": {
        "test_main": "a_notebook_that_a_reader_changed_is_not_written_anew",
        "book/test_notebooks": "what_a_reader_wrote_is_not_thrown_away "
        "a_notebook_is_written_whole_or_not_at_all a_reader_works_on_copies",
    },
    "15 a process trains on without its parent": {
        "bank/test_work": "a_cell_ends_with_its_parent_and_saves",
    },
    "16 a kill leaves files for ever": {
        "test_files": "what_a_killed_process_left_is_tidied_while_it_is_still_a_zombie "
        "what_a_killed_process_left_is_tidied_whoever_has_its_number_now",
        "fuzz/test_kills": "a_job_that_is_killed_goes_on_and_ends_as_if_it_had_not_been",
    },
    "17 a run does not go on elsewhere or further": {
        "test_train": "a_run_begun_on_another_device_goes_on_with_other_tasks_and_says_so "
        "a_run_that_ended_inside_a_block_is_made_longer_bit_for_bit",
    },
    "18 damage, encodings, places and pipes give tracebacks": {
        "audit/test_records": "damage_is_named",
        "fuzz/test_files": "damaged_records_are_never_published a_damaged_ledger "
        "damaged_lists_of_classes damaged_results_of_a_sweep_are_run_again",
        "families/test_mini_imagenet": "lists_in_the_encodings_of_spreadsheets",
        "families/test_archive_cache": "images_that_cannot_be_kept_are_there_all_the_same",
        "test_main": "an_ascii_locale a_closed_pipe_is_silent_where_there_is_no_home "
        "closed_streams a_refusal_is_one_sentence a_checkout_that_cannot_be_written",
        "book/test_notebooks": "what_is_no_notebook_is_named_in_one_sentence",
        "bank/test_process": "an_error_is_said_and_has_failed",
        "book/test_sweep": "a_sweep_does_not_go_into_a_folder_of_something_else",
    },
    "19 a compiler that cannot begin ends the run": {
        "test_train": "where_compiling_fails_the_run_goes_on_uncompiled_and_says_so",
        "test_runners": "a_runner_that_cannot_be_made_is_given_up_with_a_warning",
    },
    "20 what is wrong is said late and in torch's words": {
        "test_layers": "a_composed_recurrent_layer_is_torchs",
        "test_boundary": "what_cannot_be_batched_is_said_in_one_sentence",
        "test_modules": "inputs_that_a_module_does_not_take_are_refused_naming_them "
        "a_module_that_is_refused_as_it_is_not_new_is_left_as_it_was",
        "test_train": "what_cannot_be_a_run_is_refused_in_one_sentence "
        "a_task_that_the_model_cannot_take_is_refused_in_one_sentence",
        "test_evaluate": "what_cannot_be_an_evaluation_is_refused "
        "one_task_without_a_tasks_axis_is_refused tasks_without_numbers_are_refused",
        "test_losses": "what_is_no_forward_and_what_is_no_data_is_refused_with_the_remedy",
    },
    "21 Gymnasium's users are not served": {
        "rl/test_gym": "pictures a_video_is_recorded a_step_needs_an_episode "
        "an_environment_can_be_pickled_in_the_middle_of_an_episode "
        "gymnasium_finds_the_ids_by_the_module a_batch_of_nothing_is_refused",
        "rl/test_gym_conformance": "stable_baselines_finds_no_fault "
        "a_batch_keeps_to_what_gymnasium_asks_of_one",
    },
    "22 copies and downloads of data are misread": {
        "families/test_archive": "backslashes_are_slashes a_download_is_the_whole_file "
        "two_entries_of_one_name_are_refused "
        "what_is_far_too_large_is_refused_before_it_is_read",
        "families/test_mini_imagenet": "stray_lists_and_backslashes_do_no_harm",
        "families/test_omniglot": "the_official_place_and_hashes",
    },
    "23 an evaluation holds all tasks in memory": {
        "test_evaluate": "the_memory_of_an_evaluation_does_not_grow_with_the_number_of_tasks "
        "a_family_is_drawn_as_it_goes_with_the_numbers_of_all_at_once",
        "benchmarks/test_evaluation": "ten_more_tasks_of_photographs_need_no_more_memory "
        "the_way_of_an_adaptation_is_not_kept",
        "test_memory": "between_tasks_what_is_kept_and_not_filled_is_given_back",
    },
    "a check slows training": {
        "benchmarks/test_checks": "the_checks_of_a_step_take_less_than_a_hundredth_of_it "
        "a_compiled_step_asks_nothing",
    },
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_its_tests(fault):
    for file, names in FAULTS[fault].items():
        tree = ast.parse((ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8"))
        there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not {f"test_{name}" for name in names.split()} - there
