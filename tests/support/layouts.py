"""Small data sets of drawn scenes, written by the tools that people use. Shared with benchmarks/layouts.py."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path, PureWindowsPath
from typing import Any

import pandas as pd
from PIL import Image

from zsprompt.data import load_dataset
from zsprompt.data.images import decode

LABELS = ("bicycle", "chair", "flower", "house", "person", "tea cup", "tree")
SCENES = {
    "street 1": (0, ("bicycle", "chair")),
    "garden": (3, ("flower", "house", "tea cup")),
    "walk": (4, ("person", "tree")),
    "none": (1, ()),
}
"""Name -> number of the scene of the test split, and the labels that are annotated."""


@dataclass(frozen=True)
class Scene:
    """An image, its name without a suffix, and its labels."""

    name: str
    image: Image.Image
    labels: tuple[str, ...]

    def save(self, folder: Path, suffix: str = ".png") -> str:
        """Save the image in a folder; returns the name of the file."""
        path = folder / f"{self.name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.image.save(path)
        return path.name


@cache
def scenes() -> tuple[Scene, ...]:
    images = load_dataset("scenes").images
    return tuple(Scene(name, decode(images[n].read()), labels) for name, (n, labels) in SCENES.items())


Writer = Callable[[Path], Path]
"""Writes a data set into an empty folder, and returns what --root takes."""


@dataclass(frozen=True)
class Layout:
    """A layout, the tool that writes it, and how zsprompt reads it.

    Attributes:
        title: name of the layout.
        tool: package that writes it; "csv" and "json" are Python's own modules.
        modules: modules that must be importable.
        dataset: name for --dataset.
        write: the writer.
        split: a split to load; None for all.
        remarks: kinds of remarks that it must give.
        lost: scenes that the tool does not write.
        refusal: part of the message, if the layout is refused; else "".
    """

    title: str
    tool: str
    modules: tuple[str, ...]
    dataset: str
    write: Writer
    split: str | None = None
    remarks: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def missing(self) -> str:
        """The first module that cannot be imported; "" if all can."""
        for module in self.modules:
            try:
                importlib.import_module(module)
            except ImportError:
                return module
        return ""

    @property
    def expected(self) -> dict[str, set[str]]:
        """Name of the scene -> its labels."""
        return {name: set(labels) for name, (_, labels) in SCENES.items() if name not in self.lost}


def scene_of(image_id: str) -> str:
    """The scene that the id of an image names, whatever its folder, suffix and prefix."""
    return next(name for name in SCENES if name.replace(" ", "_") in image_id.replace(" ", "_"))


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of tools."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield


# -- csv and pandas


def flags(value: Callable[[bool], object] = int) -> list[dict[str, object]]:
    """One row per scene: the image, and a cell per label."""
    return [
        {"image": f"{scene.name}.png"} | {label: value(label in scene.labels) for label in LABELS} for scene in scenes()
    ]


def names(value: Callable[[Sequence[str]], object] = "|".join, image: str = "image") -> list[dict[str, object]]:
    """One row per scene: the image, and its label names in one cell."""
    return [{image: f"{scene.name}.png", "labels": value(scene.labels)} for scene in scenes()]


def with_images(folder: Path, suffix: str = ".png") -> Path:
    for scene in scenes():
        scene.save(folder, suffix)
    return folder


def csv_file(rows: Sequence[Mapping[str, object]], encoding: str = "utf-8", first: str = "", **form: Any) -> Writer:
    """A labels.csv by Python's csv module."""

    def write(root: Path) -> Path:
        with (root / "labels.csv").open("w", encoding=encoding, newline="") as file:
            file.write(first)
            writer = csv.DictWriter(file, list(rows[0]), **form)
            writer.writeheader()
            writer.writerows(rows)
        return with_images(root)

    return write


