"""Tiny models of transformers with random weights, and tokenisers trained here, as save_pretrained writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

CORPUS = (
    ["a photo of a dog", "a photo of a cat", "nothing", "an aeroplane, a sofa and a tv monitor", "a dog and a cat"]
    + [f"two {thing}s on a {other}" for thing in ("dog", "cat", "car") for other in ("sofa", "road", "table")]
    + ["一只狗", "一张猫的照片"]
)
SIZE, PATCH = 32, 8


def word_piece() -> Any:
    """A tokeniser like BERT's: [CLS] text [SEP]."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    return _fast(tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


def byte_pairs() -> Any:
    """CLIPTokenizer with a small vocabulary."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<|startoftext|>", "<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=special,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    vocabulary = tokenizer.get_vocab()
    for letter in alphabet:  # each letter may end a word
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges)


def unigram() -> Any:
    """A tokeniser like SigLIP's: text </s>, whose padding is </s> too."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 1)])
    return _fast(tokenizer, pad_token="</s>", unk_token="<unk>", eos_token="</s>")


def sentence_pieces(folder: Path) -> None:
    """Write SigLIP's tokeniser as its repositories hold it: a model of sentencepiece, read with protobuf."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 5),
        model_prefix=str(folder / "spiece"),
        vocab_size=80,
        pad_id=-1,
        bos_id=-1,
        eos_id=1,
        unk_id=2,
        add_dummy_prefix=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    settings = {"tokenizer_class": "SiglipTokenizer", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def roberta() -> Any:
    """A tokeniser like XLM-RoBERTa's: <s> text </s>, whose padding is <pad>."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 2)])
    return _fast(tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def _fast(tokenizer: Any, **special: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


_TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = _TEXT | {"image_size": SIZE, "patch_size": PATCH}


def clip(tokenizer: Any) -> Any:
    from transformers import CLIPConfig, CLIPModel

    text = _TEXT | _special(tokenizer) | {"max_position_embeddings": 40}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=24))


def metaclip_2(tokenizer: Any) -> Any:
    from transformers import MetaClip2Config, MetaClip2Model

    text = _TEXT | _special(tokenizer) | {"max_position_embeddings": 40}
    return MetaClip2Model(MetaClip2Config(text_config=text, vision_config=_VISION, projection_dim=24))


def chinese_clip(tokenizer: Any) -> Any:
    from transformers import ChineseCLIPConfig, ChineseCLIPModel

    text = _TEXT | _special(tokenizer) | {"max_position_embeddings": 512}
    return ChineseCLIPModel(ChineseCLIPConfig(text_config=text, vision_config=_VISION, projection_dim=24))


def alt_clip(tokenizer: Any) -> Any:
    from transformers import AltCLIPConfig, AltCLIPModel

    text = _TEXT | _special(tokenizer) | {"max_position_embeddings": 514, "project_dim": 28}
    return AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=_VISION, projection_dim=24))


def siglip(tokenizer: Any) -> Any:
    from transformers import SiglipConfig, SiglipModel

    text = _TEXT | _special(tokenizer) | {"max_position_embeddings": 40, "projection_size": 32}
    return SiglipModel(SiglipConfig(text_config=text, vision_config=_VISION))


def align(tokenizer: Any) -> Any:
    from transformers import AlignConfig, AlignModel

    text = _TEXT | _special(tokenizer) | {"max_position_embeddings": 512}
    vision = {
        "image_size": 64,
        "in_channels": [32, 16],
        "out_channels": [16, 24],
        "kernel_sizes": [3, 3],
        "strides": [2, 2],
        "expand_ratios": [1, 2],
        "num_block_repeats": [1, 1],
        "depthwise_padding": [],
        "hidden_dim": 24,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
    }
    config = AlignConfig(text_config=text, vision_config=vision, projection_dim=24, temperature_init_value=0.05)
    return AlignModel(config)


def _special(tokenizer: Any) -> dict[str, int | None]:
    names = ("pad_token_id", "bos_token_id", "eos_token_id")
    return {"vocab_size": len(tokenizer)} | {name: getattr(tokenizer, name) for name in names}


def cropping() -> Any:
    """CLIP's image processor."""
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=SIZE)


def squashing() -> Any:
    """SigLIP's image processor."""
    from transformers import SiglipImageProcessor

    return SiglipImageProcessor(size={"height": SIZE, "width": SIZE})


def squashing_and_cropping() -> Any:
    """An image processor with the steps of ALIGN's: squashed to a larger square, cropped, scaled to -1..1."""
    from transformers import EfficientNetImageProcessor

    return EfficientNetImageProcessor(
        size={"height": SIZE + 7, "width": SIZE + 7},
        crop_size={"height": SIZE, "width": SIZE},
        do_center_crop=True,
        resample=2,
        rescale_factor=1 / 127.5,
        rescale_offset=True,
        do_normalize=False,
        include_top=False,
    )


Maker = Callable[..., Any]
MODELS: dict[str, tuple[Maker, Maker, Maker]] = {
    "clip": (clip, byte_pairs, cropping),
    "metaclip_2": (metaclip_2, roberta, cropping),
    "chinese_clip": (chinese_clip, word_piece, cropping),
    "altclip": (alt_clip, roberta, cropping),
    "siglip": (siglip, unigram, squashing),
    "align": (align, word_piece, squashing_and_cropping),
}
"""The maker of a model for a tokeniser, of a tokeniser and of an image processor, by model_type."""


def save(kind: str, folder: Path) -> Path:
    """Write a tiny model of this kind, with weights of seed 0."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()

    model, tokenizer, processor = MODELS[kind]
    words = tokenizer()
    torch.manual_seed(0)
    network = model(words)
    with torch.no_grad():
        for weights in network.parameters():  # larger than for training, so that vectors differ from each other
            if weights.dim() > 1:
                weights.normal_(std=0.2)
        if hasattr(network, "logit_bias"):
            network.logit_scale.fill_(2.0)
            network.logit_bias.fill_(-10.0)
    network.save_pretrained(folder)
    words.save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder
