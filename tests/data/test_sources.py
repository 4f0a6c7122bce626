from pathlib import Path

import pytest

from cnnkit import images
from cnnkit.data.sources import (
    Source,
    find_sources,
    plan_outputs,
    stopped_path,
    stream_sources,
)
from cnnkit.errors import ExitCode, ImageError, UsageError
from cnnkit.images import read_image


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch):
    """A folder with pictures and other files, and it is the current one."""
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "sub/c.webp", "sub/deep/a.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(*arguments, **options):
    return [source.path for source in find_sources(arguments, **options)]


def relatives(*arguments, **options):
    return [source.relative.as_posix() for source in find_sources(arguments, **options)]


def test_files_come_in_the_order_they_were_given():
    assert paths("photos/b.JPG", "photos/a.png") == ["photos/b.JPG", "photos/a.png"]
    assert relatives("photos/b.JPG") == ["b.JPG"]


def test_a_missing_file_is_kept_to_fail_by_itself():
    assert paths("nothing.jpg") == ["nothing.jpg"]


def test_each_file_comes_once_whatever_its_spelling(tree):
    assert paths("photos/a.png", "./photos/a.png", str(tree / "photos" / "a.png"), "-", "-") == [
        "photos/a.png",
        "-",
    ]


def test_a_folder_gives_its_visible_pictures_sorted():
    assert paths("photos") == ["photos/a.png", "photos/b.JPG"]


def test_a_folder_gives_those_of_its_folders_only_when_asked():
    assert relatives("photos", recursive=True) == ["a.png", "b.JPG", "sub/c.webp", "sub/deep/a.png"]


def test_a_folder_without_pictures_is_one_line_that_says_what_it_holds(tree):
    with pytest.raises(ImageError, match=r"empty holds no pictures$"):
        paths("empty")
    (tree / "empty" / "inner").mkdir()
    with pytest.raises(ImageError, match=r"empty holds no pictures, only 1 folder \(use -r\)$"):
        paths("empty")
    (tree / "empty" / "clip.mp4").touch()
    with pytest.raises(ImageError, match=r"empty holds no pictures, only 1 \.mp4 \(clip\.mp4\)$"):
        paths("empty", recursive=True)


@pytest.mark.parametrize("look", [find_sources, lambda *a, **o: list(stream_sources(*a, **o))])
def test_what_is_passed_over_in_a_folder_is_counted_and_named_once(tree, look):
    notes = []
    assert len(look(["photos"], note=notes.append)) == 2
    assert notes == ["photos: left out: 1 .txt (notes.txt), 1 folder (use -r)"]
    for name in ("1.mov", "2.MOV", "3.mov", "Makefile", ".DS_Store", "._a.jpg"):
        (tree / "photos" / name).touch()
    notes.clear()
    assert len(look(["photos"], True, note=notes.append)) == 4
    [note] = notes
    assert note.startswith("photos: left out: 3 .mov (")
    assert note.endswith(", ...), 1 .txt (notes.txt), 1 without a suffix (Makefile)")


def test_nothing_is_said_of_a_folder_of_pictures():
    notes = []
    find_sources(["photos/sub/deep"], note=notes.append)
    assert notes == []


