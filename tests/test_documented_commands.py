"""Every command that README and documentation tell people to type is run, on small inputs.

It takes minutes: `pytest -m documented`, before a release.

What would take long is made short by further options; the rest is typed as it stands. Commands of
one task run one after the other in one folder, as readers type them.
"""

import io
import json
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnnkit.cli.app import run

ROOT = Path(__file__).parents[1]
DOCS = runpy.run_path(str(ROOT / "tests" / "test_docs.py"))

# What is not run here, and why.
NOT_RUN = {
    "cnnkit studio": "goes on until it is stopped; see tests/server",
    "cnnkit serve": "goes on until it is stopped; see tests/server",
    "cnnkit train decoder --data pictures -o runs/decoder": "four levels take minutes",
    "cnnkit weights fetch vgg19": "needs a network",
    "cnnkit weights import vgg19 FILE": "needs a file of others",
    "cnnkit train backbone --data pictures --teacher vgg19 -o runs/backbone": "needs VGG-19",
    "cnnkit export runs/flowers --format onnx -o flowers.onnx": "needs the extra [onnx]",
    "cnnkit weights warm": "compiles every network; see tests/cli/test_weights.py",
    "cnnkit classify s3://photos/2026 -r --ray-address auto --results s3://photos/classes "
    "--results-format parquet": "needs a bucket",
    "cnnkit train detect people/ --processes 2 --process-id 0 --coordinator first:9911": "waits",
    "cnnkit train detect people/ --processes 2 --process-id 1 --coordinator first:9911": "waits",
    "cnnkit faces calibrate people/ -o mine.json": "needs hundreds of pairs",
}
# Of clusters, with folders of their machines.
ELSEWHERE = "/shared/"
# How a command is made short: its first words -> further options.
SHORT = {
    "stylize": "--size 64 --steps 2",
    "train classify": "--epochs 1 --size 64",
    "train detect": "--epochs 1 --size 64 --batch 4",
    "train segment": "--epochs 3 --crop 64 --batch 4",
    "train text": "--epochs 1",
    "train caption": "--epochs 1",
    "train faces": "--steps 3",
    "faces rename": "--merge",
    "visualize maximize": "--steps 4 --size 64",
    "visualize units": "--size 64",
    "visualize occlusion": "--window 64 --stride 64",
}
# Some of these options stand in the command, or are not of that network.
WITHOUT = {
    "train classify --resume": "",
    "train text --resume": "",
    "stylize photo.jpg --sheet": "--size 64",
    "stylize samples/coffee.png --sheet": "--size 64",
    "stylize clip.mp4": "--size 64",
    "train classify flowers/ --preview-augment": "",
    "train classify signals/": "--epochs 1",
    "train classify digits/": "--epochs 1",
}
# What makes something that commands behind it use.
MAKES = ("cnnkit train ", "cnnkit faces enroll ")
# Exit codes that are answers.
ANSWERS = {"verify": (0, 1)}
# No dog is among the photographs.
NOTHING_FOUND = ("cutout photos/ -o cut/ --subject dog",)


def lines():
    """Page -> its commands in their order, without those that a page before has.

    What makes a model or a gallery is run again for the commands behind it.
    """
    seen, pages = set(), {}
    for path in DOCS["PAGES"]:
        every = [re.split(r"  +", line)[0] for line in DOCS["commands"](path.read_text("utf-8"))]
        every = list(dict.fromkeys(every))
        new = [number for number, line in enumerate(every) if line not in seen]
        kept = [
            line
            for number, line in enumerate(every)
            if number in new or (new and number < new[-1] and line.startswith(MAKES))
        ]
        seen.update(every)
        if kept:
            pages[path.relative_to(ROOT).as_posix()] = kept
    return pages


PAGES = lines()


