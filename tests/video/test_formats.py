"""Which files are videos."""

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import UsageError, VideoError
from cnnkit.video.formats import check_writable_video, import_av, is_video, suffix_for


def test_a_video_is_known_by_its_name_or_its_beginning(tmp_path):
    assert is_video("a.MOV")
    assert not is_video("a.png")
    unnamed = tmp_path / "clip"
    unnamed.write_bytes(b"\0\0\0\x18ftypmp42")
    assert is_video(unnamed)
    unnamed.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert not is_video(unnamed)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_is_a_video_and_a_still_picture_is_none(tmp_path, suffix):
    still, moving = tmp_path / f"still{suffix}", tmp_path / f"moving{suffix}"
    frames = [Image.fromarray(np.full((8, 8, 3), one, np.uint8)) for one in (0, 99, 255)]
    frames[0].save(still)
    frames[0].save(moving, save_all=True, append_images=frames[1:], duration=50)
    assert not is_video(still)
    assert is_video(moving)
    (tmp_path / f"broken{suffix}").write_bytes(b"GIF89a")
    assert not is_video(tmp_path / f"broken{suffix}")


def test_what_is_made_of_a_video_has_its_suffix_where_that_can_be_written():
    found = [suffix_for(one) for one in ("a.gif", "b.mkv", "c.avi", "d.mpg", "e.mp4")]
    assert found == [".gif", ".mkv", ".mp4", ".mp4", ".mp4"]


def test_a_suffix_of_no_video_is_refused():
    with pytest.raises(UsageError, match=r"out\.jpg: cannot write videos as '\.jpg'; use one of"):
        check_writable_video("out.jpg")


def test_without_the_extra_a_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(VideoError, match=r'needs the extra for videos; run: pip install "cnnkit\['):
        import_av()
