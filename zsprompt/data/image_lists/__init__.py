"""Image lists in CSV, JSON and Parquet: rows, columns, cells, and the places of the images."""

from zsprompt.data.image_lists.cells import flag_targets, name_targets
from zsprompt.data.image_lists.columns import IMAGE_COLUMNS, ListRow
from zsprompt.data.image_lists.places import ImagePlace, distinct_rows, find_place
from zsprompt.data.image_lists.rows import LIST_SUFFIXES, read_rows

__all__ = [
    "IMAGE_COLUMNS",
    "LIST_SUFFIXES",
    "ImagePlace",
    "ListRow",
    "distinct_rows",
    "find_place",
    "flag_targets",
    "name_targets",
    "read_rows",
]