def photographs(room):
    assert run(["samples", "samples", "--quiet"]) == 0
    astronaut = Image.open("samples/astronaut.png").convert("RGB")
    chelsea = Image.open("samples/chelsea.png").convert("RGB")
    coffee = Image.open("samples/coffee.png").convert("RGB")
    for name in ("photo", "ada", "eileen", "a", "party", "team"):
        astronaut.resize((256, 256)).save(f"{name}.jpg")
    chelsea.save("cat.jpg")
    coffee.save("street.jpg")
    Image.open("samples/camera.png").convert("RGB").resize((400, 400)).save("someone.jpg")
    ImageEnhance.Brightness(astronaut).enhance(0.8).save("b.jpg")
    Image.open("samples/waves.png").convert("RGB").resize((128, 128)).save("painting.jpg")
    for folder in ("holiday", "photos", "pictures"):
        Path(folder).mkdir()
        astronaut.resize((160, 160)).save(f"{folder}/one.jpg")
        chelsea.resize((160, 120)).save(f"{folder}/two.jpg")
    camera = Image.open("samples/camera.png").convert("RGB")
    # Six people, as far as a training can tell.
    several = {"eileen": astronaut, "someone": camera}
    several |= {f"{name}-mirrored": ImageOps.mirror(one) for name, one in several.items()}
    several |= {"wide": astronaut.resize((640, 512)), "tall": camera.resize((512, 600))}
    for person, picture in several.items():
        folder = Path("people") / person
        folder.mkdir(parents=True)
        for number, share in enumerate((0.7, 0.85, 1.0, 1.15)):
            ImageEnhance.Brightness(picture).enhance(share).save(folder / f"{number}.jpg")
    names = [f"people/{one}/{number}.jpg" for one in ("eileen", "someone") for number in range(4)]
    Path("lfw").mkdir()
    for name in names:
        person, number = name.split("/")[1], int(name.split("/")[2][0]) + 1
        folder = Path("lfw") / person
        folder.mkdir(exist_ok=True)
        Image.open(name).save(folder / f"{person}_{number:04}.jpg")
    pairs = [f"eileen\t{one}\t{two}" for one, two in ((1, 2), (1, 3), (2, 3), (3, 4))]
    pairs += [f"eileen\t{one}\tsomeone\t{two}" for one, two in ((1, 2), (1, 3), (2, 3), (3, 4))]
    Path("pairs.txt").write_text("4\n" + "\n".join(pairs) + "\n")


def classes(folder, size, mode="RGB", names=("dark", "light")):
    """Pictures of two classes, dark and light ones."""
    random = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name, level in zip(names, (60, 190), strict=True):
            inside = Path(folder) / split / name
            inside.mkdir(parents=True)
            for number in range(4):
                pixels = random.integers(level - 50, level + 50, (size, size, 3)).astype(np.uint8)
                Image.fromarray(pixels).convert(mode).save(inside / f"{number}.png")


def signals():
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for name, step in (("slow", 0.1), ("fast", 0.9)):
            inside = Path("signals") / split / name
            inside.mkdir(parents=True)
            for number in range(4):
                wave = np.sin(step * np.arange(64) + random.random())[:, None]
                np.save(inside / f"{number}.npy", wave.astype(np.float32))


