"""Reports: figures, galleries and pages agree with the results, for ordinary and for unusual ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import Browser
from fakes import PlantedEncoder, draw_files
from pages import HOSTILE
from PIL import Image
from planted import RECIPE, planted_result, windows_of
from rich.cells import cell_len

from zsprompt import metrics
from zsprompt.data.images import ImageFile
from zsprompt.errors import ResultError
from zsprompt.evaluation.compare import compare
from zsprompt.evaluation.provenance import describe
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import save_result
from zsprompt.report.build import build_report
from zsprompt.report.charts import Axis, Panel, axis_around
from zsprompt.report.drawing import svg
from zsprompt.report.figures import run_figures
from zsprompt.report.gallery import run_gallery
from zsprompt.report.mistakes import examples, flipped, mistaken_for, most_mistaken, per_kind, threshold_of
from zsprompt.report.page import strategy_name
from zsprompt.report.terminal import bar, result_table
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import (
    Normalised,
    PerLabel,
    Prediction,
    Strategy,
    Thresholded,
    Thresholds,
    TopAll,
    YesOrNo,
)

THRESHOLDS = Thresholds(("cat",), (0.5,), "one per label", True, {}, {})


def with_images(folder: Path, result: Result) -> Result:
    """A result of a `folder` data set whose images are in `folder`."""
    sets = [[label for label, yes in zip(result.labels, row, strict=True) if yes == 1] for row in result.targets]
    files = draw_files(folder / "images", sets, result.labels)
    rows = "".join(f"{file.id},{'|'.join(present)}\n" for file, present in zip(files, sets, strict=True))
    (folder / "images/labels.csv").write_text("image,labels\n" + rows)
    origin = {"dataset": "folder", "root": str(folder / "images"), "split": None}
    return replace(result, images=tuple(file.id for file in files), recipe=RECIPE | {"origin": origin})


def built(tmp_path: Path, result: Result) -> str:
    """The run's page."""
    save_result(result, tmp_path / "run")
    page = build_report([tmp_path / "run"]).page.read_text(encoding="utf-8")
    WellFormed().check(page)
    return page


class WellFormed(HTMLParser):
    """Every element that is opened is closed, in order."""

    EMPTY = frozenset(("meta", "img", "br", "input", "link"))

    def check(self, page: str) -> None:
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag


# mistakes


def test_confusions_by_hand() -> None:
    """Two cats without a dog; on one of them "dog" is predicted. All other predictions are right."""
    targets = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, -1]], dtype=np.int8)
    predicted = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=bool)
    result = planted_result(4, targets=targets, prediction=Prediction(predicted.astype(np.float32), predicted))
    shown, shares = mistaken_for(result)
    assert shown == [0, 1, 2]
    assert shares[0, 1] == 0.5
    assert np.isnan(shares[1, 0])  # no dog without a cat
    assert np.isnan(shares[2]).all()  # no owl at all
    assert most_mistaken(result) == [("cat", "dog", 0.5, 1)]


def test_examples_are_the_most_confident_false_positives_and_the_lowest_false_negatives() -> None:
    result = planted_result(300, seed=4)
    scores, predicted, targets = result.prediction.scores, result.prediction.decisions, result.targets
    for c in range(3):
        mistakes = [e.image for e in examples(result) if (e.label, e.kind) == (c, "false positive")]
        wrong = np.flatnonzero(predicted[:, c] & (targets[:, c] == 0))
        assert mistakes == sorted(wrong, key=lambda n: -scores[n, c])[:12]
        misses = [e.image for e in examples(result) if (e.label, e.kind) == (c, "false negative")]
        missed = np.flatnonzero(~predicted[:, c] & (targets[:, c] == 1))
        assert misses == sorted(missed, key=lambda n: scores[n, c])[:12]


def test_left_out_cells_are_neither_false_positives_nor_false_negatives() -> None:
    result = planted_result(20, targets=np.full((20, 3), -1, dtype=np.int8))
    assert examples(result) == []
    assert flipped(compare(result, result)) == []


@pytest.mark.parametrize(("labels", "each"), [(1, 12), (20, 12), (80, 12), (925, 1), (5000, 1)])
def test_many_labels_have_fewer_images_each(labels: int, each: int) -> None:
    assert per_kind(labels) == each


