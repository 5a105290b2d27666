"""zsprompt train --adapter self-training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zsprompt.cli.course import measured, show_course
from zsprompt.cli.given_run import GivenRun
from zsprompt.cli.modes import SELF_TRAINING_ON_IMAGES
from zsprompt.cli.session import note, notes
from zsprompt.cli.training_data import loader, on_training_split
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt.adapters.kinds.self_training import SelfTrainingSpec
    from zsprompt.experiments.spec import RunSpec


def self_train(
    kind: SelfTrainingSpec,
    given: GivenRun,
    images: Sequence[Path],
    out: Path,
    *,
    test: str | None,
    resume: bool,
    force: bool,
    json: bool,
) -> None:
    """Learn from unlabelled images, or from the images of a data set; its targets are not looked at."""
    from zsprompt._utils.outputs import check_folder
    from zsprompt.data.inputs import reads_sources
    from zsprompt.evaluation.self_training import require_written
    from zsprompt.evaluation.self_training import self_train as learn
    from zsprompt.experiments.inputs import inputs_of
    from zsprompt.report.of_training import FILES

    spec, resources = given.spec(), given.resources()
    if (spec.dataset is None) == (not images):
        raise UsageError("expected either --dataset, or images and --labels, found neither or both")
    if images:
        given.use(SELF_TRAINING_ON_IMAGES)
    inputs = [reads_sources(images), *inputs_of(spec)]
    spec = _of_images(spec, images) if images else on_training_split(spec)
    resolved = spec.resolve(resources)
    check_folder(out, FILES, inputs=[*inputs, *inputs_of(spec, resolved.dataset)], force=force)
    resolved.check(resources)
    require_written(resolved.strategy)
    kind.refuse_images(len(resolved.data.images))
    tested = loader(spec, resources)(test) if test else None
    with resources.open_store(resolved.model, spec.device, spec.precision) as store:
        prepared = resolved.prepared(store)
        notes((*prepared.domain_warnings, *resolved.label_warnings))
        course = learn(
            kind, prepared.strategy, prepared.data, store, out=out, skip_bad=spec.skip_bad, resume=resume, force=force
        )
        for line in course.notes:
            note(line)
        show_course(course, out, measured(course, tested, store, spec.device), json)


def _of_images(spec: RunSpec, images: Sequence[Path]) -> RunSpec:
    """The run on unlabelled images. Raises UsageError without labels, and DataError for images that are not there."""
    from zsprompt.data import unlabelled

    if spec.label_list is None:
        raise UsageError('expected --labels "dog, cat" or --labels @FILE with images, found neither')
    return replace(spec, dataset=unlabelled(images, spec.label_list), skip_bad=True)
