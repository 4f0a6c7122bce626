import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from cnnkit.data import _gallery_file, _gallery_index
from cnnkit.data.gallery import FaceRow, Gallery, default_path, normalized_name
from cnnkit.errors import GalleryError

MODEL = "a" * 64
BOX = (10.0, 20.0, 110.0, 120.0)


def sha(text):
    return hashlib.sha256(str(text).encode()).hexdigest()


def face(picture, embedding=None, model=MODEL, **values):
    if embedding is None:
        embedding = np.random.default_rng(int(sha(picture)[:8], 16)).normal(0, 0.1, 8)
    values = {"box_xyxy": BOX, "source": f"{picture}.jpg", **values}
    return FaceRow(np.asarray(embedding, np.float32), model, sha(picture), **values)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gallery.sqlite"


@pytest.fixture
def gallery(path):
    with Gallery(path) as gallery:
        yield gallery


def names(gallery):
    return [person.name for person in gallery.people()]


def bytes_of_all_files(folder):
    return b"".join(path.read_bytes() for path in folder.iterdir())


# Storing


def test_a_face_comes_back_as_it_was_stored(gallery):
    stored = face(
        "a",
        settings="mmod size=1000",
        confidence=1.5,
        quality=0.25,
        landmarks_xy=np.array([[1, 2], [3, 4.5]], np.float32),
    )
    assert gallery.enroll("Jane", [stored]).is_new
    [back] = gallery.faces("Jane")
    for name in ("model_hash", "picture_sha256", "box_xyxy", "source", "settings", "confidence"):
        assert getattr(back, name) == getattr(stored, name)
    assert back.quality == 0.25
    assert back.embedding.dtype == np.float32
    np.testing.assert_array_equal(back.embedding, stored.embedding)
    np.testing.assert_array_equal(back.landmarks_xy, stored.landmarks_xy)
    assert back.name == "Jane"
    assert back.added.tzinfo is not None


def test_people_are_sorted_and_counted_by_model(gallery):
    gallery.enroll("Zoë", [face("a"), face("b")])
    gallery.enroll("Ana", [face("c"), face("d", model="b" * 64)])
    assert [(p.name, p.faces) for p in gallery.people()] == [("Ana", 2), ("Zoë", 2)]
    assert [(p.name, p.faces) for p in gallery.people("b" * 64)] == [("Ana", 1)]
    assert gallery.people("c" * 64) == []


def test_a_face_is_stored_once(gallery):
    gallery.enroll("Jane", [face("a")])
    again = gallery.enroll("Jane", [face("a"), face("b")])
    assert (again.added, again.known, again.is_new) == (1, 1, False)
    # The same place in the same picture, found with other settings and other last digits.
    moved = face("a", np.ones(8), settings="other", box_xyxy=(12, 22, 111, 121))
    assert gallery.enroll("Jane", [moved]).known == 1
    # Another place in the same picture, as in a mirror.
    mirrored = face("a", np.ones(8), box_xyxy=(210, 20, 310, 120))
    assert gallery.enroll("Jane", [mirrored]).added == 1
    assert len(gallery.faces("Jane")) == 3