def table(rows: Sequence[Mapping[str, object]], name: str = "labels.csv", **form: Any) -> Writer:
    """A list by pandas."""

    def write(root: Path) -> Path:
        path = root / name
        frame = pd.DataFrame(rows)
        if name.endswith(".parquet"):
            frame.to_parquet(path, **form)
        elif name.endswith((".json", ".jsonl")):
            frame.to_json(path, orient="records", **form)
        else:
            frame.to_csv(path, **form)
        with_images(root)
        return path

    return write


def read_again(root: Path) -> Path:
    """pandas' index, written twice."""
    pd.DataFrame(flags()).to_csv(root / "labels.csv")
    pd.read_csv(root / "labels.csv").to_csv(root / "labels.csv")
    return with_images(root)


def image_as_index(root: Path) -> Path:
    """Images as the index of a table, whose name is lost."""
    frame = pd.DataFrame(flags()).set_index("image")
    frame.index.name = None
    frame.to_csv(root / "labels.csv")
    return with_images(root)


def windows_paths(root: Path) -> Path:
    rows = [row | {"image": str(PureWindowsPath("images", "day", str(row["image"])))} for row in names()]
    pd.DataFrame(rows).to_csv(root / "labels.csv", index=False)
    with_images(root / "images" / "day")
    return root


def other_computer(root: Path) -> Path:
    rows = [row | {"image": str(PureWindowsPath("C:/Users/me/photos", str(row["image"])))} for row in names()]
    pd.DataFrame(rows).to_csv(root / "labels.csv", index=False)
    with_images(root / "images")
    return root


def without_suffix(root: Path) -> Path:
    rows = [{"image_id": str(row["image"]).removesuffix(".png"), "labels": row["labels"]} for row in names()]
    pd.DataFrame(rows).to_csv(root / "labels.csv", index=False)
    with_images(root / "images")
    return root


def boxes(root: Path) -> Path:
    """One row per object, as TensorFlow's object detection has them."""
    box = {"width": 160, "height": 160, "xmin": 1, "ymin": 1, "xmax": 9, "ymax": 9}
    rows = [{"filename": f"{scene.name}.png", **box, "class": label} for scene in scenes() for label in scene.labels]
    pd.DataFrame(rows).to_csv(root / "labels.csv", index=False)
    return with_images(root)


def roboflow_classes(root: Path) -> Path:
    """Roboflow's CSV of several labels per image: one folder per split, blanks after commas."""
    rows = flags()
    for split, part in (("train", rows[:2]), ("valid", rows[2:])):
        (root / split).mkdir()
        lines = [", ".join(["filename", *LABELS]), *(", ".join(map(str, row.values())) for row in part)]
        (root / split / "_classes.csv").write_text("\n".join(lines) + "\n")
        for scene in scenes():
            if any(row["image"] == f"{scene.name}.png" for row in part):
                scene.save(root / split)
    return root


# -- Hugging Face datasets


def hugging_face() -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets


def image_folder_metadata(kind: str) -> Writer:
    """imagefolder: metadata next to the images of each split."""

    def write(root: Path) -> Path:
        datasets = hugging_face()
        for split, part in (("train", scenes()[:2]), ("test", scenes()[2:])):
            rows = [{"file_name": scene.save(root / split), "labels": list(scene.labels)} for scene in part]
            data = datasets.Dataset.from_list(rows)
            getattr(data, f"to_{kind}")(str(root / split / f"metadata.{'jsonl' if kind == 'json' else kind}"))
        return root

    return write


def bytes_in_parquet(root: Path) -> Path:
    """Images and class numbers in Parquet, in the files that a hub shows."""
    datasets = hugging_face()
    folder = with_images(root / "photos")
    kinds = {"image": datasets.Image(), "labels": datasets.Sequence(datasets.ClassLabel(names=list(LABELS)))}
    rows = {
        "image": [str(folder / f"{scene.name}.png") for scene in scenes()],
        "labels": [[LABELS.index(label) for label in scene.labels] for scene in scenes()],
    }
    data = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    data = data.map(lambda row: row, batched=True)
    (root / "hub" / "data").mkdir(parents=True)
    embedded = data.with_format("arrow").map(_embedded, batched=True, fn_kwargs={"feature": data.features})
    for n in range(2):
        part = embedded.with_format(None).shard(2, n, contiguous=True)
        part.to_parquet(str(root / "hub" / "data" / f"train-{n:05}-of-00002.parquet"))
    return root / "hub"