def boxes():
    for number in range(6):
        for split in ("train", "val"):
            pixels = np.full((96, 96, 3), 80, np.uint8)
            left = 8 * number
            pixels[20:60, left : left + 30] = (220, 60, 40)
            for kind in ("images", "labels"):
                (Path("people") / kind / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(f"people/images/{split}/{number}.png")
            words = f"0 {(left + 15) / 96} {40 / 96} {30 / 96} {40 / 96}\n"
            Path(f"people/labels/{split}/{number}.txt").write_text(words)
    Path("people/classes.txt").write_text("person\n")


def masks(folder):
    for split in ("train", "val"):
        for number in range(4):
            mask = np.zeros((96, 96), np.uint8)
            mask[20:70, 10 * number : 10 * number + 40] = 1
            pixels = np.where(mask[..., None] > 0, (200, 60, 40), (60, 90, 60)).astype(np.uint8)
            for kind, values in (("images", pixels), ("labels", mask)):
                inside = Path(folder) / split / kind
                inside.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(inside / f"{number}.png")
    Path(folder, "classes.txt").write_text("ground\nthing\n")


def texts():
    rows = ["text,label"]
    for number in range(12):
        rows += [f"a superb warm room number {number},good", f"a cold bad soup number {number},bad"]
    for name in ("reviews.csv", "test.csv", "new.csv"):
        Path(name).write_text("\n".join(rows) + "\n")
    people = ["body,topic,age,sex,country"]
    people += [f"news of day {n},{'ab'[n % 2]},{20 + n},{n % 2},{n % 5}" for n in range(24)]
    Path("posts.csv").write_text("\n".join(people) + "\n")
    names = ["text,label"]
    names += [
        f"{name}{n},{label}" for n in range(8) for name, label in (("anna", "a"), ("tom", "b"))
    ]
    Path("names.csv").write_text("\n".join(names) + "\n")


def captions():
    rows = ["image,caption"]
    Path("coco/images").mkdir(parents=True)
    for number in range(8):
        picture = ImageOps.colorize(Image.new("L", (64, 64), 30 * number), "black", "white")
        picture.save(f"{number}.png")
        picture.save(f"coco/images/{number}.png")
        rows.append(f"{number}.png,{'a dark' if number < 4 else 'a light'} picture of a wall")
    Path("captions.csv").write_text("\n".join(rows) + "\n")
    Path("coco/annotations").mkdir()
    for split, numbers in (("train", range(6)), ("val", range(6, 8))):
        file = {
            "images": [
                {"id": n, "file_name": f"{n}.png", "width": 64, "height": 64} for n in numbers
            ],
            "annotations": [
                {"id": n, "image_id": n, "caption": rows[n + 1].split(",")[1]} for n in numbers
            ],
        }
        Path(f"coco/annotations/captions_{split}.json").write_text(json.dumps(file))


def videos():
    av = pytest.importorskip("av")
    for name in ("clip", "traffic", "talk"):
        with av.open(f"{name}.mp4", "w") as file:
            stream = file.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            for number in range(4):
                pixels = np.full((64, 96, 3), 80, np.uint8)
                pixels[20:50, 10 * number : 10 * number + 30] = (200, 80, 60)
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                    file.mux(packet)
            for packet in stream.encode():
                file.mux(packet)


def shortened(line):
    words = shlex.split(line.replace("--epochs 40", "--epochs 2"))[1:]
    typed = " ".join(words)
    for begin, more in (*WITHOUT.items(), *SHORT.items()):
        if typed.startswith(begin):
            for option in re.findall(r"--\S+(?: [^-]\S*)?", more):
                name, *value = option.split()
                if name not in words:
                    words += [name, *value]
            break
    return words


def prepare(page):
    photographs(Path())
    for folder, size in (("flowers", 64), ("digits", 32)):
        classes(folder, size, "L" if folder == "digits" else "RGB")
    classes("pets", 64, names=("cat", "dog"))
    signals()
    if any(" detect people/" in line for line in PAGES[page]):
        # The folder of boxes, which is another one than that of faces.
        Path("people").rename("faces-of-people")
        boxes()
    for folder in ("roads", "things"):
        masks(folder)
    texts()
    captions()
    videos()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Galleries, and networks that were compiled for the commands before."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.documented
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page, tmp_path, monkeypatch, home, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNKIT_HOME", str(home))
    prepare(page)
    for line in dict.fromkeys(BEFORE.get(page, []) + PAGES[page]):
        if line in NOT_RUN or ELSEWHERE in line:
            continue
        words = shortened(line)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a cold soup\n")))
        code = run(words)
        said = capsys.readouterr()
        answers = ANSWERS.get(words[0], (0,))
        if " ".join(words).startswith(NOTHING_FOUND):
            answers = (0, 4)
        assert code in answers, f"{line}\n{words}\n{said.err}"


# What a page takes for granted, of other pages or of the reader.
BEFORE = {
    "docs/guides/classify.md": ["cnnkit train classify flowers/ -o runs/flowers"],
    "docs/guides/see_inside.md": ["cnnkit train classify pets/ -o runs/pets"],
    "docs/guides/faces.md": ['cnnkit faces enroll "E. Collins" someone.jpg'],
}


def test_what_is_not_run_is_still_there():
    every = {line for lines in PAGES.values() for line in lines}
    assert NOT_RUN.keys() <= every
