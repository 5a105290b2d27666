"""Networks of the adapters: equal to their written-out definitions, and the properties of the designs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zsprompt.adapters.networks import FC, MLD, DMDecoder, Fusion, MLDecoder
from zsprompt.adapters.networks.layers import scaled
from zsprompt.errors import LabelError, UsageError

D, WIDE = 8, 12
"""Width of the label texts, and of features that are wider."""

Weights = dict[str, np.ndarray]


pytestmark = pytest.mark.usefixtures("one_thread")


few = settings(deadline=None, max_examples=25)
labels_counts, token_counts = st.integers(1, 6), st.sampled_from([1, 2, 5])


def rows(*shape: int, seed: int = 0) -> Tensor:
    """Unit rows, float64."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=torch.float64)
    return nn.functional.normalize(drawn, dim=-1)


def drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in float64 and eval mode with random parameters: no bias is 0, no LayerNorm weight is 1."""
    generator = torch.Generator().manual_seed(seed)
    network = network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.5)
    return network


def weights_of(network: nn.Module, part: str = "") -> Weights:
    return below({name: tensor.numpy() for name, tensor in network.state_dict().items()}, part)


def below(weights: Weights, part: str) -> Weights:
    """The weights whose name starts with `part`, by the rest of their names."""
    start = part + "." if part else ""
    return {name.removeprefix(start): array for name, array in weights.items() if name.startswith(start)}


def equal(result: Tensor, expected: object) -> None:
    array = expected.detach().numpy() if isinstance(expected, Tensor) else np.array(expected)
    assert result.detach().numpy() == pytest.approx(array, abs=1e-9)


# The definitions, for one image and one label at a time. `dropped` is what a dropout gives: its input in eval mode,
# nothing where the probability is 1.


def plain_linear(weights: Weights, x: np.ndarray) -> np.ndarray:
    out = weights["weight"] @ x
    return out + weights["bias"] if "bias" in weights else out


def plain_norm(weights: Weights, x: np.ndarray) -> np.ndarray:
    mean = sum(x) / len(x)
    variance = sum((value - mean) ** 2 for value in x) / len(x)
    return (x - mean) / math.sqrt(variance + 1e-5) * weights["weight"] + weights["bias"]


def plain_softmax(x: list[float]) -> np.ndarray:
    powers = np.exp(np.array(x) - max(x))
    return powers / powers.sum()


def plain_attention(weights: Weights, x: np.ndarray, features: np.ndarray, heads: int) -> np.ndarray:
    """The attention output of one query x [D] over keys and values [L, D]."""
    projections = zip(np.split(weights["in_proj_weight"], 3), np.split(weights["in_proj_bias"], 3), strict=True)
    (wq, bq), (wk, bk), (wv, bv) = projections
    size = len(x) // heads
    joined: list[float] = []
    for head in range(heads):
        head_columns = slice(head * size, (head + 1) * size)
        query = (wq @ x + bq)[head_columns]
        looks = plain_softmax([query @ (wk @ f + bk)[head_columns] / math.sqrt(size) for f in features])
        joined.extend(sum(look * (wv @ f + bv)[head_columns] for look, f in zip(looks, features, strict=True)))
    return weights["out_proj.weight"] @ np.array(joined) + weights["out_proj.bias"]


def plain_feed_forward(weights: Weights, x: np.ndarray, dropped: Callable = lambda x: x) -> np.ndarray:
    hidden = dropped(np.maximum(plain_linear(below(weights, "0"), x), 0))
    return plain_linear(below(weights, "3"), hidden)


def plain_map(weights: Weights, features: np.ndarray) -> np.ndarray:
    """Features [L, D'] scaled to the order of 1 and mapped to the width of the blocks."""
    large = features * math.sqrt(features.shape[1])
    return np.stack([plain_linear(below(weights, "map"), f) for f in large]) if "map.weight" in weights else large


def plain_mld(weights: Weights, features: np.ndarray, text: np.ndarray, *, heads: int, dropped: Callable) -> float:
    features, x = plain_map(weights, features), text * math.sqrt(len(text))
    for i in range(blocks_in(weights)):
        block = below(weights, f"blocks.{i}")
        x = plain_norm(
            below(block, "attention_norm"), x + plain_attention(below(block, "attention"), x, features, heads)
        )
        x = plain_norm(
            below(block, "feed_forward_norm"), x + plain_feed_forward(below(block, "feed_forward"), x, dropped)
        )
    return plain_linear(below(weights, "read_out"), x).item() if "read_out.weight" in weights else sum(x) / len(x)


def blocks_in(weights: Weights) -> int:
    return len({name.split(".")[1] for name in weights if name.startswith("blocks.")})


def plain_ml_decoder_query(weights: Weights, features: np.ndarray, query: np.ndarray, heads: int) -> np.ndarray:
    """[width] one query of ML-Decoder after all blocks, on mapped features."""
    x = query
    for i in range(blocks_in(weights)):
        block = below(weights, f"blocks.{i}")
        x = plain_norm(below(block, "query_norm"), x + x)
        x = plain_norm(
            below(block, "attention_norm"), x + plain_attention(below(block, "attention"), x, features, heads)
        )
        x = plain_norm(below(block, "feed_forward_norm"), x + plain_feed_forward(below(block, "feed_forward"), x))
    return x


def plain_relu_map(weights: Weights, vectors: np.ndarray) -> np.ndarray:
    return np.stack([np.maximum(plain_linear(weights, v), 0) for v in vectors])


def plain_dm_decoder(
    weights: Weights, features: np.ndarray, texts: np.ndarray, *, heads: int, dropped: Callable
) -> list[float]:
    """Equation 5 for all labels of one image, which the second attention mixes."""
    v, q_lbl = plain_map(weights, features), texts * math.sqrt(texts.shape[1])
    count = blocks_in(weights)
    for i in range(count):
        block = below(weights, f"blocks.{i}")
        q1 = [plain_norm(below(block, "norm1"), q + dropped(q)) for q in q_lbl]
        q2 = [plain_attention(below(block, "attention"), q, v, heads) for q in q1]
        q3 = [plain_norm(below(block, "norm3"), a + b) for a, b in zip(q2, q1, strict=True)]
        inner = [np.maximum(plain_linear(below(block, "ffn2"), q), 0) for q in q3]
        q4 = [dropped(plain_linear(below(block, "ffn1"), h)) for h in inner]
        q5 = np.stack([plain_norm(below(block, "norm5"), a + b) for a, b in zip(q4, q3, strict=True)])
        q_lbl = np.stack([plain_norm(below(block, "query_norm"), a + b) for a, b in zip(q5, q_lbl, strict=True)])
        if i < count - 1:
            v1 = [plain_attention(below(block, "attention2"), one, q5, heads) for one in v]
            v = np.stack([plain_norm(below(block, "value_norm"), a + b) for a, b in zip(v1, v, strict=True)])
    return [plain_linear(below(weights, "read_out"), q).item() for q in q_lbl]


def kept(x: np.ndarray) -> np.ndarray:
    return x


def none_of(x: np.ndarray) -> np.ndarray:
    return np.zeros_like(x)


# FC


@few
@given(st.integers(1, 4), labels_counts)
def test_fc_is_one_linear_layer_per_label_on_both_vectors(images: int, labels: int) -> None:
    network, vectors, texts = drawn(FC(D, labels)), rows(images, D), rows(labels, D, seed=1)
    weights = weights_of(network)
    expected = [
        [
            sum(w * x for w, x in zip(weight, [*v, *t], strict=True)) * math.sqrt(D) + bias
            for weight, bias, t in zip(weights["weight"], weights["bias"], texts.numpy(), strict=True)
        ]
        for v in vectors.numpy()
    ]
    equal(network(vectors, texts), expected)


def test_the_texts_of_fc_shift_a_label_equally_for_every_image() -> None:
    network, vectors = drawn(FC(D, 5)), rows(7, D)
    moved = network(vectors, rows(5, D, seed=1)) - network(vectors, rows(5, D, seed=2))
    assert moved.abs().min() > 1e-3
    equal(moved, moved[:1].expand(7, 5))


# MLD


@pytest.mark.parametrize("read_out", ["linear", "mean"])
@pytest.mark.parametrize("wide", [None, D, WIDE])
@few
@given(token_counts, labels_counts, st.integers(1, 2))
def test_mld_equals_its_equations(wide: int | None, read_out: str, tokens: int, labels: int, blocks: int) -> None:
    network = drawn(MLD(D, features=wide, blocks=blocks, heads=2, feed_forward=5, read_out=read_out))
    features, texts = rows(2, tokens, wide or D), rows(labels, D, seed=1)
    weights = weights_of(network)
    assert ("map.weight" in weights) == (wide == WIDE)
    expected = [[plain_mld(weights, f, t, heads=2, dropped=kept) for t in texts.numpy()] for f in features.numpy()]
    equal(network(features, texts), expected)


def test_the_dropout_of_mld_acts_on_the_hidden_units_of_the_feed_forward_layer() -> None:
    network = drawn(MLD(D, heads=2, feed_forward=5, dropout=1.0)).train()
    features, texts = rows(2, 3, D), rows(4, D, seed=1)
    expected = [
        [plain_mld(weights_of(network), f, t, heads=2, dropped=none_of) for t in texts.numpy()]
        for f in features.numpy()
    ]
    equal(network(features, texts), expected)


def test_with_one_feature_the_queries_and_keys_of_mld_have_no_effect() -> None:
    network, texts = drawn(MLD(D, heads=2)), rows(4, D, seed=1)
    for tokens, matters in ((1, False), (3, True)):
        features = rows(2, tokens, D)
        before = network(features, texts)
        before.sum().backward()
        attention = network.blocks[0].attention
        assert bool(attention.in_proj_weight.grad[: 2 * D].abs().max() > 1e-12) is matters
        assert attention.in_proj_weight.grad[2 * D :].abs().max() > 1e-3  # the part of the values
        with torch.no_grad():
            attention.in_proj_weight[: 2 * D] += 1.0
        assert bool((network(features, texts) - before).abs().max() > 1e-9) is matters
        network.zero_grad()


def test_the_mean_read_out_starts_at_0_and_only_its_layer_norm_learns() -> None:
    """In a new network, the weights of LayerNorm are 1 and its biases 0."""
    network = MLD(D, heads=2, read_out="mean").double().eval()
    logits = network(rows(3, 5, D), rows(4, D, seed=1))
    assert logits.abs().max() < 1e-12
    (logits * torch.arange(12).view(3, 4)).sum().backward()
    learning = {name for name, p in network.named_parameters() if p.grad.abs().max() > 1e-9}
    assert learning == {"blocks.0.feed_forward_norm.weight", "blocks.0.feed_forward_norm.bias"}
    linear = MLD(D, heads=2).double().eval()
    assert linear(rows(3, 5, D), rows(4, D, seed=1)).std() > 1e-3


# ML-Decoder


@pytest.mark.parametrize("unit_rows", [None, True])
@few
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 2))
def test_ml_decoder_with_random_queries_equals_its_equations(
    unit_rows: bool | None, labels: int, groups: int, blocks: int
) -> None:
    network = drawn(
        MLDecoder(
            labels,
            in_features=WIDE,
            width=D,
            heads=2,
            feed_forward=5,
            groups=groups,
            blocks=blocks,
            unit_rows=unit_rows,
        )
    )
    features = rows(2, 3, WIDE)
    equal(network(features), plain_grouped(network, features * (math.sqrt(WIDE) if unit_rows else 1)))