def _embedded(rows: Any, feature: Any) -> Any:
    from datasets.table import embed_table_storage

    return embed_table_storage(rows)


def saved_to_disk(root: Path) -> Path:
    data = hugging_face().Dataset.from_list(names())
    data.save_to_disk(str(root / "saved"))
    return root / "saved"


# -- Label Studio

CHOICES = (
    '<View><Image name="image" value="$image"/><Choices name="things" toName="image" choice="multiple">'
    + "".join(f'<Choice value="{label}"/>' for label in LABELS)
    + "</Choices></View>"
)
BOXES = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">'
    + "".join(f'<Label value="{label}"/>' for label in LABELS)
    + "</RectangleLabels></View>"
)
TIME = "2024-05-01T10:00:00Z"


def tasks(drawn: bool, later: bool = True) -> list[dict[str, Any]]:
    """Tasks as the server stores them. The last one may be not annotated."""
    done = [_task(n, scene, _results(scene, drawn)) for n, scene in enumerate(scenes(), 1)]
    return [*done, _task(99, Scene("later", scenes()[0].image, ()), None)] if later else done


def _results(scene: Scene, drawn: bool) -> list[dict[str, Any]]:
    common = {"to_name": "image", "origin": "manual"}
    if not drawn:
        value = {"value": {"choices": list(scene.labels)}, "from_name": "things", "type": "choices", "id": "c"}
        return [common | value] if scene.labels else []
    place = {"x": 5, "y": 5, "width": 40, "height": 40, "rotation": 0}
    size = {"original_width": 160, "original_height": 160}
    return [
        common
        | size
        | {"value": place | {"rectanglelabels": [label]}, "from_name": "box", "id": label}
        | {"type": "rectanglelabels"}
        for label in scene.labels
    ]


def _task(number: int, scene: Scene, results: list[dict[str, Any]] | None) -> dict[str, Any]:
    annotation = {"id": number, "completed_by": 1, "result": results, "was_cancelled": False, "ground_truth": False}
    times = {"created_at": TIME, "updated_at": TIME}
    return {
        "id": number,
        "data": {"image": f"/data/upload/1/1a2b3c4d-{scene.name.replace(' ', '_')}.jpg"},
        "annotations": [] if results is None else [annotation | times | {"lead_time": 3.5}],
        "predictions": [],
        **times,
    }


def label_studio(kind: str, file: str = "", drawn: bool = False) -> Writer:
    """An export of Label Studio by its own converter, and the uploaded images."""

    def write(root: Path) -> Path:
        from label_studio_sdk.converter import Converter

        uploads = root / "media" / "upload" / "1"
        for scene in scenes():
            renamed = Scene(f"1a2b3c4d-{scene.name.replace(' ', '_')}", scene.image, scene.labels)
            renamed.save(uploads, ".jpg")
        (root / "in").mkdir()
        (root / "in" / "tasks.json").write_text(json.dumps(tasks(drawn, later=bool(file))))
        converter = Converter(
            BOXES if drawn else CHOICES,
            project_dir=str(root),
            upload_dir=str(uploads),
            download_resources=False,
        )
        with quiet():
            converter.convert(str(root / "in"), str(root / "out"), kind)
        shutil.copytree(uploads, root / "out" / "images", dirs_exist_ok=True)
        return root / "out" / file if file else root / "out"

    return write


def label_studio_tasks(root: Path) -> Path:
    """The JSON that the button "Export" gives."""
    for scene in scenes():
        Scene(scene.name.replace(" ", "_"), scene.image, ()).save(root / "images", ".jpg")
    (root / "project-1.json").write_text(json.dumps(tasks(drawn=True)))
    return root / "project-1.json"


# -- Datumaro