def test_one_face_is_not_two_people(gallery):
    gallery.enroll("Jane", [face("a")])
    with pytest.raises(GalleryError, match=r"a\.jpg: this face is enrolled as Jane; to enroll it"):
        gallery.enroll("Mary", [face("b"), face("a")])
    # All or none: Mary was not stored with her first face.
    assert names(gallery) == ["Jane"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"embedding": np.zeros((2, 8))}, r"expected an embedding .*Received: \(2, 8\)"),
        ({"embedding": np.zeros(7)}, r"expected embeddings \(8,\) of this model. Received: \(7,\)"),
        ({"embedding": [0, np.nan, 0, 0, 0, 0, 0, 0]}, "expected a finite embedding"),
        ({"embedding": np.full(8, 1e30)}, "expected a finite embedding"),
        ({"box_xyxy": (0, 1, 2)}, "expected a box of four"),
        ({"landmarks_xy": np.zeros(4)}, r"expected landmarks \(P, 2\)"),
        ({"model": ""}, "expected the hash of a model"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_face_that_cannot_be_leaves_nothing(gallery, wrong, message):
    gallery.enroll("Jane", [face("a")])
    with pytest.raises(ValueError, match=message):
        gallery.enroll("Mary", [face("b"), face("c", **wrong)])
    assert names(gallery) == ["Jane"]
    assert gallery.statistics().pictures == 1


def test_no_face_and_a_wrong_picture_hash_are_refused(gallery):
    with pytest.raises(ValueError, match="at least one face"):
        gallery.enroll("Jane", [])
    with pytest.raises(ValueError, match="expected a SHA-256 of 64 hexadecimal digits"):
        gallery.known_picture("abc", MODEL)


def test_a_transaction_stores_all_or_nothing(gallery):
    def enroll_and_fail():
        gallery.enroll("Jane", [face("a")])
        with pytest.raises(GalleryError):
            gallery.enroll("Mary", [face("b"), face("a")])
        assert names(gallery) == ["Jane"]
        # Found within the transaction, and not after it.
        assert gallery.search(face("a").embedding[None], MODEL)[0][0].name == "Jane"
        raise KeyError

    with pytest.raises(KeyError), gallery.transaction():
        enroll_and_fail()
    assert names(gallery) == []
    assert gallery.search(face("a").embedding[None], MODEL) == [[]]
    with gallery.transaction(), pytest.raises(ValueError, match="remove outside a transaction"):
        gallery.remove("Jane")


def test_errors_of_ones_own_pass_through_a_transaction(gallery):
    with pytest.raises(FileNotFoundError), gallery.transaction():
        Path("nothing at all").read_bytes()


# Names


def test_names_are_composed_and_keep_their_case(gallery):
    decomposed = unicodedata.normalize("NFD", "Zoë Ångström")
    gallery.enroll(f"  {decomposed} ", [face("a")])
    gallery.enroll("Zoë Ångström", [face("b")])
    gallery.enroll("zoë ångström", [face("c")])
    gallery.enroll("李小龍 🐉", [face("d")])
    assert names(gallery) == ["Zoë Ångström", "zoë ångström", "李小龍 🐉"]
    assert len(gallery.faces(decomposed)) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "name is empty"),
        (" \t", "name is empty"),
        ("a\nb", "has control characters"),
        ("a\x00b", "has control characters"),
        ("\ud800", "has control characters"),
        ("a" * 201, "longer than 200"),
    ],
)
def test_a_name_that_is_none_is_one_line(name, message):
    with pytest.raises(GalleryError, match=message):
        normalized_name(name)


@pytest.mark.parametrize("name", ["unknown", " Unknown", "UNKNOWN"])
def test_nobody_is_called_as_strangers_are(gallery, name):
    with pytest.raises(GalleryError, match=r"nobody can be called '(?i:unknown)'"):
        gallery.enroll(name, [face("a")])
    gallery.enroll("Jane", [face("a")])
    with pytest.raises(GalleryError, match="nobody can be called"):
        gallery.rename("Jane", name)
    assert names(gallery) == ["Jane"]


def test_an_unknown_name_gets_the_nearest_one(gallery):
    gallery.enroll("Jane Doe", [face("a")])
    with pytest.raises(
        GalleryError, match=r"nobody called jane do is in .*did you mean Jane Doe\?"
    ):
        gallery.faces("jane do")
    with pytest.raises(GalleryError, match=r"nobody called Xerxes is in the gallery \S+$"):
        gallery.remove("Jane Doe", "Xerxes")
    assert names(gallery) == ["Jane Doe"]


def test_a_person_is_renamed_and_merged(gallery):
    gallery.enroll("Jane", [face("a")])
    gallery.enroll("Mary", [face("b")])
    before = gallery.search(face("b").embedding[None], MODEL)
    assert before[0][0].name == "Mary"
    with pytest.raises(GalleryError, match="Mary is in the gallery already; merge"):
        gallery.rename("Jane", "Mary")
    gallery.rename("Jane", "Jane Doe")
    assert names(gallery) == ["Jane Doe", "Mary"]
    gallery.merge("Mary", "Jane Doe")
    assert [(p.name, p.faces) for p in gallery.people()] == [("Jane Doe", 2)]
    [[match]] = gallery.search(face("b").embedding[None], MODEL)
    assert (match.name, match.distance) == ("Jane Doe", 0.0)
    assert b"Mary" not in bytes_of_all_files(gallery.path.parent)
    with pytest.raises(GalleryError, match="same person already"):
        gallery.merge("Jane Doe", "Jane Doe")


# Pictures


def test_a_picture_is_remembered_by_hash_model_and_settings(gallery):
    faces = [face("a"), face("a", np.ones(8), box_xyxy=(200, 0, 250, 50))]
    assert gallery.known_picture(sha("a"), MODEL) is None
    gallery.remember_picture(sha("a"), MODEL, faces, settings="x", source="a.jpg")
    gallery.remember_picture(sha("a"), MODEL, faces, settings="x", source="a.jpg")
    gallery.remember_picture(sha("none"), MODEL, settings="x")
    back = gallery.known_picture(sha("a"), MODEL, "x")
    assert [row.box_xyxy for row in back] == [row.box_xyxy for row in faces]
    np.testing.assert_array_equal(back[1].embedding, np.ones(8))
    assert back[0].name is None
    assert gallery.known_picture(sha("none"), MODEL, "x") == []
    assert gallery.known_picture(sha("a"), MODEL, "y") is None
    assert gallery.known_picture(sha("a"), "b" * 64, "x") is None
    # Nobody was enrolled.
    assert gallery.people() == []
    assert gallery.search(np.ones((1, 8)), MODEL) == [[]]