def test_heic_that_nothing_reads_here_is_named_with_the_remedy(tree, monkeypatch):
    monkeypatch.setattr(images, "_reads_heif", lambda: False)
    (tree / "photos" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    (tree / "photos" / "b.HEIF").write_bytes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heix" + bytes(40))
    (tree / "photos" / "really.heic").write_bytes(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf")
    notes = []
    found = find_sources(["photos"], note=notes.append)
    assert [Path(one.path).name for one in found] == ["a.png", "b.JPG", "really.heic"]
    assert "2 HEIC (HEIC is read after: pip install 'cnnkit[heif]')" in notes[0]
    with pytest.raises(
        ImageError, match=r"a\.heic is a HEIC picture; .* pip install 'cnnkit\[heif"
    ):
        read_image("photos/a.heic")


@pytest.mark.parametrize("address", ["https://example.org/a.jpg?x=[1]*", "s3://bucket/a.png"])
def test_addresses_are_never_fetched(address):
    assert paths(address) == [address]
    with pytest.raises(ImageError, match="URLs are not read; download it first"):
        read_image(address)


def test_a_glob_gives_its_files_and_no_folders():
    assert paths("photos/*") == [
        "photos/.hidden.jpg",
        "photos/a.png",
        "photos/b.JPG",
        "photos/notes.txt",
    ]


@pytest.mark.parametrize("absolute", [False, True])
def test_a_glob_is_mirrored_from_its_first_wildcard(tree, absolute):
    base = str(tree) + "/" if absolute else ""
    assert relatives(f"{base}photos/**/a.png") == ["a.png", "sub/deep/a.png"]
    assert relatives(f"{base}photos/sub/*.webp") == ["c.webp"]


@pytest.mark.parametrize("pattern", ["photos/*.hei", "photos/su?", "nowhere/*"])
def test_a_glob_without_files_is_one_line(pattern):
    with pytest.raises(ImageError, match="matches no file; check the pattern"):
        paths(pattern)


def test_a_file_whose_name_has_wildcards_is_that_file(tree):
    (tree / "what[1]?.jpg").touch()
    assert paths("what[1]?.jpg") == ["what[1]?.jpg"]


def test_a_folder_whose_name_has_wildcards_is_that_folder(tree):
    for name in ("set [1]", "set 1"):
        (tree / name).mkdir()
        (tree / name / "a [0].png").touch()
    assert paths("set [1]/*.png") == ["set [1]/a [0].png"]
    assert paths("set [1]/a [0].png") == ["set [1]/a [0].png"]


def test_a_list_gives_its_lines(tree):
    (tree / "list.txt").write_text(
        "\ufeffphotos/a.png\n\n  # a remark\n  photos/Ω 猫.jpg  \nempty/../photos/sub\n-\n",
        encoding="utf-8",
    )
    assert paths("@list.txt") == [
        "photos/a.png",
        "photos/Ω 猫.jpg",
        "empty/../photos/sub/c.webp",
        "-",
    ]


def test_a_list_may_name_lists_but_not_itself(tree):
    (tree / "outer.txt").write_text("@inner.txt\n@inner.txt\n")
    (tree / "inner.txt").write_text("photos/a.png\n")
    assert paths("@outer.txt") == ["photos/a.png"]
    (tree / "inner.txt").write_text("@outer.txt\n")
    with pytest.raises(ImageError, match=r"the list outer.txt names itself"):
        paths("@outer.txt")


def test_a_list_that_cannot_be_read_is_one_line(tree):
    with pytest.raises(ImageError, match=r"none.txt cannot be read: No such file .*; check the"):
        paths("@none.txt")
    (tree / "latin.txt").write_bytes("naïve.jpg".encode("latin-1"))
    with pytest.raises(ImageError, match=r"latin.txt is not a UTF-8 text file"):
        paths("@latin.txt")


def test_a_file_that_begins_with_an_at_sign_is_that_file(tree):
    (tree / "@me.jpg").touch()
    assert paths("@me.jpg") == ["@me.jpg"]


def test_no_picture_and_an_empty_name_are_usage_errors():
    with pytest.raises(UsageError, match="no pictures given; name files, folders, globs") as caught:
        paths()
    assert caught.value.exit_code == ExitCode.USAGE
    with pytest.raises(UsageError, match="a picture's name is empty"):
        paths("")


# Outputs

ONE = [Source("photos/a.jpg", Path("a.jpg"))]
TWO = [*ONE, Source("photos/sub/b.tif", Path("sub/b.tif"))]


def outputs(sources, output, **more):
    planned = plan_outputs(sources, output, "stylized", ".png", **more)
    return [path.as_posix() for path in planned]


def test_without_an_output_the_name_tells_the_task():
    assert outputs(TWO, None) == ["a-stylized.png", "b-stylized.png"]
    assert outputs([Source("-", Path("stdin"))], None) == ["stdin-stylized.png"]


@pytest.mark.parametrize("output", ["out.jpg", "new/folder/out.webp"])
def test_one_input_may_have_a_file(output):
    assert outputs(ONE, output) == [output]


@pytest.mark.parametrize("output", ["empty", "new", "new.d/", "photos/sub/"])
def test_one_input_may_have_a_folder(output):
    assert outputs(ONE, output) == [f"{output.rstrip('/')}/a.png"]


@pytest.mark.parametrize("output", ["empty", "new", "new.d/"])
def test_several_inputs_are_mirrored_into_a_folder(output):
    folder = output.rstrip("/")
    assert outputs(TWO, output) == [f"{folder}/a.png", f"{folder}/sub/b.png"]


def test_a_folder_may_have_a_name_like_a_file(tree):
    (tree / "out.png").mkdir()
    assert outputs(TWO, "out.png") == ["out.png/a.png", "out.png/sub/b.png"]


def test_several_inputs_do_not_fit_into_one_file():
    with pytest.raises(UsageError, match=r"out.png is one file but there are 2 inputs; give a"):
        outputs(TWO, "out.png")


def test_two_inputs_never_collide_silently():
    same = [Source("x/a.jpg", Path("a.jpg")), Source("y/a.png", Path("a.png"))]
    with pytest.raises(UsageError, match=r"x/a.jpg and y/a.png would both be written to .*a"):
        outputs(same, "out")


def test_names_that_the_tool_chooses_are_numbered_where_they_are_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    same = [Source("x/a.jpg", Path("a.jpg")), Source("y/a.png", Path("a.png"))]
    assert outputs(same, None) == ["a-stylized.png", "a-stylized-2.png"]
    Path("a-stylized.png").touch()
    Path("a-stylized-3.png").symlink_to("nowhere")
    assert outputs(same, None) == ["a-stylized-2.png", "a-stylized-4.png"]
    # With --overwrite and --skip-existing those of the run before are meant.
    assert outputs(same, None, keeps_names=True) == ["a-stylized.png", "a-stylized-2.png"]


def test_a_run_that_was_stopped_is_found_under_its_numbered_name(tmp_path):
    def state_of(path):
        return path.with_name(f".{path.name}.state")

    wanted, second = tmp_path / "a.png", tmp_path / "a-2.png"
    assert stopped_path(wanted, state_of) == wanted
    wanted.touch()
    assert stopped_path(wanted, state_of) == wanted
    state_of(second).touch()
    assert stopped_path(wanted, state_of) == second


def test_an_input_is_never_the_output(tree):
    (tree / "link").symlink_to(tree / "photos")
    for source, output in [
        ("photos/a.png", "photos/a.png"),
        ("photos/a.png", str(tree / "photos" / "a.png")),
        ("photos/a.png", "photos"),
        ("link/a.png", "photos/"),
    ]:
        with pytest.raises(UsageError, match=r"a.png is an input and would be replaced; give"):
            outputs([Source(source, Path("a.png"))], output)


def test_the_output_of_one_input_is_not_another_input():
    sources = [Source("a.png", Path("a.png")), Source("a-stylized.png", Path("a-stylized.png"))]
    with pytest.raises(UsageError, match=r"a-stylized.png is an input and would be replaced"):
        outputs(sources, None)


# Streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize(
    "arguments", [["photos"], ["photos/*.png"], ["photos", "photos/a.png"], ["none.jpg"]]
)
def test_a_stream_gives_the_same_sources_in_the_same_order(tree, arguments, recursive):
    # "sub" comes before "sub.png", and what lies in it too.
    (tree / "photos" / "sub.png").touch()
    (tree / "photos" / "round").symlink_to(tree / "photos", target_is_directory=True)
    found = list(stream_sources(arguments, recursive))
    assert found == find_sources(arguments, recursive)
    assert len(found) >= 1


def test_a_stream_of_an_empty_folder_is_one_line_too():
    with pytest.raises(ImageError, match=r"empty holds no pictures$"):
        list(stream_sources(["empty"]))
    with pytest.raises(UsageError, match="no pictures given"):
        list(stream_sources([]))


def test_other_kinds_of_files_are_taken_where_asked_for(tmp_path):
    (tmp_path / "a.npy").touch()
    (tmp_path / "b.jpg").touch()
    [found] = find_sources([str(tmp_path)], suffixes=(".npy",))
    assert found.path == str(tmp_path / "a.npy")
    with pytest.raises(ImageError, match=r"holds no files in \.wav"):
        find_sources([str(tmp_path)], recursive=True, suffixes=(".wav",))
