"""The contact sheet of the drawn scenes: every kind in its variants, and the first test images.

python benchmarks/contact_sheet.py --out docs/images/scenes.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from zsprompt.data.scenes.chance import Chance
from zsprompt.data.scenes.colours import SHADES
from zsprompt.data.scenes.world import KINDS, OWN_SHADES, SIDE, Scene, Thing, compose, paint

ACROSS = 13


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=65)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    alone = [paint(portrait(kind, variant)) for kind, about in KINDS.items() for variant in about.variants]
    alone += [Image.new("RGB", (SIDE, SIDE), "white")] * (-len(alone) % ACROSS)
    images = alone + [paint(compose(f"test {i}")) for i in range(options.scenes)]
    sheet = Image.new("RGB", (ACROSS * SIDE, -(-len(images) // ACROSS) * SIDE), "white")
    for i, image in enumerate(images):
        sheet.paste(image, (i % ACROSS * SIDE, i // ACROSS * SIDE))
    sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4), Image.Resampling.LANCZOS).save(
        options.out, optimize=True
    )


def portrait(kind: str, variant: str) -> Scene:
    """One large object on a plain background."""
    chance = Chance(f"portrait {kind} {variant}")
    colour = chance.one(KINDS[kind].colours)
    colour, shade = OWN_SHADES.get(variant) or (colour, chance.one(tuple(SHADES[colour])))
    thing = Thing(kind, variant, colour, shade, 0.5, 0.5, 0.42, 0.0, False)
    return Scene(f"portrait {kind} {variant}", "studio", "day", (thing,))


if __name__ == "__main__":
    main()
