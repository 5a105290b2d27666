"""Labels that look unlike names: every rule with its examples, and no warning about labels of real data sets."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomllib
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt.data.datasets.voc import label_names
from zsprompt.prompts import load_bank
from zsprompt.prompts.label_text import label_places
from zsprompt.prompts.odd_labels import ODD_RULES, label_warnings, odd_labels

PROMPTS = Path(__file__).parents[2] / "prompts"

EXAMPLES: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "encoding": [("cafÃ©", ("café",)), ("jalapeÃ±o", ("jalapeño",)), ("pi\ufffdata", ()), ("pi?ata", ())],
    "invisible": [("potted\u00a0plant", ("potted plant",)), ("\ufeffdog", ("dog",)), ("do\u200bg", ("do g",))],
    "missing": [(word, ()) for word in ("nan", "NaN", "None", "null", "N/A", "NA", "<NA>", "-", "?", "--", "_")],
    "flag": [("true", ()), ("False", ()), ("yes", ()), ("NO", ())],
    "spreadsheet": [("#REF!", ()), ("#NAME?", ()), ("#DIV/0!", ()), ("=A1", ())],
    "date": [("2024-01-31", ()), ("2024-01-31T10:00:00Z", ()), ("31.1.2024", ())],
    "number": [(text, ()) for text in ("0", "17", "1.0", "-1", "1e5", "007", "3,5", "0 0.5 0.5 0.2 0.1", "1, 2")],
    "index-column": [("Unnamed: 0", ()), ("Unnamed: 0_level_0", ())],
    "wordnet": [("n02084071", ())],
    "open-images": [("/m/0k4j", ())],
    "numbered": [("class_0", ()), ("Class 12", ()), ("label3", ()), ("id_7", ())],
    "id": [("1f3870be274f6c49b3e31a0c6728957f", ()), ("123e4567-e89b-12d3-a456-426614174000", ())],
    "file": [
        ("000012.jpg", ("000012",)),
        ("train/dog/1.jpg", ("dog",)),
        ("C:\\photos\\red_fox\\1.png", ("red fox",)),
        ("https://host/a/1.jpg", ("a",)),
        ("./dog", ("dog",)),
        ("labels.txt", ("labels",)),
    ],
    "header": [("labels", ()), ("Label", ()), ("file_name", ()), ("image_id", ())],
    "split": [("test", ())],
    "folder": [("JPEGImages", ()), ("Annotations", ()), ("images", ())],
    "markup": [("cats &amp; dogs", ("cats & dogs",)), ("<b>dog</b>", ("dog",))],
    "escape": [("caf\\u00e9", ())],
    "score": [("dog: 0.93", ("dog",)), ("potted plant 0.5", ("potted plant",)), ("dog=1.0", ("dog",))],
    "placeholder": [("__background__", ()), ("unlabeled", ()), ("don't care", ())],
    "left-over": [
        ("['dog'", ("dog",)),
        ('dog"]', ("dog",)),
        ("'potted plant'", ("potted plant",)),
        ("{dog}", ("dog",)),
        ("dog,", ("dog",)),
        ("#dog", ("dog",)),
        ("('dog'", ("dog",)),
        ("dog)", ("dog",)),
        ("- dog", ("dog",)),
    ],
    "listed": [("1. dog", ("dog",)), ("0: dog", ("dog",)), ("001.Black Albatross", ("Black Albatross",))],
    "several": [
        ("dog;cat", ("dog", "cat")),
        ("dog|cat", ("dog", "cat")),
        ("person, cat", ("person", "cat")),
        ("cat/person", ("cat", "person")),
        ("cat person potted plant", ("cat", "person", "potted plant")),
    ],
    "prompt": [("a photo of a dog", ("dog",)), ("Picture of the potted plant", ("potted plant",))],
    "sentence": [
        ("two dogs run on the beach.", ()),
        ("there is a dog here!", ()),
        ("a man who rides a brown horse on a long and sandy beach", ()),
    ],
    "spelling": [("cats", ("cat",)), ("potted-plant", ("potted plant",))],
    "underscores": [("traffic_light", ("traffic light",))],
}
OTHERS = ("cat", "person", "potted plant")
"""Labels of the same set, which are not odd."""


def label_sets() -> dict[str, tuple[str, ...]]:
    """Label sets of the data sets, as their prompt files list them, and others that look odd but are not."""
    described = {
        path.stem: tuple(tomllib.loads(path.read_text(encoding="utf-8"))["labels"])
        for path in PROMPTS.glob("describe-*.toml")
    }
    return described | {
        "voc": label_names("readable"),
        "voc-raw": label_names("raw"),
        "aircraft": ("707-320", "A330-200", "DC-3", "F/A-18", "Boeing 717", "C-130", "Il-76"),
        "cars": ("Chevrolet Silverado 1500 Hybrid Crew Cab 2012", "Ram C/V Cargo Van Minivan 2012", "Audi 100"),
        "flowers": ("black-eyed susan", "colt's foot", "bird of paradise", "love in the mist", "fire", "truck"),
        "countries": ("Trinidad and Tobago", "Côte d'Ivoire", "São Tomé", "Virgin Islands, U.S.", "Åland"),
        "languages": ("犬", "猫", "собака", "γάτα", "chien", "Müll", "C++", "C#", "👍"),
        "technical": ("3D printer", "4x4", "USB 3.0", "35mm lens", "7-Eleven", "T-shirt", "jack-o'-lantern"),
        "colours": ("red car", "blue car", "red truck", "blue truck", "car", "red"),
        "compounds": ("fire", "truck", "fire truck", "crane (bird)", "crane (machine)", "sunglass", "sunglasses"),
        "synonyms": ("tench, Tinca tinca", "goldfish, Carassius auratus", "monitor, screen"),
    }


def test_every_rule_has_an_example() -> None:
    assert EXAMPLES.keys() == {rule.name for rule in ODD_RULES}
    assert len({rule.name for rule in ODD_RULES}) == len(ODD_RULES)


@pytest.mark.parametrize(
    ("rule", "label", "meant"),
    [(rule, label, meant) for rule, cases in EXAMPLES.items() for label, meant in cases],
)
def test_an_odd_label_is_found_with_what_was_meant(rule: str, label: str, meant: tuple[str, ...]) -> None:
    others = OTHERS if rule != "split" else (*OTHERS, "validation")
    (odd,) = (odd for odd in odd_labels((*others, label), {label: "labels.csv, line 3"}) if odd.label not in others)
    assert (odd.label, odd.rule.name, odd.meant, odd.place) == (label, rule, meant, "labels.csv, line 3")
    (text,) = label_warnings((*others, label), {label: "labels.csv, line 3"})
    assert "labels.csv, line 3" in text
    assert odd.rule.remedy in text
    assert odd.rule.remedy


@pytest.mark.parametrize("name", label_sets())
def test_no_label_of_real_sets_is_warned_of(name: str) -> None:
    assert label_warnings(label_sets()[name]) == ()


def test_no_label_of_the_scenes_is_warned_of() -> None:
    from zsprompt.data import load_dataset

    assert label_warnings(load_dataset("scenes", split="test").labels) == ()
    assert label_warnings(tuple({label for labels in load_bank("scenes").captions for label in labels})) == ()


def test_no_name_of_imagenet_is_warned_of() -> None:
    meta = pytest.importorskip("torchvision.models._meta", reason="torchvision is not installed")
    from zsprompt.data.datasets.image_folders import _SAME_WORDS

    twice = {"crane", "cardigan", "maillot", "Cardigan"}
    names = [name for name in meta._IMAGENET_CATEGORIES if name not in twice]
    assert label_warnings(tuple(dict.fromkeys((*names, *_SAME_WORDS.values())))) == ()


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=6, unique=True))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_checked(labels: list[str]) -> None:
    found = odd_labels(labels)
    assert [odd.label for odd in found] == [label for label in labels if label in {odd.label for odd in found}]
    assert len(label_warnings(labels)) <= len(found)


def test_a_list_separated_by_blanks_is_recognised_by_its_parts() -> None:
    assert [odd.label for odd in odd_labels(("dog", "cat", "person", "dog cat person"))] == ["dog cat person"]
    assert len(odd_labels(("dog cat", "cat person", "dog person"))) == 3
    assert not odd_labels(("red car", "red bus", "blue car", "blue bus", "dining table", "coffee table"))
    assert not odd_labels(("blue car", "red car", "car", "red", "blue"))
    assert not odd_labels(("fire truck", "fire", "truck", "fire hydrant", "hydrant"))
    assert not odd_labels(("bread", "butter", "bread and butter", "cup", "saucer", "cup & saucer"))
    assert len(odd_labels(("cat", "dog", "person", "cat and dog", "dog and person"))) == 2
    assert not odd_labels(("Na", "K", "Fe"))
    assert [(odd.rule.name, odd.meant) for odd in odd_labels(("dog", "cat", "cat/dog/bird"))] == [
        ("several", ("cat", "dog", "bird"))
    ]


def test_class_numbers_in_shards_have_a_remedy_of_their_own() -> None:
    (text,) = label_warnings(("0",), {"0": "0.tar, sample a"})
    assert text.endswith("use the names of the classes, one per line in classnames.txt next to the shards")
    (text,) = label_warnings(("0",), {"0": "labels.csv, line 2"})
    assert text.endswith("use the names of the classes")
    assert {odd.label for odd in odd_labels(("dog", "cat", "dog cat", "cat dog"))} == {"dog cat", "cat dog"}
    assert {odd.label for odd in odd_labels(("red dog cat", "cat dog red"))} == {"red dog cat", "cat dog red"}
    assert odd_labels(("fire", "truck", "fire truck", "potted plant", "dining table")) == ()


def test_many_labels_of_one_kind_are_one_sentence() -> None:
    (text,) = label_warnings(tuple(map(str, range(1000))), {"0": "0.tar, sample a"})
    assert text.startswith("labels '0' (0.tar, sample a), '1', '2' and 997 more look like class numbers; use the names")
    assert "classnames.txt" in text


def test_a_guess_is_in_the_sentence() -> None:
    (text,) = label_warnings(("cat", "dog", "person", "dog cat person"), {"dog cat person": "mine.csv, line 7"})
    assert text.startswith("label 'dog cat person' (mine.csv, line 7; perhaps 'dog' and 'cat' and 'person') looks like")


def test_places_of_labels_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("dog\nnan\ncat\nnan\n", encoding="utf-8")
    places = label_places(f"@{tmp_path / 'words.txt'}")
    assert places == {"dog": "words.txt, line 1", "nan": "words.txt, line 2", "cat": "words.txt, line 3"}
    assert label_places("dog, nan") == {}
