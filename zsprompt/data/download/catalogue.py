"""Catalogue of official data sets: addresses and checksums of their files, and their published counts.

The publishers of VOC and COCO state no checksums. Sizes and sha256 of their archives are from TensorFlow Datasets
(url_checksums). For VOC, COCO's annotations and val2017, other repositories list the same sha256 with the publishers'
addresses. COCO's three largest archives have fewer confirmations, and one repository lists another sha256 for
train2017. The addresses were not reachable when this catalogue was written; `CatalogueEntry.unverified` states this.
Counts are from the publishers' pages and papers, and from the official label files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zsprompt._utils.text import in_bytes


@dataclass(frozen=True)
class Archive:
    """One official file, and the parts of it that are used.

    Attributes:
        file: name of the file.
        urls: addresses, the best one first.
        size: in bytes.
        sha256: hex.
        keeps: folders in the archive to unpack.
        below: target folder, relative to the root of the data set ("" is the root itself).
        splits: splits that need this file.
        sign: a path below the root that exists only after unpacking.
    """

    file: str
    urls: tuple[str, ...]
    size: int
    sha256: str
    keeps: tuple[str, ...]
    splits: tuple[str, ...]
    sign: str
    below: str = ""


@dataclass(frozen=True)
class Counts:
    """Published counts of a split.

    Attributes:
        images: number of images.
        positives: raw label -> number of its positives; empty if not published.
    """

    images: int
    positives: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CatalogueEntry:
    """An official data set.

    Attributes:
        name: name for --dataset.
        title: full name.
        about: number of images and labels, in words.
        licence: licences of its parts, as far as stated.
        home: address of its page.
        archives: files that `zsprompt data fetch` downloads; images first, annotations last.
        manual: instructions for a data set that must be downloaded by hand; else "".
        unverified: facts of this entry that could not be checked; else "".
        splits: split -> published counts.
        whole: splits that make up the data set, for `zsprompt data check`.
        signs: patterns of paths below a root; a match shows that part of the data set is there.
        own: data set for images of one's own in a similar layout.
    """

    name: str
    title: str
    about: str
    licence: str
    home: str
    archives: tuple[Archive, ...] = ()
    manual: str = ""
    unverified: str = ""
    splits: Mapping[str, Counts] = field(default_factory=dict)
    whole: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    own: str = "list"

    @property
    def size(self) -> int:
        """Download size of all archives in bytes; 0 if the data set must be downloaded by hand."""
        return sum(archive.size for archive in self.archives)

    def is_at(self, root: Path) -> bool:
        """Whether part of the data set is below `root`."""
        try:
            return any(True for sign in self.signs for _ in root.glob(sign))
        except (OSError, ValueError):
            return False

    @property
    def how_to_get(self) -> str:
        """How to get the data set, as a clause for a message."""
        return f"`zsprompt data fetch {self.name}` downloads it ({in_bytes(self.size)})" if self.size else self.manual

    @property
    def top(self) -> str:
        """The folder that its archives create below the root; "" without archives."""
        return next((Path(archive.below, archive.keeps[0]).parts[0] for archive in self.archives), "")

    def base(self, root: Path) -> Path:
        """The folder to unpack in: `root`, or its parent if `root` is the archives' top folder."""
        return root.absolute().parent if self.top and root.absolute().name == self.top else root

    def fetchable_splits(self) -> tuple[str, ...]:
        """Splits contained in its archives."""
        return tuple(dict.fromkeys(split for archive in self.archives for split in archive.splits))

    def unpacked_splits(self, root: Path) -> tuple[str, ...]:
        """Splits whose archives have all been unpacked below `root`."""
        base = self.base(root)
        needed = {split: [a for a in self.archives if split in a.splits] for split in self.fetchable_splits()}
        return tuple(s for s, archives in needed.items() if all(_exists(base / a.sign) for a in archives))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _counts(text: str) -> dict[str, int]:
    """ "cat 1, potted plant 2" -> {"cat": 1, "potted plant": 2}."""
    pairs = (entry.rsplit(" ", 1) for entry in text.replace("\n", " ").split(", "))
    return {" ".join(label.split()): int(number) for label, number in pairs}


_VOC_LICENCE = "photos from Flickr, under Flickr's terms of use; no licence is stated for the annotations"
_COCO_LICENCE = "annotations CC BY 4.0; photos from Flickr, under Flickr's terms of use"
_NOT_REACHED = "its addresses, which could not be reached when this catalogue was written"
_NOT_CONFIRMED = f"{_NOT_REACHED}, and the checksums of its largest archives, which have a single source"

# -- PASCAL VOC. Counts: tables of the development kits of 2007 and 2012 (difficult objects do not count); for the test
# split of 2007, the official label files.