def test_a_threshold_is_found_if_it_separates_the_decisions() -> None:
    result = planted_result()
    found = threshold_of(result, 0)
    assert found == pytest.approx(1, abs=0.3)
    np.testing.assert_array_equal(result.prediction.scores[:, 0] > found, result.prediction.decisions[:, 0])
    mixed = result.prediction.decisions.copy()
    mixed[np.argmax(result.prediction.scores[:, 0]), 0] = False
    assert threshold_of(replace(result, prediction=Prediction(result.prediction.scores, mixed)), 0) is None


# figures


def odd_results() -> dict[str, Result]:
    one = np.ones((1, 1), dtype=np.int8)
    never = planted_result().targets.copy()
    never[:, 1] = 0
    many = tuple(f"label {c}" for c in range(45))
    constant = Prediction(np.zeros((60, 3), dtype=np.float32), np.zeros((60, 3), dtype=bool))
    return {
        "ordinary": planted_result(),
        "one image, one label": planted_result(1, ("cat",), targets=one),
        "all positive": planted_result(targets=np.ones((60, 3), dtype=np.int8)),
        "all absent": planted_result(targets=np.zeros((60, 3), dtype=np.int8)),
        "all left out": planted_result(targets=np.full((60, 3), -1, dtype=np.int8)),
        "a label that never occurs": planted_result(targets=never),
        "constant scores": planted_result(prediction=constant),
        "hostile labels": planted_result(labels=HOSTILE),
        "many labels": planted_result(30, many, resamples=20),
    }


SLOW = ("many labels", "all absent", "all positive", "all left out", "a label that never occurs")
over_odd_results = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in odd_results()]
)


@over_odd_results
def test_figures_of_odd_results_are_whole_svg(name: str) -> None:
    result = odd_results()[name]
    curves = [("as given", metrics.reliability(np.full(result.targets.shape, 0.4), result.targets))]
    figures = run_figures(result, curves)
    assert [figure.name for figure in figures] == [
        *("average-precision", "precision-recall", "confusions", "scores", "reliability")
    ]
    for figure in figures:
        assert ElementTree.fromstring(svg(figure.chart)).tag == "{http://www.w3.org/2000/svg}svg"
        assert figure.caption
        assert figure.alternative


def test_the_same_figure_is_the_same_bytes() -> None:
    first, second = ([svg(figure.chart) for figure in run_figures(planted_result(), [])] for _ in range(2))
    assert first == second


# charts


def test_values_have_their_place_on_an_axis() -> None:
    axis = Axis("mAP, %", 20, 120)
    assert [axis.place(value) for value in (20, 45, 120)] == [0, 25, 100]
    assert [axis.place(value) for value in (-5, 500)] == [0, 100]  # at the ends
    assert [(mark.value, mark.place, mark.text) for mark in axis.marks] == [
        *((20, 0, "20"), (40, 20, "40"), (60, 40, "60"), (80, 60, "80"), (100, 80, "100"), (120, 100, "120"))
    ]
    assert [mark.text for mark in Axis("", -1, 1, 2).marks] == ["−1", "0", "1"]
    assert [mark.value for mark in Axis("", 0.5, 3.5, whole=True).marks] == [1, 2, 3]
    assert Axis("", 0, 1, ticks=0).marks == []


def test_an_axis_is_made_around_values() -> None:
    axis = axis_around("", [np.nan, 10, 60])
    assert (axis.low, axis.high) == (8, 62)
    assert axis_around("", [5.0]).low < 5 < axis_around("", [5.0]).high
    assert axis_around("", [np.nan]).marks == []


def test_a_path_lies_in_a_box_of_a_hundred() -> None:
    panel = Panel("", Axis("", 0, 2), Axis("", 0, 10), [])
    assert panel.path([(0, 0), (1, 5), (2, 10)]) == "M0 100L50 50L100 0"
    assert panel.path([]) == ""


# pages


@over_odd_results
def test_pages_of_odd_results_are_well_formed(name: str, tmp_path: Path) -> None:
    page = built(tmp_path, odd_results()[name])
    assert "nan" not in re.sub(r"(?s)<svg.*?</svg>|<pre.*?</pre>", "", page).lower().replace("provenance", "")
    assert sorted(path.suffix for path in (tmp_path / "run/report-figures").iterdir())[0] == ".svg"


def test_the_page_says_what_the_result_says(tmp_path: Path) -> None:
    result = planted_result(200)
    page = built(tmp_path, result)
    for value in (result.mAP, result.seed_mAP, result.seed_mAP_nothing, result.chance, result.f1.sample):
        assert f"{100 * value:.1f}" in page
    for label in result.labels:
        assert f'<th scope="row" class="word"><bdi>{label}</bdi></th>' in page
    assert "optimistic: one correct label" in page
    assert "planted/1" in page


