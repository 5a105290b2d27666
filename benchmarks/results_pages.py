"""Write docs/results/*.md from the files in benchmarks/results/ and the texts in benchmarks/pages/.

The table of extras in docs/install.md comes from a result file too.

python benchmarks/results_pages.py           writes the pages
python benchmarks/results_pages.py --check   exits with 1 if a page is stale

A text is Markdown with placeholders such as {{ ablation-scenes }}, each on its own line. Every table comes from a
result file and is never edited by hand.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
TEXTS = ROOT / "benchmarks" / "pages"
PAGES = ROOT / "docs" / "results"
INSTALL_PAGE = ROOT / "docs" / "install.md"

_HEADER = "<!-- Written by benchmarks/results_pages.py. Change benchmarks/pages/{name} or the results instead. -->"
_EXTRAS_START, _EXTRAS_END = "<!-- generated: extras -->", "<!-- end -->"
_PLACEHOLDER = re.compile(r"^\{\{ ([a-z0-9-]+) \}\}$", re.MULTILINE)
_MINUS = "\N{MINUS SIGN}"
_NONE = "\N{EN DASH}"

Record = Mapping[str, str]

_INSTALL = "install-torch2.14-cpu2core.csv"
EXTRAS = {
    "offline": (
        "EfficientNet-Lite0, all-MiniLM-L6-v2, transformers",
        "`--model conse`: photographs, no model download",
    ),
    "lite2": ("EfficientNet-Lite2", "`--model conse,classifier=lite2`, together with `offline`"),
    "open-clip": (
        "open_clip, timm, transformers, sentencepiece",
        "`--model open_clip:…`, `hf-hub:…`, `local-dir:…`, `hf:…`",
    ),
    "parquet": ("pyarrow", "image lists and captions in Parquet"),
    "heif": (
        "pillow-heif (BSD; its wheels contain libheif, LGPL, and x265, GPL)",
        "HEIC photographs from phones",
    ),
}
"""Each extra for users, in the order of pyproject.toml: what it adds, and what needs it."""

# Rows of the adapter table: their name on the page -> their row in the reproduction tables.
_ADAPTERS = {
    "`per-label`, not trained": "per-label (ours), untrained",
    "`top-all`, not trained": "top-all, untrained",
    "linear probe": "linear-probe (ours)",
    "FC": "CLIP-FC-Adapter",
    "FC, `start=cosine`": "FC from the cosines (ours)",
    "MLD": "CLIP-MLD-Adapter",
    "MLD, `start=cosine`": "MLD from the cosines (ours)",
    "MLD, spatial tokens": "MLD, spatial tokens (ours)",
    "ML-Decoder, pooled vector": "ML-Decoder, pooled vector (ours)",
    "ML-Decoder, spatial tokens": "ML-Decoder (ours)",
    "DM-decoder, 1 block, pooled vector": "DM-decoder×1, pooled vector (ours)",
    "DM-decoder, 1 block, spatial tokens": "DM-decoder×1 (ours)",
}
_NAMED_OTHERWISE = {("mmm-clip-4", "top-all, untrained"): "Top-All Classes"}
_ADAPTER_COLUMNS = {
    "2,700 images": ("mmm-clip-2", "scenes"),
    "2 % of 5,000": ("mmm-clip-3", "2 %"),
    "5 %": ("mmm-clip-3", "5 %"),
    "10 %": ("mmm-clip-3", "10 %"),
    "20 %": ("mmm-clip-3", "20 %"),
    "six unseen labels": ("mmm-clip-4", "6 unseen labels"),
}


def main() -> None:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is stale")
    check = parser.parse_args().check
    stale = [path for path, text in pages().items() if not path.is_file() or path.read_text("utf-8") != text]
    if check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"stale: {names}; run python benchmarks/results_pages.py")
    for path in () if check else stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages()[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


def pages() -> dict[Path, str]:
    """The path and text of each page."""
    written = {PAGES / text.name: _page(text) for text in sorted(TEXTS.glob("*.md"))}
    return written | {INSTALL_PAGE: _with_extras(INSTALL_PAGE.read_text(encoding="utf-8"))}


def _page(path: Path) -> str:
    body = _PLACEHOLDER.sub(lambda match: TABLES[match[1]](), path.read_text(encoding="utf-8"))
    return f"{_HEADER.format(name=path.name)}\n\n{body}"


def _with_extras(text: str) -> str:
    """`text` with the table of extras between its markers."""
    before, start, rest = text.partition(_EXTRAS_START)
    _, end, after = rest.partition(_EXTRAS_END)
    if not (start and end):
        sys.exit(f"expected {_EXTRAS_START} and {_EXTRAS_END} in install.md, found neither or one")
    return f"{before}{start}\n{_extras()}\n{end}{after}"


def _read(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: int) -> str:
    """A Markdown table; columns from position `numbers` on are right-aligned."""
    rule = ["---" if c < numbers else "---:" for c in range(len(columns))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [columns, rule, *rows])


def _percent(share: str | float, places: int = 1, sign: bool = False) -> str:
    text = f"{100 * float(share):+.{places}f}" if sign else f"{100 * float(share):.{places}f}"
    return text.replace("-", _MINUS)


def _ablation(name: str) -> str:
    columns = [
        *("strategy", "prompts", "mAP (95 % interval)", "Δ mAP (95 % interval)", "p"),
        *("seed_mAP", "sample F1", "macro F1", "texts"),
    ]
    return _table(columns, [_ablation_row(record) for record in _read(name)], numbers=2)


def _ablation_row(record: Record) -> list[str]:
    return [
        f"`{record['strategy']}`",
        _wording(record),
        f"{_percent(record['mAP'])} ({_percent(record['mAP_low'])} to {_percent(record['mAP_high'])})",
        _change(record),
        _p_value(record["p_adjusted"]),
        *(_percent(record[key]) for key in ("seed_mAP", "sample_f1", "macro_f1")),
        f"{int(record['texts']):,}",
    ]


def _wording(record: Record) -> str:
    wording = record["prompts"].removesuffix(".toml")
    if record["captions"].startswith("random-words"):
        wording += ", random words as captions"
    return f"{wording}, tuned thresholds" if record["supervision"] == "tuned" else wording


def _change(record: Record) -> str:
    if not record["change"]:
        return _NONE
    low, high = _percent(record["change_low"]), _percent(record["change_high"])
    return f"{_percent(record['change'], sign=True)} ({low} to {high})"


def _p_value(text: str) -> str:
    if not text:
        return _NONE
    return "<0.01" if float(text) < 0.01 else f"{float(text):.2f}"


def _start_up() -> str:
    columns = ["model", "new", "seconds", "processor seconds"]
    rows = [
        [r["model"], r["new"], f"{float(r['seconds']):.1f}", f"{float(r['cpu_seconds']):.1f}"]
        for r in _read("start-up-torch2.14-cpu2core.csv")
    ]
    return _table(columns, rows, numbers=2)


def _labels_asked() -> str:
    columns = ["strategy", "labels asked", "true positives", "false positives", "precision", "recall"]
    rows = [
        [
            *(f"`{r['strategy']}`", r["labels"]),
            *(f"{float(r[key]):.0f}" for key in ("true_positives", "false_positives")),
            *(_percent(r[key]) for key in ("precision", "recall")),
        ]
        for r in _read("labels-asked-voc2007-conse.csv")
    ]
    return _table(columns, rows, numbers=1)


def _long_lists() -> str:
    rows = [
        [
            *(f"`{r['strategy']}`", r["labels"], f"{float(r['mean']):.1f}"),
            f"{float(r['lowest']):.1f} to {float(r['highest']):.1f}",
        ]
        for r in _read("long-lists-voc2007-conse.csv")
    ]
    return _table(["strategy", "labels asked", "labels per photograph", "range"], rows, numbers=1)


def _missed_labels() -> str:
    columns = ["label", "photographs", "AP", "recall", "precision", "recall of 3 labels", "precision of 3 labels"]
    measures = ("ap", "recall_of_20", "precision_of_20", "recall_of_3", "precision_of_3")
    rows = [
        [r["label"], r["photographs"], *(_percent(r[key]) for key in measures)]
        for r in _read("missed-labels-voc2007-conse.csv")
    ]
    return _table(columns, rows, numbers=1)


def _spread(record: Record | None, measure: str = "ours") -> str:
    """Mean ± standard deviation in percent; a deviation below 0.05 is omitted."""
    if record is None:
        return _NONE
    deviation = float(record["deviation"] or 0)
    return _percent(record[measure]) + (f" ± {_percent(deviation)}" if deviation >= 0.0005 else "")


def _adapters_on_scenes() -> str:
    records = _read("tables-scenes-tiny-cpu2core.csv")
    cells = {(r["table"], r["row"], r["column"]): r for r in records if r["metric"] == "mAP"}

    def cell(row: str, place: tuple[str, str]) -> str:
        table, column = place
        return _spread(cells.get((table, _NAMED_OTHERWISE.get((table, row), row), column)))

    rows = [[shown, *(cell(row, place) for place in _ADAPTER_COLUMNS.values())] for shown, row in _ADAPTERS.items()]
    return _table(["", *_ADAPTER_COLUMNS], rows, numbers=1)


def _folds() -> str:
    rows = [
        [
            f"`{r['strategy']}`",
            r["seeds"],
            _spread(r, "mAP"),
            f"{_percent(r['low, seed 0'])} to {_percent(r['high, seed 0'])}",
            _percent(r["micro_f1"]),
            f"{float(r['seconds a training']):.2g}" if float(r["seconds a training"]) else _NONE,
        ]
        for r in _read("folds-voc2007-500photos-conse-cpu2core.csv")
    ]
    columns = ["strategy or adapter", "seeds", "mAP", "95 % interval, seed 0", "micro F1", "seconds per training"]
    return _table(columns, rows, numbers=1)


def _reproductions() -> str:
    """Every table of `zsprompt reproduce`, each under its own heading."""
    parts = []
    for path in sorted((RESULTS / "tables-scenes-tiny").glob("*.md")):
        name, _, rest = path.read_text(encoding="utf-8").partition(": ")
        parts.append(f"## {name}\n\n{rest.strip()}\n")
    return "\n".join(parts).strip()


def _token_trie() -> str:
    records = _read("token-trie-vit-b32-64photos-torch2.15-cpu2core.csv")
    columns = ["wording", "method", "texts", "tokens run", "seconds", "times as fast as the fastest padded batch"]
    rows = [
        [
            *(r["wording"], r["way"], f"{int(r['texts']):,}", f"{int(r['tokens_run']):,}"),
            *(f"{float(r['seconds']):.2f}", f"{float(r['times_fastest_padded']):.1f}"),
        ]
        for r in records
    ]
    return _table(columns, rows, numbers=2)


def _towers() -> str:
    columns = ["tower", "method", "images per second", "speed-up", "mAP"]
    rows = [
        [
            *(r["tower"], r["way"], f"{float(r['pictures_per_s']):,.0f}", f"{float(r['times_plain']):.1f}"),
            _percent(r["mAP"], 2) if r["mAP"] else "",
        ]
        for r in _read("precision-torch2.15-cpu2core.csv")
        if r["pictures_per_s"]
    ]
    return _table(columns, rows, numbers=2)


def _open_clip(tower: str) -> str:
    """One row per model and way of `tower`, "text" or "image"."""
    columns = ["model", "method", "per second", "times open_clip", "largest difference", "lowest cosine"]
    columns += ["texts run as"] if tower == "text" else []
    rows = [
        [
            *(r["model"], r["way"], f"{float(r['per second']):,.1f}", f"{float(r['times open_clip']):.1f}"),
            *([r["difference"], r["cosine"]] if r["way"] != "open_clip" else ["", ""]),
            *([r["texts by"] if r["way"] != "open_clip" else "padded"] if tower == "text" else []),
        ]
        for r in _read("open-clip-families-torch2.14-cpu2core.csv")
        if r["tower"] == tower
    ]
    return _table(columns, rows, numbers=2)


def _gpu() -> str:
    columns = ["model", "method", "per second", "peak GB"]
    rows = [
        [r["model"], f"{r['of']}: {r['way']}", f"{float(r['per_second']):,.0f}", f"{float(r['peak_gb']):.1f}"]
        for r in _read("gpu-h200-torch2.11.csv")
    ]
    return _table(columns, rows, numbers=2)


def _end_to_end() -> str:
    (record,) = _read("end-to-end-vit-b32-500photos-torch2.15-cpu2core.csv")
    columns = ["images", "the paper's loop, scaled up", "`zsprompt run`, empty cache", "filled cache", "speed-up"]
    seconds = [f"{float(record[key]):.0f} s" for key in ("loop_s_scaled_up", "cold_s", "warm_s")]
    return _table(columns, [[record["photos"], *seconds, f"{float(record['loop_over_cold']):.0f}"]], numbers=0)


def _label_free(name: str) -> str:
    columns = [
        "strategy",
        "has seen",
        "mAP",
        "chosen on",
        "reported on",
        "Δ mAP (95 % interval)",
        "micro F1",
        "lowest label",
    ]
    rows = [
        [
            f"`{r['strategy']}`",
            r["supervision"],
            *(_percent(r[key]) for key in ("mAP", "chosen", "reported")),
            _change(r) if float(r["change"]) or r["strategy"] != "per-label" else _NONE,
            _percent(r["micro_f1"]),
            f"{r['lowest']} {_percent(r['lowest_ap'], 0)}",
        ]
        for r in _read(name)
    ]
    return _table(columns, rows, numbers=2)


def _self_training() -> str:
    records = _read("self-training-scenes-planted.csv")
    counts = sorted({int(r["images"]) for r in records})
    rows = []
    for world, strategy in dict.fromkeys((r["world"], r["strategy"]) for r in records):
        own = [r for r in records if (r["world"], r["strategy"]) == (world, strategy)]
        before = [float(r["before"]) for r in own]
        changes = [[float(r["change"]) for r in own if int(r["images"]) == count] for count in counts]
        cells = [
            f"{_percent(sum(one) / len(one), sign=True)} ({_percent(min(one))} to {_percent(max(one))})"
            for one in changes
        ]
        rows.append([f"{world}, {strategy}", _percent(sum(before) / len(before)), *cells])
    return _table(["", "mAP before", *(f"{count:,} images" for count in counts)], rows, numbers=1)


def _softmax_or_z() -> str:
    records = [r for r in _read("softmax-or-z-voc2007-conse.csv") if r["half"] == "reported"]
    pairs = list(zip(records[::2], records[1::2], strict=True))

    def change(record: Record) -> str:
        return _change({**record, "change_low": record["low"], "change_high": record["high"]})

    columns = [
        "labels asked",
        "mAP of z",
        "mAP of softmax",
        "micro F1 of z",
        "micro F1 of softmax",
        "Δ micro F1 (95 % interval)",
    ]
    rows = [
        [z["labels"], *(_percent(r[key]) for key in ("mAP", "micro_f1") for r in (z, softmax)), change(softmax)]
        for z, softmax in pairs
    ]
    return _table(columns, rows, numbers=0)


def _softmax_words() -> str:
    records = [r for r in _read("softmax-words-voc2007-conse.csv") if r["half"] == "reported"]
    cuts = [key for key in records[0] if key.startswith("micro F1 at")]
    rows = [[r["words"], r["number"], _percent(r["mAP"]), *(_percent(r[cut]) for cut in cuts)] for r in records]
    columns = ["words", "number", "mAP", *(cut.replace("micro F1 at", "F1 at") for cut in cuts)]
    return _table(columns, rows, numbers=1)


def _real_clip() -> str:
    rows = [
        [f"`{r['strategy']}`", _percent(r["mAP"]), _change(r) if float(r["change"]) else _NONE]
        + [_percent(r[key]) for key in ("precision", "recall", "micro_f1")]
        for r in _read("real-clip-vit-b32-213photos.csv")
    ]
    return _table(["strategy", "mAP", "Δ mAP (95 % interval)", "precision", "recall", "micro F1"], rows, numbers=1)


def _logit_scale_suggested() -> str:
    rows = [
        [
            r["model"],
            r["data"],
            r["words"],
            f"{float(r['known']):.3g}",
            f"{float(r['suggested']):.3g}",
            f"{float(r['low']):.3g} to {float(r['high']):.3g}",
            f"{float(r['suggested_over_known']):.2f}",
            f"{float(r['suggested_by_30_words']):.3g}",
        ]
        for r in _read("logit-scale-suggested.csv")
    ]
    columns = [
        "model",
        "images",
        "words",
        "its scale",
        "suggested",
        "from 50 images",
        "suggested ÷ its scale",
        "by 30 words",
    ]
    return _table(columns, rows, numbers=2)


def _logit_scale_wrong() -> str:
    rows = [
        [r["model"], r["data"], r["factor"], f"{float(r['scale']):.3g}", _percent(r["mAP"])]
        + [_NONE if r["factor"] == "1" else _change(r), f"{float(r['labels_per_image']):.2f}"]
        + [_percent(r[key]) for key in ("precision", "recall", "micro_f1")]
        for r in _read("logit-scale-wrong.csv")
    ]
    columns = ["model", "images", "times its scale", "scale", "mAP", "Δ mAP (95 % interval)", "labels per image"]
    return _table([*columns, "precision", "recall", "micro F1"], rows, numbers=2)


def _compounds(name: str) -> str:
    columns = ["strategy", "prompts", "seen together", "mAP", "Δ mAP (95 % interval)"]
    records = [r for r in _read(name) if r["texts"] in ("photo", "bare") and r["strategy"] != "per-label"]
    rows = [
        [
            f"`{r['strategy']}`",
            r["texts"],
            f"{int(r['at_once']):,}" if "component" in r["strategy"] else "1",
            _percent(r["reported"]),
            _change(r) if r is not records[0] else _NONE,
        ]
        for r in records
    ]
    return _table(columns, rows, numbers=2)


def _texts(name: str) -> str:
    base, factors = "normalised:per-label", ("", ",reweight=1", ",reweight=14", ",reweight=100")
    records = {(r["texts"], r["strategy"]): r for r in _read(name)}
    controls = [texts for texts, _ in records if texts.endswith("random words 0")]
    columns = ["texts", "mAP of the mean", "Δ mAP (95 % interval)", *(f"Δ by factor {f[10:]}" for f in factors[1:])]
    columns.append("Δ of random words")
    rows = []
    for texts in dict.fromkeys(texts for texts, _ in records if "random" not in texts and texts != "bare"):
        mean = records[texts, base]
        changes = [records.get((texts, base + factor)) for factor in factors[1:]]
        seeds = [
            records[control[:-1] + seed, base]
            for control in controls
            if control.startswith(f"{texts}, r")
            for seed in "012"
        ]
        rows.append(
            [
                texts,
                _percent(mean["reported"]),
                _NONE if texts == "photo" else _change(mean),
                *(_percent(r["change"], sign=True) if r else _NONE for r in changes),
                _percent(sum(float(r["change"]) for r in seeds) / len(seeds), sign=True) if seeds else _NONE,
            ]
        )
    return _table(columns, rows, numbers=1)


def _layouts() -> str:
    columns = ["tool", "layout", "`--dataset`", "`data check`", "`run`", "labels", "named"]
    return _table(columns, [_layout_row(record) for record in _read("layouts.csv")], numbers=len(columns))


def _layout_row(record: Record) -> list[str]:
    status = ["passes" if record[key] == "0" else "refused" for key in ("check", "run")]
    named = record["refusal"] or record["remarks"].replace(" ", ", ")
    tool = " ".join(filter(None, [record["tool"], record["version"]]))
    return [
        *(tool, record["layout"].replace("|", "\\|"), f"`{record['dataset']}`", *status),
        *(record["labels"], named.replace("|", "\\|")),
    ]


def _extras() -> str:
    """Each extra for users: what it adds to an installation, and its size."""
    records = {r["extras"]: r for r in _read(_INSTALL) if not r["first"]}
    alone = int(records[""]["mb"])

    def row(shown: str, adds: str, needed_for: str, extras: str) -> list[str]:
        record = records.get(extras)
        size = f"+{int(record['mb']) - alone:,}" if record else "not measured"
        return [shown, adds, needed_for, record["pip_check"] if record else _NONE, size]

    first = ["none", "zsprompt, PyTorch with CUDA", "`tiny`, OpenAI's CLIP", records[""]["pip_check"], f"{alone:,}"]
    rows = [row(f"`{extra}`", adds, needed_for, extra) for extra, (adds, needed_for) in EXTRAS.items()]
    every = row("all of these", _NONE, _NONE, " ".join(EXTRAS))
    return _table(["extra", "adds", "needed for", "`pip check`", "MB"], [first, *rows, every], numbers=4)


def _install() -> str:
    columns = ["first", "extras", "MB", "seconds", "packages", "`pip check`", "`zsprompt --version`"]
    columns += ["`import zsprompt`", "`import torchvision`", "torch", "torchvision"]
    checks = ("pip_check", "version_command", "import_zsprompt", "import_torchvision", "torch", "torchvision")
    rows = [
        [
            f"`{r['first']}`" if r["first"] else _NONE,
            r["extras"].replace(" ", ", ") or _NONE,
            *(f"{int(r[key]):,}" for key in ("mb", "seconds", "packages")),
            *(r[key] for key in checks),
        ]
        for r in _read(_INSTALL)
    ]
    return _table(columns, rows, numbers=len(columns))


TABLES: dict[str, Callable[[], str]] = {
    "ablation-scenes": lambda: _ablation("ablation-scenes-tiny-torch2.14-cpu2core.csv"),
    "ablation-photographs": lambda: _ablation("ablation-voc2007-500photos-conse-torch2.14-cpu2core.csv"),
    "start-up": _start_up,
    "labels-asked": _labels_asked,
    "long-lists": _long_lists,
    "missed-labels": _missed_labels,
    "adapters-scenes": _adapters_on_scenes,
    "adapters-folds": _folds,
    "reproductions": _reproductions,
    "token-trie": _token_trie,
    "towers": _towers,
    "open-clip-texts": lambda: _open_clip("text"),
    "open-clip-images": lambda: _open_clip("image"),
    "gpu": _gpu,
    "end-to-end": _end_to_end,
    "layouts": _layouts,
    "install": _install,
    "label-free-photographs": lambda: _label_free("label-free-voc2007-500photos-conse.csv"),
    "label-free-lite2": lambda: _label_free("label-free-voc2007-500photos-conse-lite2.csv"),
    "label-free-scenes": lambda: _label_free("label-free-scenes-tiny.csv"),
    "compound-photographs": lambda: _compounds("prompt-side-voc2007-conse.csv"),
    "compound-scenes": lambda: _compounds("prompt-side-scenes-tiny.csv"),
    "texts-photographs": lambda: _texts("prompt-side-voc2007-conse.csv"),
    "texts-scenes": lambda: _texts("prompt-side-scenes-tiny.csv"),
    "self-training": _self_training,
    "softmax-or-z": _softmax_or_z,
    "softmax-words": _softmax_words,
    "real-clip": _real_clip,
    "logit-scale-suggested": _logit_scale_suggested,
    "logit-scale-wrong": _logit_scale_wrong,
}
"""Placeholder -> its content."""


if __name__ == "__main__":
    main()
