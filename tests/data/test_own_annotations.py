"""Data sets `voc-xml` and `coco-json`: annotations of one's own, in the layouts of several tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from trees import (
    COCO_IMAGES,
    VOC_IMAGES,
    annotation,
    coco_json,
    make_coco,
    make_coco_json,
    make_voc,
    make_voc_xml,
    message,
    present,
    save_image,
    write,
)

from zsprompt.data import Dataset, load_dataset
from zsprompt.errors import DataError, UnknownName

SUFFIXES = (".png", ".jpeg", ".JPG", ".JPEG", ".bmp", ".tif", ".webp")


def kinds(data: Dataset) -> set[str]:
    return {remark.kind for remark in data.remarks}


# -- VOC


@pytest.mark.parametrize("dataset", ["voc", "voc2012", "voc-xml"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_images_of_voc_may_have_any_format(tmp_path: Path, suffix: str, dataset: str) -> None:
    """Official and own annotations in VOC's layout; mmdetection reads .jpg only."""
    base = make_voc(tmp_path, "2012", "val") if dataset == "voc2012" else make_voc(tmp_path)
    for path in list((base / "JPEGImages").iterdir()):
        Image.open(path).save(path.with_suffix(suffix))
        path.unlink()
    data = load_dataset(dataset, root=tmp_path)
    assert [image.path.suffix for image in data.images] == [suffix] * 3
    assert all(image.read() for image in data.images)


def test_the_official_jpg_comes_before_another_file_of_its_name(tmp_path: Path) -> None:
    base = make_voc(tmp_path)
    for suffix in (".bmp", ".png"):
        save_image(base / "JPEGImages" / f"000001{suffix}")
    assert load_dataset("voc", root=tmp_path).images[0].path.name == "000001.jpg"
    assert load_dataset("voc-xml", root=tmp_path).images[0].path.name == "000001.jpg"


def test_the_same_labels_as_the_official_loader(tmp_path: Path) -> None:
    make_voc(tmp_path)
    official, own = (load_dataset(name, root=tmp_path, names="raw") for name in ("voc", "voc-xml"))
    assert own.labels == ("cat", "person", "pottedplant")
    assert own.targets.tolist() == official.with_labels(own.labels).targets.tolist()
    assert [image.path for image in own.images] == [image.path for image in official.images]


def test_a_list_is_a_split_and_without_one_all_images_are_taken(tmp_path: Path) -> None:
    base = make_voc(tmp_path, split="mine")
    write(base / "ImageSets" / "Main" / "few.txt", "000002\n")
    assert [image.id for image in load_dataset("voc-xml", root=tmp_path, split="few").images] == ["000002"]
    every = load_dataset("voc-xml", root=tmp_path)
    assert (every.split, len(every.images)) == ("all", 3)
    assert "few" in message(UnknownName, lambda: load_dataset("voc-xml", root=tmp_path, split="fwe"))


def test_lists_of_single_labels_add_to_the_objects(tmp_path: Path) -> None:
    """As Datumaro writes labels of whole images; 0 is "only as difficult objects", −1 absent."""
    base = make_voc_xml(tmp_path)
    lists = base / "ImageSets" / "Main"
    write(lists / "owl_default.txt", "000001  1\n000002  0\n000003 -1\n")
    write(lists / "cat_default.txt", "000001 -1\n000002 -1\n000003  1\n")
    data = load_dataset("voc-xml", root=tmp_path)
    column = data.labels.index("owl")
    assert data.targets[:, column].tolist() == [1, -1, 0]
    assert present(data, 2) == ["cat"]
    assert present(data, 0) == ["cat", "owl"]


def test_xml_next_to_images_in_folders_of_splits(tmp_path: Path) -> None:
    """Roboflow's export in VOC's format."""
    for n, (image, objects) in enumerate(VOC_IMAGES.items()):
        folder = tmp_path / ("train" if n else "valid")
        write(folder / f"{image}.rf.1a2b.xml", annotation(*objects))
        save_image(folder / f"{image}.rf.1a2b.jpg", noise=n)
    data = load_dataset("voc-xml", root=tmp_path, split="train")
    assert [image.id for image in data.images] == ["train/000002.rf.1a2b", "train/000003.rf.1a2b"]
    assert all(image.read() for image in data.images)


def test_the_name_in_the_xml_finds_a_renamed_annotation(tmp_path: Path) -> None:
    xml = annotation(("cat", False)).replace("</annotation>", "<filename>photos\\a b.jpg</filename></annotation>")
    write(tmp_path / "Annotations" / "1.xml", xml)
    save_image(tmp_path / "photos" / "a b.jpg")
    data = load_dataset("voc-xml", root=tmp_path)
    assert data.images[0].read()
    assert "image-place" in kinds(data)


