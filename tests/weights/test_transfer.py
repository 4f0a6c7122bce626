import errno
import hashlib
import shutil
import socket

import pytest

from cnnkit.errors import ExitCode, UsageError, WeightsError
from cnnkit.weights import _transfer, entry, fetch, import_file, locate, status
from tests.weights.conftest import CONTENT, TINY

PART = "tiny.h5.part"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(_transfer, "_PIECE_BYTES", 1000)


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_fetch_brings_the_file(server, cache):
    found = fetch("tiny")
    assert found.state == "here"
    assert locate("tiny") == found.path == cache / "tiny.h5"
    assert found.path.read_bytes() == CONTENT
    assert files(cache) == ["tiny.h5"]


def test_fetch_reports_its_progress_up_to_the_whole(server):
    seen = []
    fetch("tiny", lambda done, total: seen.append((done, total)))
    assert seen[0][0] == 0
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_fetch_does_nothing_when_the_file_is_here(server):
    fetch("tiny")
    fetch("tiny")
    assert len(server.requests) == 1


def test_fetch_replaces_a_damaged_file(server, cache):
    cache.mkdir(parents=True)
    (cache / "tiny.h5").write_bytes(b"damaged")
    assert fetch("tiny").path.read_bytes() == CONTENT


def test_the_mirror_is_asked_for_the_file_by_its_name(server, monkeypatch):
    monkeypatch.setenv("CNNKIT_MIRROR", f"{server.address}/some/folder/")
    fetch("tiny")
    assert server.requests == [("/some/folder/tiny.h5", None)]


def test_without_a_mirror_the_address_of_the_table_is_asked(server, monkeypatch, table):
    monkeypatch.delenv("CNNKIT_MIRROR")
    table(url=f"{server.address}/original.h5")
    fetch("tiny")
    assert server.requests == [("/original.h5", None)]


@pytest.mark.parametrize("announces_length", [True, False])
def test_a_cut_off_download_is_kept_and_resumed(server, cache, announces_length):
    server.cut_after, server.announces_length = 4000, announces_length
    with pytest.raises(WeightsError, match=r"broke off; .* go on with: cnnkit weights fetch tiny"):
        fetch("tiny")
    assert files(cache) == [PART]
    assert (cache / PART).read_bytes() == CONTENT[:4000]

    server.cut_after = None
    assert fetch("tiny").path.read_bytes() == CONTENT
    assert server.requests == [("/tiny.h5", None), ("/tiny.h5", "bytes=4000-")]
    assert files(cache) == ["tiny.h5"]


def test_ctrl_c_leaves_a_part_that_is_resumed(server, cache):
    def stop(done, total):
        if done >= 3000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", stop)
    assert (cache / PART).read_bytes() == CONTENT[:3000]
    fetch("tiny")
    assert server.requests[-1] == ("/tiny.h5", "bytes=3000-")
    assert files(cache) == ["tiny.h5"]


def test_a_server_without_ranges_sends_the_whole_file_again(server, cache):
    cache.mkdir(parents=True)
    (cache / PART).write_bytes(CONTENT[:5000])
    server.ranges = False
    assert fetch("tiny").path.read_bytes() == CONTENT


def test_a_wrong_part_is_discarded_and_fetched_from_the_start(server, cache):
    cache.mkdir(parents=True)
    (cache / PART).write_bytes(b"wrong")
    assert fetch("tiny").path.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == ["bytes=5-", None]


def test_a_part_longer_than_the_file_is_discarded(server, cache):
    cache.mkdir(parents=True)
    (cache / PART).write_bytes(CONTENT + b"more")
    assert fetch("tiny").path.read_bytes() == CONTENT
    assert server.requests == [("/tiny.h5", None)]


def test_a_complete_part_needs_no_server(cache):
    cache.mkdir(parents=True)
    (cache / PART).write_bytes(CONTENT)
    assert fetch("tiny").path == cache / "tiny.h5"


