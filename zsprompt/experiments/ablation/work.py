"""Running an ablation: each row is measured once, model by model, and its result is kept for later calls."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from time import perf_counter as clock
from typing import Any, cast

from zsprompt._utils.arguments import checked
from zsprompt._utils.outputs import check_folder
from zsprompt.errors import PlanError, UsageError, ZspromptError
from zsprompt.evaluation.compare import what_is_measured
from zsprompt.evaluation.provenance import prompt_sets
from zsprompt.evaluation.result import Result
from zsprompt.experiments.ablation.outcome import ROWS, Ablation, Entry, Measured, compared
from zsprompt.experiments.ablation.plan import run_of, title
from zsprompt.experiments.engine import Failure, Job, folder_name, measured_once, work_off
from zsprompt.experiments.spec import Prepared, Resolved, Resources, RunSpec
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import embed
from zsprompt.strategies import digest_of, reads, refuse


@checked
def ablate(
    rows: Sequence[RunSpec | Mapping[str, Any]], out: Path | str, *, resources: Resources | None = None
) -> Ablation:
    """Measure each row once; a row whose result is in `out` is read from there.

    All rows are checked before one runs, and those that cannot run are named first. The others run model by model.
    Images are embedded before the first row that needs them, which no row's time includes. A row that fails reports
    why; the others still run. A row is compared with the first row of its data set.
    A row is without the fields that it does not use, such as `captions` for a strategy that reads none: rows may share
    options that not all of them use.

    Args:
        rows: the plan, see `grid` and `read_plan`; a mapping holds the fields of a row.
        out: a folder; rows/ holds one result folder per row, named by a digest of what it depends on.
        resources: cache, progress and stores; defaults where None.

    Raises:
        PlanError: there are no rows, or a mapping has an unknown field or an invalid value.
        OutputError: `out` cannot be written.
    """
    if not rows:
        raise PlanError("expected rows to measure, found none")
    runs = [_run_of(number, row) for number, row in enumerate(rows, 1)]
    check_folder(Path(out) / ROWS, {})
    resources = resources or Resources()
    jobs = [_job(row, Path(out) / ROWS, resources) for row in runs]
    titles = [f"row {number}: {title(row)}" for number, row in enumerate(runs, 1)]

    def open_store(group: Hashable) -> EmbeddingStore:
        model, device, precision = cast("tuple[Any, str, str]", group)
        return resources.open_store(model, device, precision)

    outcomes = work_off(jobs, open_store, titles, _outcome_text)
    entries = [
        Entry(row, error=outcome.reason) if isinstance(outcome, Failure) else outcome
        for row, outcome in zip(runs, outcomes, strict=True)
    ]
    return Ablation(compared(entries))


def _run_of(number: int, row: RunSpec | Mapping[str, Any]) -> RunSpec:
    if isinstance(row, RunSpec):
        return row
    try:
        return run_of(row)
    except UsageError as error:
        raise PlanError(f"row {number}: {error}") from None


def _job(row: RunSpec, folder: Path, resources: Resources) -> Job[Entry] | Failure:
    """The job of a row, or why it cannot run."""
    try:
        if row.dataset is None:
            raise PlanError("expected a data set to measure on, found none")
        resolved = row.leaving_out(row.unused()).resolve(resources)
        resolved.check(resources)
    except ZspromptError as error:
        return Failure.of(error)

    def measure(store: EmbeddingStore | None) -> Entry:
        return _measure(resolved, row, folder, cast("EmbeddingStore", store))  # a row has a model, so there is a store

    return Job((resolved.model, row.device, row.precision), measure)


def _measure(resolved: Resolved, row: RunSpec, folder: Path, store: EmbeddingStore) -> Entry:
    prepared = resolved.prepared(store)
    row_folder = folder / _folder_name(prepared)
    result, extra = measured_once(row_folder, lambda: _run(prepared))
    return Entry(
        row=row,
        prompts=", ".join(prompts.name for prompts in prompt_sets(prepared.strategy)) or "–",
        model=store.encoder.name,
        measured=Measured(result.to_dict(), result.sampling, what_is_measured(result), row_folder, extra),
    )


def _run(prepared: Prepared) -> tuple[Result, dict[str, Any]]:
    """The result, and the cost of embedding its images before."""
    strategy, store, data = prepared.strategy, prepared.store, prepared.data
    refuse(strategy, data.labels, store)
    before, start = store.counts.images_encoded, clock()
    embed(data.images, store, reads(strategy), list(data.caption_columns.values()))
    extra = {
        "images_embedded": store.counts.images_encoded - before,
        "seconds_images": round(clock() - start, 3),
    }
    result = prepared.run()
    # a second run would embed all texts again that the cache does not keep
    again = result if result.counts["texts_not_kept"] else prepared.run()
    return result, extra | {"seconds_warm": round(again.seconds, 3)}


def _folder_name(prepared: Prepared) -> str:
    """A readable name that ends in a digest of everything that the result depends on."""
    spec, strategy = prepared.spec, prepared.strategy
    made_from = (
        *(
            digest_of(strategy),
            prepared.store.fingerprint,
            prepared.data.identity(captions="captions" in reads(strategy)),
        ),
        *(spec.difficult, spec.skip_bad),
    )
    return folder_name(title(spec), made_from)


def _outcome_text(entry: Entry) -> str:
    value = entry.measured.facts["mAP"] if entry.measured else None
    return f"mAP {'–' if value is None else f'{100 * value:.1f}'}"
