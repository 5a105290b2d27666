"""`zsprompt caption-images` against a server that sees what it is sent, and the files of captions that it writes."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from chat_server import (
    Behaviour,
    Body,
    ChatServer,
    Reply,
    again,
    always,
    completion,
    error,
    first,
    halves,
    plain_connections,
    question,
    seen,
    sent_bytes,
    sent_picture,
    sighted,
)
from command_line import Cli, asking, command, environment, one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from zsprompt._utils.byte_cache import ByteCache
from zsprompt.data import load_dataset
from zsprompt.data.datasets.image_captions import captions_for, read_image_captions, save_image_captions
from zsprompt.data.images import ImageFile
from zsprompt.errors import DataError, ImageError, LLMError, UsageError
from zsprompt.llm import Answers, Budget, ChatClient, ImageCaptions, Server, Writer, answers_folder, caption_images
from zsprompt.llm.image_captions import small_jpeg

SHADES = [(left, right) for left in range(4) for right in range(5, 8)]  # 12 pictures
SECRET = "holiday-in-hiding"
EARLIER = 'image,caption\n"old.png","an old caption"\n'
"""A file that the command wrote before."""


@pytest.fixture(autouse=True)
def _plain_connections(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    plain_connections(monkeypatch, tmp_path_factory.getbasetemp())


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(sighted) as running:
        yield running


@pytest.fixture
def llm(server: ChatServer) -> list[str]:
    return ["--llm", f"url={server.url},model=seer"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of pictures, no two alike."""
    draw(tmp_path / "photos", SHADES)
    return tmp_path / "photos"


def draw(folder: Path, shades: Sequence[tuple[int, int]], size: tuple[int, int] = (64, 48)) -> list[ImageFile]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{n:02}.png" for n in range(len(shades))]
    for path, (left, right) in zip(paths, shades, strict=True):
        halves(left, right, size).save(path)
    return [ImageFile(path.name, path) for path in paths]


def said(left: int, right: int) -> str:
    return f"A wall that is {left} on the left and {right} on the right"


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


def expected(prefix: str = "photos/", count: int = len(SHADES)) -> list[list[str]]:
    return [["image", "caption"], *([f"{prefix}{n:02}.png", said(*SHADES[n])] for n in range(count))]


def describe(server: ChatServer, images: Sequence[ImageFile], folder: Path | None = None, **options: object):
    """What a new Writer makes of it, as in a new process, and the budget."""

    async def no_sleep(seconds: float) -> None:
        pass

    answers = Answers(folder)
    own = {name: options.pop(name) for name in ("question", "words") if name in options}
    client = ChatClient(Server(server.url, "seer", concurrency=options.pop("concurrency", 8)), sleep=no_sleep)
    writer = Writer(client, answers, **options)
    try:
        return caption_images(writer, images, **own), writer.budget
    finally:
        answers.close()


def line(kind: type[Exception], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- the command -------------------------------------------------------------------------------------------------


def test_every_picture_gets_the_caption_of_its_own_pixels_and_is_asked_about_once(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path
) -> None:
    done = cli("caption-images", "photos", *llm, "--out", "captions.csv")
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("12 captions, 12 requests now; written to captions.csv\n", "")
    assert rows(tmp_path / "captions.csv") == expected()
    assert set(server.pictures.values()) == {1}
    cleared = cli("cache", "clear", "--yes")  # which is for embeddings
    for more in ({}, {"offline": "yes"}):
        again_ = cli("caption-images", "photos", *asking(llm, **more), "--out", "again.csv")
        assert again_.stdout == "12 captions, 0 requests now; written to again.csv\n", cleared.stderr
        assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "captions.csv").read_bytes()
    assert server.count == 12