def test_a_range_that_the_server_refuses_becomes_a_whole_download(server, cache, table):
    # The server's file is shorter than the part: 416, then 200 with a wrong length.
    cache.mkdir(parents=True)
    (cache / PART).write_bytes(CONTENT[:5000])
    server.content = CONTENT[:4000]
    with pytest.raises(WeightsError, match="expected 10240 bytes, received 4000"):
        fetch("tiny")
    assert [wanted for _, wanted in server.requests] == ["bytes=5000-", None]
    assert files(cache) == [PART]


def test_a_wrong_file_never_gets_into_the_cache(server, cache):
    server.content = bytes(len(CONTENT))
    received = hashlib.sha256(server.content).hexdigest()
    expected = f"tiny.h5 is not the tiny file: expected sha256 {TINY.digest}, received {received}"
    with pytest.raises(WeightsError, match=expected):
        fetch("tiny")
    assert files(cache) == []


def test_an_endless_wrong_file_is_not_read_to_its_end(server, cache):
    server.content, server.announces_length = CONTENT + bytes(10_000_000), False
    with pytest.raises(WeightsError, match="expected 10240 bytes, received more"):
        fetch("tiny")
    assert files(cache) == []


def test_a_page_in_place_of_the_file_is_refused_before_it_is_read(server, cache):
    server.content = b"<html>Please log in</html>"
    with pytest.raises(WeightsError, match="expected 10240 bytes, received 26"):
        fetch("tiny")
    assert files(cache) == []


def test_md5_is_verified_where_the_table_has_md5(server, table):
    table(algorithm="md5", digest=hashlib.md5(CONTENT).hexdigest())
    assert fetch("tiny").state == "here"


def test_what_was_verified_by_md5_is_known_by_its_sha256_from_then_on(server, cache, table):
    table(algorithm="md5", digest=hashlib.md5(CONTENT).hexdigest())
    path = fetch("tiny").path
    pinned = cache / "tiny.h5.sha256"
    assert pinned.read_text().strip() == hashlib.sha256(CONTENT).hexdigest()
    # Another file with the same MD5, which can be made, would have another SHA-256.
    pinned.write_text(hashlib.sha256(b"another").hexdigest())
    assert "expected sha256" in status(entry("tiny")).problem
    path.unlink()
    with pytest.raises(WeightsError, match="is not the tiny file: expected sha256"):
        fetch("tiny")
    # What is no hash pins nothing.
    pinned.write_text("damaged")
    assert fetch("tiny").state == "here"


def test_an_imported_file_is_pinned_too(tmp_path, cache, table):
    table(algorithm="md5", digest=hashlib.md5(CONTENT).hexdigest())
    (tmp_path / "tiny.h5").write_bytes(CONTENT)
    import_file(tmp_path / "tiny.h5")
    assert (cache / "tiny.h5.sha256").read_text().strip() == hashlib.sha256(CONTENT).hexdigest()


def test_a_missing_page_says_its_number_and_how_to_import(server, cache):
    server.status = 404
    expected = r"/tiny.h5 answered 404 Not Found; .* run: cnnkit weights import tiny tiny.h5"
    with pytest.raises(WeightsError, match=expected):
        fetch("tiny")
    assert files(cache) == []


def test_offline_one_line_says_how_to_import(monkeypatch, cache):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("CNNKIT_MIRROR", f"http://127.0.0.1:{port}")
    with pytest.raises(WeightsError) as caught:
        fetch("tiny")
    assert str(caught.value) == (
        "127.0.0.1 cannot be reached (no connection); get tiny.h5 on another machine "
        "(https://nowhere.invalid/tiny.h5), then run: cnnkit weights import tiny tiny.h5"
    )
    assert caught.value.exit_code == ExitCode.WEIGHTS_MISSING
    assert files(cache) == []


def test_a_proxy_that_does_not_answer_is_named(monkeypatch, table):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    with pytest.raises(WeightsError, match=r"nowhere.invalid cannot be reached \(the proxy does"):
        fetch("tiny")


@pytest.mark.parametrize("mirror", ["http://192.0.2.1/x", "ftp://127.0.0.1", "somewhere"])
def test_only_https_is_fetched_from_other_machines(monkeypatch, mirror):
    monkeypatch.setenv("CNNKIT_MIRROR", mirror)
    with pytest.raises(WeightsError, match="is refused: weights are fetched over https only"):
        fetch("tiny")


