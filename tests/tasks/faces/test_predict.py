import numpy as np
import pytest
import scipy.cluster.hierarchy
from PIL import Image

from cnnkit import FaceSettings
from cnnkit.data.gallery import Gallery
from cnnkit.errors import NoFaceError, UsageError
from cnnkit.tasks.faces.predict import FaceBook, cluster_embeddings
from cnnkit.tasks.faces.verify import Verifier, verify


def same_groups(labels, others):
    """Whether two labelings are the same partition."""
    pairs = set(zip(labels, others, strict=True))
    return len(pairs) == len(set(labels)) == len(set(others))


@pytest.mark.parametrize("threshold", [0.3, 0.8, 1.5, 9.0])
def test_the_groups_are_those_of_average_linkage_over_all(threshold):
    random = np.random.default_rng(0)
    points = np.concatenate([random.normal(c, 0.5, (30, 2)) for c in ((0, 0), (3, 0), (0, 4))])
    linkage = scipy.cluster.hierarchy.linkage(points, "average")
    expected = scipy.cluster.hierarchy.fcluster(linkage, threshold, "distance")
    assert same_groups(cluster_embeddings(points, threshold).tolist(), expected.tolist())


def test_groups_are_numbered_by_size_then_by_who_came_first():
    points = np.array([[9.0], [0.0], [5.0], [0.1], [5.1], [0.2]])
    assert cluster_embeddings(points, 0.5).tolist() == [2, 0, 1, 0, 1, 0]


def test_another_distance_can_group():
    points = np.array([[1.0], [-1.0], [3.0]])
    by_size = cluster_embeddings(points, 0.5, lambda a, b: np.abs(np.abs(a) - np.abs(b))[:, 0])
    assert by_size.tolist() == [0, 0, 1]


def test_one_face_is_one_group():
    assert cluster_embeddings(np.zeros((1, 3)), 0.6).tolist() == [0]


def test_the_library_takes_arrays_pictures_and_paths(portraits, tmp_path):
    path = portraits / "ada.png"
    with Image.open(path) as image:
        pixels = np.asarray(image)
        with Gallery(tmp_path / "g.sqlite") as gallery:
            book = FaceBook(gallery)
            enrolment, [face] = book.enroll("Ada", [path])
            assert (enrolment.added, enrolment.is_new) == (1, True)
            [[one], [two], [three]] = book.identify([path, pixels, image])
    assert [each.name for each in (one, two, three)] == ["Ada"] * 3
    # From the gallery's memory, and encoded anew.
    np.testing.assert_allclose(one.face.embedding, two.face.embedding, atol=1e-5)
    assert one.matches[0].distance < 1e-3
    assert one.face.box_xyxy == two.face.box_xyxy == face.box_xyxy
    assert one.face.quality.sharpness == two.face.quality.sharpness


def test_enrolling_is_all_or_none(portraits, tmp_path):
    with Gallery(tmp_path / "g.sqlite") as gallery:
        with pytest.raises(NoFaceError, match="coffee"):
            FaceBook(gallery).enroll("Ada", [portraits / "ada.png", portraits / "coffee.jpg"])
        assert gallery.people() == []


def test_an_empty_gallery_knows_nobody(portraits, tmp_path):
    with Gallery(tmp_path / "g.sqlite") as gallery:
        book = FaceBook(gallery)
        [[one]] = book.identify([portraits / "ada.png"])
        assert (one.name, one.matches, one.confidence) == (None, (), 0.0)
        with pytest.raises(UsageError, match="matches must be at least 1"):
            book.identify([portraits / "ada.png"], matches=0)


def test_verify_prints_nothing_and_notes_what_matters(portraits, capsys):
    notes = []
    result = verify(portraits / "both.png", portraits / "ada.png", on_note=notes.append)
    assert not result.same
    assert len(notes) == 1
    assert "2 faces" in notes[0]
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_the_confidence_is_in_the_verdict_not_in_sameness(portraits):
    verifier = Verifier(FaceSettings(threshold=0.6))
    near = verifier.run(portraits / "ada.png", portraits / "ada-mirrored.jpg")
    far = verifier.run(portraits / "ada.png", portraits / "bob.png")
    assert near.same
    assert not far.same
    assert near.confidence > 0.99
    assert far.confidence > 0.99


def test_distances_are_symmetric(portraits):
    verifier = Verifier()
    one = verifier.run(portraits / "ada.png", portraits / "bob.png")
    other = verifier.run(portraits / "bob.png", portraits / "ada.png")
    assert one.distance == pytest.approx(other.distance, abs=1e-6)


@pytest.mark.slow
def test_two_hundred_faces_are_all_found(portraits):
    # A tile of a hundred pixels shows the face 90 wide.
    with Image.open(portraits / "ada.png") as image:
        tile = np.asarray(image.crop((156, 57, 276, 177)))
    crowd = np.tile(tile, (10, 20, 1))
    recognizer = Verifier(FaceSettings(max_side=2400)).recognizer
    [faces] = recognizer.analyzer.analyze([crowd], embed=False)
    assert len(faces) >= 190