def test_enrolling_a_remembered_face_stores_no_embedding_twice(gallery):
    faces = [face("a"), face("a", np.ones(8), box_xyxy=(200, 0, 250, 50))]
    gallery.remember_picture(sha("a"), MODEL, faces)
    gallery.search(np.ones((1, 8)), MODEL)
    gallery.enroll("Jane", [gallery.known_picture(sha("a"), MODEL)[0]])
    back = gallery.known_picture(sha("a"), MODEL)
    assert [row.name for row in back] == ["Jane", None]
    assert [row.box_xyxy for row in back] == [row.box_xyxy for row in faces]
    statistics = gallery.statistics()
    assert (statistics.faces, statistics.unnamed, statistics.pictures) == (1, 1, 1)
    assert gallery.search(faces[0].embedding[None], MODEL)[0][0].distance == 0.0


def test_a_picture_enrolled_without_its_other_faces_is_not_known(gallery):
    gallery.enroll("Jane", [face("a")])
    assert gallery.known_picture(sha("a"), MODEL) is None
    gallery.remember_picture(sha("a"), MODEL, [face("a")], source="a.jpg")
    assert [row.name for row in gallery.known_picture(sha("a"), MODEL)] == ["Jane"]


def test_a_model_may_first_be_met_without_faces(gallery):
    gallery.remember_picture(sha("none"), MODEL)
    assert gallery.search(np.ones((1, 8)), MODEL) == [[]]
    gallery.enroll("Jane", [face("a")])
    gallery.remember_picture(sha("also none"), MODEL)
    assert gallery.known_picture(sha("also none"), MODEL) == []


# Search


def test_the_next_best_is_another_person(gallery):
    # Distances from the origin: Jane 1 and 2, Mary 1.5 and 9, Ana 3-4-5.
    gallery.enroll("Jane", [face("a", [1, 0]), face("b", [0, 2])])
    gallery.enroll("Mary", [face("c", [1.5, 0]), face("d", [0, 9])])
    gallery.enroll("Ana", [face("e", [3, 4])])
    [matches] = gallery.search(np.zeros((1, 2)), MODEL, k=5)
    assert [(m.name, m.distance) for m in matches] == [("Jane", 1.0), ("Mary", 1.5), ("Ana", 5.0)]
    assert matches[1].source == "c.jpg"
    assert [m.name for m in gallery.search(np.zeros((1, 2)), MODEL)[0]] == ["Jane", "Mary"]
    assert [m.name for m in gallery.search(np.zeros((1, 2)), MODEL, k=1)[0]] == ["Jane"]


def test_equal_distances_come_by_name(gallery):
    for name in ("C", "A", "B"):
        gallery.enroll(name, [face(name, [1, 0])])
    [matches] = gallery.search(np.zeros((1, 2)), MODEL, k=3)
    assert [match.name for match in matches] == ["A", "B", "C"]


def brute_force(queries, people, k):
    """Per query the k nearest (distance, name), by differences in float64."""
    found = []
    for query in np.asarray(queries, np.float32).astype(np.float64):
        nearest = [
            (min(np.linalg.norm(query - f.embedding.astype(np.float64)) for f in faces), name)
            for name, faces in people.items()
        ]
        found.append(sorted(nearest)[:k])
    return found


def crowd(count, seed=0, spread=0.05):
    rng = np.random.default_rng(seed)
    people = {}
    for person in range(count):
        center = rng.normal(0, spread, 16)
        people[f"p{person:03d}"] = [
            face((seed, person, i), center + rng.normal(0, spread / 3, 16))
            for i in range(1 + person % 4)
        ]
    return people


def enroll_all(gallery, people):
    with gallery.transaction():
        for name, faces in people.items():
            gallery.enroll(name, faces)


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("indexed", [False, True])
def test_search_equals_brute_force(gallery, monkeypatch, indexed, offset):
    # Far from the origin float32 keeps no digit of such distances, and the answers stay exact.
    monkeypatch.setattr(_gallery_index, "FETCHED_ROWS", 10 if indexed else 10_000)
    monkeypatch.setattr(_gallery_index, "_BLOCK", 700)
    people = {
        name: [face(f.picture_sha256, f.embedding + np.float32(offset)) for f in faces]
        for name, faces in crowd(60).items()
    }
    enroll_all(gallery, people)
    queries = np.random.default_rng(1).normal(offset, 0.05, (20, 16)).astype(np.float32)
    found = gallery.search(queries, MODEL, k=3)
    assert _gallery_index.index_path(gallery.path, MODEL).exists() == indexed
    for matches, expected in zip(found, brute_force(queries, people, 3), strict=True):
        assert [m.name for m in matches] == [name for _, name in expected]
        np.testing.assert_allclose(
            [m.distance for m in matches], [distance for distance, _ in expected], rtol=1e-12
        )