def test_hostile_names_are_text(tmp_path: Path) -> None:
    result = planted_result(labels=HOSTILE, images=tuple(f"{n}{HOSTILE[n % 6]}" for n in range(60)))
    page = built(tmp_path, result)
    assert page.count("<script>") == 1
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert "\u202e" not in page
    assert "\\u202egnp.exe" in page


def test_missing_images_are_named_and_the_page_is_made(tmp_path: Path) -> None:
    result = with_images(tmp_path, planted_result())
    gallery = run_gallery(result, {})
    reasons = {card.reason for group in gallery.groups for card in group.cards}
    assert reasons == {"image not found"}
    save_result(result, tmp_path / "run")
    (tmp_path / "images").rename(tmp_path / "moved")
    away = build_report([tmp_path / "run"])
    assert "give the folder of the images with --root" in away.warnings[0]
    assert "data:image/webp" not in away.page.read_text()
    found = build_report([tmp_path / "run"], root=tmp_path / "moved")
    assert found.warnings == []
    assert "data:image/webp" in found.page.read_text()


def test_images_of_a_data_set_of_your_own_are_given(tmp_path: Path) -> None:
    """A result from an untrusted source may name code: nothing is imported."""
    result = with_images(tmp_path, planted_result())
    origin = {"dataset": "no_such_module:Data", "root": None, "split": None}
    save_result(replace(result, recipe=RECIPE | {"origin": origin}), tmp_path / "run")
    named = build_report([tmp_path / "run"])
    assert named.warnings == ["no thumbnails: data set no_such_module:Data is Python code, which a report does not run"]
    files = [ImageFile(name, tmp_path / "images" / name) for name in result.images]
    given = build_report([tmp_path / "run"], images=files)
    assert given.warnings == []
    assert "data:image/webp" in given.page.read_text()


def test_an_unreadable_image_is_named_in_its_place(tmp_path: Path) -> None:
    result = with_images(tmp_path, planted_result())
    for path in (tmp_path / "images").glob("*.png"):
        path.write_bytes(b"no image")
    assert "no image: not an image in a known format" in built(tmp_path, result)


def test_a_page_of_two_runs_has_changes_and_changed_decisions(tmp_path: Path) -> None:
    first = with_images(tmp_path, planted_result(200, strength=0.8))
    second = replace(planted_result(200, strength=3.0), images=first.images, recipe=first.recipe)
    save_result(first, tmp_path / "a")
    save_result(second, tmp_path / "b")
    report = build_report([tmp_path / "a", tmp_path / "b"])
    page = report.page.read_text(encoding="utf-8")
    WellFormed().check(page)
    assert report.page == tmp_path / "b/against-a.html"
    comparison = compare(first, second)
    assert report.facts["mAP"]["change"] == pytest.approx(comparison.mAP.value)
    flips = report.facts["flips"]
    assert len(flips) == (comparison.flips != 0).any(axis=1).sum()
    assert set(flips[first.images[int(np.argmax((comparison.flips == 1).any(axis=1)))]].values()) & {"right"}
    assert "now right" in page
    assert f"{int((comparison.flips == 1).sum()):,} became right" in report.text
    assert len(report.text.splitlines()) == 3 + 4


# windows


def with_windows(result: Result) -> Result:
    return replace(result, prediction=replace(result.prediction, windows=windows_of(result)))


def outlines(page: str) -> list[tuple[float, ...]]:
    """Width and height of each thumbnail with an outline; left, top, width and height of the outline."""
    places = r'<rect x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)"/>'
    found = re.findall(rf'<svg viewBox="0 0 (\d+) (\d+)" aria-hidden="true">{places}', page)
    return [tuple(map(float, numbers)) for numbers in found]


def test_the_window_of_the_label_is_outlined_in_the_gallery(tmp_path: Path) -> None:
    result = with_windows(with_images(tmp_path, planted_result()))
    page = built(tmp_path, result)
    windows = result.prediction.windows
    assert windows is not None
    expected = {windows.box(e.image, e.label) for e in examples(result)}
    found = outlines(page)
    assert len(found) == len(examples(result)) == page.count("<img ")
    for width, height, left, top, wide, high in found:
        box = np.array([left / width, top / height, (left + wide) / width, (top + high) / height])
        assert (
            min(np.abs(box - one).max() for one in expected) < 0.02
        )  # thumbnails of 8 pixels, a digit behind the point
    assert "The outline is the window of the image that fits the label best. It is not the detection" in page
    example = examples(result)[0]
    left, _, right, _ = windows.box(example.image, example.label)
    assert f"window: {100 * left:.0f} to {100 * right:.0f} % from the left" in page