@pytest.mark.parametrize(
    ("dataset", "content", "part"),
    [
        ("voc-xml", {"a.xml": "<annotations/>"}, "found other XML (a.xml); export it as PASCAL VOC or COCO"),
        ("voc-xml", {"a.xml": "<annotation><object/></annotation>"}, "expected the label of each object in"),
        ("voc-xml", {"a.xml": "<annotation/>"}, "expected objects in the annotations of"),
        ("voc-xml", {"a.xml": "<annot"}, "cannot read annotation"),
        ("voc-xml", {"x/Annotations/a.xml": "", "y/Annotations/a.xml": ""}, "found x, y; pass one with --root DIR"),
        ("voc-xml", {"ImageSets/Main/a.txt": "1\n", "ImageSets/Main/cat_a.txt": "1 yes\n"}, "found '1 yes'"),
        ("voc-xml", {"instances.json": "{}"}, "Annotations/*.xml"),
        ("coco-json", {"annotations/a.xml": ""}, "expected a COCO file"),
        ("coco-json", {"package.json": '{"name": "x"}'}, "found package.json"),
        ("coco-json", {"a.json": '{"images": [], "annotations": []}'}, "found a.json"),
        ("coco-json", {"a.json": '{"images": [{"id": 1, "file_name": "a"'}, "cut short"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, dataset: str, content: dict[str, str], part: str) -> None:
    for name, text in content.items():
        write(tmp_path / name, text)
    assert part in message(DataError, lambda: load_dataset(dataset, root=tmp_path))


# -- COCO


def test_the_group_of_all_categories_is_no_label(tmp_path: Path) -> None:
    make_coco_json(tmp_path)
    data = load_dataset("coco-json", root=tmp_path)
    assert "things" not in data.labels
    assert len(data.labels) == 80
    assert [present(data, n) for n in range(3)] == [["person"], ["dog", "potted plant"], []]
    assert {"root-category", "no-annotation", "no-positive"} <= kinds(data)


def test_a_group_that_is_annotated_is_a_label(tmp_path: Path) -> None:
    path = make_coco_json(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = 0
    write(path, json.dumps(content))
    assert present(load_dataset("coco-json", root=tmp_path)) == ["things", "person"]


@pytest.mark.parametrize("dataset", ["coco", "coco2017"])
def test_the_official_files_have_the_same_labels(tmp_path: Path, dataset: str) -> None:
    make_coco(tmp_path, "2017" if dataset == "coco2017" else "2014")
    official, own = load_dataset(dataset, root=tmp_path, split="val"), load_dataset("coco-json", root=tmp_path)
    assert own.labels == official.labels
    assert own.targets.tolist() == official.targets.tolist()
    assert [image.path for image in own.images] == [image.path for image in official.images]


@pytest.mark.parametrize(
    ("json_file", "images", "split"),
    [
        ("_annotations.coco.json", ".", "all"),
        ("train/_annotations.coco.json", "train", "train"),
        ("annotations/instances_default.json", "images", "default"),
        ("annotations/instances_default.json", "images/default", "default"),
        ("annotations/instances_train.json", "images/train", "train"),
        ("annotations/instances_val2017.json", "val2017", "val2017"),
        ("labels.json", "data", "all"),
        ("result.json", "images", "all"),
        ("result.json", "deep/inside/photos", "all"),
    ],
)
def test_places_of_annotations_and_images(tmp_path: Path, json_file: str, images: str, split: str) -> None:
    """Roboflow, CVAT, Datumaro, COCO itself, FiftyOne, Label Studio, and none of them."""
    content = coco_json(COCO_IMAGES)
    write(tmp_path / json_file, json.dumps(content))
    for n, image in enumerate(content["images"]):
        save_image(tmp_path / images / str(image["file_name"]), noise=n)
    data = load_dataset("coco-json", root=tmp_path, split=None if split == "all" else split)
    assert all(image.read() for image in data.images)
    assert present(data, 1) == ["dog", "potted plant"]
    assert load_dataset("coco-json", root=tmp_path / json_file).targets.tolist() == data.targets.tolist()
    assert ("image-place" in kinds(data)) == (images == "deep/inside/photos")


@pytest.mark.parametrize("name", ["day\\{}", "C:\\photos\\{}", "/data/upload/1/{}", "images/{}"])
def test_names_of_images_from_elsewhere(tmp_path: Path, name: str) -> None:
    content = coco_json({7: [(1, 0)], 8: []})
    for n, image in enumerate(content["images"]):
        save_image(tmp_path / "images" / str(image["file_name"]), noise=n)
        image["file_name"] = name.format(image["file_name"])
    write(tmp_path / "result.json", json.dumps(content))
    data = load_dataset("coco-json", root=tmp_path)
    assert all(image.read() for image in data.images)
    assert all("\\" not in image.id for image in data.images)


def test_two_splits_have_the_same_labels_and_distinct_ids(tmp_path: Path) -> None:
    for split, category in (("train", 1), ("valid", 18)):
        content = coco_json({7: [(category, 0)]})
        content["categories"] = [one for one in content["categories"] if one["id"] == category]
        write(tmp_path / split / "_annotations.coco.json", json.dumps(content))
        save_image(tmp_path / split / "000000000007.jpg")
    data = load_dataset("coco-json", root=tmp_path)
    assert data.labels == ("person", "dog")
    assert [image.id for image in data.images] == ["train/000000000007.jpg", "valid/000000000007.jpg"]
    valid = load_dataset("coco-json", root=tmp_path, split="valid")
    assert (valid.labels, valid.targets.tolist()) == (("person", "dog"), [[0, 1]])
    assert "valid" in message(UnknownName, lambda: load_dataset("coco-json", root=tmp_path, split="vaild"))


def test_annotations_of_unknown_images_are_left_out_and_counted(tmp_path: Path) -> None:
    content = coco_json({7: [(1, 0)]})
    content["annotations"] += [{"image_id": 99, "category_id": 1}] * 2
    write(tmp_path / "x.json", json.dumps(content))
    save_image(tmp_path / "000000000007.jpg")
    (orphan,) = [r for r in load_dataset("coco-json", root=tmp_path).remarks if r.kind == "orphan"]
    assert (orphan.count, orphan.names[0]) == (2, "image 99 in x.json")


def test_a_crowd_counts_as_present_and_is_noted(tmp_path: Path) -> None:
    make_coco(tmp_path)
    assert "only as a crowd 1 time" in load_dataset("coco-json", root=tmp_path).notes[0]
