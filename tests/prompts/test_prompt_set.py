"""Prompt sets: the exact shipped texts, and faults in a user's file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt.errors import PromptError, UnknownName
from zsprompt.prompts import PromptSet, available_prompts, load_prompts, neutral_words, prompts_folder
from zsprompt.prompts.prompt_set import SetWording

DESCRIBED = [f"describe-{name}" for name in ("coco", "kaggle", "nus-wide", "scenes", "voc")]
SHIPPED = ["adds", "adds-contains", "adds-is-a", "bare", *DESCRIBED, "ensemble", "photo", "seed-code", "seed-paper"]
LABELS = ["aeroplane", "scissors"]
SETS = [("dog",), ("dog", "aeroplane"), ("dog", "aeroplane", "grass"), ()]

ENSEMBLES = {
    "photo": [["a photo of an aeroplane"], ["a photo of scissors"]],
    "bare": [["aeroplane"], ["scissors"]],
    "seed-paper": [["A photo of an aeroplane"], ["A photo of scissors"]],
    "seed-code": [["A photo of an aeroplane"], ["A photo of scissors"]],
    "adds-contains": [["This photo contains aeroplane"], ["This photo contains scissors"]],
    "adds-is-a": [["This is a aeroplane photo"], ["This is a scissors photo"]],
    "adds": [
        ["This photo contains aeroplane", "This is a aeroplane photo"],
        ["This photo contains scissors", "This is a scissors photo"],
    ],
}
ABSENT = {
    "photo": ["a photo without an aeroplane", "a photo without scissors"],
    "bare": ["nothing", "nothing"],
    "seed-paper": ["A photo of nothing", "A photo of nothing"],
    "seed-code": ["A photo without an aeroplane", "A photo without scissors"],
}
TEXTS = {
    "photo": [
        "a photo of a dog",
        "a photo of a dog and an aeroplane",
        "a photo of a dog, an aeroplane and grass",
        "a photo of nothing",
    ],
    "bare": ["dog", "dog, aeroplane", "dog, aeroplane, grass", "nothing"],
    "seed-paper": ["dog", "dog, aeroplane", "dog, aeroplane, grass", "A photo of nothing"],
    "seed-code": [
        "A photo of a dog",
        "A photo of a dog, and an aeroplane",
        "A photo of a dog, an aeroplane, and grass",
        "A photo of nothing",
    ],
}


Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a prompt file and returns its path."""

    def to(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return to


class TestShipped:
    def test_names(self) -> None:
        assert available_prompts() == SHIPPED

    @pytest.mark.parametrize("name", SHIPPED)
    def test_says_what_it_is_and_where_it_comes_from(self, name: str) -> None:
        prompts = load_prompts(name)
        assert prompts.name == name
        assert prompts.about
        assert prompts.source

    @pytest.mark.parametrize("name", ENSEMBLES)
    def test_ensemble(self, name: str) -> None:
        assert load_prompts(name).ensemble(LABELS) == ENSEMBLES[name]

    @pytest.mark.parametrize("name", ABSENT)
    def test_absent(self, name: str) -> None:
        assert load_prompts(name).absent(LABELS) == ABSENT[name]

    @pytest.mark.parametrize("name", TEXTS)
    def test_texts(self, name: str) -> None:
        assert load_prompts(name).texts(SETS) == TEXTS[name]

    @pytest.mark.parametrize("name", TEXTS)
    def test_labels_keep_their_order(self, name: str) -> None:
        forward, backward = load_prompts(name).texts([("dog", "cat", "cow"), ("cow", "cat", "dog")])
        for text, words in ((forward, ["dog", "cat", "cow"]), (backward, ["cow", "cat", "dog"])):
            assert sorted(words, key=text.index) == words

    def test_the_ensemble_has_many_templates_that_all_name_the_label(self) -> None:
        [texts] = load_prompts("ensemble").ensemble(["ukulele"])
        assert len(set(texts)) >= 30
        assert all(text.count("ukulele") == 1 for text in texts)

    def test_no_sets_no_labels_no_texts(self) -> None:
        photo = load_prompts("photo")
        assert (photo.texts([]), photo.absent([]), photo.ensemble([])) == ([], [], [])

    def test_neutral_words(self) -> None:
        words = neutral_words()
        assert len(set(words)) == len(words) >= 40
        assert [word.lower().strip() for word in words] == list(words)


@pytest.mark.parametrize(
    "label", ["{label}", "dog {label}", "a {a_label}", "{labels}", "{}", "{0}", "{dog", "dog}", "{{x}}", "50 %s"]
)
class TestLabelsWithBraces:
    def test_set(self, label: str, write: Write) -> None:
        prompts = load_prompts(write('[set]\ntext = "<{labels}>"\nitem = "({label})"'))
        assert prompts.texts([(label,), (label, "cat")]) == [f"<({label})>", f"<({label}), (cat)>"]

    def test_templates(self, label: str, write: Write) -> None:
        prompts = load_prompts(write('label = ["{a_label} or {label}", "{label}"]\nabsent = "no {label}"'))
        phrase = label if label.startswith("a ") else f"a {label}"
        assert prompts.ensemble([label]) == [[f"{phrase} or {label}", label]]
        assert prompts.absent([label]) == [f"no {label}"]


@settings(deadline=None)
@given(st.lists(st.text(), max_size=4).map(tuple))
def test_any_labels_come_through_unchanged(labels: tuple[str, ...]) -> None:
    wording = SetWording(text="[{labels}]", item="<{label}>", separator="", last="", nothing="none")
    assert wording.render(labels) == (f"[{''.join(f'<{label}>' for label in labels)}]" if labels else "none")


class TestOwnFile:
    TEXT = 'about = "Mine."\nlabel = "my {label}"\n'

    @pytest.mark.parametrize("kind", [Path, str])
    def test_by_path(self, kind: type, write: Write) -> None:
        prompts = load_prompts(kind(write(self.TEXT)))
        assert (prompts.name, prompts.about, prompts.source) == ("mine", "Mine.", "")
        assert prompts.ensemble(["dog"]) == [["my dog"]]

    def test_by_file_name_in_this_folder(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(write(self.TEXT).parent)
        assert load_prompts("mine.toml").name == "mine"

    def test_a_path_wins_over_a_shipped_name(self, tmp_path: Path) -> None:
        (tmp_path / "photo.toml").write_text(self.TEXT)
        assert load_prompts(tmp_path / "photo.toml").ensemble(["dog"]) == [["my dog"]]

    def test_a_shipped_file_by_its_path(self) -> None:
        assert load_prompts(prompts_folder() / "photo.toml") == load_prompts("photo")

    def test_byte_order_mark_and_windows_line_ends(self, tmp_path: Path) -> None:
        path = tmp_path / "bom.toml"
        path.write_bytes(self.TEXT.replace("\n", "\r\n").encode("utf-8-sig"))
        assert load_prompts(path).ensemble(["dog"]) == [["my dog"]]

    def test_other_scripts(self, write: Write) -> None:
        assert load_prompts(write('label = "ein Foto: {label} 🐕"')).ensemble(["Möhre"]) == [["ein Foto: Möhre 🐕"]]

    def test_last_follows_separator_unless_it_is_given(self, write: Write) -> None:
        assert load_prompts(write('[set]\nseparator = " + "')).texts([("a", "b", "c")]) == ["a + b + c"]
        assert load_prompts(write('[set]\nseparator = "+"\nlast = "="')).texts([("a", "b", "c")]) == ["a+b=c"]
        assert load_prompts(write("[set]")).texts([("a", "b", "c"), ()]) == ["a, b, c", "nothing"]

    def test_absent_may_leave_the_label_out(self, write: Write) -> None:
        assert load_prompts(write('absent = "an empty room"')).absent(["dog", "cat"]) == ["an empty room"] * 2


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            'label = "{label}"\nlable = "{label}"',
            2,
            "unknown key 'lable'; expected one of about, absent, label, labels",
        ),
        ('label = "{label}"\n[sets]\ntext = "{labels}"', 2, "unknown key 'sets'"),
        ('about = "x"\n[set]\nabout = "y"', 3, "unknown key 'set.about'; expected one of item, last, nothing"),
        ('about = "x"\n\nlabel = "a {lable}"', 3, "unknown placeholder '{lable}' in 'label': 'a {lable}'"),
        ('label = "a {labels}"', 1, "unknown placeholder '{labels}' in 'label'"),
        ('label = "{label} {}"', 1, "unknown placeholder '{}' in 'label'"),
        ('label = "{label}"\nabsent = "no {lable}"', 2, "unknown placeholder '{lable}' in 'absent'"),
        ('[set]\nitem = "{label}"\ntext = "a {label}"', 3, "unknown placeholder '{label}' in 'text'"),
        ('[set]\nitem = "{labels}"', 2, "unknown placeholder '{labels}' in 'item'"),
        ('[set]\nnothing = "no {label}"', 2, "unknown placeholder '{label}' in 'nothing': 'no {label}'; expected none"),
        ('[set]\nlast = " {and} "', 2, "unknown placeholder '{and}' in 'last'"),
        (
            'label = [\n  "my dog {label}",\n  "dog",\n]',
            3,
            "missing placeholder in 'label': 'dog'; expected {label} or",
        ),
        ('about = "label"\nlabel = ""', 2, "missing placeholder in 'label': ''"),
        ('about = "x"\nlabel = "a \\"dog\\""', 2, "missing placeholder in 'label'"),
        ('[set]\ntext = "a photo"', 2, "missing placeholder in 'text': 'a photo'; expected {labels}"),
        ('[set]\nitem = "an item"', 2, "missing placeholder in 'item'"),
        ('about = "The label."\nlabel = 3', 2, "expected 'label' to be a template or a list of templates, found 3"),
        ('label = ["{label}", 3]', 1, "expected 'label[1]' to be a text, found 3"),
        ('label = "{label}"\nabsent = true', 2, "expected 'absent' to be a text that is not blank, found True"),
        ('label = "{label}"\nabout = ["x"]', 2, "expected 'about' to be a text, found ['x']"),
        ('about = "separator"\n[set]\nseparator = 1', 3, "expected 'set.separator' to be a text, found 1"),
        ('about = "a set"\nset = "{labels}"', 2, "expected 'set' to be a section, found '{labels}'"),
        (
            '[set]\ntext = "nothing but {labels}"\nnothing = " "',
            3,
            "expected 'set.nothing' to be a text that is not blank, found ' '",
        ),
        ('label = "{label}"\nabsent = no', 2, "not valid TOML"),
        ('label = "{label}"\nlabel = "{label}"', 2, "not valid TOML"),
    ],
)
def test_refuses_naming_path_and_line(text: str, line: int, message: str, write: Write) -> None:
    path = write(text + "\n")
    with pytest.raises(PromptError) as caught:
        load_prompts(path)
    reason = str(caught.value)
    assert reason.startswith(str(path))
    assert f"line {line}" in reason
    assert message in reason