def test_pictures_of_a_data_set_are_named_as_in_it(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path
) -> None:
    (photos / "labels.csv").write_text(
        "image,labels\n" + "".join(f"{n:02}.png,wall\n" for n in range(12)), encoding="utf-8"
    )
    options = ["--root", photos, *llm, "--out", "captions.csv"]
    done = cli("caption-images", "--dataset", "folder,limit=5", *options, "--json")
    facts = json.loads(done.stdout)
    assert (facts["captions"], facts["requests"], facts["unasked"], facts["failed"]) == (5, 5, 0, {}), done.stderr
    assert rows(tmp_path / "captions.csv") == expected("", 5)
    assert (
        cli("caption-images", "--dataset", "folder", *options).stdout
        == "12 captions, 7 requests now; written to captions.csv\n"
    )
    data = load_dataset("folder", root=photos)
    captions = captions_for([ref.id for ref in data.images], tmp_path / "captions.csv")
    assert captions == tuple(said(*shades) for shades in SHADES)
    drawn = cli("caption-images", "--dataset", "folder", *options, "--sample", "4,seed=1")
    assert drawn.stdout == "4 captions, 0 requests now; written to captions.csv\n"


def test_pictures_in_tar_files_and_lists_are_found(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "some.tar", "w") as file:
        file.add(photos / "03.png", "a/three.png")
        file.add(photos / "03.png", "a/three.txt")
    (tmp_path / "list.jsonl").write_text('{"image": "photos/04.png"}\n', encoding="utf-8")
    done = cli("caption-images", "some.tar", "list.jsonl", "photos/05.png", *llm, "--out", "captions.csv")
    assert done.stderr.startswith("left out 1 file that is not an image (")
    assert read_image_captions(tmp_path / "captions.csv") == {
        "photos/05.png": said(*SHADES[5]),
        "some.tar/a/three.png": said(*SHADES[3]),
        "photos/04.png": said(*SHADES[4]),
    }


def test_a_dry_run_counts_and_asks_nothing(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path
) -> None:
    dry = cli("caption-images", "photos", *llm, "--dry-run", "--out", "captions.csv")
    assert (dry.stdout, dry.stderr) == ("12\n", "12 images: 0 answered before, 12 to ask about\n")
    assert (server.connections, (tmp_path / "captions.csv").exists()) == (0, False)
    cli("caption-images", "photos", *asking(llm, max_calls=5), "--out", "captions.csv")
    before = (tmp_path / "captions.csv").read_bytes()
    dry = cli("caption-images", "photos", *llm, "--dry-run", "--json", "--out", "captions.csv")
    facts = json.loads(dry.stdout)
    assert (facts["dry_run"], facts["captions"], facts["unasked"], facts["requests"]) == (True, 5, 7, 0)
    assert "12 images: 5 answered before, 7 to ask about" in dry.stderr
    assert (server.count, (tmp_path / "captions.csv").read_bytes()) == (5, before)


def test_a_budget_ends_with_what_there_is_and_the_same_command_goes_on(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path
) -> None:
    some = cli("caption-images", "photos", *asking(llm, max_calls=5), "--out", "captions.csv")
    assert some.returncode == 0
    assert some.stdout == "5 captions, 5 requests now; written to captions.csv\n"
    assert some.stderr == ("the budget ended with 7 images left; the same command continues from there\n")
    assert len(rows(tmp_path / "captions.csv")) == 1 + 5
    rest = cli("caption-images", "photos", *asking(llm, max_calls=7), "--out", "captions.csv")
    assert (rest.stdout, rest.stderr) == ("12 captions, 7 requests now; written to captions.csv\n", "")
    assert rows(tmp_path / "captions.csv") == expected()
    assert set(server.pictures.values()) == {1}