def test_another_models_embeddings_are_never_compared(gallery):
    gallery.enroll("Jane", [face("a", [1, 0])])
    with pytest.raises(GalleryError, match="encoded by another model than bbbbbbbbbbbb; enroll"):
        gallery.search(np.zeros((1, 2)), "b" * 64)
    gallery.enroll("Mary", [face("a", [0, 0, 0], model="b" * 64)])
    assert [m.name for m in gallery.search(np.zeros((1, 3)), "b" * 64)[0]] == ["Mary"]
    assert [m.name for m in gallery.search(np.zeros((1, 2)), MODEL)[0]] == ["Jane"]


@pytest.mark.parametrize("queries", [np.zeros(2), np.zeros((1, 3)), np.array([[np.nan, 0]])])
def test_queries_of_the_wrong_shape_are_refused(gallery, queries):
    gallery.enroll("Jane", [face("a", [1, 0])])
    with pytest.raises(ValueError, match=r"expected .*embeddings \(N, .*Received"):
        gallery.search(queries, MODEL)


def test_no_query_gives_no_answer(gallery):
    gallery.enroll("Jane", [face("a", [1, 0])])
    assert gallery.search(np.zeros((0, 2)), MODEL) == []


# The index file


@pytest.fixture
def indexed(path, monkeypatch):
    """A gallery with an index file beside it: (people, queries, path of the index)."""
    monkeypatch.setattr(_gallery_index, "FETCHED_ROWS", 20)
    monkeypatch.setattr(_gallery_index, "FETCHED_SHARE", 0.0)
    people = crowd(20)
    with Gallery(path) as gallery:
        enroll_all(gallery, people)
        gallery.search(np.zeros((1, 16)), MODEL)
    queries = np.random.default_rng(2).normal(0, 0.05, (5, 16)).astype(np.float32)
    return people, queries, _gallery_index.index_path(path, MODEL)


def assert_exact(path, people, queries, **options):
    with Gallery(path, **options) as gallery:
        found = gallery.search(queries, MODEL, k=2)
    expected = brute_force(queries, people, 2)
    assert [[m.name for m in row] for row in found] == [[n for _, n in row] for row in expected]


def test_a_whole_index_is_used_and_not_made_again(indexed, path):
    people, queries, index = indexed
    before = index.stat()
    assert_exact(path, people, queries)
    assert index.stat().st_mtime_ns == before.st_mtime_ns
    assert index.stat().st_mode & 0o077 == 0 or os.name == "nt"


def test_faces_stored_since_are_found_without_making_the_index_again(indexed, path):
    people, queries, index = indexed
    before = index.read_bytes()
    people["new"] = [face("new", queries[0])]
    with Gallery(path) as gallery:
        gallery.search(queries, MODEL)
        gallery.enroll("new", people["new"])
        assert gallery.search(queries, MODEL)[0][0].name == "new"
    assert_exact(path, people, queries)
    assert index.read_bytes() == before


def test_an_index_is_made_again_when_much_was_stored_since(indexed, path):
    people, queries, index = indexed
    before = index.stat().st_size
    more = {f"more {name}": faces for name, faces in crowd(20, seed=5).items()}
    with Gallery(path) as gallery:
        gallery.search(queries, MODEL)
        enroll_all(gallery, more)
        gallery.search(queries, MODEL)
    assert index.stat().st_size == 2 * before - _gallery_index._HEADER_BYTES
    assert_exact(path, people | more, queries)


def flip_a_byte(data):
    data = bytearray(data)
    data[len(data) // 2] ^= 0x40
    return bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        lambda data: data[:-8],
        lambda data: data[:20],
        lambda data: b"",
        lambda data: data + bytes(8),
        lambda data: bytes(len(data)),
        lambda data: data[:2000] + bytes(500) + data[2500:],
        lambda data: b"x" + data[1:],
    ],
)
def test_a_damaged_index_is_made_again(indexed, path, damage):
    people, queries, index = indexed
    whole = index.read_bytes()
    index.write_bytes(damage(whole))
    assert_exact(path, people, queries)
    assert index.read_bytes() == whole


def test_the_index_of_another_gallery_is_not_used(indexed, path, tmp_path):
    _, queries, index = indexed
    other = tmp_path / "other.sqlite"
    strangers = crowd(20, seed=9)
    with Gallery(other) as gallery:
        enroll_all(gallery, strangers)
    _gallery_index.index_path(other, MODEL).write_bytes(index.read_bytes())
    assert_exact(other, strangers, queries)