def test_a_page_without_windows_has_no_outline(tmp_path: Path) -> None:
    page = built(tmp_path, with_images(tmp_path, planted_result()))
    assert not outlines(page)
    assert 'class="outlined"' not in page
    assert "The outline" not in page
    assert "from the left" not in page


def test_without_a_thumbnail_there_is_no_outline(tmp_path: Path) -> None:
    page = built(tmp_path, with_windows(planted_result()))
    assert "image not found" in page
    assert not outlines(page)


@pytest.mark.parametrize("later", [True, False])
def test_a_page_of_two_runs_outlines_the_windows_of_the_second(later: bool, tmp_path: Path) -> None:
    first = with_images(tmp_path, planted_result(200, strength=0.8))
    second = replace(planted_result(200, strength=3.0), images=first.images, recipe=first.recipe)
    for name, result in (("a", first), ("b", second)):
        save_result(with_windows(result) if (name == "b") == later else result, tmp_path / name)
    page = build_report([tmp_path / "a", tmp_path / "b"]).page.read_text(encoding="utf-8")
    WellFormed().check(page)
    assert bool(outlines(page)) == later
    assert ("It is that of the second run." in page) == later


def test_results_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    save_result(planted_result(), tmp_path / "a")
    save_result(planted_result(50), tmp_path / "b")
    with pytest.raises(ResultError, match="different images"):
        build_report([tmp_path / "a", tmp_path / "b"])
    assert not list((tmp_path / "b").glob("*.html"))


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        (PerLabel(), "per-label (photo)"),
        (Normalised(PerLabel(threshold=1.5)), "normalised:per-label,per-label.threshold=1.5 (photo)"),
        (Thresholded(Normalised(TopAll()), THRESHOLDS), "normalised:top-all (bare) with thresholds"),
        (YesOrNo(), "yes-or-no (seed-paper)"),
    ],
)
def test_strategies_are_named_by_spec_and_prompts(strategy: Strategy, name: str) -> None:
    recipe = describe(strategy, EmbeddingStore(PlantedEncoder(), cache=None), ("dog", "cat"))
    assert strategy_name(recipe) == name


def test_strategies_of_older_results_are_shown_as_they_are() -> None:
    older = {key: value for key, value in RECIPE.items() if key != "spec"} | {"strategy": "Mine(x=1)"}
    assert strategy_name(older) == "Mine(x=1)"


# the terminal


@pytest.mark.parametrize(
    ("share", "blocks", "plain"),
    [
        (0, "    ", "    "),
        (1, "████", "####"),
        (0.5, "██  ", "##  "),
        (0.53125, "██▏ ", "##  "),
        (np.nan, "    ", "    "),
    ],
)
def test_bars(share: float, blocks: str, plain: str) -> None:
    assert bar(share, 4) == blocks
    assert bar(share, 4, blocks=False) == plain


@pytest.mark.parametrize("name", odd_results())
def test_the_terminal_table_is_aligned(name: str) -> None:
    result = odd_results()[name]
    lines = result_table(result).splitlines()
    table = lines[: len(result.labels) + 1]
    assert len({cell_len(line) for line in table}) == 1
    assert lines[len(table) + 1].startswith("mAP")


# in a browser


VISIBLE = "[...document.querySelectorAll('.card')].filter((card) => card.checkVisibility()).length"
LOAD = (
    "Promise.all([...document.images].map(async (image) => { await image.decode();"
    " return image.naturalWidth > 0 && image.alt.length > 10; })).then((all) => all.length && all.every(Boolean))"
)