def test_two_fetches_at_once_do_not_mix(server, cache):
    pytest.importorskip("fcntl")

    def fetch_again(done, total):
        with pytest.raises(WeightsError, match="another process is fetching"):
            fetch("tiny")

    assert fetch("tiny", fetch_again).path.read_bytes() == CONTENT


def test_a_full_disk_is_told_before_the_download(server, monkeypatch, cache):
    usage = shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(WeightsError, match=r"0 MB free .* make room, or set CNNKIT_HOME"):
        fetch("tiny")
    assert server.requests == []


def test_a_disk_that_fills_up_meanwhile_is_one_line(server, monkeypatch, cache):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WeightsError, match="cannot be written: No space left on device; make room"):
        fetch("tiny")
    assert "tiny.h5" not in files(cache)


def test_a_cache_that_cannot_be_made_is_one_line(server, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"file/weights cannot be written: Not a directory"):
        fetch("tiny")


def test_embedded_weights_are_not_fetched(table):
    table(kind="embedded", file_name="never-shipped.npz")
    with pytest.raises(WeightsError, match=r"the tiny weights are missing; .* install it again"):
        fetch("tiny")


def test_import_copies_the_file_and_leaves_the_original(tmp_path, cache):
    mine = tmp_path / "my file.h5"
    mine.write_bytes(CONTENT)
    assert import_file(mine, "tiny").path == cache / "tiny.h5"
    assert locate("tiny").read_bytes() == mine.read_bytes() == CONTENT
    assert files(cache) == ["tiny.h5"]


@pytest.mark.parametrize("file_name", ["tiny.h5", "download (1)"])
def test_import_recognizes_a_file_by_its_name_or_its_hash(tmp_path, file_name):
    mine = tmp_path / file_name
    mine.write_bytes(CONTENT)
    assert import_file(mine).entry.name == "tiny"


def test_import_of_an_unknown_file_lists_what_is_known(tmp_path):
    mine = tmp_path / "other.bin"
    mine.write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"none of the known weights \(vgg16, .*, tiny\)"):
        import_file(mine)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-1], "cut off: expected 10240 bytes, received 10239"),
        (b"", "cut off: expected 10240 bytes, received 0"),
        (CONTENT + b"x", "expected 10240 bytes, received 10241"),
        (bytes(len(CONTENT)), f"expected sha256 {TINY.digest}, received "),
    ],
)
def test_import_refuses_a_wrong_file(tmp_path, cache, content, message):
    mine = tmp_path / "mine.h5"
    mine.write_bytes(content)
    with pytest.raises(WeightsError, match=f"mine.h5 is not the tiny file: {message}"):
        import_file(mine, "tiny")
    assert files(cache) == []
    assert mine.read_bytes() == content


def test_import_refuses_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(WeightsError, match=r"nothing.h5 does not exist; check the path"):
        import_file(tmp_path / "nothing.h5", "tiny")
    with pytest.raises(WeightsError, match="is not a file; name the file itself"):
        import_file(tmp_path, "tiny")


def test_import_of_embedded_weights_is_refused(tmp_path, table):
    table(kind="embedded")
    (tmp_path / "x").touch()
    with pytest.raises(UsageError, match="come with cnnkit; there is nothing to import"):
        import_file(tmp_path / "x", "tiny")


def test_importing_the_file_of_the_cache_itself_keeps_it(tmp_path, cache):
    mine = tmp_path / "mine.h5"
    mine.write_bytes(CONTENT)
    path = import_file(mine, "tiny").path
    before = path.stat()
    assert import_file(path).path.stat().st_ino == before.st_ino


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path, cache, monkeypatch):
    mine = tmp_path / "mine.h5"
    mine.write_bytes(CONTENT)

    def half(original, copy, _):
        copy.write(original.read(100))

    monkeypatch.setattr(shutil, "copyfileobj", half)
    with pytest.raises(WeightsError, match="changed while it was copied"):
        import_file(mine, "tiny")
    assert files(cache) == []
