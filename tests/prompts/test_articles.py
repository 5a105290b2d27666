"""with_article: the names of four data sets, and words whose article is hard."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt.prompts.articles import with_article

VOC = (
    "an aeroplane, a bicycle, a bird, a boat, a bottle, a bus, a car, a cat, a chair, a cow, a dining table, a dog, "
    "a horse, a motorbike, a person, a potted plant, a sheep, a sofa, a train, a tv monitor"
).split(", ")
COCO = (
    "a person, a bicycle, a car, a motorcycle, an airplane, a bus, a train, a truck, a boat, a traffic light, "
    "a fire hydrant, a stop sign, a parking meter, a bench, a bird, a cat, a dog, a horse, a sheep, a cow, "
    "an elephant, a bear, a zebra, a giraffe, a backpack, an umbrella, a handbag, a tie, a suitcase, a frisbee, "
    "skis, a snowboard, a sports ball, a kite, a baseball bat, a baseball glove, a skateboard, a surfboard, "
    "a tennis racket, a bottle, a wine glass, a cup, a fork, a knife, a spoon, a bowl, a banana, an apple, "
    "a sandwich, an orange, broccoli, a carrot, a hot dog, a pizza, a donut, a cake, a chair, a couch, "
    "a potted plant, a bed, a dining table, a toilet, a tv, a laptop, a mouse, a remote, a keyboard, a cell phone, "
    "a microwave, an oven, a toaster, a sink, a refrigerator, a book, a clock, a vase, scissors, a teddy bear, "
    "a hair drier, a toothbrush"
).split(", ")
NUS_WIDE = (
    "an airport, an animal, a beach, a bear, birds, boats, a book, a bridge, buildings, cars, a castle, a cat, "
    "a cityscape, clouds, a computer, a coral, a cow, dancing, a dog, an earthquake, an elk, fire, a fish, flags, "
    "flowers, food, a fox, frost, a garden, a glacier, grass, a harbor, horses, a house, a lake, a leaf, a map, "
    "military, a moon, a mountain, nighttime, an ocean, a person, a plane, plants, police, a protest, a railroad, "
    "a rainbow, a reflection, a road, rocks, running, sand, a sign, sky, snow, soccer, sports, a statue, a street, "
    "a sun, a sunset, surf, swimmers, a tattoo, a temple, a tiger, a tower, a town, a toy, a train, a tree, "
    "a valley, a vehicle, water, a waterfall, a wedding, whales, a window, a zebra"
).split(", ")
KAGGLE = "a motorcycle, a truck, a boat, a bus, a cycle, a sitar, an ektara, flutes, a tabla, a harmonium".split(", ")

ARTICLE = {
    "an": "hour|hourglass|honest man|heir|umbrella|octopus|unidentified object|uninhabited island|onion|"
    "unimportant detail|MRI scan|LED lamp|SUV|X-ray|x-ray|F1 car|8-ball|18-wheeler|11th hour|iPhone|egg",
    "a": "unicorn|uniform|university|unanimous vote|UFO|USB stick|TV|T-shirt|t-shirt|tv monitor|one-way sign|"
    "one-eyed cat|European car|euro coin|Ukrainian flag|u-turn|U-turn|ukulele|utensil|user|ewe|honey jar|180 sign|"
    "1 euro coin|bus|lens|wine glass|dress|tennis racket|cup of coffee|glass of water|man with glasses|"
    "knife and fork|house in snow",
    "": "scissors|skis|glasses|stairs|people|police|two dogs|a dog|A dog|an apple|the sea|no dog|broccoli|dirty water|"
    "dogs and cats|people on a beach|bread and butter|nothing",
}


@pytest.mark.parametrize("expected", list(dict.fromkeys([*VOC, *COCO, *NUS_WIDE, *KAGGLE])))
def test_names_of_the_data_sets(expected: str) -> None:
    assert with_article(expected.removeprefix("a ").removeprefix("an ")) == expected


def test_names_are_all_there() -> None:
    assert [len(set(names)) for names in (VOC, COCO, NUS_WIDE, KAGGLE)] == [20, 80, 81, 10]


@pytest.mark.parametrize(
    ("label", "article"), [(label, article) for article, labels in ARTICLE.items() for label in labels.split("|")]
)
def test_hard_words(label: str, article: str) -> None:
    assert with_article(label) == f"{article} {label}".strip()


@pytest.mark.parametrize("label", ["", " ", "\n"])
def test_blank_stays_blank(label: str) -> None:
    assert with_article(label) == label


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[A-Za-z0-9 of-]*", fullmatch=True))
def test_any_text_keeps_its_words(label: str) -> None:
    found = with_article(label)
    assert found.endswith(label)
    assert found.removesuffix(label) in ("", "a ", "an ")


@settings(deadline=None)
@given(st.text())
def test_a_phrase_with_its_article_stays(label: str) -> None:
    assert with_article(f"a {label}") == f"a {label}"