def choose(label: str, kinds: Sequence[str]) -> str:
    """A script that filters the gallery and counts the cards that are left."""
    return (
        f"(() => {{ const form = document.querySelector('.filter'); form.querySelector('select').value = {label!r};"
        f" form.querySelectorAll('input').forEach((box) => {{ box.checked = {list(kinds)!r}.includes(box.value); }});"
        f" form.dispatchEvent(new Event('change')); return {VISIBLE}; }})()"
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1100, 390])
def test_the_page_in_a_browser(browser: Browser, width: int, dark: bool, tmp_path: Path) -> None:
    """Opened from disk: no errors, no requests, images load, filters work, nothing overflows."""
    labels = ("cat", "dog", "owl", "<b>wolf</b>")
    result = with_images(tmp_path, planted_result(120, labels))
    save_result(result, tmp_path / "run")
    page = build_report([tmp_path / "run"]).page
    browser.open(page, width=width, dark=dark)
    assert browser.requests() == [page.resolve().as_uri()]
    assert browser.run(LOAD) is True
    own = [(example.label, example.kind) for example in examples(result)]
    assert browser.run(choose("", ["false positive", "false negative"])) == len(own)
    assert browser.run(choose("2", ["false positive", "false negative"])) == sum(label == 2 for label, _ in own)
    assert browser.run(choose("3", ["false negative"])) == own.count((3, "false negative"))
    assert browser.run("document.querySelector('output').textContent") == f"{own.count((3, 'false negative'))} images"
    assert browser.run(choose("", [])) == 0
    assert browser.run("document.documentElement.scrollWidth") <= width
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(23, 24, 26)") == dark
    assert browser.complaints() == []


def test_the_keyboard_reaches_everything(browser: Browser, tmp_path: Path) -> None:
    result = with_images(tmp_path, planted_result())
    save_result(result, tmp_path / "run")
    browser.open(build_report([tmp_path / "run"]).page)
    reached = set()
    for _ in range(60):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(browser.run("document.activeElement.tagName + '.' + document.activeElement.className"))
    assert {"A.skip", "A.", "DIV.wide", "SELECT.", "INPUT.", "SUMMARY."} <= reached


IN_PLACE = """[...document.querySelectorAll(".outlined")].filter((e) => e.checkVisibility()).map((outlined) => {
  const image = outlined.querySelector("img"), shown = image.getBoundingClientRect();
  const scale = Math.min(shown.width / image.naturalWidth, shown.height / image.naturalHeight);
  const left = shown.left + (shown.width - scale * image.naturalWidth) / 2;
  const top = shown.top + (shown.height - scale * image.naturalHeight) / 2;
  const rect = outlined.querySelector("rect"), drawn = rect.getBoundingClientRect(), fault = (at, from, by) =>
    Math.abs(at - from - scale * by.baseVal.value);
  return Math.max(fault(drawn.left, left, rect.x), fault(drawn.top, top, rect.y), fault(drawn.width, 0, rect.width));
})"""


@pytest.mark.parametrize("width", [390, 1100])
def test_outlines_are_in_place_on_images_that_are_shown_at_any_size(
    browser: Browser, width: int, tmp_path: Path
) -> None:
    """A thumbnail is shown whole, in a card of another shape."""
    result = with_windows(with_images(tmp_path, planted_result()))
    for n in range(60):
        Image.new("RGB", (300, 100 + 10 * n), "grey").save(tmp_path / f"images/{n:04}.png")
    save_result(result, tmp_path / "run")
    browser.open(build_report([tmp_path / "run"]).page, width=width)
    faults = browser.run(IN_PLACE)
    assert len(faults) > 5
    assert max(faults) < 0.1
    assert browser.complaints() == []


def test_hostile_names_run_nothing_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    result = planted_result(labels=HOSTILE, images=tuple(f"{n}{HOSTILE[n % 6]}" for n in range(60)))
    save_result(result, tmp_path / "run")
    for folders in ([tmp_path / "run"], [tmp_path / "run", tmp_path / "run"]):
        page = build_report(folders).page
        browser.open(page)
        assert browser.run("window.hacked === undefined") is True
        assert HOSTILE[0] in browser.run("document.body.textContent")
        assert browser.run("document.querySelectorAll('img[onerror], svg[onload], main script').length") == 0
        assert browser.complaints() == []
        assert browser.requests() == [page.resolve().as_uri()]


def test_an_injected_script_does_not_run(browser: Browser, tmp_path: Path) -> None:
    """The content policy of the page is a second defence: it blocks all scripts but that of the page."""
    save_result(planted_result(), tmp_path / "run")
    page = build_report([tmp_path / "run"]).page
    page.write_text(page.read_text().replace("<main", "<script>window.hacked = 4</script><main", 1))
    browser.open(page)
    assert browser.run("window.hacked === undefined") is True
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())