def datumaro(kind: str, suffix: str = ".jpg", labelled: bool = False, drawn: bool = True) -> Writer:
    """An export of Datumaro in two subsets, with boxes, labels of whole images, or both."""

    def write(root: Path) -> Path:
        import datumaro as dm
        import numpy as np

        items = []
        for n, scene in enumerate(scenes()):
            numbers = [LABELS.index(label) for label in scene.labels]
            split = len(numbers) // 2 if labelled and drawn else 0 if drawn else len(numbers)
            marks = [dm.Label(label) for label in numbers[:split]]
            marks += [dm.Bbox(5, 5, 40, 40, label=label) for label in numbers[split:]]
            pixels = np.asarray(scene.image.convert("RGB"))[:, :, ::-1].copy()
            media = dm.Image.from_numpy(data=pixels)
            subset = "train" if n % 2 else "test"
            items.append(dm.DatasetItem(scene.name, subset=subset, media=media, annotations=marks))
        with quiet():
            data = dm.Dataset.from_iterable(items, categories=list(LABELS))
            data.export(str(root / "out"), kind, save_media=True, image_ext=suffix)
        return root / "out"

    return write


# -- VOC and COCO by other tools


def pascal_voc_writer(where: str, suffix: str = ".png") -> Writer:
    """XML by pascal-voc-writer, next to the images or in Annotations/, without any list."""

    def write(root: Path) -> Path:
        from pascal_voc_writer import Writer as XmlWriter

        for scene in scenes():
            image = root / where / scene.save(root / ("JPEGImages" if where else ""), suffix)
            writer = XmlWriter(str(image), *scene.image.size)
            for label in scene.labels:
                writer.addObject(label, 5, 5, 40, 40)
            (root / where).mkdir(exist_ok=True)
            writer.save(str(root / where / f"{scene.name}.xml"))
        return root

    return write


def coco(separator: str = "/", root_category: bool = False, split: str = "default") -> Writer:
    """CVAT's or Roboflow's layout, checked by pycocotools."""

    def write(root: Path) -> Path:
        from pycocotools.coco import COCO

        folder = root / split if root_category else root / "images"
        files = [scene.save(folder, ".jpg") for scene in scenes()]
        content = coco_content(
            [f"day{separator}{file}" if separator == "\\" else file for file in files], root_category
        )
        path = root / split / "_annotations.coco.json" if root_category else _annotations(root, split)
        path.write_text(json.dumps(content))
        with quiet():
            read = COCO(str(path))
        assert len(read.getImgIds()) == len(SCENES)
        return root

    return write


def _annotations(root: Path, split: str) -> Path:
    (root / "annotations").mkdir()
    return root / "annotations" / f"instances_{split}.json"


def coco_content(files: Sequence[str], root_category: bool) -> dict[str, Any]:
    """The annotations of the scenes; with Roboflow's category 0, which groups the others."""
    group = [{"id": 0, "name": "things", "supercategory": "none"}] if root_category else []
    number = iter(range(1, 1000))
    return {
        "info": {},
        "categories": [
            *group,
            *({"id": n, "name": label, "supercategory": "things"} for n, label in enumerate(LABELS, 1)),
        ],
        "images": [{"id": n, "file_name": file, "width": 160, "height": 160} for n, file in enumerate(files)],
        "annotations": [
            {"id": next(number), "image_id": n, "category_id": LABELS.index(label) + 1, "bbox": [5, 5, 40, 40]}
            | {"iscrowd": 0, "area": 1600}
            for n, scene in enumerate(scenes())
            for label in scene.labels
        ],
    }


# -- WebDataset


def webdataset(root: Path) -> Path:
    import webdataset as wds

    with quiet(), wds.ShardWriter(str(root / "train-%04d.tar"), maxcount=2, verbose=0) as sink:
        for scene in scenes():
            key = scene.name.replace(" ", "_")
            sink.write({"__key__": key, "png": scene.image, "json": {"labels": list(scene.labels)}})
    return root


