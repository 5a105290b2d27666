"""Named colours: shades of thirteen basic colours."""

from __future__ import annotations

from zsprompt.data.scenes.canvas import Colour

SHADES: dict[str, dict[str, Colour]] = {
    "red": {"red": (214, 40, 40), "scarlet": (236, 48, 30), "crimson": (178, 18, 48), "ruby": (200, 20, 72), "brick": (176, 68, 52)},
    "orange": {"orange": (244, 132, 34), "amber": (250, 170, 30), "rust": (186, 84, 30), "coral": (252, 122, 92), "tangerine": (250, 146, 52), "ginger": (214, 122, 52)},
    "yellow": {"yellow": (248, 214, 50), "golden": (232, 182, 40), "lemon": (250, 236, 96), "mustard": (212, 170, 44)},
    "green": {"green": (58, 152, 70), "emerald": (24, 150, 98), "lime": (152, 208, 48), "olive": (124, 132, 48), "mint": (152, 222, 180), "moss": (98, 130, 62)},
    "turquoise": {"turquoise": (48, 190, 184), "teal": (22, 128, 130), "aqua": (104, 216, 222), "cyan": (40, 200, 226)},
    "blue": {"blue": (44, 98, 204), "navy": (28, 42, 104), "azure": (76, 154, 236), "cobalt": (30, 70, 176), "indigo": (66, 54, 150), "sapphire": (24, 82, 186)},
    "purple": {"purple": (126, 62, 170), "violet": (146, 88, 214), "lilac": (196, 162, 222), "plum": (120, 44, 106), "lavender": (186, 178, 236), "mauve": (184, 142, 188)},
    "pink": {"pink": (246, 138, 178), "magenta": (218, 44, 148), "rosy": (240, 168, 180), "salmon": (246, 150, 128), "fuchsia": (232, 62, 168)},
    "brown": {"brown": (128, 82, 50), "chocolate": (92, 54, 32), "chestnut": (146, 74, 44), "bronze": (166, 114, 56), "copper": (186, 106, 66), "coffee": (106, 74, 54)},
    "beige": {"beige": (222, 200, 164), "cream": (250, 240, 212), "sandy": (220, 186, 130), "tan": (206, 164, 118), "ivory": (248, 244, 226), "khaki": (190, 176, 124)},
    "grey": {"grey": (140, 142, 146), "silver": (190, 194, 200), "charcoal": (70, 72, 78), "slate": (104, 118, 130), "ash": (168, 166, 162)},
    "black": {"black": (36, 34, 38), "ebony": (48, 40, 38), "jet": (26, 26, 30)},
    "white": {"white": (246, 246, 244), "snowy": (250, 251, 253), "pearly": (240, 236, 230)},
}  # fmt: skip
"""Basic colour -> name of each shade -> RGB."""

ANY = tuple(SHADES)
BRIGHT = ("red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink", "white")
COATS = ("brown", "black", "white", "grey", "beige", "orange")
LEAVES = ("green", "green", "green", "orange", "yellow")
WALLS = ("beige", "white", "yellow", "red", "pink", "blue", "grey", "brown")
WOODS = ("brown", "brown", "red", "blue", "green", "black", "white")
