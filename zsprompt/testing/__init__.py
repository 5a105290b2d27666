"""Tools to test your own strategies, encoders and data sets: a planted world with known answers, and contracts."""

from __future__ import annotations

from zsprompt.testing.dataset_contract import check_dataset
from zsprompt.testing.encoder_contract import check_encoder
from zsprompt.testing.planted_encoder import LABELS, PlantedEncoder, SpatialPlantedEncoder
from zsprompt.testing.planted_world import PlantedImage, PlantedWorld, draw, planted_world
from zsprompt.testing.random_space import RandomSpace, random_images
from zsprompt.testing.strategy_contract import check_strategy

__all__ = [
    "LABELS",
    "PlantedEncoder",
    "PlantedImage",
    "PlantedWorld",
    "RandomSpace",
    "SpatialPlantedEncoder",
    "check_dataset",
    "check_encoder",
    "check_strategy",
    "draw",
    "planted_world",
    "random_images",
]