def test_offline_asks_nothing_and_replaces_no_file_by_nothing(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "captions.csv").write_text(EARLIER, encoding="utf-8")
    done = cli("caption-images", "photos", *asking(llm, offline="yes"), "--out", "captions.csv")
    assert done.stdout == "0 captions, 0 requests now\n"
    assert done.returncode == 1
    assert done.stderr == (
        "12 images without a stored answer; the same command without offline=yes asks about them\n"
        "error: expected answers about 12 images, found none to use; the reasons are above\n"
    )
    assert (server.connections, (tmp_path / "captions.csv").read_text(encoding="utf-8")) == (0, EARLIER)


def test_pictures_that_cannot_be_read_are_named_and_the_others_go_on(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path
) -> None:
    (photos / "03.png").write_bytes((photos / "03.png").read_bytes()[:60])
    (photos / "07.png").write_bytes(b"")
    (photos / "08.png").write_text("no picture", encoding="utf-8")
    done = cli("caption-images", "photos", *llm, "--out", "captions.csv")
    assert (done.returncode, done.stdout) == (1, "9 captions, 9 requests now; written to captions.csv\n")
    cut, empty, text, last = done.stderr.splitlines()
    assert cut.startswith("cannot read photos/03.png: ")
    assert empty == "cannot read photos/07.png: empty file"
    assert text == "cannot read photos/08.png: not an image in a known format"
    assert last == "error: expected 12 images that can be read, 3 cannot; fix or remove them"
    assert rows(tmp_path / "captions.csv") == [row for n, row in enumerate(expected()) if n not in (4, 8, 9)]


@pytest.mark.parametrize(
    ("message", "asked", "text"),
    [
        (
            "invalid content of messages[0]",
            5,
            "{url} refused the request ({shown}); if seer does not accept images, choose",
        ),
        ("this model does not support images", 1, "seer at {url} does not accept images ({shown}); choose"),
    ],
)
def test_a_server_without_eyes_is_one_line_that_says_so(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path, message: str, asked: int, text: str
) -> None:
    """A refusal without a known reason may be about one image: five are asked about before it means all."""
    server.behaviour = always(error(400, message))
    (tmp_path / "captions.csv").write_text(EARLIER, encoding="utf-8")
    done = cli("caption-images", "photos", *llm, "--out", "captions.csv", env={"ZSPROMPT_LLM_CONCURRENCY": "1"})
    assert (done.returncode, done.stdout, server.count) == (1, "", asked)
    assert done.stderr == (
        f"error: {text.format(url=server.url, shown=f'400: {message}')} "
        "a model that does, for example --llm openai:gpt-4o-mini or --llm qwen:qwen3-vl-plus\n"
    )
    assert (tmp_path / "captions.csv").read_text(encoding="utf-8") == EARLIER


def test_a_refused_key_is_one_line_without_a_guess_about_eyes(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli
) -> None:
    server.behaviour = always(error(401, "Incorrect key sk-secret-1234"))
    done = cli("caption-images", "photos", *llm, "--out", "captions.csv", env={"ZSPROMPT_LLM_KEY": "sk-secret-1234"})
    (text,) = done.stderr.splitlines()
    assert (done.returncode, "refused the key" in text, "does not accept images" in text) == (1, True, False)
    assert "sk-secret" not in done.stdout + done.stderr


def test_what_was_answered_before_a_server_failed_is_kept(server: ChatServer, photos: Path, tmp_path: Path) -> None:
    images = [ImageFile(path.name, path) for path in sorted(photos.iterdir())]
    server.behaviour = lambda body, number: sighted(body) if number <= 5 else error(503, "gone fishing")
    text = line(LLMError, lambda: describe(server, images, tmp_path / "answers", concurrency=1))
    assert text.endswith("the last time with: 503: gone fishing; run again later, answers are kept")
    server.behaviour = first(error(503), error(429), then=sighted)  # which are tried again
    server.requests.clear()
    found, budget = describe(server, images, tmp_path / "answers", concurrency=1)
    assert (len(found.captions), budget.calls_made, server.count) == (12, 7, 7 + 2)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "expected images or --dataset NAME, found neither"),
        (["photos", "--dataset", "scenes"], "expected either images or --dataset, found both"),
        (["photos", "--sample", "3"], "expected a data set with sample, found none"),
        (["photos", "--question", " "], "expected a value for --question, found an empty text"),
        (["nowhere"], "expected an image or a folder of images at nowhere, found nothing there"),
        (["--dataset", "scenes,limit=3", "--sample", "3"], "expected either limit"),
        (["photos", "--out", "no/such/folder.csv"], "cannot write no/such/folder.csv"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, arguments: list[str], text: str
) -> None:
    done = cli("caption-images", *llm, "--out", "captions.csv", *arguments)
    assert (done.returncode, server.connections) == (1, 0)
    assert one_line(done.stderr).startswith(f"error: {text}")