def plain_grouped(network: MLDecoder, features: Tensor, queries: np.ndarray | None = None) -> list[list[float]]:
    """[B, C] group fully-connected layers, label by label."""
    weights = weights_of(network)
    queries = weights["queries"] if queries is None else queries
    size = weights["group_weight"].shape[2]
    logits = []
    for image in features.numpy():
        mapped = plain_relu_map(below(weights, "map"), image)
        states = [plain_ml_decoder_query(weights, mapped, query, heads=2) for query in queries]
        logits.append(
            [
                states[c // size] @ weights["group_weight"][c // size, :, c % size] + bias
                for c, bias in enumerate(weights["group_bias"])
            ]
        )
    return logits


@few
@given(st.integers(1, 9), st.integers(1, 9))
def test_the_query_of_a_group_is_the_mean_of_its_label_texts(labels: int, groups: int) -> None:
    network = drawn(MLDecoder(labels, in_features=WIDE, text_features=D, width=6, heads=2, groups=groups))
    features, texts = rows(2, 3, WIDE), rows(labels, D, seed=1)
    size = math.ceil(labels / min(groups, labels))
    means = [texts.numpy()[first : first + size].mean(axis=0) for first in range(0, labels, size)]
    queries = plain_relu_map(weights_of(network, "text_map"), np.stack(means) * math.sqrt(D))
    equal(network(features, texts), plain_grouped(network, features * math.sqrt(WIDE), queries))


@few
@given(token_counts, labels_counts)
def test_ml_decoder_for_any_labels_has_one_query_per_label_and_one_shared_layer(tokens: int, labels: int) -> None:
    network = drawn(MLDecoder(in_features=WIDE, text_features=D, width=6, heads=2, feed_forward=5))
    features, texts = rows(2, tokens, WIDE), rows(labels, D, seed=1)
    weights = weights_of(network)
    queries = plain_relu_map(below(weights, "text_map"), texts.numpy() * math.sqrt(D))
    expected = []
    for image in features.numpy():
        mapped = plain_relu_map(below(weights, "map"), image * math.sqrt(WIDE))
        states = [plain_ml_decoder_query(weights, mapped, query, heads=2) for query in queries]
        expected.append([plain_linear(below(weights, "read_out"), state).item() for state in states])
    equal(network(features, texts), expected)


@few
@given(st.integers(1, 40), st.integers(1, 45))
def test_labels_are_grouped_in_order_and_extra_outputs_are_cut_off(labels: int, groups: int) -> None:
    network = drawn(MLDecoder(labels, in_features=4, width=4, heads=2, feed_forward=3, groups=groups))
    size = math.ceil(labels / min(groups, labels))
    before = network(rows(1, 2, 4))
    assert before.shape == (1, labels)
    for group in range(len(network.group_weight)):
        with torch.no_grad():
            network.group_weight[group] += 1.0
        after = network(rows(1, 2, 4))
        assert ((after != before)[0].nonzero().flatten() // size).unique().tolist() == [group]
        assert len((after != before)[0].nonzero()) == min(size, labels - group * size)
        before = after


@pytest.mark.parametrize(("labels", "groups"), [(1, 1), (20, 20), (100, 100), (200, 100), (150, 75), (1000, 100)])
def test_there_are_at_most_100_groups_and_none_without_labels(labels: int, groups: int) -> None:
    network = MLDecoder(labels, in_features=4, width=8)
    assert network.queries.shape == (groups, 8)
    assert network.group_weight.shape == (groups, 8, math.ceil(labels / 100))


def test_the_head_alone_reads_the_feature_map_of_a_backbone() -> None:
    """The positions, row by row, are the tokens; the scale of the backbone is unchanged."""
    head = MLDecoder(20).eval()
    features = torch.randn(2, 2048, 3, 4, generator=torch.Generator().manual_seed(0)) * 3
    tokens = torch.stack([features[:, :, y, x] for y in range(3) for x in range(4)], dim=1)
    with torch.no_grad():
        assert head(features).shape == (2, 20)
        assert head(features) == pytest.approx(head(tokens), abs=1e-5)
        assert (head(features) - head(features / 3)).abs().max() > 1e-3


def test_random_queries_are_kept_and_not_trained() -> None:
    network, again = (MLDecoder(5, in_features=4, width=8, feed_forward=3) for _ in range(2))
    assert not network.queries.requires_grad
    assert "queries" not in dict(network.named_parameters())
    assert not torch.equal(network.queries, again.queries)
    again.load_state_dict(network.state_dict())
    assert torch.equal(network.queries, again.queries)


def test_projections_are_the_inputs_of_the_decoder() -> None:
    network = drawn(MLDecoder(in_features=WIDE, text_features=D, width=6, heads=2))
    features, texts = rows(2, 3, WIDE), rows(4, D, seed=1)
    images, labels = network.project(features, texts)
    for projected, tokens in zip(images, features.numpy() * math.sqrt(WIDE), strict=True):
        equal(projected, np.mean([plain_linear(weights_of(network, "map"), token) for token in tokens], axis=0))
    for label, text in zip(labels, texts.numpy() * math.sqrt(D), strict=True):
        equal(label, plain_linear(weights_of(network, "text_map"), text))
    assert (labels < 0).any()
    assert (images < 0).any()


# DM-decoder


@pytest.mark.parametrize("wide", [None, WIDE])
@few
@given(token_counts, labels_counts, st.integers(1, 3))
def test_dm_decoder_is_equation_5(wide: int | None, tokens: int, labels: int, blocks: int) -> None:
    network = drawn(DMDecoder(D, features=wide, blocks=blocks, heads=2, feed_forward=5))
    features, texts = rows(2, tokens, wide or D), rows(labels, D, seed=1)
    weights = weights_of(network)
    expected = [plain_dm_decoder(weights, f, texts.numpy(), heads=2, dropped=kept) for f in features.numpy()]
    equal(network(features, texts), expected)


def test_the_dropout_of_dm_decoder_acts_as_in_equation_5() -> None:
    network = drawn(DMDecoder(D, blocks=2, heads=2, feed_forward=5, dropout=1.0)).train()
    features, texts = rows(2, 3, D), rows(4, D, seed=1)
    weights = weights_of(network)
    expected = [plain_dm_decoder(weights, f, texts.numpy(), heads=2, dropped=none_of) for f in features.numpy()]
    equal(network(features, texts), expected)


def test_the_last_block_of_dm_decoder_has_no_second_attention() -> None:
    names = [name for name, _ in DMDecoder(D, blocks=3).named_parameters()]
    having = {name.split(".")[1] for name in names if "attention2" in name or "value_norm" in name}
    assert having == {"0", "1"}


def test_the_labels_of_dm_decoder_interact_from_the_second_block_on() -> None:
    features, texts = rows(2, 3, D), rows(5, D, seed=1)
    for blocks, meet in ((1, False), (2, True)):
        network = drawn(DMDecoder(D, blocks=blocks, heads=2, feed_forward=5))
        apart = (network(features, texts)[:, :3] - network(features, texts[:3])).abs().max()
        assert bool(apart > 1e-6) is meet


# Fusion


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("inputs", ["both", "image", "captions"])
@pytest.mark.parametrize("count", [1, 2])
def test_fusion_concatenates_its_inputs_before_its_layers(inputs: str, count: int, layers: int) -> None:
    network = drawn(Fusion(D, 5, inputs=inputs, captions=count, layers=layers, hidden=7))
    vectors, captions = rows(3, D), rows(3, count, D, seed=1)
    weights = weights_of(network, "head")
    expected = []
    for vector, texts in zip(vectors.numpy(), captions.numpy(), strict=True):
        x = np.concatenate([vector] * (inputs != "captions") + list(texts) * (inputs != "image")) * math.sqrt(D)
        for i in range(layers - 1):
            x = np.maximum(plain_linear(below(weights, str(2 * i)), x), 0)
        expected.append(plain_linear(below(weights, str(2 * layers - 2)), x))
    equal(network(vectors, captions), expected)
    assert [len(w) for name, w in weights.items() if name.endswith("bias")] == ([7, 5] if layers == 2 else [7, 3, 5])


@pytest.mark.parametrize("count", [1, 2])
def test_mutan_sums_five_products_of_projections(count: int) -> None:
    network = drawn(Fusion(D, 5, mode="mutan", captions=count))
    vectors, captions = rows(3, D), rows(3, count, D, seed=1)
    weights = weights_of(network, "head")
    expected = []
    for vector, texts in zip(vectors.numpy(), captions.numpy(), strict=True):
        v = np.tanh(weights["picture.weight"] @ vector * math.sqrt(D))
        q = np.tanh(weights["words.weight"] @ np.concatenate(texts) * math.sqrt(D))
        z = np.zeros(510)
        for r in range(5):
            head_columns = slice(510 * r, 510 * (r + 1))
            z += (weights["word_terms.weight"][head_columns] @ q) * (weights["picture_terms.weight"][head_columns] @ v)
        expected.append(plain_linear(below(weights, "read_out"), z))
    assert weights["picture.weight"].shape == (310, D)
    assert network(vectors, captions).detach().numpy() == pytest.approx(np.array(expected), rel=1e-9)


def test_fusion_of_the_image_alone_needs_no_captions() -> None:
    network, vectors = drawn(Fusion(D, 5, inputs="image")), rows(3, D)
    equal(network(vectors), network(vectors, rows(3, 1, D)))


# Properties of several networks


def case(name: str, labels: int = 5, **options: float) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    """A network of each design, and a function that asks it with pictures [B, 3, D] and texts [labels, D]."""
    small = {"heads": 2, "feed_forward": 5} | options
    made: dict[str, Callable[[], nn.Module]] = {
        "fc": lambda: FC(D, labels),
        "mld": lambda: MLD(D, blocks=2, **small),
        "ml-decoder alone": lambda: MLDecoder(labels, in_features=D, width=6, groups=2, **small),
        "ml-decoder grouped": lambda: MLDecoder(labels, in_features=D, text_features=D, width=6, groups=2, **small),
        "ml-decoder open": lambda: MLDecoder(in_features=D, text_features=D, width=6, blocks=2, **small),
        "dm-decoder": lambda: DMDecoder(D, blocks=3, **small),
        "fusion": lambda: Fusion(D, labels, hidden=6, captions=2),
        "mutan": lambda: Fusion(D, labels, mode="mutan", captions=2),
    }
    network = drawn(made[name]())
    if name == "fc":
        return network, lambda images, texts: network(images[:, 0], texts)
    if name in ("fusion", "mutan"):
        return network, lambda images, texts: network(images[:, 0], images[:, 1:])
    if name == "ml-decoder alone":
        return network, lambda images, texts: network(images)
    return network, network


EVERY = ["fc", "mld", "ml-decoder alone", "ml-decoder grouped", "ml-decoder open", "dm-decoder", "fusion", "mutan"]
OPEN = ["mld", "ml-decoder open", "dm-decoder"]
DECODERS = ["mld", "ml-decoder alone", "ml-decoder grouped", "ml-decoder open", "dm-decoder"]


@pytest.mark.parametrize("name", EVERY)
def test_the_logits_of_an_image_depend_only_on_that_image(name: str) -> None:
    _, ask = case(name)
    images, texts = rows(4, 3, D), rows(5, D, seed=1)
    together = ask(images, texts)
    assert together.shape == (4, 5)
    assert together.std(dim=0).min() > 1e-4
    for i in range(4):
        equal(ask(images[i : i + 1], texts), together[i : i + 1])


@pytest.mark.parametrize("name", OPEN)
def test_permuting_labels_permutes_the_logits_of_open_designs(name: str) -> None:
    _, ask = case(name)
    images, texts, order = rows(4, 3, D), rows(5, D, seed=1), torch.tensor([3, 0, 4, 1, 2])
    equal(ask(images, texts[order]), ask(images, texts)[:, order])


@pytest.mark.parametrize("labels", [1, 2, 9])
@pytest.mark.parametrize("name", OPEN)
def test_open_designs_take_any_number_of_labels(name: str, labels: int) -> None:
    _, ask = case(name)
    assert ask(rows(4, 3, D), rows(labels, D, seed=1)).shape == (4, labels)


@pytest.mark.parametrize("name", ["mld", "ml-decoder open"])
def test_the_logits_of_a_label_do_not_depend_on_the_others(name: str) -> None:
    _, ask = case(name)
    images, texts = rows(4, 3, D), rows(5, D, seed=1)
    equal(ask(images, texts[1:3]), ask(images, texts)[:, 1:3])


@pytest.mark.parametrize("name", ["fc", "ml-decoder grouped"])
def test_designs_with_weights_per_label_refuse_other_labels(name: str) -> None:
    _, ask = case(name)
    with pytest.raises(LabelError, match="expected the texts of 5 labels, found 4"):
        ask(rows(4, 3, D), rows(4, D, seed=1))


@pytest.mark.parametrize("name", DECODERS)
def test_the_order_of_the_tokens_has_no_effect(name: str) -> None:
    _, ask = case(name)
    images, texts = rows(4, 3, D), rows(5, D, seed=1)
    equal(ask(images.flip(1), texts), ask(images, texts))


@pytest.mark.parametrize("name", EVERY)
def test_gradients_reach_every_parameter_and_no_input(name: str) -> None:
    network, ask = case(name)
    images, texts = rows(4, 3, D), rows(5, D, seed=1)
    (ask(images, texts) * rows(4, 5)).sum().backward()
    still = [p for p, parameter in network.named_parameters() if not parameter.grad.abs().max() > 1e-12]
    assert not still
    assert images.grad is None
    assert texts.grad is None


@pytest.mark.parametrize("name", EVERY)
def test_dropout_acts_in_training_only(name: str) -> None:
    drops = name in DECODERS
    network, ask = case(name, **({"dropout": 0.5} if drops else {}))
    inputs = rows(4, 3, D), rows(5, D, seed=1)
    assert torch.equal(ask(*inputs), ask(*inputs))
    network.train()
    torch.manual_seed(0)
    assert torch.equal(ask(*inputs), ask(*inputs)) is not drops


@pytest.mark.parametrize("name", DECODERS)
def test_without_dropout_training_and_evaluation_agree(name: str) -> None:
    network, ask = case(name, dropout=0.0)
    inputs = rows(4, 3, D), rows(5, D, seed=1)
    answer = ask(*inputs).detach()
    network.train()
    equal(ask(*inputs), answer)


@pytest.mark.parametrize("name", EVERY)
def test_a_state_dict_restores_a_network(name: str) -> None:
    first, ask = case(name)
    second, ask_second = case(name)
    inputs = rows(4, 3, D), rows(5, D, seed=1)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(0.1)
    assert not torch.equal(ask(*inputs), ask_second(*inputs))
    second.load_state_dict(first.state_dict())
    assert torch.equal(ask(*inputs), ask_second(*inputs))


@pytest.mark.parametrize("name", EVERY)
def test_float32_stays_float32_and_near_float64(name: str) -> None:
    network, ask = case(name)
    images, texts = rows(4, 3, D), rows(5, D, seed=1)
    exact = ask(images, texts).detach()
    network.float()
    result = ask(images.float(), texts.float())
    assert result.dtype == torch.float32
    assert result.detach().numpy() == pytest.approx(exact.numpy(), rel=1e-3, abs=1e-3)


def test_scaled_unit_rows_have_entries_of_the_order_of_1() -> None:
    for width in (1, 8, 512):
        assert scaled(rows(3, 2, width)).square().mean(dim=-1).numpy() == pytest.approx(1)


REFUSED = {
    "heads=1, 2, 4": (lambda: MLD(4, heads=3), "heads that divides the width 4, found 3; try 1, 2, 4"),
    "no heads": (lambda: DMDecoder(8, heads=0), "heads that divides the width 8, found 0"),
    "heads of ml-decoder": (lambda: MLDecoder(3, width=6, heads=4), "heads that divides the width 6, found 4"),
    "blocks of mld": (lambda: MLD(8, blocks=0), "at least 1 block, found 0"),
    "blocks of dm-decoder": (lambda: DMDecoder(8, blocks=-1), "at least 1 block, found -1"),
    "blocks of ml-decoder": (lambda: MLDecoder(3, blocks=0), "at least 1 block, found 0"),
    "read-out": (lambda: MLD(8, read_out="max"), "read-out to be linear or mean, found 'max'"),
    "no labels": (lambda: FC(8, 0), "at least 1 label, found 0"),
    "no groups": (lambda: MLDecoder(3, groups=0), "at least 1 group, found 0"),
    "no labels of ml-decoder": (lambda: MLDecoder(0), "at least 1 label, found 0"),
    "neither": (lambda: MLDecoder(), "num_classes or text_features, found neither"),
    "groups of any": (lambda: MLDecoder(text_features=8, groups=2), "num_classes with groups=2"),
    "mode": (lambda: Fusion(8, 3, mode="sum"), "mode to be concat or mutan, found 'sum'"),
    "inputs": (lambda: Fusion(8, 3, inputs="text"), "inputs to be both or image or captions, found 'text'"),
    "mutan of one": (lambda: Fusion(8, 3, mode="mutan", inputs="image"), "both inputs for mutan"),
    "layers": (lambda: Fusion(8, 3, layers=4), "2 or 3 layers, found 4"),
    "hidden": (lambda: Fusion(8, 3, hidden=1), "at least 2 hidden units, found 1"),
    "captions": (lambda: Fusion(8, 3, captions=0), "at least 1 caption, found 0"),
    "labels of fusion": (lambda: Fusion(8, 0), "at least 1 label, found 0"),
    "captions not given": (lambda: Fusion(8, 3)(rows(2, 8)), "1 captions per image, found none"),
    "two captions": (lambda: Fusion(8, 3)(rows(2, 8), rows(2, 2, 8)), "1 captions per image, found 2"),
    "texts not given": (lambda: MLDecoder(3, text_features=8)(torch.ones(1, 1, 2048)), "label texts, found none"),
    "texts of none": (lambda: MLDecoder(3)(torch.ones(1, 1, 2048), torch.ones(3, 8)), "no label texts, found some"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused_in_one_line(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(UsageError, match=f"expected .*{message}") as refusal:
        make()
    assert "\n" not in str(refusal.value)
