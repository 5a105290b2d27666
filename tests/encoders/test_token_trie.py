"""The text tower over a token trie: the embeddings of the padded tower, from fewer nodes."""

from __future__ import annotations

import itertools
import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt.encoders.clip.token_trie import _GROUP, Trie, TrieTower, _block
from zsprompt.encoders.clip.tokens import END, START, Tokeniser

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import clip
    from clip.model import CLIP

LABELS = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "potted plant", "tv monitor")
SEQUENCES = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=7).map(tuple), min_size=1, max_size=40)


# -- tokens ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokeniser() -> Tokeniser:
    return Tokeniser(clip.clip._tokenizer)


def clips_own(text: str) -> tuple[int, ...]:
    return (START, *clip.clip._tokenizer.encode(text), END)


@pytest.mark.parametrize(
    "text",
    [
        "dog",
        "A Photo of a DOG's ball, isn't it?",
        "  two   spaces\tand a tab\n",
        "caf&eacute; &amp; bar &lt;b&gt;",
        "Ünïcödé façade 日本 ﬁne “quotes”",
        "x\u00a0y\u2003z",
        "12345 3.14 #tag <|endoftext|> <|startoftext|>",
        "",
        "\x1b[31mred\x1b[0m",
        "we've we'll I'd 's't",
    ],
)
def test_tokens_are_clips_own(tokeniser: Tokeniser, text: str) -> None:
    assert tokeniser([text, text]) == [clips_own(text)] * 2


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=30) | st.text(st.characters(codec="ascii"), max_size=60))
def test_tokens_of_any_text_are_clips_own(tokeniser: Tokeniser, text: str) -> None:
    assert tokeniser([text]) == [clips_own(text)]


# -- the trie ----------------------------------------------------------------------------------------------------


@given(SEQUENCES)
def test_a_trie_has_one_node_per_distinct_prefix(sequences: list[tuple[int, ...]]) -> None:
    trie = Trie.of(sequences)
    prefixes = {sequence[: k + 1] for sequence in sequences for k in range(len(sequence))}
    assert len(trie) == len(prefixes)
    for sequence, end in zip(sequences, trie.ends, strict=True):
        assert trie.depth[end] == len(sequence) - 1
        path = trie.paths[trie.row[end], : len(sequence)]
        assert tuple(trie.tokens[path]) == sequence
        assert path[-1] == end


@given(SEQUENCES)
def test_nodes_are_numbered_depth_first(sequences: list[tuple[int, ...]]) -> None:
    trie = Trie.of(sequences)
    for node in range(1, len(trie)):
        parent = trie.paths[trie.row[node], trie.depth[node] - 1] if trie.depth[node] else -1
        earlier = trie.paths[trie.row[node - 1], : trie.depth[node - 1] + 1]
        assert parent == -1 or parent in earlier  # on the path to the previous node


@settings(max_examples=60)
@given(SEQUENCES, st.integers(1, 90))
def test_in_every_block_a_node_sees_its_ancestors_and_itself_alone(sequences: list[tuple[int, ...]], size: int) -> None:
    trie = Trie.of(sequences)
    carried: list[int] = []
    for first in range(0, len(trie), size):
        last = min(first + size, len(trie))
        block = _block(trie, first, last)
        available = np.array([*carried, *range(first, last)])
        assert 0 <= block.keys.min() <= block.keys.max() < len(available)
        for node in range(first, last):
            group, place = divmod(node - first, _GROUP)
            seen = available[block.keys[group][block.allowed[group, place]]]
            assert sorted(seen) == sorted(trie.paths[trie.row[node], : trie.depth[node] + 1])
        carried = list(available[block.carry])


# -- the tower ---------------------------------------------------------------------------------------------------


def model(width: int = 128, layers: int = 3) -> CLIP:
    """A text tower with random biases and norms: the initial values 0 and 1 would hide errors."""
    torch.manual_seed(0)
    made = CLIP(64, 32, 1, 64, 16, 77, 49408, width, width // 64, layers).eval()
    for parameter in made.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.1)
    return made


def rankings(count: int) -> list[str]:
    chance = random.Random(0)
    ranked = [chance.sample(LABELS, len(LABELS)) for _ in range(count)]
    return [", ".join(r[:k]) for r in ranked for k in range(1, len(LABELS) + 1)]


def sentences() -> list[str]:
    pairs = itertools.combinations(LABELS, 2)
    return [f"a photo of a {one} and a {two}, seen from afar" for one, two in pairs] + ["dog", "x " * 70, ""]


def relative_error(tower: CLIP, texts: list[str], **options: int) -> float:
    """Largest difference from `encode_text`, as a share of its largest value."""
    with torch.inference_mode():
        expected = tower.encode_text(clip.tokenize(texts))
    found = TrieTower(tower, **options)(Tokeniser(clip.clip._tokenizer)(texts))
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("block", [63, 10_000, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 64, 65, 500))])
def test_embeddings_equal_encode_text_whatever_the_block(block: int) -> None:
    texts = rankings(6) + sentences()
    random.Random(1).shuffle(texts)
    assert relative_error(model(), texts, block=block) <= 1e-5


def test_equal_texts_and_single_texts() -> None:
    tower = model()
    assert relative_error(tower, ["dog", "cat", "dog", "dog, cat", "dog"], block=64) <= 1e-5
    assert relative_error(tower, ["dog"], block=64) <= 1e-5


@pytest.mark.slow
def test_a_vit_b_32_sized_tower() -> None:
    assert relative_error(model(512, 12), rankings(3)[:40], block=256) <= 1e-5


def test_memory_is_bounded_by_the_block_and_not_by_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No matrix of the tower has more rows than the block."""
    tower = TrieTower(model(64, 1), block=128)
    rows = []
    layer = tower._layers[0]
    run = layer.feed_forward
    monkeypatch.setattr(layer, "attention_input", _counting(layer.attention_input, rows))
    monkeypatch.setattr(layer, "feed_forward", _counting(run, rows))
    tower(Tokeniser(clip.clip._tokenizer)(rankings(40)))
    assert max(rows) <= 128


def _counting(function, rows: list[int]):
    def counted(states, *rest):
        rows.append(len(states))
        return function(states, *rest)

    return counted


def in_bfloat16(tower: CLIP) -> CLIP:
    """Converted as by `clip.model.convert_weights` for float16: norms and the token table stay in float32."""
    for part in tower.transformer.modules():
        if isinstance(part, torch.nn.Linear | torch.nn.MultiheadAttention):
            for parameter in part.parameters(recurse=False):
                parameter.data = parameter.data.bfloat16()
    tower.text_projection.data = tower.text_projection.data.bfloat16()
    return tower


def test_half_precision_stays_close() -> None:
    tower = model()
    texts = rankings(4)
    with torch.inference_mode():
        expected = tower.encode_text(clip.tokenize(texts))
    found = TrieTower(in_bfloat16(tower), block=256)(Tokeniser(clip.clip._tokenizer)(texts)).float()
    cosine = torch.nn.functional.cosine_similarity(found, expected)
    assert cosine.min() > 0.999
