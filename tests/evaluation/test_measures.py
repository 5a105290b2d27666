"""The table of measures: one line shows a number everywhere, and stable keys do not change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted import planted_result

from zsprompt._utils.progress import quiet
from zsprompt.evaluation import measures
from zsprompt.evaluation.measures import EVERYWHERE, LABEL_MEASURES, MEASURES, Measure, numbers, shown_in, texts
from zsprompt.experiments.ablation import COLUMNS
from zsprompt.report.of_run import run_report
from zsprompt.report.terminal import result_table, text_table

KEYS = """
mAP mAP_interval ap ap_interval mAP_11_point mAP_all_point seed_mAP seed_mAP_nothing chance sample_f1 micro_f1 macro_f1
CP CR CF1 OP OR OF1 f1_at_3 f1_at_3_ceiling f1_at_3_passing f1_at_3_passing_ceiling f1_at_5 f1_at_5_ceiling
f1_at_5_passing f1_at_5_passing_ceiling CP_top3 CR_top3 CF1_top3 OP_top3 OR_top3 OF1_top3 hit_at_1 images labels
""".split()

ABLATION = """
mAP chance seed_mAP seed_mAP_nothing sample_f1 micro_f1 macro_f1 CF1 OF1 f1_at_3 f1_at_3_ceiling f1_at_5 f1_at_5_ceiling
hit_at_1 images labels mAP_low mAP_high
""".split()


PER_CLASS = "ap ap_low ap_high positives left_out chance precision recall f1 ap_11_point ap_all_point".split()


def test_keys_and_columns_keep_their_names_and_order() -> None:
    """New ones may stand between them."""
    result = planted_result()
    assert [key for key in result.to_dict() if key in KEYS] == KEYS
    assert [column for column in COLUMNS if column in ABLATION] == ABLATION
    assert [column for column in result.per_class() if column in PER_CLASS] == PER_CLASS


def test_keys_and_titles_are_unique() -> None:
    keys = [key for measure in MEASURES for key in measure.keys]
    assert len(set(keys)) == len(keys)
    assert len({measure.title for measure in MEASURES}) == len(MEASURES)
    assert len({measure.key for measure in LABEL_MEASURES}) == len(LABEL_MEASURES)


def test_a_measure_that_a_result_cannot_have_has_no_key() -> None:
    result = planted_result()
    probabilities = np.full((60, 3), 0.25, dtype=np.float32)
    assert "calibration_error" not in numbers(result)
    likely = replace(result, prediction=replace(result.prediction, probabilities=probabilities))
    assert 0 <= numbers(likely)["calibration_error"] <= 1


def test_every_note_can_be_written() -> None:
    known = texts(numbers(planted_result(targets=np.zeros((60, 3), dtype=np.int8))))
    for measure in shown_in("terminal", "interpolated", "headline", "page", "ablation table"):
        assert all(note and "{" not in note for note in measure.remarks(known))


def test_one_line_shows_a_number_in_json_terminal_and_page(monkeypatch: pytest.MonkeyPatch) -> None:
    share = Measure("share", "Share", lambda r: float(r.prediction.decisions.mean()), EVERYWHERE, ceiling=lambda r: 1.0)
    monkeypatch.setattr(measures, "MEASURES", (*MEASURES, share))
    result = planted_result()
    value = result.prediction.decisions.mean()
    assert (result.to_dict()["share"], result.to_dict()["share_ceiling"]) == (pytest.approx(value), 1.0)
    assert f"Share       {100 * value:.1f}   at most 100.0" in result_table(result)
    card = run_report(result, {}, quiet, []).page.more[-1]
    assert (card.name, card.value, list(card.remarks)) == ("Share", f"{100 * value:.1f}", ["at most 100.0"])


# text tables


def test_a_text_table_is_aligned_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert text_table(["a", "b"], [["[red]x", "1"], ["日本", "100"]]) == "a         b\n[red]x    1\n日本    100"
    assert text_table((), [["a", "one"], ["bb", "two"]], left=(0, 1)) == "a   one\nbb  two"


def test_a_text_table_wraps_its_last_column() -> None:
    table = text_table((), [["name", "a sentence of several words"]], left=(0, 1), width=20)
    assert table.splitlines() == ["name  a sentence of", "      several words"]
    assert text_table(["one", "two"], []) == "one  two"