def test_an_index_of_an_older_state_is_not_used(indexed, path):
    # A copy of the gallery is put back, more is stored, and the index is of what came after the
    # copy: it has the same gallery, no removal, and not the same faces.
    people, queries, _ = indexed
    copy = path.read_bytes()
    with Gallery(path) as gallery:
        enroll_all(gallery, {f"a {n}": f for n, f in crowd(20, seed=5).items()})
        gallery.search(queries, MODEL)
    path.write_bytes(copy)
    later = {f"b {n}": f for n, f in crowd(24, seed=6).items()}
    with Gallery(path) as gallery:
        enroll_all(gallery, later)
    assert_exact(path, people | later, queries)


def test_a_folder_that_takes_no_index_costs_only_time(indexed, path, monkeypatch):
    people, queries, index = indexed
    index.unlink()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_gallery_index.tempfile, "mkstemp", refuse)
    assert_exact(path, people, queries, read_only=True)
    assert not index.exists()


def test_what_a_killed_program_left_of_an_index_is_swept(indexed, path):
    _, queries, index = indexed
    old, young = (index.with_name(f"{index.name}.{name}") for name in ("old", "young"))
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    index.unlink()
    with Gallery(path) as gallery:
        gallery.search(queries, MODEL)
    assert (index.exists(), old.exists(), young.exists()) == (True, False, True)


# Removal


def test_removal_leaves_no_byte(indexed, path, tmp_path):
    people, queries, _ = indexed
    secret = face("secret picture", np.arange(16) / 7, source="photos/Removed Person/x.jpg")
    others = face("group", np.arange(16) / 9, box_xyxy=(300, 0, 400, 100))
    background = face("group", np.arange(16) / 11, box_xyxy=(500, 0, 600, 100))
    with Gallery(path) as gallery:
        gallery.remember_picture(sha("group"), MODEL, [others, background], source="group.jpg")
        gallery.enroll("Removed Person", [secret, face("group", np.arange(16) / 8)])
        gallery.enroll("p000", [others])
        gallery.search(queries, MODEL)
        embeddings = [f.embedding.tobytes() for f in gallery.faces("Removed Person")]
        needles = [b"Removed Person", bytes.fromhex(sha("secret picture")), *embeddings]
        needles.append(background.embedding.tobytes())
        assert all(needle in bytes_of_all_files(tmp_path) for needle in needles)
        removal = gallery.remove("Removed Person")
        assert (removal.names, removal.faces) == (("Removed Person",), 2)
        assert removal.is_erased
        # Also while the gallery is open.
        assert not any(needle in bytes_of_all_files(tmp_path) for needle in needles)
        # The picture is known no more as a whole, for a face of it is gone.
        assert gallery.known_picture(sha("group"), MODEL) is None
        assert len(gallery.faces("p000")) == 2
        gallery.check()
    assert not any(needle in bytes_of_all_files(tmp_path) for needle in needles)
    people["p000"].append(others)
    assert_exact(path, people, queries)


def test_removed_bytes_of_many_rearranged_rows_are_gone(path, tmp_path):
    people = crowd(150)
    gone = list(people)[::2]
    with Gallery(path) as gallery:
        for name, faces in people.items():
            gallery.enroll(name, faces)
        size = path.stat().st_size + Path(f"{path}-wal").stat().st_size
        gallery.remove(*gone)
        left = bytes_of_all_files(tmp_path)
        assert path.stat().st_size < size
    for name in people:
        assert (name.encode() in left) == (name not in gone)
        for row in people[name]:
            assert (row.embedding.tobytes() in left) == (name not in gone)


def test_removal_is_finished_later_when_somebody_reads_meanwhile(path, tmp_path):
    with Gallery(path, timeout=0.05) as gallery:
        gallery.enroll("Jane", [face("a")])
        gallery.enroll("Mary", [face("b")])
        reader = sqlite3.connect(path)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM people").fetchall()
        assert not gallery.remove("Jane").is_erased
        assert names(gallery) == ["Mary"]
        reader.close()
    with Gallery(path):
        assert b"Jane" not in bytes_of_all_files(tmp_path)


def test_numbers_of_faces_never_come_back(gallery):
    gallery.enroll("Jane", [face("a")])
    [[match]] = gallery.search(face("a").embedding[None], MODEL)
    gallery.remove("Jane")
    gallery.enroll("Jane", [face("a")])
    [[again]] = gallery.search(face("a").embedding[None], MODEL)
    assert again.face > match.face


# Export and import


