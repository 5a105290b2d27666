"""The CLIP models that OpenAI published."""

from __future__ import annotations

from pathlib import Path

from zsprompt.encoders.dual_encoder import Sizes

# name -> (OpenAI's sha256 of the weights, file name). Source: the table of the `clip` package, clip/clip.py.
OPENAI_MODELS = {
    "RN50": ("afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762", "RN50.pt"),
    "RN101": ("8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599", "RN101.pt"),
    "RN50x4": ("7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd", "RN50x4.pt"),
    "RN50x16": ("52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa", "RN50x16.pt"),
    "RN50x64": ("be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c", "RN50x64.pt"),
    "ViT-B/32": ("40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", "ViT-B-32.pt"),
    "ViT-B/16": ("5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f", "ViT-B-16.pt"),
    "ViT-L/14": ("b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836", "ViT-L-14.pt"),
    "ViT-L/14@336px": ("3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02", "ViT-L-14-336px.pt"),
}

# Source: the architectures; a place is a patch, or 32 pixels wide. Compared with the weights when they are read.
OPENAI_SIZES = {
    "RN50": Sizes(1024, 224, 1 + 7 * 7),
    "RN101": Sizes(512, 224, 1 + 7 * 7),
    "RN50x4": Sizes(640, 288, 1 + 9 * 9),
    "RN50x16": Sizes(768, 384, 1 + 12 * 12),
    "RN50x64": Sizes(1024, 448, 1 + 14 * 14),
    "ViT-B/32": Sizes(512, 224, 1 + 7 * 7),
    "ViT-B/16": Sizes(512, 224, 1 + 14 * 14),
    "ViT-L/14": Sizes(768, 224, 1 + 16 * 16),
    "ViT-L/14@336px": Sizes(768, 336, 1 + 24 * 24),
}


def weights_folder() -> Path:
    """The folder of the weights that OpenAI published: that of the `clip` package."""
    return Path("~/.cache/clip").expanduser()
