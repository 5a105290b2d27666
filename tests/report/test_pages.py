"""Pages of every kind as a reader meets them: on a phone and a wide screen, on paper, by keyboard, read aloud."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import Browser
from pages import COCO, FAILED, PAGES, VOC, planted_run, write_ablation

from zsprompt._utils.progress import quiet
from zsprompt.evaluation.compare import compare
from zsprompt.report import drawing
from zsprompt.report.charts import Bars, Grid, Panels
from zsprompt.report.of_ablation import ablation_report
from zsprompt.report.of_comparison import comparison_report
from zsprompt.report.of_run import run_report
from zsprompt.report.page import Page, Report, render

STYLE = (Path(drawing.__file__).parent / "templates/style.css").read_text(encoding="utf-8")

over_pages = pytest.mark.parametrize("kind", PAGES)


@pytest.fixture(scope="module")
def report_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Report]:
    """A report by kind; each is made once."""
    return cache(lambda kind: PAGES[kind](tmp_path_factory.mktemp("report") / "data"))


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory, report_of: Callable[[str], Report]) -> Callable[[str], Path]:
    """The file of a page by kind; each is written once."""

    def write(kind: str) -> Path:
        path = tmp_path_factory.mktemp("page") / "page.html"
        path.write_text(render(report_of(kind).page), encoding="utf-8")
        return path

    return cache(write)


# as text


class Outline(HTMLParser):
    """Headings, landmarks, anchors, links and identifiers in the order of the page."""

    LANDMARKS = ("header", "nav", "main", "footer")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.landmarks: list[str] = []
        self.identifiers: list[str] = []
        self.links: list[str] = []
        self.language: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag in self.LANDMARKS:
            self.landmarks.append(tag)
        if given.get("id"):
            self.identifiers.append(str(given["id"]))
        if tag == "a":
            self.links.append(str(given["href"]))
        if tag == "html":
            self.language = given.get("lang")


@over_pages
def test_headings_landmarks_and_links_are_in_order(kind: str, page_file: Callable[[str], Path]) -> None:
    page = page_file(kind).read_text(encoding="utf-8")
    outline = Outline(page)
    assert outline.language == "en"
    assert outline.landmarks == list(Outline.LANDMARKS)
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(below - above <= 1 for above, below in steps)
    assert len(set(outline.identifiers)) == len(outline.identifiers)
    assert {link.removeprefix("#") for link in outline.links} <= set(outline.identifiers)
    assert re.search("<title>[^<]+</title>", page)


@over_pages
def test_a_page_leads_with_at_most_three_numbers_and_warns_once(kind: str, report_of: Callable[[str], Report]) -> None:
    page = report_of(kind).page
    assert 1 <= len(page.cards) <= 3
    warnings = [*page.notes, *(note for section in page.sections for note in section.notes)]
    assert len(set(warnings)) == len(warnings)
    cells = {cell for section in page.sections for table in section.tables for row in table.rows for cell in row}
    assert not cells & set(warnings)


def test_a_page_counts_the_labels_that_its_table_names() -> None:
    result = planted_run(VOC)
    assert any(f"{label} {result.positives[c]}" in result.warnings[0] for c, label in enumerate(VOC))
    (note,) = run_report(result, {}, quiet, []).page.notes
    assert note == "fewer than 50 positives for 20 of 20 labels, so their AP and its interval are imprecise"


@pytest.mark.parametrize("kind", ["run, 20 labels", "comparison, 20 labels", "ablation, failed row"])
def test_the_same_page_is_the_same_bytes(kind: str, tmp_path: Path) -> None:
    first, second = (render(PAGES[kind](tmp_path / name).page).replace(str(tmp_path / name), "") for name in "ab")
    assert first == second


# one order of labels


def orders(page: Page) -> dict[str, list[str]]:
    """The labels in each part of a page that shows all of them."""
    shown: dict[str, list[str]] = {}
    for section in page.sections:
        for figure in section.figures:
            match figure.chart:
                case Bars(rows):
                    shown[figure.name] = [row.name for row in rows]
                case Grid(rows, columns):
                    shown[f"{figure.name}, columns"] = list(columns)
                case Panels(panels) if len(panels) > 1:
                    shown[figure.name] = [panel.name for panel in panels]
        for table in section.tables:
            if table.header[0] == "label":
                shown[table.caption] = [row[0] for row in table.rows]
        if section.gallery:
            shown["gallery"] = [key.name.rpartition(" (")[0] for key in section.gallery.labels]
    return shown


def test_labels_stand_in_one_order_everywhere_on_a_run_page() -> None:
    result = planted_run(VOC, left_out=0)
    shown = orders(run_report(result, {}, quiet, []).page)
    best = sorted(VOC, key=lambda label: -result.ap[VOC.index(label)])
    assert len(shown) == 6  # bars, table, curves, confusions, scores, gallery
    assert all(order == best for order in shown.values()), shown


def test_labels_stand_in_one_order_everywhere_on_a_page_of_two_runs() -> None:
    comparison = compare(planted_run(VOC, strength=0.5), planted_run(VOC, strength=2.0))
    shown = orders(comparison_report(comparison, ("a", "b"), {}, quiet, []).page)
    largest = sorted(VOC, key=lambda label: -abs(comparison.ap[VOC.index(label)].value))
    assert len(shown) == 3  # bars, table, gallery
    assert all(order == largest for order in shown.values()), shown


def test_of_many_labels_the_curves_show_some_in_the_same_order() -> None:
    shown = orders(run_report(planted_run(COCO), {}, quiet, []).page)
    table = shown["Labels, the highest AP first, in percent"]
    for name in ("precision-recall", "scores", "confusions, columns"):
        assert len(shown[name]) == 40
        assert shown[name] == [label for label in table if label in set(shown[name])]


# failed rows of an ablation


@pytest.mark.parametrize("kind", ["ablation, failed row", "ablation, 80 labels", "ablation, all failed"])
def test_a_failed_row_says_why_in_bars_table_and_heat_map(kind: str, report_of: Callable[[str], Report]) -> None:
    report = report_of(kind)
    failed = [number for number, row in enumerate(report.facts["rows"]) if row["error"]]
    rows, *labels = [section for section in report.page.sections if section.anchor != "provenance"]
    reason = f"failed: {FAILED}"
    (bars,), (table,) = rows.figures, rows.tables
    assert [n for n, bar in enumerate(bars.chart.rows) if bar.reason == reason] == failed
    assert [n for n, row in enumerate(table.rows) if row[-1] == reason] == failed
    assert all(len(row) == table.words + 1 for n, row in enumerate(table.rows) if n in failed)
    assert bool(labels) == (kind != "ablation, all failed")
    for section in labels:
        (grid,) = section.figures
        assert list(grid.chart.reasons) == failed
        assert set(grid.chart.reasons.values()) == {reason}
        assert len(grid.chart.rows) == len(report.facts["rows"])
    assert f">{reason}<" in render(report.page)


def test_a_failed_row_stands_in_the_heat_map_of_its_data_set(tmp_path: Path) -> None:
    """Where the data set of a failed row is not among the measured ones, it stands in each heat map."""
    write_ablation(tmp_path, failed=(1, 3))
    path = tmp_path / "ablation.json"
    rows = json.loads(path.read_text())["rows"]
    rows[1]["dataset"] = "voc2007"
    path.write_text(json.dumps({"rows": rows}))
    (grid,) = next(section for section in ablation_report(tmp_path).page.sections if section.anchor == "labels").figures
    assert set(grid.chart.reasons) == {1, 3}


# colours


def palettes() -> dict[str, dict[str, str]]:
    """The colours of the style sheet by scheme and name."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    light, dark, paper = (dict(re.findall(r"--(\w+): (#[0-9a-f]{6})\b", block)) for block in blocks)
    return {"light": light, "dark": light | dark, "paper": light | paper}


def luminance(colour: tuple[float, float, float]) -> float:
    """Relative luminance of a colour, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def mixed(colour: str, ground: str, share: float) -> tuple[float, float, float]:
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(rgb(colour), rgb(ground), strict=True))
    return red, green, blue


def contrast(first: tuple[float, float, float], second: tuple[float, float, float]) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "paper"])
def test_text_and_marks_have_enough_contrast(scheme: str) -> None:
    """WCAG 2, level AA: 4.5 for text, 3 for marks of charts. Stripes and images have a ground of mixed colours."""
    colours = palettes()[scheme]
    stripe = mixed(colours["grid"], colours["page"], 0.35)
    for ground in (rgb(colours["page"]), rgb(colours["card"]), stripe):
        for name in ("text", "muted", "main", "other", "good"):
            assert contrast(rgb(colours[name]), ground) >= 4.5, (scheme, name)


@pytest.mark.parametrize("scheme", ["light", "dark", "paper"])
@pytest.mark.parametrize("colour", ["main", "other"])
def test_numbers_of_heat_maps_can_be_read_on_every_shade(scheme: str, colour: str) -> None:
    colours = palettes()[scheme]
    match = re.search(r"--heat: (\d+)%", STYLE)
    assert match
    for share in (0, 0.25, 0.5, 0.75, 1):
        ground = mixed(colours[colour], colours["page"], share * int(match[1]) / 100)
        assert contrast(rgb(colours["text"]), ground) >= 4.5


def test_files_have_the_light_colours_of_the_page() -> None:
    light = palettes()["light"]
    assert {role: light[role] for role in drawing.COLOURS} == drawing.COLOURS
    assert (light["text"], light["grid"]) == (drawing.TEXT, drawing.GRID)


# in a browser

FAULTS = """(() => {
  const faults = [], root = document.documentElement;
  const named = (e) => e.tagName.toLowerCase() + (e.className.baseVal ?? e.className).replace(/^|\\s+/g, ".");
  const scrolls = (e) => /auto|scroll/.test(getComputedStyle(e).overflowX);
  if (root.scrollWidth > innerWidth) faults.push(`the page is ${root.scrollWidth} wide`);
  for (const e of document.body.querySelectorAll("*:not(path, option, .skip)")) {
    if (!e.checkVisibility()) continue;
    const box = e.getBoundingClientRect();
    const inside = e.parentElement.closest(".wide, pre");
    if (!(inside && scrolls(inside)) && (box.left < -1 || box.right > innerWidth + 1))
      faults.push(`${named(e)} reaches from ${box.left} to ${box.right}`);
    if (getComputedStyle(e).overflowX === "hidden" && e.scrollWidth > e.clientWidth + 1)
      faults.push(`${named(e)} is cut`);
    if (scrolls(e) && e.tabIndex !== 0) faults.push(`${named(e)} scrolls, but not by keyboard`);
    const text = [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const size = parseFloat(getComputedStyle(e).fontSize);
    if (text && size < SMALLEST) faults.push(`${named(e)} has text of ${size} px`);
  }
  for (const bars of document.querySelectorAll(".bars")) {
    const whole = bars.getBoundingClientRect(), figure = bars.closest("figure").getBoundingClientRect();
    if (whole.width < figure.width - 1) faults.push(`bars span ${whole.width} of ${figure.width}`);
    for (const track of bars.querySelectorAll(".track"))
      if (track.getBoundingClientRect().width < 0.35 * whole.width) faults.push("a track has a third of its bars");
  }
  for (const sides of document.querySelectorAll(".sides:has(.bars)")) {
    const right = Math.max(...[...sides.children].map((e) => e.getBoundingClientRect().right));
    if (right < sides.getBoundingClientRect().right - 1) faults.push("a side of a section is blank");
  }
  return faults;
})()"""


@pytest.mark.parametrize("width", [320, 390, 768, 1200, 1920])
@over_pages
def test_nothing_is_cut_or_too_small(browser: Browser, kind: str, width: int, page_file: Callable[[str], Path]) -> None:
    browser.open(page_file(kind), width=width)
    assert browser.run("innerWidth") == width
    assert browser.run(FAULTS.replace("SMALLEST", "11")) == []
    assert browser.complaints() == []


@over_pages
def test_nothing_is_cut_on_paper(browser: Browser, kind: str, page_file: Callable[[str], Path]) -> None:
    """At the width of A4: tables are whole, texts are unfolded, the ground is white in a dark browser too."""
    browser.open(page_file(kind), width=718, dark=True, media="print")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run(FAULTS.replace("SMALLEST", "5")) == []
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("document.querySelectorAll('details:not([open])').length") == 0
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('details[open]').length") == 0


@pytest.mark.parametrize("kind", ["ablation", "ablation, failed row", "run, 20 labels", "comparison, 20 labels"])
def test_tables_are_whole_on_a_wide_screen(browser: Browser, kind: str, page_file: Callable[[str], Path]) -> None:
    browser.open(page_file(kind), width=1200)
    assert browser.run("[...document.querySelectorAll('.wide')].every((e) => e.scrollWidth <= e.clientWidth)") is True


def test_the_first_column_stays_in_sight(browser: Browser, page_file: Callable[[str], Path]) -> None:
    browser.open(page_file("run, 20 labels"), width=390)
    places = (
        "(() => { const wide = document.querySelector('.wide'); const name = wide.querySelector('tbody th');"
        " const before = name.getBoundingClientRect().left; wide.scrollLeft = 200;"
        " return [wide.scrollLeft, name.getBoundingClientRect().left - before]; })()"
    )
    assert browser.run(places) == [200, 0]


@pytest.mark.parametrize("kind", ["run, 20 labels", "comparison, 20 labels", "ablation, failed row"])
def test_the_keyboard_reaches_all_that_scrolls_or_opens(
    browser: Browser, kind: str, page_file: Callable[[str], Path]
) -> None:
    browser.open(page_file(kind), width=390)
    browser.run(
        "document.querySelectorAll('a, select, input, summary, .wide, pre').forEach((e, n) => { e.dataset.stop = n; })"
    )
    seen = "[...document.querySelectorAll('[data-stop]')].filter((e) => e.checkVisibility()).length"
    stops = list(_tab_stops(browser, browser.run(seen)))
    assert [number for number, _ in stops] == sorted({number for number, _ in stops})  # in the order of the page
    assert {outline for _, outline in stops} == {"solid"}  # and in sight


def _tab_stops(browser: Browser, count: int) -> Iterator[tuple[int, str]]:
    """The elements that the next `count` presses of Tab reach, with the outlines that show them."""
    for _ in range(count):
        _press(browser, "Tab")
        number = browser.run("document.activeElement.dataset.stop")
        yield int(number), browser.run("getComputedStyle(document.activeElement).outlineStyle")


def _press(browser: Browser, key: str, text: str = "") -> None:
    code = {"Tab": 9, "Enter": 13}[key]
    for event in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=event, key=key, code=key, windowsVirtualKeyCode=code, text=text)


def test_the_first_link_skips_the_navigation(browser: Browser, page_file: Callable[[str], Path]) -> None:
    browser.open(page_file("run, 3 labels"))
    _press(browser, "Tab")
    assert browser.run("document.activeElement.getBoundingClientRect().left >= 0") is True  # seen when reached
    _press(browser, "Enter", text="\r")
    _press(browser, "Tab")
    assert browser.run("document.activeElement.closest('main') !== null") is True


def test_paper_shows_the_images_that_the_reader_chose(browser: Browser, page_file: Callable[[str], Path]) -> None:
    visible = "[...document.querySelectorAll('.card')].filter((card) => card.checkVisibility()).length"
    browser.open(page_file("run, 20 labels"))
    chosen = browser.run(visible)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert 0 < browser.run(visible) == chosen
    # an image that waits until it is in sight would stay blank on paper
    assert browser.run("[...document.images].every((image) => image.complete && image.naturalWidth)") is True


def test_a_gallery_starts_with_the_label_that_has_the_most_images(
    browser: Browser, page_file: Callable[[str], Path]
) -> None:
    browser.open(page_file("run, 20 labels"))
    counts = browser.run("[...document.querySelectorAll('option')].map((e) => Number(e.text.match(/\\d+(?=\\)$)/)))")
    shown = browser.run("document.querySelector('output').textContent")
    assert shown == f"{max(counts)} images"
