"""Caption banks, the strategy llm, descriptions and the random words: all that needs no server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli
from fakes import LABELS, PlantedEncoder, draw, draw_files
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt._utils.text import words_of
from zsprompt.data.datasets.voc import label_names
from zsprompt.data.scenes import captions as scene_words
from zsprompt.data.scenes.world import KINDS
from zsprompt.errors import CaptionError, PromptError, UnknownName, UsageError
from zsprompt.llm import Bank, Caption, Captions, available_banks, load_bank, rewrites, save_bank
from zsprompt.llm.checks import complaint
from zsprompt.prompts import available_prompts, load_prompts
from zsprompt.store import EmbeddingStore
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import Llm, Normalised, TopAll, load_strategy, with_captions

OWN_LABELS = {"scenes": tuple(KINDS), "voc": label_names("readable")}


def bank(*entries: tuple[tuple[str, ...], str]) -> Bank:
    return Bank.of("mine", [Caption(tuple(sorted(labels)), text) for labels, text in entries])


EVERY = bank(((), "nothing"), *(((label,), label) for label in LABELS), (("cat", "dog"), "dog cat"))


def world() -> EmbeddingStore:
    return EmbeddingStore(PlantedEncoder(), cache=None)


def images(*sets: tuple[str, ...]) -> Images:
    return Images(PlantedEncoder().encode_images([draw(present) for present in sets]))


# -- banks -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    st.dictionaries(
        st.frozensets(st.text(min_size=1).filter(str.strip), max_size=3),
        st.text(min_size=1).filter(lambda text: text.strip() and "\n" not in text),
        min_size=1,
        max_size=5,
    )
)
def test_a_saved_bank_loads_unchanged(tmp_path_factory: pytest.TempPathFactory, texts) -> None:
    path = tmp_path_factory.mktemp("bank") / "mine.jsonl"
    captions = [Caption(tuple(sorted(key)), text, "a model", "asked so", "2026-01-02") for key, text in texts.items()]
    save_bank(captions, path)
    found = load_bank(path)
    assert {key: found.get(key) for key in texts} == texts
    assert set(found.captions.values()) == set(captions)
    save_bank(reversed(captions), path)
    assert load_bank(path).digest == found.digest


def test_the_order_of_labels_means_nothing_and_the_digest_is_of_what_is_said() -> None:
    one, two = bank((("dog", "cat"), "a cat by a dog")), bank((("cat", "dog"), "a cat by a dog"))
    assert one.get(("cat", "dog")) == two.get(("dog", "cat")) == "a cat by a dog"
    assert one.digest == two.digest != bank((("cat", "dog"), "a dog by a cat")).digest
    assert repr(one) == f"Bank(name='mine', digest='{one.digest}')"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected captions in .*, found none"),
        ('{"labels": ["dog"], "caption": "a dog"', "line 1: not valid JSON"),
        ('{"labels": ["dog"], "caption": "a dog"}\n[1]', "line 2: expected"),
        ('{"labels": "dog", "caption": "a dog"}', "line 1: expected 'labels' to be a list of texts, found 'dog'"),
        (
            '{"labels": ["dog", " "], "caption": "a dog"}',
            r"expected 'labels\[1\]' to be a text that is not blank",
        ),
        ('{"labels": ["dog"]}', "expected 'caption' to be one line of text, found no such key"),
        ('{"labels": ["dog"], "caption": "a\\ndog"}', "expected 'caption' to be one line"),
        ('{"labels": ["dog"], "caption": 3}', "expected 'caption' to be one line of text, found 3"),
        (
            '{"labels": ["cat", "dog"], "caption": "x"}\n\n{"labels": ["dog", "cat"], "caption": "y"}',
            r"line 3: expected one caption for cat \+ dog, found another in line 1",
        ),
    ],
)
def test_a_broken_bank_is_one_line_that_names_the_place(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CaptionError, match=reason):
        load_bank(path)


def test_banks_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'scenes'"):
        load_bank("scene")
    with pytest.raises(CaptionError, match=r"expected a caption bank at .*none\.jsonl, found none"):
        load_bank(tmp_path / "none.jsonl")


@pytest.mark.parametrize("name", available_banks())
def test_shipped_banks_caption_every_single_label_and_nothing_wrongly(name: str) -> None:
    labels, found = OWN_LABELS[name], load_bank(name)
    assert {frozenset()} | {frozenset((label,)) for label in labels} <= set(found.captions)
    for key, caption in found.captions.items():
        assert key <= set(labels)
        assert complaint(caption.caption, sorted(key), labels) is None, caption


def test_shipped_texts_for_scenes_use_words_that_tiny_knows() -> None:
    texts = [caption.caption for caption in load_bank("scenes").captions.values()]
    texts += [text for own in load_prompts("describe-scenes").ensemble(KINDS) for text in own]
    assert set(words_of(texts)) <= scene_words.vocabulary()


# -- composing, counting, refusing -----------------------------------------------------------------------------------


def wording(bank: Bank, *, compose: bool = True):
    store = world()
    return Captions(bank).wording(LABELS, store.fits, load_prompts("bare"), compose=compose)


def test_a_set_without_a_caption_is_made_of_its_parts_and_counted() -> None:
    words = wording(EVERY)
    assert words([("dog", "cat"), ("car", "dog", "cat"), ()]) == ["dog cat", "car, dog cat", "nothing"]
    assert words([("cat", "dog", "car"), ("person", "sofa")]) == ["car, dog cat", "person, sofa"]
    assert words.tally == {"banked": 2, "composed": 2}


def test_a_set_that_cannot_be_made_is_refused_and_counted() -> None:
    words = wording(bank((("dog",), "a dog")))
    with pytest.raises(CaptionError, match=r"no caption for 4 label sets \(cat; cat \+ dog; nothing and 1 more\)"):
        words([("dog",), ("cat",), ("cat", "dog"), (), ("car",), ("dog", "cat")])
    with pytest.raises(CaptionError, match=r"1 label set .*leave out compose=no"):
        wording(EVERY, compose=False)([("cat", "dog"), ("person", "sofa")])


# -- the strategy ----------------------------------------------------------------------------------------------------


def test_with_captions_that_are_the_templates_texts_llm_is_top_all() -> None:
    sets = [("cat",), ("cat", "dog"), ("sofa", "car", "person"), ()]
    everything = bank(
        *((s, ", ".join(sorted(s)) or "nothing") for s in Llm().label_sets(images(*sets), LABELS, world()))
    )
    expected = TopAll(order="alphabetical").predict(images(*sets), LABELS, world())
    found = Llm(captions=Captions(everything)).predict(images(*sets), LABELS, world())
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.decisions, expected.decisions)
    assert set(found.worded) == {"banked"}


@pytest.mark.parametrize("base", ["top-all", "list-all"])
def test_llm_finds_what_is_there_in_the_captions_words(base) -> None:
    sets = [("cat",), ("dog", "cat"), ("person", "sofa"), ()]
    strategy = Llm(base=base, captions=Captions(EVERY))
    answer = strategy.predict(images(*sets), LABELS, world())
    found = [{label for label, yes in zip(LABELS, row, strict=True) if yes} for row in answer.decisions]
    assert found == [set(labels) for labels in sets]
    assert sum(answer.worded.values()) == len(set(map(frozenset, strategy.label_sets(images(*sets), LABELS, world()))))


def test_counts_come_through_normalised() -> None:
    inner = Llm(captions=Captions(EVERY))
    sets = [("cat",), ("dog", "cat")]
    expected = inner.predict(images(*sets), LABELS, world()).worded
    assert Normalised(inner).predict(images(*sets), LABELS, world()).worded == expected


def test_refusals_of_the_strategy() -> None:
    with pytest.raises(UsageError, match="strategy llm needs captions"):
        Llm().predict(images(()), LABELS, world())
    with pytest.raises(UsageError, match="max_labels is for llm,base=list-all"):
        load_strategy("llm,max_labels=2").label_sets(images(()), LABELS, world())
    with pytest.raises(UsageError, match="captions are for strategy llm, found TopAll"):
        with_captions(TopAll(), Captions(EVERY))
    with pytest.raises(UnknownName, match="value of base"):
        load_strategy("llm,base=top")
    with pytest.raises(UnknownName, match="field of Llm"):
        load_strategy("llm,captions=x")


# -- descriptions and random words -----------------------------------------------------------------------------------

DESCRIBED = [name for name in available_prompts() if name.startswith("describe-")]


@pytest.mark.parametrize("name", DESCRIBED)
def test_shipped_descriptions_name_their_label_in_at_least_five_texts(name: str) -> None:
    prompts = load_prompts(name)
    for label, texts in prompts.described:
        assert len(set(texts)) == len(texts) >= 5
        assert all(label in text.lower() for text in texts), label
    assert prompts.ensemble(["a word of one's own"]) == [["a photo of a word of one's own"]]


def test_shipped_descriptions_know_all_labels() -> None:
    described = {name: {label for label, _ in load_prompts(name).described} for name in DESCRIBED}
    assert described["describe-scenes"] == set(KINDS)
    assert described["describe-voc"] == set(label_names("readable"))
    sizes = {name: len(labels) for name, labels in described.items()}
    assert sizes == {
        "describe-scenes": 16,
        "describe-voc": 20,
        "describe-kaggle": 10,
        "describe-coco": 80,
        "describe-nus-wide": 81,
    }


def test_labels_of_different_numbers_of_texts_average_each_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('label = "{label}"\n[labels]\ncat = ["cat dog", "cat sofa", "cat car"]', encoding="utf-8")
    store = world()
    scores = load_strategy("per-label", prompts=load_prompts(path)).predict(images(("cat",)), ["cat", "dog"], store)
    mean = store.texts(["cat dog", "cat sofa", "cat car"]).mean(axis=0)
    image = images(("cat",)).vectors[0]
    np.testing.assert_allclose(scores.scores[0], [image @ mean / np.linalg.norm(mean), image @ store.texts(["dog"])[0]])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("labels = 3", "expected 'labels' to be a section, found 3"),
        ("[labels]\ndog = []", r"line 2: expected 'labels.dog' to be at least one text, found \[\]"),
        ('[labels]\ndog = ["a dog", 3]', r"line 2: expected 'labels.dog\[1\]' to be a text that is not blank, found 3"),
        ('[labels]\ndog = "  "', "line 2: expected 'labels.dog' to be at least one text, found '  '"),
    ],
)
def test_broken_descriptions_name_the_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PromptError, match=reason):
        load_prompts(path)


def test_a_label_that_nothing_describes(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[labels]\ndog = "a dog"', encoding="utf-8")
    prompts = load_prompts(path)
    assert prompts.ensemble(["dog"]) == [["a dog"]]
    assert prompts.undescribed(["cat", "dog"]) == ["cat"]
    assert load_prompts("photo").undescribed(["cat"]) == []
    with pytest.raises(PromptError, match="has no texts for 'cat'; add texts for them under"):
        prompts.ensemble(["dog", "cat"])


@pytest.mark.parametrize("name", [*DESCRIBED, "ensemble"])
def test_random_words_are_as_many_and_as_long_and_the_same_words(name: str) -> None:
    prompts = load_prompts(name)
    labels = [label for label, _ in prompts.described] or ["dog", "potted plant"]
    real = dict(zip(labels, prompts.ensemble(labels), strict=True))
    control = rewrites.random_words(prompts, labels, seed=1)
    for label in labels:
        assert [len(list(words_of([t]))) for t in control[label]] == [len(list(words_of([t]))) for t in real[label]]
        assert all(text.startswith(label) for text in control[label])
    words = set(words_of(text for texts in real.values() for text in texts)) | set(words_of(labels))
    assert set(words_of(text for texts in control.values() for text in texts)) <= words
    assert control == rewrites.random_words(prompts, labels, seed=1) != rewrites.random_words(prompts, labels, seed=2)


def test_random_words_need_words() -> None:
    with pytest.raises(PromptError, match="expected words besides the labels"):
        rewrites.random_words(load_prompts("bare"), ["dog", "cat"])


@settings(deadline=None, max_examples=30)
@given(
    st.dictionaries(st.text(min_size=1).filter(str.strip), st.lists(st.text(min_size=1).filter(str.strip)), min_size=1)
)
def test_prompt_files_hold_any_text(tmp_path_factory: pytest.TempPathFactory, described) -> None:
    path = tmp_path_factory.mktemp("prompts") / "mine.toml"
    rewrites.save_prompts(path, about='"quotes"', source="here", described=described)
    found = load_prompts(path)
    assert dict(found.described) == {label: tuple(texts) for label, texts in described.items() if texts}
    assert found.about == '"quotes"'


# -- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    sets = [("cat",), ("dog", "cat"), ("person", "sofa"), ()]
    refs = draw_files(root, sets)
    rows = [f"{ref.id},{'|'.join(labels)}" for ref, labels in zip(refs, sets, strict=True)]
    (root / "labels.csv").write_text("image,labels\n" + "\n".join(rows), encoding="utf-8")
    return root


def mine(tmp_path: Path, found: Bank = EVERY) -> Path:
    path = tmp_path / "mine.jsonl"
    save_bank(found.captions.values(), path, force=True)
    return path


def test_run_with_a_bank_of_ones_own(folder: Path, tmp_path: Path, cli: Cli) -> None:
    arguments = ["run", "--strategy", "llm", "--dataset", "folder", "--root", folder, "--model", "fakes:PlantedEncoder"]
    done = cli(*arguments, "--captions", mine(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["mAP"] == 1.0
    assert result["captions"]["banked"] > 0
    assert "Bank(name='mine', digest=" in result["recipe"]["strategy"]
    assert "label sets have no caption of their own; captions of their parts were combined" in done.stderr
    lacking = cli(*arguments)
    assert lacking.returncode == 1
    assert lacking.stderr.startswith("error: strategy llm needs captions")
    wrong = cli(*arguments[:2], "top-all", *arguments[3:], "--captions", mine(tmp_path))
    assert wrong.stderr.startswith("error: this run does not use captions: captions are for strategy llm, and top-all")


def test_predict_with_a_bank(folder: Path, tmp_path: Path, cli: Cli) -> None:
    options = ["--labels", "cat,dog,sofa,person", "--strategy", "llm", "--model", "fakes:PlantedEncoder", "--json"]
    done = cli("predict", folder, *options, "--captions", mine(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["captions"]["banked"] > 0
    assert "no caption of their own; captions of their parts were combined" in done.stderr


@pytest.mark.slow
def test_scenes_out_of_the_box(cli: Cli) -> None:
    done = cli("run", "--strategy", "llm", "--dataset", "scenes,limit=40", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["mAP"] > 3 * result["chance"]
    assert "never trained on" not in done.stderr


def test_a_dry_run_counts_without_a_server(tmp_path: Path, cli: Cli) -> None:
    options = ["--labels", "cat,dog,sofa,person", "--set-size", 2, "--model", "fakes:PlantedEncoder"]
    done = cli("caption-labels", *options, "--captions", mine(tmp_path), "--dry-run", "--price", "in=1,out=2")
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
    assert "11 label sets: 6 in bank mine, 0 answered before, 5 to ask; about" in done.stderr
    refused = cli("caption-labels", *options, "--captions", mine(tmp_path))
    assert refused.stderr.splitlines()[-1].startswith("error: expected an LLM, found none; pass --llm")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["caption-labels"], "expected --dataset NAME, or --labels"),
        (["caption-labels", "--labels", "a", "--dataset", "scenes"], "expected labels of data set scenes"),
        (["caption-labels", "--dataset", "scenes", "--strategy", "per-label"], "expected a strategy with label sets"),
        (["caption-labels", "--labels", ",".join(map(str, range(60))), "--set-size", "9"], "use a smaller --set-size"),
        (["write-prompts", "descriptions", "--labels", "dog", "--out", "x.toml"], "expected an LLM, found none"),
        (["write-prompts", "paraphrases", "--out", "no/such/x.toml"], "cannot write"),
        (["write-prompts", "random-words", "--out", "x.toml"], "expected --labels"),
    ],
)
def test_what_the_commands_refuse(arguments: list[str], said: str, cli: Cli) -> None:
    done = cli(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_random_words_by_command(tmp_path: Path, cli: Cli) -> None:
    done = cli("write-prompts", "random-words", "--like", "describe-voc", "--labels", "dog, cat", "--out", "words.toml")
    assert (done.returncode, done.stdout) == (0, "words.toml: 12 texts for 2 labels\n"), done.stderr
    assert [len(own) for own in load_prompts(tmp_path / "words.toml").ensemble(["dog", "cat"])] == [6, 6]


def test_random_captions_by_command(tmp_path: Path, cli: Cli) -> None:
    done = cli("write-prompts", "random-words", "--like", "scenes", "--out", "words.jsonl")
    assert (done.returncode, done.stdout) == (0, "words.jsonl: 137 captions\n"), done.stderr
    real, found = load_bank("scenes"), load_bank(tmp_path / "words.jsonl")
    assert set(found.captions) == set(real.captions)
    for key, caption in found.captions.items():
        assert set(key) <= set(words_of([caption.caption]))
        assert len(list(words_of([caption.caption]))) == len(list(words_of([real.captions[key].caption])))