@pytest.mark.parametrize("text", ["", "\n# only a comment\n", 'about = "x"\nsource = "y"', "label = []"])
def test_a_file_without_wording_is_refused(text: str, write: Write) -> None:
    path = write(text)
    with pytest.raises(PromptError) as caught:
        load_prompts(path)
    assert str(caught.value) == f"{path}: expected at least one of 'label', [labels], 'absent' and [set], found none"


class TestUnreadable:
    def test_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "none.toml"
        with pytest.raises(PromptError, match=r"expected a prompt file at .*none\.toml, found none"):
            load_prompts(path)

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(PromptError, match="cannot read prompt file"):
            load_prompts(tmp_path)

    def test_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "latin.toml"
        path.write_bytes('label = "{label} möhre"'.encode("latin-1"))
        with pytest.raises(PromptError, match=r"cannot read prompt file .*latin\.toml: expected UTF-8"):
            load_prompts(path)

    @pytest.mark.parametrize(
        ("name", "meant"),
        [("phto", "photo"), ("Photo", "photo"), ("seed_paper", "seed-paper"), ("ensembles", "ensemble")],
    )
    def test_misspelt_name(self, name: str, meant: str) -> None:
        with pytest.raises(UnknownName, match=f"unknown prompt set '{name}'. Did you mean '{meant}'?") as caught:
            load_prompts(name)
        assert all(shipped in str(caught.value) for shipped in SHIPPED)

    @pytest.mark.parametrize("name", ["neutral", "", "zzz"])
    def test_no_such_name(self, name: str) -> None:
        with pytest.raises(UnknownName, match="unknown prompt set"):
            load_prompts(name)

    @settings(deadline=None)
    @given(
        st.sampled_from(["label", "absent", "about", "set.text", "set.item", "set.nothing", "set.x", "[set]\nlast"]),
        st.sampled_from(["{label}", "{labels}", "{", "}", "{x}", "{\\n}", "dog"]) | st.text(),
    )
    def test_any_file_loads_or_is_refused_in_one_line(
        self, tmp_path_factory: pytest.TempPathFactory, key: str, value: str
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "any.toml"
        path.write_bytes(f'{key} = "{value}"'.encode(errors="replace"))
        reason = ""
        try:
            load_prompts(path)
        except PromptError as error:
            reason = str(error)
        assert "\n" not in reason


class TestMissingParts:
    """The error for a missing part names the strategies that need it, and the fix."""

    @pytest.mark.parametrize(
        ("text", "ask", "part", "users", "instead"),
        [
            ('label = "{label}"', lambda p: p.texts([()]), "[set]", "list-all, top-all and compound", "bare"),
            ('label = "{label}"', lambda p: p.absent(["dog"]), "'absent'", "yes-or-no", "seed-paper"),
            ("[set]", lambda p: p.ensemble(["dog"]), "'label'", "per-label and yes-or-no", "photo"),
        ],
    )
    def test_message(
        self, text: str, ask: Callable[[PromptSet], object], part: str, users: str, instead: str, write: Write
    ) -> None:
        with pytest.raises(PromptError) as caught:
            ask(load_prompts(write(text)))
        assert str(caught.value) == (
            f"prompt set 'mine' has no {part}, which {users} need; "
            f"add it to the file or use another set, such as --prompts {instead}"
        )

    @pytest.mark.parametrize(("ask", "instead"), [("texts", "bare"), ("absent", "seed-paper"), ("ensemble", "photo")])
    def test_the_set_it_names_has_the_part(self, ask: str, instead: str) -> None:
        assert getattr(load_prompts(instead), ask)([("dog",)] if ask == "texts" else ["dog"])


class TestIdentity:
    TEXT = 'about = "A"\nsource = "S"\nlabel = "x {label}"\nabsent = "no {label}"\n[set]\ntext = "{labels}"\n'

    @pytest.mark.parametrize(
        ("old", "new"), [('about = "A"', 'about = "B"'), ('source = "S"\n', ""), ("label =", "# why\nlabel   =")]
    )
    def test_digest_stays_when_only_words_about_it_change(self, old: str, new: str, write: Write) -> None:
        before = load_prompts(write(self.TEXT)).digest
        assert load_prompts(write(self.TEXT.replace(old, new))).digest == before

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("x {label}", "y {label}"),
            ("x {label}", "x {a_label}"),
            ("no {label}", "nothing"),
            ('absent = "no {label}"', ""),
            ('"{labels}"', '"{labels}."'),
            ("[set]", '[set]\nseparator = " "'),
            ("[set]", '[set]\nlast = " and "'),
            ("[set]", '[set]\nitem = "a {label}"'),
            ("[set]", '[set]\nnothing = "none"'),
        ],
    )
    def test_digest_changes_with_the_wording(self, old: str, new: str, write: Write) -> None:
        before = load_prompts(write(self.TEXT)).digest
        assert load_prompts(write(self.TEXT.replace(old, new))).digest != before

    def test_shipped_sets_have_distinct_digests(self) -> None:
        assert len({load_prompts(name).digest for name in SHIPPED}) == len(SHIPPED)

    def test_repr_names_the_wording(self) -> None:
        photo = load_prompts("photo")
        assert repr(photo) == f"PromptSet(name='photo', digest='{photo.digest}')"

    def test_frozen_and_hashable(self) -> None:
        photo = load_prompts("photo")
        assert len({photo, load_prompts("photo"), load_prompts("bare")}) == 2
        with pytest.raises(dataclasses.FrozenInstanceError):
            photo.name = "other"