_VOC_HOSTS = ("https://thor.robots.ox.ac.uk/pascal/VOC", "https://host.robots.ox.ac.uk/pascal/VOC")

_VOC2007_TRAINVAL = """
aeroplane 238, bicycle 243, bird 330, boat 181, bottle 244, bus 186, car 713, cat 337, chair 445, cow 141,
diningtable 200, dog 421, horse 287, motorbike 245, person 2008, pottedplant 245, sheep 96, sofa 229, train 261,
tvmonitor 256"""

_VOC2007_TEST = """
aeroplane 204, bicycle 239, bird 282, boat 172, bottle 212, bus 174, car 721, cat 322, chair 417, cow 127,
diningtable 190, dog 418, horse 274, motorbike 222, person 2007, pottedplant 224, sheep 97, sofa 223, train 259,
tvmonitor 229"""


def _voc_archive(year: str, file: str, size: int, sha256: str, splits: tuple[str, ...]) -> Archive:
    base = f"VOCdevkit/VOC{year}"
    urls = tuple(f"{host}/voc{year}/{file}" for host in _VOC_HOSTS)
    return Archive(file, urls, size, sha256, (base,), splits, f"{base}/ImageSets/Main/{splits[0]}.txt")


def _voc_signs(year: str) -> tuple[str, ...]:
    return f"VOCdevkit/VOC{year}/ImageSets", f"VOC{year}/ImageSets", "ImageSets"


_VOC2007 = CatalogueEntry(
    name="voc",
    title="PASCAL VOC 2007",
    about="9,963 photos, 20 labels",
    licence=_VOC_LICENCE,
    home="http://host.robots.ox.ac.uk/pascal/VOC/voc2007/",
    archives=(
        _voc_archive(
            *("2007", "VOCtest_06-Nov-2007.tar", 451_020_800),
            "6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
            ("test",),
        ),
        _voc_archive(
            *("2007", "VOCtrainval_06-Nov-2007.tar", 460_032_000),
            "7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
            ("trainval", "train", "val"),
        ),
    ),
    unverified=_NOT_REACHED,
    splits={
        "test": Counts(4_952, _counts(_VOC2007_TEST)),
        "trainval": Counts(5_011, _counts(_VOC2007_TRAINVAL)),
        "train": Counts(2_501),
        "val": Counts(2_510),
    },
    whole=("test", "trainval"),
    signs=_voc_signs("2007"),
    own="voc-xml",
)

_VOC2012 = CatalogueEntry(
    name="voc2012",
    title="PASCAL VOC 2012",
    about="11,540 photos with labels (those of the test photos are not public), 20 labels",
    licence=_VOC_LICENCE,
    home="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    archives=(
        _voc_archive(
            *("2012", "VOCtrainval_11-May-2012.tar", 1_999_639_040),
            "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
            ("val", "trainval", "train"),
        ),
    ),
    unverified=_NOT_REACHED,
    splits={"val": Counts(5_823), "trainval": Counts(11_540), "train": Counts(5_717)},
    whole=("trainval",),
    signs=_voc_signs("2012"),
    own="voc-xml",
)

# -- COCO. Its host has no valid certificate; the address of its storage serves the same files over https.
# Counts: papers that use it; for val2014, the official instances file.

_COCO_HOST = "https://s3.amazonaws.com/images.cocodataset.org"

_COCO_VAL2014 = """
person 21634, bicycle 1114, car 4180, motorcycle 1219, airplane 840, bus 1350, train 1281, truck 2056, boat 1048,
traffic light 1437, fire hydrant 592, stop sign 589, parking meter 261, bench 1961, bird 1121, cat 1480, dog 1521,
horse 1001, sheep 489, cow 666, elephant 714, bear 341, zebra 677, giraffe 849, backpack 1832, umbrella 1393,
handbag 2272, tie 1288, suitcase 876, frisbee 757, skis 993, snowboard 533, sports ball 1445, kite 727,
baseball bat 799, baseball glove 845, skateboard 1092, surfboard 1292, tennis racket 1193, bottle 2912,
wine glass 872, cup 3061, fork 1173, knife 1410, spoon 1189, bowl 2397, banana 728, apple 491, sandwich 818,
orange 568, broccoli 670, carrot 578, hot dog 452, pizza 1117, donut 523, cake 969, chair 4404, couch 1448,
potted plant 1540, bed 1292, dining table 3960, toilet 1185, tv 1577, laptop 1232, mouse 674, remote 1041,
keyboard 750, cell phone 1695, microwave 512, oven 989, toaster 74, sink 1574, refrigerator 790, book 1828,
clock 1704, vase 1200, scissors 302, teddy bear 724, hair drier 70, toothbrush 341"""


