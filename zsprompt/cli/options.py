"""Options that several commands share, and the words that options choose from."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from zsprompt._utils.registry import DEFAULT_MODEL


class DifficultOption(str, Enum):
    """--difficult"""

    ignore = "ignore"
    negative = "negative"
    positive = "positive"


class NamesOption(str, Enum):
    """--names"""

    readable = "readable"
    raw = "raw"


class DeviceOption(str, Enum):
    """--device"""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class PrecisionOption(str, Enum):
    """--precision"""

    auto = "auto"
    bfloat16 = "bfloat16"
    int8 = "int8"


class ThresholdKind(str, Enum):
    """--kind of thresholds"""

    per_label = "per-label"
    one = "global"


class CalibrationOption(str, Enum):
    """--calibrate"""

    platt = "platt"
    isotonic = "isotonic"


class ListKind(str, Enum):
    """What `zsprompt list` lists."""

    strategies = "strategies"
    datasets = "datasets"
    prompts = "prompts"
    models = "models"
    adapters = "adapters"


Model = Annotated[str, typer.Option(help="A name (see `zsprompt list models`) or an OpenAI CLIP checkpoint file.")]
RunModel = Annotated[
    str | None,
    typer.Option(
        help="A name (see `zsprompt list models`) or an OpenAI CLIP checkpoint file. "
        f"[default: the data set's own, else {DEFAULT_MODEL}]"
    ),
]
Prompts = Annotated[
    str | None,
    typer.Option(help="A prompt set (see `zsprompt list prompts`) or a .toml file. [default: the strategy's]"),
]
Device = Annotated[DeviceOption, typer.Option(help="Where the model runs.")]
PrecisionChoice = Annotated[
    PrecisionOption,
    typer.Option(
        help="auto: float16 on a GPU, float32 on a CPU. bfloat16, int8 (CLIP): faster on a CPU, a little different."
    ),
]
LlmModel = Annotated[
    str | None,
    typer.Option(help="The LLM that captions what the bank lacks, for llm. [default: ZSPROMPT_LLM_MODEL]"),
]
LlmBaseUrl = Annotated[
    str | None,
    typer.Option(
        help="Its OpenAI-compatible server: a URL, openai, qwen, qwen-cn or local. [default: ZSPROMPT_LLM_BASE_URL]"
    ),
]
LlmTimeout = Annotated[
    float | None,
    typer.Option(min=0.1, help="Seconds for a whole answer. [default: ZSPROMPT_LLM_TIMEOUT, else 60]"),
]
MaxCalls = Annotated[int | None, typer.Option(min=0, help="Ask the LLM at most so many questions, and keep what came.")]
MaxTokens = Annotated[
    int | None, typer.Option(min=0, help="Use at most about so many of its tokens, and keep what came.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Ask no LLM server; answers that are kept still count.")]
CaptionBank = Annotated[
    str | None,
    typer.Option(
        "--captions",
        help="For llm: a caption bank, by name or as a .jsonl file. [default: the data set's own, if it has one]",
    ),
]
Strategies = Annotated[str, typer.Option(help="[normalised:]NAME[,field=value…]; see `zsprompt list strategies`.")]
ThresholdsFile = Annotated[
    Path | None, typer.Option(help="Decide by the thresholds of a file that `zsprompt thresholds` made.")
]
Root = Annotated[Path | None, typer.Option(help="Its folder. [default: looked for in ZSPROMPT_DATA]")]
Split = Annotated[str | None, typer.Option(help="Which of its lists. [default: the data set's test list]")]
Names = Annotated[NamesOption, typer.Option(help='"potted plant" or "pottedplant".')]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N pictures.")]
Sample = Annotated[int | None, typer.Option(min=1, help="Only N pictures drawn so that every label keeps its share.")]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Which draw --sample makes. [default: 0]")]
Pictures = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGE|FOLDER|TAR|LIST...",
        help="Pictures, folders of them, .tar files (WebDataset shards), .csv, .jsonl or .parquet lists of files.",
    ),
]
Difficult = Annotated[DifficultOption, typer.Option(help="What a label with only difficult objects counts as.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures that cannot be read.")]
Labels = Annotated[str | None, typer.Option(help='Your words, separated by commas: "dog, cat".')]
LabelsFile = Annotated[Path | None, typer.Option(help="A text file with one label a line.")]
PictureCaptions = Annotated[
    Path | None,
    typer.Option(
        help="A caption of each picture, as `zsprompt describe` writes them, for adapters that read captions."
    ),
]
Without = Annotated[str | None, typer.Option(help='All labels but these: "a, b".')]
BatchSize = Annotated[
    int | None, typer.Option(min=1, max=2**16, help="Pictures or texts encoded at a time. [default: 64 pictures]")
]
CacheFolder = Annotated[
    Path | None,
    typer.Option(envvar="ZSPROMPT_CACHE", help="Folder for stored embeddings. [default: the user's cache directory]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