def _excel(value: bool) -> str:
    return "WAHR" if value else "FALSCH"


LAYOUTS = (
    Layout("CSV, names with |", "csv", (), "folder", csv_file(names())),
    Layout("CSV, names with , in quotes", "csv", (), "folder", csv_file(names(", ".join)), remarks=("name-separator",)),
    Layout("CSV with ;, names with ,", "csv", (), "folder", csv_file(names(",".join), delimiter=";"),
           remarks=("separator", "name-separator")),
    Layout("CSV, filename column", "csv", (), "folder", csv_file(names(image="filename"))),
    Layout("CSV, x for present", "csv", (), "folder", csv_file(flags(lambda one: "x" if one else "")),
           remarks=("blank-flag",)),
    Layout("CSV, yes and no", "csv", (), "folder", csv_file(flags(lambda one: "yes" if one else "no"))),
    Layout("Excel, German: ; and WAHR", "csv", (), "folder", csv_file(flags(_excel), "utf-8-sig", delimiter=";"),
           remarks=("separator",)),
    Layout("Excel, sep=; line", "csv", (), "folder", csv_file(flags(), first="sep=;\r\n", delimiter=";")),
    Layout("Excel, Unicode text", "csv", (), "folder", csv_file(flags(), "utf-16", dialect="excel-tab"),
           remarks=("separator",)),
    Layout("Excel, Latin-1", "csv", (), "folder", csv_file([row | {"Gemüse": 0} for row in flags()], "cp1252"),
           refusal="as in Latin-1 (Windows-1252); save it as UTF-8"),
    Layout("one-hot with index", "pandas", (), "folder", table(flags()), remarks=("row-numbers",)),
    Layout("one-hot, index twice", "pandas", (), "folder", read_again, remarks=("row-numbers",)),
    Layout("one-hot, images as index", "pandas", (), "folder", image_as_index, remarks=("image-column",)),
    Layout("one-hot, True and False", "pandas", (), "folder", table(flags(bool), index=False)),
    Layout("one-hot, 1.0 and 0.0", "pandas", (), "folder", table(flags(float), index=False)),
    Layout("one-hot, 1,0 and ;", "pandas", (), "folder",
           table(flags(float), index=False, sep=";", decimal=",", float_format="%.1f"), remarks=("separator",)),
    Layout("one-hot, TSV", "pandas", (), "list", table(flags(), "labels.tsv", index=False, sep="\t")),
    Layout("lists as texts", "pandas", (), "folder", table(names(list), index=False)),
    Layout("JSON records", "pandas", (), "list", table(names(list), "labels.json")),
    Layout("JSON lines", "pandas", (), "list", table(names(list), "labels.jsonl", lines=True)),
    Layout("Parquet", "pandas", ("pyarrow",), "list", table(names(list), "labels.parquet")),
    Layout("Windows paths", "pandas", (), "folder", windows_paths, remarks=("image-place",)),
    Layout("paths of another computer", "pandas", (), "folder", other_computer, remarks=("image-place",)),
    Layout("image_id without suffix", "pandas", (), "folder", without_suffix, remarks=("image-place",)),
    Layout("one row per box", "pandas", (), "folder", boxes, remarks=("joined-rows", "ignored-column"), lost=("none",)),
    Layout("Roboflow's _classes.csv", "csv", (), "list", roboflow_classes, remarks=()),
    Layout("imagefolder, metadata.csv", "datasets", ("datasets",), "list", image_folder_metadata("csv")),
    Layout("imagefolder, metadata.jsonl", "datasets", ("datasets",), "list", image_folder_metadata("json")),
    Layout("Parquet with images", "datasets", ("datasets",), "list", bytes_in_parquet),
    Layout("save_to_disk", "datasets", ("datasets",), "list", saved_to_disk, refusal="write it with to_parquet()"),
    Layout("CSV", "label-studio-sdk", ("label_studio_sdk.converter",), "list", label_studio("CSV", "result.csv"),
           remarks=("unannotated", "labels-column", "image-place", "ignored-column")),
    Layout("TSV", "label-studio-sdk", ("label_studio_sdk.converter",), "list", label_studio("TSV", "result.csv"),
           remarks=("unannotated", "labels-column", "separator")),
    Layout("JSON", "label-studio-sdk", ("label_studio_sdk.converter",), "list", label_studio("JSON", "result.json"),
           remarks=("unannotated",)),
    Layout("JSON_MIN", "label-studio-sdk", ("label_studio_sdk.converter",), "list",
           label_studio("JSON_MIN", "result.json"), remarks=("unannotated", "labels-column")),
    Layout("CSV with boxes", "label-studio-sdk", ("label_studio_sdk.converter",), "list",
           label_studio("CSV", "result.csv", drawn=True), remarks=("unannotated",)),
    Layout("COCO", "label-studio-sdk", ("label_studio_sdk.converter",), "coco-json", label_studio("COCO", drawn=True),
           remarks=("image-place",)),
    Layout("VOC", "label-studio-sdk", ("label_studio_sdk.converter",), "voc-xml", label_studio("VOC", drawn=True),
           remarks=("unlisted-image",), lost=("none",)),
    Layout("tasks as exported", "json", (), "list", label_studio_tasks, remarks=("unannotated", "image-place")),
    Layout("VOC, JPEG", "datumaro", ("datumaro",), "voc-xml", datumaro("voc"), remarks=("no-annotation-file",)),
    Layout("VOC, PNG", "datumaro", ("datumaro",), "voc-xml", datumaro("voc", ".png"), remarks=("no-annotation-file",)),
    Layout("VOC, a split", "datumaro", ("datumaro",), "voc-xml", datumaro("voc"), split="test",
           lost=("garden", "none")),
    Layout("VOC, boxes and image labels", "datumaro", ("datumaro",), "voc-xml", datumaro("voc", labelled=True),
           remarks=("no-annotation-file",)),
    Layout("LabelMe, XML", "datumaro", ("datumaro",), "voc-xml", datumaro("label_me")),
    Layout("COCO instances", "datumaro", ("datumaro",), "coco-json", datumaro("coco_instances"),
           remarks=("no-annotation",)),
    Layout("COCO, boxes and image labels", "datumaro", ("datumaro",), "coco-json", datumaro("coco", labelled=True),
           remarks=("no-annotation", "other-annotations")),
    Layout("COCO, image labels", "datumaro", ("datumaro",), "coco-json", datumaro("coco_labels", drawn=False),
           remarks=("no-annotation",)),
    Layout("CVAT's own XML", "datumaro", ("datumaro",), "voc-xml", datumaro("cvat"),
           refusal="export it as PASCAL VOC or COCO"),
    Layout("VOC given as COCO", "datumaro", ("datumaro",), "coco-json", datumaro("voc"),
           refusal="for annotations in VOC's format use --dataset voc-xml"),
    Layout("COCO given as a list", "datumaro", ("datumaro",), "list", datumaro("coco_instances"),
           refusal="for COCO files use --dataset coco-json"),
    Layout("VOC, only Annotations", "pascal-voc-writer", ("pascal_voc_writer",), "voc-xml",
           pascal_voc_writer("Annotations", ".JPG")),
    Layout("XML next to images", "pascal-voc-writer", ("pascal_voc_writer",), "voc-xml", pascal_voc_writer("", ".bmp")),
    Layout("CVAT's COCO", "pycocotools", ("pycocotools",), "coco-json", coco(), remarks=("no-annotation",)),
    Layout("COCO with \\ in names", "pycocotools", ("pycocotools",), "coco-json", coco("\\"), remarks=("image-place",)),
    Layout("Roboflow's COCO", "pycocotools", ("pycocotools",), "coco-json", coco(root_category=True, split="valid"),
           remarks=("root-category", "no-annotation")),
    Layout("shards with JSON", "webdataset", ("webdataset",), "shards", webdataset),
)  # fmt: skip
"""Every layout. zsprompt reads it with the right labels, or names the remedy."""