def test_an_export_comes_back_whole(gallery, tmp_path):
    marks = np.array([[1.5, 2], [3, 4]], np.float32)
    gallery.enroll("Zoë", [face("a", landmarks_xy=marks), face("b", confidence=0.5)])
    gallery.enroll("李", [face("c", model="b" * 64)])
    gallery.remember_picture(sha("x"), MODEL, [face("x")])
    file = tmp_path / "export.jsonl"
    assert gallery.export(file) == 3
    with pytest.raises(GalleryError, match="exists already"):
        gallery.export(file)
    with Gallery(tmp_path / "second.sqlite") as second:
        report = second.import_(file)
        assert (report.people, report.added, report.known, report.elsewhere) == (2, 3, 0, ())
        report = second.import_(file)
        assert (report.people, report.added, report.known) == (0, 0, 3)
        assert second.export(tmp_path / "again.jsonl") == 3
        assert second.faces("Zoë")[0].added == gallery.faces("Zoë")[0].added
    assert (tmp_path / "again.jsonl").read_bytes() == file.read_bytes()
    # Open: every line is JSON, and the embedding is base64 of float32.
    line = json.loads(file.read_text(encoding="utf-8").splitlines()[1])
    assert line["person"] == "Zoë"
    assert len(line["embedding"]) == 44  # 8 floats, 32 bytes, 4 letters for 3 bytes


def test_an_import_merges_and_reports_faces_known_under_another_name(gallery, tmp_path):
    gallery.enroll("Jane", [face("a"), face("b")])
    gallery.enroll("Mary", [face("c")])
    gallery.export(tmp_path / "export.jsonl")
    with Gallery(tmp_path / "second.sqlite") as second:
        second.enroll("Jane", [face("a"), face("d")])
        second.enroll("Marie", [face("c")])
        report = second.import_(tmp_path / "export.jsonl")
        assert (report.people, report.added, report.known) == (0, 1, 1)
        assert report.elsewhere == (("Mary", "Marie", "c.jpg"),)
        assert [(p.name, p.faces) for p in second.people()] == [("Jane", 3), ("Marie", 1)]
        second.check()


def lines(data):
    return data.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "is no export"),
        (lambda data: b"\xff\xd8\xff" * 99, "is no export"),
        (lambda data: b"[]\n", "is no export"),
        (lambda data: b"".join(lines(data)[:-1]), "is cut off"),
        (lambda data: data[: len(data) // 2], "is cut off"),
        (lambda data: b"".join(lines(data)[:1] + lines(data)[2:]), "is cut off"),
        (lambda data: data.replace(b'"Jane"', b'"John"', 1), "was changed or damaged"),
        (lambda data: data.replace(b'"version":1', b'"version":2'), "by a newer cnnkit"),
    ],
)
def test_a_damaged_export_imports_nothing(gallery, tmp_path, damage, message):
    gallery.enroll("Jane", [face("a"), face("b")])
    file = tmp_path / "export.jsonl"
    gallery.export(file)
    file.write_bytes(damage(file.read_bytes()))
    with Gallery(tmp_path / "second.sqlite") as second:
        with pytest.raises(GalleryError, match=message):
            second.import_(file)
        assert second.people() == []


def test_a_wrong_line_of_an_export_is_named(gallery, tmp_path):
    gallery.enroll("Jane", [face("a"), face("b")])
    file = tmp_path / "export.jsonl"
    gallery.export(file)
    for old, new, message in [
        (b'"model":"aaaa', b'"model":7,"x":"', "line 3: no face .model is no text"),
        (b'"embedding":"', b'"embedding":"#', "line 3: no face"),
        (sha("b").encode(), b"beef", "line 3: expected a SHA-256"),
    ]:
        body = lines(file.read_bytes())[:-1]
        body[2] = body[2].replace(old, new)
        end = {"end": True, "sha256": hashlib.sha256(b"".join(body)).hexdigest()}
        wrong = tmp_path / "wrong.jsonl"
        wrong.write_bytes(b"".join(body) + json.dumps(end).encode())
        with (
            Gallery(tmp_path / "second.sqlite") as second,
            pytest.raises(GalleryError, match=message),
        ):
            second.import_(wrong)
    with Gallery(tmp_path / "second.sqlite") as second:
        assert second.people() == []
        with pytest.raises(GalleryError, match=r"none\.jsonl cannot be read: No such file"):
            second.import_(tmp_path / "none.jsonl")


# Files that are none


def test_the_default_place_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("CNNKIT_HOME", raising=False)
    assert default_path().name == "gallery.sqlite"
    assert "cnnkit" in default_path().parts[-2]
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path))
    with Gallery() as gallery:
        assert gallery.path == tmp_path / "gallery.sqlite"


def test_a_gallery_is_made_with_its_folder_for_the_owner_only(tmp_path):
    path = tmp_path / "new #1?" / "100%.sqlite"
    with Gallery(path) as gallery:
        gallery.enroll("Jane", [face("a")])
        assert gallery.statistics().bytes > 0
        for file in path.parent.iterdir():
            assert file.stat().st_mode & 0o077 == 0 or os.name == "nt"
    assert [file.name for file in path.parent.iterdir()] == ["100%.sqlite"]


