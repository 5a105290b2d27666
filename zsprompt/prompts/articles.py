"""Labels as noun phrases: "an aeroplane", "scissors", "grass"."""

from __future__ import annotations

import re

# Singular words that end in s. Any other word that ends in a single s counts as a plural.
_SINGULAR_IN_S = frozenset(
    (
        "bus minibus gas lens iris cactus virus bias canvas atlas tennis chess mass christmas census circus "
        "walrus octopus platypus hippopotamus rhinoceros campus compass harness mattress dress glass cross "
        "boss class pass kiss hummus crocus hibiscus abacus asparagus couscous trellis pelvis basis axis "
        "oasis clematis cannabis"
    ).split()
)


_PLURAL = frozenset(("people men women children police cattle clothing feet teeth geese mice dice").split())


# Uncountable nouns, which take no article as the head of a label.
_UNCOUNTABLE = frozenset(
    (
        "grass water snow sand fire frost food rain ice fog smoke mud dust rice bread butter milk coffee tea "
        "wine beer juice cheese meat pasta salad sugar salt hair jewelry luggage furniture equipment traffic "
        "lightning sunlight sky soccer football basketball baseball hockey tennis golf surf dancing running "
        "swimming walking cooking skiing skating cycling riding fishing reading writing broccoli nighttime "
        "military nothing"
    ).split()
)


_DETERMINED = frozenset(
    (
        "a an the my your his her its our their this that these those some any no one two three four five six "
        "many several"
    ).split()
)


# The head of a label precedes the first of these words: "cup of coffee" is a cup.
_AFTER_HEAD = frozenset("of in on at with without from for and or".split())


_CONSONANT_SOUND = re.compile(
    r"(uni([^nmd]|$)|unan|u[bcfhjkqrst][aeiou]|ukr|use|eu|ewe|one([^i]|$)|once|ouija|u-|u$)", re.I
)


_VOWEL_SOUND = re.compile(r"(hour|honest|honou?r|heir|x-|8|1[18](\D|$)|[aefhilmnorsx]$)", re.I)


_ACRONYM = re.compile(r"[A-Z]{2,}\b|[A-Z][-0-9]")


def with_article(label: str) -> str:
    """`label` with its indefinite article, if it takes one: "an aeroplane", "a tv monitor", "scissors", "grass".

    Plurals, uncountable nouns and labels with a determiner ("two dogs") stay unchanged. The rules are for English,
    with short lists of exceptions. For other languages and wrong guesses, write the article into the label.
    """
    words = label.split()
    if not words or words[0].lower() in _DETERMINED or not _takes_article(_head(words)):
        return label
    return f"{'an' if _vowel_sound(words[0]) else 'a'} {label}"


def _head(words: list[str]) -> str:
    end = next((i for i, word in enumerate(words) if i and word.lower() in _AFTER_HEAD), len(words))
    return words[end - 1].lower()


def _takes_article(head: str) -> bool:
    if head in _UNCOUNTABLE or head in _PLURAL:
        return False
    plural_s = head.endswith("s") and not head.endswith(("ss", "us")) and head not in _SINGULAR_IN_S
    return not (plural_s and len(head) > 2)


def _vowel_sound(word: str) -> bool:
    if _ACRONYM.match(word):
        return word[0] in "AEFHILMNORSX"  # spelt out: an MRI scan, a TV, a UFO
    if _VOWEL_SOUND.match(word):
        return True
    return word[0].lower() in "aeiou" and not _CONSONANT_SOUND.match(word)