def test_without_a_place_or_a_server_nothing_is_begun(server: ChatServer, llm: list[str], photos: Path, cli: Cli):
    assert cli("caption-images", "photos", *llm).stderr == "error: expected --out FILE for the captions, found none\n"
    nobody = cli("caption-images", "photos", "--out", "captions.csv").stderr
    assert nobody.startswith("error: expected an LLM, found none; pass --llm [SERVER:]MODEL")
    assert cli("caption-images", "photos", *llm, "--words", 0, "--out", "captions.csv").returncode == 2


def test_two_pictures_of_one_name_are_refused_and_one_named_twice_is_one(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "01.png").write_bytes((photos / "02.png").read_bytes())
    for folder in ("photos", "other"):
        (tmp_path / folder / "list.csv").write_text("image\n01.png\n01.png\n", encoding="utf-8")
    done = cli("caption-images", "photos/list.csv", "other/list.csv", *llm, "--out", "captions.csv")
    assert done.stderr.startswith("error: expected images with different names, found two named 01.png")
    alone = cli("caption-images", "photos/list.csv", *llm, "--out", "captions.csv")
    assert alone.stdout == "1 caption, 1 request now; written to captions.csv\n"


# -- killed and interrupted --------------------------------------------------------------------------------------


def begun(server: ChatServer, photos: Path, llm: list[str], enough: int) -> subprocess.Popen[str]:
    """A command that has just asked so many questions."""
    server.latency = 0.1
    process = subprocess.Popen(
        command("caption-images", "photos", *llm, "--out", "captions.csv"),
        cwd=photos.parent,
        env=environment() | {"ZSPROMPT_LLM_CONCURRENCY": "2", "ZSPROMPT_CACHE": str(photos.parent / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while server.count < enough:
        time.sleep(0.01)
        assert process.poll() is None
    return process


def kept(folder: Path) -> int:
    opened = ByteCache(answers_folder(folder))
    try:
        return opened.info().entries
    finally:
        opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_ended_midway_the_rest_alone_is_asked_about(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path, end: signal.Signals
) -> None:
    process = begun(server, photos, llm, 7)
    process.send_signal(end)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (-9 if end is signal.SIGKILL else 130), err
    assert (out, (tmp_path / "captions.csv").exists()) == ("", False)
    assert "Traceback" not in err
    before, asked = kept(tmp_path / "cache"), server.count
    assert asked - 4 <= before <= asked  # two under way, and two whose answers were on their way to the disk
    server.latency = 0
    rest = cli("caption-images", "photos", *llm, "--cache", tmp_path / "cache", "--out", "captions.csv")
    assert rest.stdout == f"12 captions, {12 - before} requests now; written to captions.csv\n", rest.stderr
    assert server.count == asked + 12 - before
    assert rows(tmp_path / "captions.csv") == expected()


# -- what is sent ------------------------------------------------------------------------------------------------


def picture_file(folder: Path, picture: Image.Image, **options: object) -> ImageFile:
    path = folder / f"{SECRET}.jpg"
    picture.save(path, "JPEG", quality=95, **options)
    return ImageFile(path.name, path)


@pytest.mark.parametrize(
    ("size", "sent"),
    [((4000, 3000), (512, 384)), ((300, 1024), (150, 512)), ((512, 512), (512, 512)), ((40, 30), (40, 30))],
)
def test_a_picture_is_sent_at_512_pixels_at_most(
    server: ChatServer, tmp_path: Path, size: tuple[int, int], sent: tuple[int, int]
) -> None:
    found, _ = describe(server, [picture_file(tmp_path, halves(3, 12, size))])
    (body,) = server.bodies
    picture = sent_picture(body)
    assert picture is not None
    assert (picture.size, picture.mode) == (sent, "RGB")
    assert list(found.captions.values()) == [said(3, 12)]


@given(size=st.tuples(st.integers(1, 700), st.integers(1, 700)))
@settings(max_examples=25, deadline=None)
def test_no_size_is_too_odd_to_be_sent(size: tuple[int, int]) -> None:
    out = BytesIO()
    Image.new("RGB", size).save(out, "PNG", compress_level=1)
    width, height = Image.open(BytesIO(small_jpeg(out.getvalue()))).size
    assert max(width, height) == min(512, max(size))
    assert abs(width * size[1] - height * size[0]) <= max(size)  # as nearly as whole pixels allow


def test_a_picture_that_lies_on_its_side_is_sent_upright(server: ChatServer, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half
    found, _ = describe(server, [picture_file(tmp_path, halves(2, 9), exif=exif)])
    assert list(found.captions.values()) == [said(9, 2)]


def test_nothing_but_pixels_and_the_question_leaves_the_machine(server: ChatServer, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET  # ImageDescription
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    inside = {"exif": exif, "comment": SECRET.encode(), "icc_profile": SECRET.encode() * 9}
    image = picture_file(tmp_path, halves(3, 4), **inside)
    assert image.path.read_bytes().count(SECRET.encode()) > 9
    describe(server, [image])
    (body,) = server.bodies
    jpeg = sent_bytes(body)
    assert jpeg is not None
    assert SECRET not in json.dumps(body)
    assert SECRET.encode() not in jpeg
    assert str(tmp_path) not in json.dumps(body)
    assert not {"exif", "comment", "icc_profile"} & set(Image.open(BytesIO(jpeg)).info)
    assert set(body) == {"model", "messages", "max_tokens", "temperature"}


def test_the_question_is_asked_with_how_to_answer_it_and_another_is_asked_anew(
    server: ChatServer, photos: Path, tmp_path: Path
) -> None:
    images = [ImageFile(path.name, path) for path in sorted(photos.iterdir())][:2]
    describe(server, images, tmp_path / "answers")
    describe(server, images, tmp_path / "answers", question=" Was {ist} das? ")
    describe(server, images, tmp_path / "answers", question="Was {ist} das?", words=15)
    describe(server, images, tmp_path / "answers", question="Was {ist} das?")
    alone = "Answer with the caption alone: one line, at most {} words."
    assert [question(body) for body in server.bodies[::2]] == [
        f"Please caption this image in English, naming every object that can be seen. {alone.format(30)}",
        f"Was {{ist}} das? {alone.format(30)}",
        f"Was {{ist}} das? {alone.format(15)}",
    ]


def test_pictures_that_look_the_same_are_asked_about_once(server: ChatServer, tmp_path: Path) -> None:
    server.latency = 0.05
    found, budget = describe(server, draw(tmp_path / "same", [(1, 2), (1, 2), (3, 4), (1, 2)]))
    assert list(found.captions.values()) == [said(1, 2), said(1, 2), said(3, 4), said(1, 2)]
    assert (server.count, budget.calls_made) == (2, 2)


def test_captions_are_in_the_order_asked_for_however_they_come(server: ChatServer, photos: Path) -> None:
    images = [ImageFile(path.name, path) for path in sorted(photos.iterdir())][::-1]
    server.behaviour = lambda body, number: Reply(sighted(body).content, latency=0.02 * (number % 5))
    found, _ = describe(server, images)
    assert list(found.captions.items()) == [(f"{n:02}.png", said(*SHADES[n])) for n in reversed(range(12))]
    assert server.most_at_once > 1


# -- answers -----------------------------------------------------------------------------------------------------

BAD = {
    "": "it is empty",
    " \n\t ": "it is empty",
    "\x00\x1b\u202e\ud800": "it is empty",
    "I'm sorry, I can't see pictures.": "it is a refusal and no caption",
    "a wall\na floor\na ceiling": "it has more than one line",
    "wall " * 31: "it has more than 30 words",
    "wall " * 10_000: "it has more than 30 words",
    "w" * 500_000: "it has more than 30 words",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: f"{text[:6]!r}x{len(text)}")
def test_an_answer_that_will_not_do_is_asked_for_once_more_and_then_left_out(
    server: ChatServer, tmp_path: Path, text: str
) -> None:
    image, other = draw(tmp_path / "photos", [(1, 2), (3, 4)])
    server.behaviour = lambda body, number: (
        completion(text) if seen(sent_picture(body)).endswith("2 on the right") else sighted(body)
    )
    found, budget = describe(server, [image, other], tmp_path / "answers")
    assert found == ImageCaptions({other.id: said(3, 4)}, {image.id: BAD[text]})
    assert (server.count, budget.calls_made) == (3, 3)
    (second,) = [body for body in server.bodies if again(body)]
    shown, answer, complaint = (turn["content"] for turn in second["messages"])
    assert isinstance(shown, tuple | list)
    assert len(answer) <= 1000  # what it said is not paid for again in full
    assert complaint.startswith(f"That will not do: {BAD[text]}.")
    assert describe(server, [image, other], tmp_path / "answers", offline=True)[0] == found


def test_a_better_second_answer_is_taken(server: ChatServer, tmp_path: Path) -> None:
    def shy(body: Body, number: int) -> Reply:
        return sighted(body) if again(body) else completion("Sorry, no.")

    server.behaviour = shy
    (image,) = draw(tmp_path / "photos", [(1, 2)])
    found, _ = describe(server, [image])
    assert (found.captions, found.failed) == ({image.id: said(1, 2)}, {})


def test_an_answer_that_broke_off_will_not_do(server: ChatServer, tmp_path: Path) -> None:
    server.behaviour = always(completion("a wall that is", finish="length"))
    (image,) = draw(tmp_path / "photos", [(1, 2)])
    assert describe(server, [image])[0].failed == {image.id: "it broke off before its end"}


def test_pictures_without_a_caption_are_named(
    server: ChatServer, llm: list[str], photos: Path, cli: Cli, tmp_path: Path
) -> None:
    def picky(body: Body, number: int) -> Reply:
        return completion("") if " 7 on the right" in seen(sent_picture(body)) else sighted(body)

    server.behaviour = picky
    done = cli("caption-images", "photos", *llm, "--out", "captions.csv")
    assert (done.returncode, done.stdout) == (0, "8 captions, 16 requests now; written to captions.csv\n")
    assert done.stderr.splitlines() == [
        *(f"two answers were rejected for photos/{n:02}.png: it is empty" for n in (2, 5, 8, 11)),
        "4 images without a caption; try another --question or model",
    ]
    text = line(DataError, lambda: captions_for([row[0] for row in expected()[1:]], tmp_path / "captions.csv"))
    assert "found none for 4 (photos/02.png, photos/05.png, photos/08.png, photos/11.png)" in text


@given(text=st.text(max_size=60))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_answered_is_a_caption_on_one_line_or_a_failure(server: ChatServer, tmp_path: Path, text: str):
    server.behaviour = always(completion(text))
    (image,) = draw(tmp_path / "photos", [(1, 2)])
    found, _ = describe(server, [image])
    assert len(found.captions) + len(found.failed) == 1
    for caption in found.captions.values():
        assert caption.isprintable()
        assert caption == caption.strip()
        assert 1 <= len(caption.split()) <= 30


# -- the budget --------------------------------------------------------------------------------------------------


def taking(tokens: int) -> Behaviour:
    """A server that counts so many tokens for each picture."""
    return lambda body, number: completion(seen(sent_picture(body)), tokens=tokens)


@pytest.mark.parametrize(
    ("limit", "asked"), [(0, 0), (199, 0), (200, 1), (5000, 1), (10_000, 2), (25_999, 5), (60_000, 12)]
)
@pytest.mark.parametrize("concurrency", [1, 8])
def test_what_pictures_take_is_learnt_from_the_first_so_that_no_more_tokens_are_used_than_allowed(
    server: ChatServer, photos: Path, limit: int, asked: int, concurrency: int
) -> None:
    server.behaviour = taking(5000)
    server.latency = 0.02
    images = [ImageFile(path.name, path) for path in sorted(photos.iterdir())]
    found, budget = describe(server, images, budget=Budget(tokens=limit), concurrency=concurrency)
    assert (server.count, len(found.captions), found.unasked) == (asked, asked, 12 - asked)
    assert budget.tokens_used == 5000 * asked


def test_a_kept_answer_tells_what_pictures_take(server: ChatServer, photos: Path, tmp_path: Path) -> None:
    server.behaviour = taking(5000)
    images = [ImageFile(path.name, path) for path in sorted(photos.iterdir())]
    describe(server, images[:1], tmp_path / "answers")
    _, budget = describe(server, images, tmp_path / "answers", budget=Budget(tokens=4999), concurrency=1)
    assert (server.count, budget.tokens_used) == (1, 0)


def test_a_picture_whose_second_question_is_beyond_the_budget_counts_as_not_asked_about(
    server: ChatServer, tmp_path: Path
) -> None:
    server.behaviour = always(completion(""))
    (image,) = draw(tmp_path / "photos", [(1, 2)])
    found, _ = describe(server, [image], tmp_path / "answers", budget=Budget(calls=1))
    assert (found.failed, found.unasked) == ({}, 1)
    found, budget = describe(server, [image], tmp_path / "answers")
    assert (found.failed, budget.calls_made) == ({image.id: "it is empty"}, 1)


@pytest.mark.parametrize("words", [-1, 0, 101])
def test_captions_of_no_length_are_refused(server: ChatServer, words: int) -> None:
    assert line(UsageError, lambda: describe(server, [], words=words)).endswith(
        f"1 to 100 words per caption, found {words}"
    )


# -- captions from files -----------------------------------------------------------------------------------------

IDS = st.text(st.sampled_from("ab ,;\t\"'\n\r|é😀./\\"), min_size=1, max_size=12).filter(lambda text: text.strip())
CAPTIONS = st.text(st.sampled_from("ab ,;\"'|é😀."), min_size=1, max_size=20).filter(lambda text: text.strip())


@given(pairs=st.lists(st.tuples(IDS, CAPTIONS), min_size=1, max_size=8, unique_by=lambda pair: pair[0].strip()))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_names_of_any_marks_come_back(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    path = tmp_path / "captions.csv"
    save_image_captions(dict(pairs), path)
    wanted = [" ".join(caption.split()) for _, caption in pairs]
    assert captions_for([image for image, _ in pairs], path) == tuple(wanted)
    assert captions_for([image for image, _ in pairs][::-1], path) == tuple(wanted[::-1])


def test_a_name_with_every_mark_goes_through_the_command(
    server: ChatServer, llm: list[str], cli: Cli, tmp_path: Path
) -> None:
    name = 'a, "b"\n;\rc.png'
    (tmp_path / "odd").mkdir()
    halves(3, 4).save(tmp_path / "odd" / name, "PNG")
    assert cli("caption-images", "odd", *llm, "--out", "captions.csv").returncode == 0
    assert captions_for([f"odd/{name}"], tmp_path / "captions.csv") == (said(3, 4),)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", 'image,caption\na.jpg,a dog\nb.jpg,\nc.jpg,"a cat,\n and  more"\n'),
        ("c.csv", "\ufeffcaption;file_name\na dog;a.jpg\n;b.jpg\na cat, and more;c.jpg\n"),
        ("c.csv", 'ImageID,Labels,Caption\na.jpg,1 2,a dog\nc.jpg,3,"a cat, and more"\n'),
        ("c.csv", "ImageID,Caption\na.jpg,a dog\nc.jpg,a cat, and more\n"),
        ("c.tsv", "image\tCaption\tsplit\na.jpg\ta dog\ttest\nc.jpg\ta cat, and more\ttest\n"),
        (
            "c.jsonl",
            '{"image": "a.jpg", "caption": "a dog"}\n{"image": "b.jpg"}\n{"image": "b.jpg", "caption": null}\n'
            '{"caption": "a cat,\\nand more", "image": "c.jpg"}\n',
        ),
    ],
)
def test_captions_are_read_from_lists_of_any_kind(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_image_captions(tmp_path / name) == {"a.jpg": "a dog", "c.jpg": "a cat, and more"}
    text = line(DataError, lambda: captions_for(["a.jpg", "b.jpg", "c.jpg"], tmp_path / name))
    assert text == (
        f"expected a caption in {tmp_path / name} for each of 3 images, found none for 1 (b.jpg); "
        "write such a file with `zsprompt caption-images`"
    )


def test_many_pictures_without_a_caption_are_counted_and_the_first_ones_named(tmp_path: Path) -> None:
    save_image_captions({"0": "a dog"}, tmp_path / "c.csv")
    text = line(DataError, lambda: captions_for([str(n) for n in range(5000)], tmp_path / "c.csv"))
    assert "for each of 5,000 images, found none for 4,999 (1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 4,989 more)" in text


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("c.csv", b"image,labels\na.jpg,dog\n", "in a column 'caption' of {}, found columns labels"),
        ("c.csv", b"image\na.jpg\n", "found columns none except the images"),
        ("c.csv", b"image,caption\na.jpg,\n", "found columns caption"),
        ("c.csv", b"image,caption\n", "expected rows in {}, found none"),
        ("c.csv", b"", "expected a header with a column 'image'"),
        ("c.csv", b"image,caption\na.jpg,one\na.jpg,two\n", "line 3: expected one caption per image"),
        ("c.csv", b'image,caption\na.jpg,"open\n', "line 2: expected cells separated by ','"),
        ("c.csv", b"image,caption\na.jpg,caf\xe9\n", "expected UTF-8, found byte 0xe9"),
        ("c.jsonl", b'{"image": "a.jpg", "caption": ["a", "b"]}\n', "line 1: expected a caption, found \"['a', 'b']\""),
        ("c.jsonl", b'{"image": "a.jpg", "caption": 3}\n', "line 1: expected a caption, found '3'"),
        ("c.jsonl", b"[]\n", "line 1: expected a JSON object"),
    ],
)
def test_a_broken_file_of_captions_is_one_line(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found = line(DataError, lambda: read_image_captions(path))
    assert text.format(path) in found
    assert str(path) in found


def test_a_missing_file_of_captions_is_one_line(tmp_path: Path) -> None:
    assert "found none" in line(DataError, lambda: captions_for(["a.jpg"], tmp_path / "gone.csv"))


def test_a_damaged_picture_has_no_jpeg() -> None:
    out = BytesIO()
    Image.fromarray(np.zeros((4, 4), dtype=np.int32)).save(out, "TIFF")
    for data in (b"", b"no picture", out.getvalue()):
        assert line(ImageError, lambda data=data: small_jpeg(data))