def _coco_photos(split: str, year: str, size: int, sha256: str) -> Archive:
    folder = f"{split}{year}"
    file = f"{folder}.zip"
    splits = (f"{split}-labelled", split)
    return Archive(file, (f"{_COCO_HOST}/zips/{file}",), size, sha256, (folder,), splits, f"coco/{folder}", "coco")


def _coco_annotations(year: str, size: int, sha256: str) -> Archive:
    file = f"annotations_trainval{year}.zip"
    splits = ("val-labelled", "val", "train-labelled", "train")
    sign = f"coco/annotations/instances_val{year}.json"
    return Archive(file, (f"{_COCO_HOST}/annotations/{file}",), size, sha256, ("annotations",), splits, sign, "coco")


def _coco_signs(year: str) -> tuple[str, ...]:
    files = [f"annotations/instances_{split}{year}.json" for split in ("val", "train")]
    return tuple(f"{folder}{file}" for file in files for folder in ("", "coco/", f"coco{year}/", "COCO/"))


_COCO2014 = CatalogueEntry(
    name="coco",
    title="MS-COCO 2014",
    about="123,287 photos (122,218 with an object), 80 labels",
    licence=_COCO_LICENCE,
    home="https://cocodataset.org/#download",
    archives=(
        _coco_photos(
            *("val", "2014", 6_645_013_297),
            "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
        ),
        _coco_photos(
            *("train", "2014", 13_510_573_713),
            "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
        ),
        _coco_annotations(
            *("2014", 252_872_794),
            "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
        ),
    ),
    unverified=_NOT_CONFIRMED,
    splits={
        "val-labelled": Counts(40_137, _counts(_COCO_VAL2014)),
        "val": Counts(40_504, _counts(_COCO_VAL2014)),
        "train-labelled": Counts(82_081),
        "train": Counts(82_783),
    },
    whole=("val", "train"),
    signs=_coco_signs("2014"),
    own="coco-json",
)

_COCO2017 = CatalogueEntry(
    name="coco2017",
    title="MS-COCO 2017",
    about="123,287 photos (122,218 with an object), 80 labels",
    licence=_COCO_LICENCE,
    home="https://cocodataset.org/#download",
    archives=(
        _coco_photos(
            *("val", "2017", 815_585_330),
            "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        ),
        _coco_photos(
            *("train", "2017", 19_336_861_798),
            "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        ),
        _coco_annotations(
            *("2017", 252_907_541),
            "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        ),
    ),
    unverified=_NOT_CONFIRMED,
    splits={
        "val-labelled": Counts(4_952),
        "val": Counts(5_000),
        "train-labelled": Counts(117_266),
        "train": Counts(118_287),
    },
    whole=("val", "train"),
    signs=_coco_signs("2017"),
    own="coco-json",
)

# -- Data sets to download by hand

_NUS_WIDE_HOME = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html"
_NUS_WIDE = CatalogueEntry(
    name="nus-wide",
    title="NUS-WIDE",
    about="269,648 photos (many are no longer on Flickr), 81 concepts and 925 further tags",
    licence="for research; photos from Flickr, each under its owner's terms",
    home=_NUS_WIDE_HOME,
    manual=f"its authors provide it on request: fill in the form at {_NUS_WIDE_HOME} and unpack the files",
    unverified=_NOT_REACHED,
    splits={
        "test": Counts(107_859),
        "train": Counts(161_789),
        "all": Counts(269_648),
        "test-labelled": Counts(83_898),
    },
    whole=("test", "train"),
    signs=("ImageList/Imagelist.txt", "benchmark_81_v0.json", "[nN][uU][sS]*[wW][iI][dD][eE]/ImageList/Imagelist.txt"),
)

_KAGGLE_HOME = "https://www.kaggle.com/datasets/meherunnesashraboni/multi-label-image-classification-dataset"
_KAGGLE_ALL = """
motorcycle 1241, truck 1015, boat 1573, bus 661, cycle 1449, sitar 401, ektara 330, flutes 552, tabla 1478,
harmonium 613"""
_KAGGLE = CatalogueEntry(
    name="kaggle10",
    title="Kaggle multi-label image classification data set",
    about="7,843 images, 10 labels",
    licence="see its page",
    home=_KAGGLE_HOME,
    manual=f"Kaggle requires you to sign in: download it by hand at {_KAGGLE_HOME} and unpack it",
    unverified=_NOT_REACHED,
    splits={"all": Counts(7_843, _counts(_KAGGLE_ALL))},
    whole=("all",),
    signs=("kaggle10/*.csv", "multilabel_modified/*.csv", "archive/*.csv", "multilabel_classification.csv"),
    own="folder",
)

CATALOGUE: dict[str, CatalogueEntry] = {
    entry.name: entry for entry in (_VOC2007, _VOC2012, _COCO2014, _COCO2017, _NUS_WIDE, _KAGGLE)
}
"""Official data sets by name."""
