"""zsprompt caption-images: captions of images, written by an LLM that sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt._utils.text import counted
from zsprompt.cli.caption_labels import NO_LLM
from zsprompt.cli.given_run import GivenRun, takes_run
from zsprompt.cli.llm_outcome import exit_if_incomplete, name_refused
from zsprompt.cli.modes import WITHOUT_OUT
from zsprompt.cli.options import CAPTIONS, Force, Json, argument, option
from zsprompt.cli.session import note, refusals
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt.data.images import ImageRef
    from zsprompt.experiments.spec import Resources, RunSpec
    from zsprompt.llm import Budget, ImageCaptions

_NAMED = 10
_NO_RUN = "captioning images involves no strategy, labels or encoder"
_LEFT_OUT = {
    **dict.fromkeys(("strategy", "model", "prompts", "labels", "without", "captions", "thresholds"), _NO_RUN),
    **dict.fromkeys(("difficult", "names", "device", "precision"), _NO_RUN),
    "image_captions": "the command writes them",
    "skip_bad": "images that cannot be read are always named and left out",
}


@takes_run(leave_out=_LEFT_OUT)
def caption_images(
    given: GivenRun,
    images: Annotated[
        list[Path] | None,
        argument(
            "Images, folders of images, .tar files (WebDataset shards), and .csv, .jsonl or .parquet lists of files.",
            "IMAGE|FOLDER|TAR|LIST",
        ),
    ] = None,
    out: Annotated[Path | None, option("CSV file for the captions.")] = None,
    question: Annotated[
        str | None, option("Question to ask about each image. [default: asks for a caption in English]", panel=CAPTIONS)
    ] = None,
    words: Annotated[int, option("Maximum number of words in a caption.", panel=CAPTIONS, min=1, max=100)] = 30,
    dry_run: Annotated[
        bool, option("Print how many images it would ask about, and send nothing.", "--dry-run", panel=CAPTIONS)
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Caption each image once with an LLM that sees images, within a budget."""
    with refusals():
        from zsprompt._utils.file_kinds import IMAGE_CAPTIONS
        from zsprompt._utils.outputs import check_output
        from zsprompt.data.inputs import reads_images, reads_sources
        from zsprompt.experiments.inputs import inputs_of
        from zsprompt.llm import caption_images as ask_for_captions
        from zsprompt.llm.image_captions import QUESTION
        from zsprompt.llm.options import LlmOptions, open_writer, parse_llm

        spec, resources = given.spec(), given.resources()
        if out:
            inputs = [reads_sources(images or ()), *inputs_of(spec)]
            check_output(out, IMAGE_CAPTIONS, inputs=inputs, force=force)
        else:
            given.use(WITHOUT_OUT)
        if not out and not dry_run:
            raise UsageError("expected --out FILE for the captions, found none")
        refs = _images(images or (), replace(spec, llm=None), resources)  # no captions of label sets are needed
        if out:
            check_output(out, IMAGE_CAPTIONS, inputs=[reads_images(refs)], force=force)
        options = parse_llm(spec.llm) if spec.llm else LlmOptions()
        folder = None if resources.cache == "default" else Path(str(resources.cache))
        writer = open_writer(
            replace(options, offline=options.offline or dry_run), cache=folder, progress=resources.progress
        )
        if writer is None:
            raise UsageError(NO_LLM)
        done = ask_for_captions(writer, refs, question=QUESTION if question is None else question, words=words)
        if dry_run or not out:
            typer.echo(_json({"dry_run": True} | _facts(done, writer.budget)) if json else f"{done.unasked}")
        else:
            typer.echo(_save(done, writer.budget, out, json, force))
        _tell(done, len(refs), options.offline, dry_run)
        if done.bad or not dry_run:
            exit_if_incomplete(done.refused, len(done.captions), len(refs), "image", told=bool(done.bad))


def _images(paths: Sequence[Path], spec: RunSpec, resources: Resources) -> list[ImageRef]:
    """The images at `paths`, or those of the data set, each once."""
    if spec.dataset is not None:
        if paths:
            raise UsageError("expected either images or --dataset, found both")
        return _each_once(spec.resolve(resources).data.images)
    from zsprompt.data.inputs import find_sources
    from zsprompt.report import printable

    if not paths:
        raise UsageError("expected images or --dataset NAME, found neither")
    spec.resolve(resources)  # refuses options of a data set
    sources = find_sources(paths)
    for remark in sources.remarks:
        note(printable(remark.sentence))
    return _each_once(sources)


def _each_once(images: Iterable[ImageRef]) -> list[ImageRef]:
    """The images, each once. Raises UsageError for two with one name: a caption could be of either."""
    by_name: dict[str, ImageRef] = {}
    for image in images:
        if by_name.setdefault(image.id, image) != image:
            raise UsageError(f"expected images with different names, found two named {image.id}; caption them apart")
    return list(by_name.values())


def _save(done: ImageCaptions, budget: Budget, out: Path, json: bool, force: bool) -> str:
    """Write the captions, if there are any. Returns the text to print."""
    from zsprompt.data.datasets.image_captions import save_image_captions

    if done.captions:
        save_image_captions(done.captions, out, force=force)
    if json:
        return _json(_facts(done, budget))
    kept = f"; written to {out}" if done.captions else ""
    return f"{counted(len(done.captions), 'caption')}, {counted(budget.calls_made, 'request')} now{kept}"


def _facts(done: ImageCaptions, budget: Budget) -> dict[str, Any]:
    """For --json."""
    return {
        "captions": len(done.captions),
        "requests": budget.calls_made,
        "tokens": budget.tokens_used,
        "failed": done.failed,
        "refused": done.refused,
        "bad": done.bad,
        "unasked": done.unasked,
    }


def _tell(done: ImageCaptions, images: int, offline: bool, dry_run: bool) -> None:
    from zsprompt.report import printable

    left = counted(done.unasked, "image")
    if dry_run:
        before = len(done.captions) + len(done.failed)
        note(f"{counted(images, 'image')}: {before:,} answered before, {done.unasked:,} to ask about")
    elif done.unasked and offline:
        note(f"{left} without a stored answer; the same command without offline=yes asks about them")
    elif done.unasked:
        note(f"the budget ended with {left} left; the same command continues from there")
    for image, complaint in list(done.failed.items())[:_NAMED]:
        note(f"two answers were rejected for {printable(image)}: {complaint}")
    if done.failed:
        note(f"{counted(len(done.failed), 'image')} without a caption; try another --question or model")
    name_refused(done.refused)
    for image, reason in done.bad.items():
        note(f"cannot read {printable(image)}: {reason}")
    if done.bad:
        total = counted(images, "image")
        note(f"error: expected {total} that can be read, {len(done.bad):,} cannot; fix or remove them")


def _json(facts: dict[str, Any]) -> str:
    from zsprompt._utils.files import to_json

    return to_json(facts)