@pytest.mark.parametrize("options", [{"create": False}, {"read_only": True}])
def test_no_gallery_is_one_line(path, options):
    with pytest.raises(GalleryError, match=r"there is no gallery at .*; enroll somebody first"):
        Gallery(path, **options)
    assert not path.exists()


def test_a_blank_file_becomes_a_gallery(path):
    # As a program leaves it that was killed just after making it.
    path.touch()
    with pytest.raises(GalleryError, match="is empty; enroll somebody first"):
        Gallery(path, read_only=True)
    with Gallery(path) as gallery:
        gallery.enroll("Jane", [face("a")])
    with Gallery(path, read_only=True) as gallery:
        assert names(gallery) == ["Jane"]
        with pytest.raises(GalleryError, match="cannot be written: read-only"):
            gallery.enroll("Mary", [face("b")])


def test_other_files_are_refused_and_left_alone(path, tmp_path):
    path.write_bytes(b"\x89PNG not a gallery at all" * 99)
    with pytest.raises(GalleryError, match="is not a gallery, or damaged beyond reading"):
        Gallery(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    before = foreign.read_bytes()
    with pytest.raises(GalleryError, match="is an SQLite file of another program"):
        Gallery(foreign)
    assert foreign.read_bytes() == before
    with pytest.raises(GalleryError, match="is a folder; name a file"):
        Gallery(tmp_path)
    with pytest.raises(GalleryError, match=r"cannot be made: .*; choose another place"):
        Gallery(foreign / "gallery.sqlite")


def test_a_gallery_of_a_newer_version_is_left_alone(path):
    Gallery(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {_gallery_file.SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(GalleryError, match=r"made by a newer cnnkit \(version 2 .*update cnnkit"):
        Gallery(path)


@pytest.mark.parametrize("kept", [200, 5_000, 0.5])
def test_a_gallery_that_was_cut_off_is_one_line(path, kept):
    with Gallery(path) as gallery:
        enroll_all(gallery, crowd(40))
    data = path.read_bytes()
    path.write_bytes(data[: kept if kept > 1 else int(len(data) * kept)])

    def read():
        with Gallery(path) as gallery:
            gallery.check()
            gallery.search(np.zeros((1, 16)), MODEL)

    with pytest.raises(GalleryError, match=r"is damaged|damaged beyond reading"):
        read()


def test_a_damaged_page_is_one_line(path):
    with Gallery(path) as gallery:
        enroll_all(gallery, crowd(40))
        [root] = gallery._one("SELECT rootpage FROM sqlite_master WHERE name = 'faces'")
        [size] = gallery._one("PRAGMA page_size")
    data = bytearray(path.read_bytes())
    data[(root - 1) * size : root * size] = b"\x55" * size
    path.write_bytes(data)
    with Gallery(path) as gallery:
        for call in (gallery.check, lambda: gallery.search(np.zeros((1, 16)), MODEL)):
            with pytest.raises(GalleryError, match=r"gallery.sqlite is damaged.*; restore a copy"):
                call()


@pytest.mark.parametrize("seed", range(20))
def test_damage_anywhere_is_one_line_or_harmless(path, tmp_path, seed):
    with Gallery(path) as gallery:
        enroll_all(gallery, crowd(20))
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    # Near the beginnings of pages lie the numbers that all else hangs on.
    page = 4096 * int(rng.integers(len(data) // 4096))
    for at in rng.integers(0, 4096 if seed % 2 else 64, 8):
        data[page + at] = rng.integers(256)
    path.write_bytes(data)
    for call in (
        Gallery.people,
        Gallery.statistics,
        Gallery.check,
        lambda gallery: gallery.faces("p007"),
        lambda gallery: gallery.search(np.zeros((1, 16)), MODEL),
        lambda gallery: gallery.known_picture(sha("x"), MODEL),
        lambda gallery: gallery.export(tmp_path / "export.jsonl", overwrite=True),
        lambda gallery: gallery.enroll("New", [face("new", np.ones(16))]),
        lambda gallery: gallery.remove("p003"),
    ):
        line = ""
        try:
            with Gallery(path, timeout=0.05) as gallery:
                call(gallery)
        except GalleryError as error:
            line = str(error)
        assert "\n" not in line


def test_an_embedding_of_the_wrong_length_is_damage(path):
    with Gallery(path) as gallery:
        enroll_all(gallery, crowd(5))
        gallery._run("UPDATE faces SET embedding = x'00ff' WHERE id = 3")
        with pytest.raises(GalleryError, match=r"is damaged \(embeddings 1 to"):
            gallery.search(np.zeros((1, 16)), MODEL)
        with pytest.raises(GalleryError, match="is damaged"):
            gallery.check()


def test_a_full_disk_is_one_line_and_changes_nothing(gallery):
    gallery.enroll("Jane", [face("a", np.zeros(16))])
    # SQLite says the same of its own limit as of a full disk.
    [pages] = gallery._one("PRAGMA page_count")
    gallery._run(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(GalleryError, match=r"no room left on the disk .*; nothing was stored"):
        enroll_all(gallery, crowd(40))
    gallery._run("PRAGMA max_page_count = 100000")
    assert names(gallery) == ["Jane"]
    gallery.enroll("Mary", [face("b", np.ones(16))])
    gallery.check()


def test_a_gallery_in_a_read_only_folder_is_read(path):
    with Gallery(path) as gallery:
        gallery.enroll("Jane", [face("a")])
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        if os.access(path.parent, os.W_OK):
            pytest.skip("this user may write everywhere")
        with Gallery(path, read_only=True) as gallery:
            assert names(gallery) == ["Jane"]
            assert gallery.search(np.zeros((1, 8)), MODEL)[0][0].name == "Jane"
        with pytest.raises(GalleryError, match="cannot be"):
            Gallery(path).enroll("Mary", [face("b")])
        with pytest.raises(GalleryError, match="cannot be made: Permission denied"):
            Gallery(path.with_name("new.sqlite"))
    finally:
        path.parent.chmod(0o700)


# Several programs at once

CHILD = """
import sys
import numpy as np
from cnnkit.data.gallery import FaceRow, Gallery
path, prefix, people, faces = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Gallery(path) as gallery:
    for i in range(people):
        rows = [
            FaceRow(np.full(8, i, np.float32), "m", f"{prefix}{i:05d}{j:04d}".encode().hex().ljust(64, "0"), (0, 0, 9, 9))
            for j in range(faces)
        ]
        gallery.enroll(f"{prefix}{i}", rows)
        print(f"{prefix}{i}", flush=True)
"""  # noqa: E501


def child(path, prefix, people, faces):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), prefix, str(people), str(faces)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_programs_make_and_fill_one_gallery(path):
    children = [child(path, prefix, 25, 3) for prefix in ("a", "b")]
    for process in children:
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
    with Gallery(path) as gallery:
        assert len(gallery.people()) == 50
        assert all(person.faces == 3 for person in gallery.people())
        gallery.check()


@pytest.mark.parametrize("reported", [0, 1, 7])
def test_a_killed_enrolment_loses_nothing_reported_and_leaves_no_half_person(path, reported):
    process = child(path, "p", 100_000, 40)
    told = [process.stdout.readline().strip() for _ in range(reported + 1)]
    os.kill(process.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    rest, _ = process.communicate()
    told += rest.split()
    with Gallery(path) as gallery:
        stored = gallery.people()
        assert set(told) <= {person.name for person in stored}
        # At most one more was stored than could be told.
        assert len(stored) <= len(told) + 1
        assert all(person.faces == 40 for person in stored)
        assert gallery.search(np.zeros((1, 8)), "m")[0][0].name == "p0"
        gallery.check()


REMOVER = """
import sys
from cnnkit.data.gallery import Gallery
with Gallery(sys.argv[1]) as gallery:
    for person in gallery.people():
        print(person.name, flush=True)
        gallery.remove(person.name)
"""


@pytest.mark.parametrize("removed", [1, 4, 9])
def test_a_killed_removal_is_finished_when_the_gallery_is_opened_again(path, tmp_path, removed):
    people = crowd(60)
    with Gallery(path) as gallery:
        enroll_all(gallery, people)
    process = subprocess.Popen(
        [sys.executable, "-c", REMOVER, str(path)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(removed + 1):
        process.stdout.readline()
    process.kill()
    process.communicate()
    with Gallery(path) as gallery:
        left = names(gallery)
        data = bytes_of_all_files(tmp_path)
        assert len(left) <= 60 - removed
        assert [f"p{i:03d}" for i in range(60 - len(left), 60)] == left
        assert all((name.encode() in data) == (name in left) for name in people)
        gallery.check()


def test_a_gallery_that_is_being_written_is_read_and_asks_a_second_writer_to_wait(path):
    with Gallery(path) as first, Gallery(path, timeout=0.05) as second:
        first.enroll("Jane", [face("a")])
        with first.transaction():
            first.enroll("Mary", [face("b")])
            assert names(second) == ["Jane"]
            assert second.search(face("b").embedding[None], MODEL)[0][0].name == "Jane"
            with pytest.raises(GalleryError, match="is in use by another program; try again"):
                second.enroll("Ana", [face("c")])
        assert second.search(face("b").embedding[None], MODEL)[0][0].name == "Mary"
        first.remove("Mary")
        assert [m.name for m in second.search(face("b").embedding[None], MODEL)[0]] == ["Jane"]
