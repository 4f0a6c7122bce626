from collections import Counter

import pytest

from cnnkit.data.pairs import Pair, pairs_from_folders, read_pairs
from cnnkit.errors import DataError


@pytest.fixture
def root(tmp_path):
    """Ana has 4 pictures, Bo 3, Cy 1, all of them empty files."""
    for name, count in (("Ana", 4), ("Bo", 3), ("Cy_Li", 1)):
        (tmp_path / name).mkdir()
        for i in range(1, count + 1):
            (tmp_path / name / f"{name}_{i:04d}.jpg").touch()
    (tmp_path / "Bo" / "Bo_0003.jpg").rename(tmp_path / "Bo" / "Bo_0003.png")
    return tmp_path


def written(root, text, name="pairs.txt"):
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def test_a_list_without_folds(root):
    path = written(root, "2\nAna\t1\t4\nBo\t1\t3\nAna\t2\tBo\t1\nAna\t3\tCy_Li\t1\n")
    assert read_pairs(path) == [
        Pair(root / "Ana" / "Ana_0001.jpg", root / "Ana" / "Ana_0004.jpg", True),
        Pair(root / "Bo" / "Bo_0001.jpg", root / "Bo" / "Bo_0003.png", True),
        Pair(root / "Ana" / "Ana_0002.jpg", root / "Bo" / "Bo_0001.jpg", False),
        Pair(root / "Ana" / "Ana_0003.jpg", root / "Cy_Li" / "Cy_Li_0001.jpg", False),
    ]


def test_a_list_with_folds_from_another_folder(root):
    folder = root / "lists"
    folder.mkdir()
    lines = ["2\t1", "Ana\t1\t2", "Ana\t1\tBo\t1", "Bo\t1\t2", "Bo\t1\tCy_Li\t1"]
    pairs = read_pairs(written(folder, "\r\n".join(lines)), root)
    assert [(pair.same, pair.fold) for pair in pairs] == [
        (True, 0),
        (False, 0),
        (True, 1),
        (False, 1),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"pairs.txt, line 1: expected the number of pairs"),
        ("\x89PNG", r"line 1: expected the number of pairs"),
        ("1\nAna\t1\t2\n", r"expected 2 pairs, as its first line says; it has 1$"),
        ("1\nAna\t1\t2\nAna\t1\tBo\t1\nBo\t1\t2\n", r"expected 2 pairs, .*; it has 3$"),
        ("1\nAna\t1\tBo\t1\nAna\t1\t2\n", r"line 2: expected NAME i j, .*Received: Ana 1 Bo 1"),
        ("1\nAna\t1\t2\nAna\t1\t2\n", r"line 3: expected NAME i OTHER j, .*Received: Ana 1 2"),
        ("1\nAna\t1\tx\nAna\t1\tBo\t1\n", r"line 2: expected NAME i j"),
        ("1\nAna\t0\t1\nAna\t1\tBo\t1\n", r"line 2: expected NAME i j"),
        ("1\nAna\t1\t2\nAna\t1\tBo\t9\n", r"line 3: there is no Bo/Bo_0009.jpg in .*; check"),
    ],
)
def test_a_wrong_list_is_one_line_with_its_number(root, text, message):
    with pytest.raises(DataError, match=message):
        read_pairs(written(root, text))


def test_a_table(root):
    text = '\ufeffsame, a ,b,fold\n1,Ana/Ana_0001.jpg,"Ana/Ana_0002.jpg",3\nno,Bo/Bo_0001.jpg,'
    text += "Ana/Ana_0001.jpg,\n"
    assert read_pairs(written(root, text, "pairs.CSV")) == [
        Pair(root / "Ana" / "Ana_0001.jpg", root / "Ana" / "Ana_0002.jpg", True, 3),
        Pair(root / "Bo" / "Bo_0001.jpg", root / "Ana" / "Ana_0001.jpg", False),
    ]
    text = f"a,b,same\n{root / 'Bo' / 'Bo_0001.jpg'},Bo_0002.jpg,TRUE\n"
    assert read_pairs(written(root, text, "p.csv"), root / "Bo")[0].same


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: expected the columns a, b, same"),
        ("a,b\nx,y\n", r"line 1: expected the columns a, b, same. Received: \['a', 'b'\]"),
        ("a,b,same\n", r"has no pairs in it"),
        ("a,b,same\nAna/Ana_0001.jpg,Ana/Ana_0002.jpg,2\n", r"line 2: expected same to be 1 or 0"),
        ("a,b,same\nAna/Ana_0001.jpg\n", r"line 2: expected same to be 1 or 0. Received: ''"),
        ("a,b,same\n\nAna/Ana_0001.jpg,x.jpg,1\n", r"line 3: there is no picture 'x.jpg' in"),
        ("a,b,same\nAna/Ana_0001.jpg,,1\n", r"line 2: there is no picture '' in"),
        (
            "a,b,same,fold\nAna/Ana_0001.jpg,Ana/Ana_0002.jpg,1,-1\n",
            r"line 2: expected fold to be a number. Received: '-1'",
        ),
    ],
)
def test_a_wrong_table_is_one_line_with_its_number(root, text, message):
    with pytest.raises(DataError, match=message):
        read_pairs(written(root, text, "pairs.csv"))


def test_a_file_that_cannot_be_read_is_one_line(root):
    with pytest.raises(DataError, match=r"none.txt cannot be read: No such file"):
        read_pairs(root / "none.txt")
    (root / "latin.txt").write_bytes("Zoë".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin.txt is not a UTF-8 text file"):
        read_pairs(root / "latin.txt")


def people_of(pair):
    return pair.first.parent.name, pair.second.parent.name


def test_all_pairs_of_folders(root):
    pairs = pairs_from_folders(root, balanced=False)
    # Same: 4*3/2 + 3*2/2 = 9. Different: 4*3 + 4*1 + 3*1 = 19.
    assert Counter(pair.same for pair in pairs) == {True: 9, False: 19}
    assert len({frozenset((pair.first, pair.second)) for pair in pairs}) == 28
    for pair in pairs:
        assert pair.same == (len(set(people_of(pair))) == 1)


def test_pairs_of_folders_are_balanced_and_seeded(root):
    pairs = pairs_from_folders(root)
    assert Counter(pair.same for pair in pairs) == {True: 9, False: 9}
    assert pairs == pairs_from_folders(root)
    assert pairs != pairs_from_folders(root, seed=1)
    assert len({frozenset((pair.first, pair.second)) for pair in pairs}) == 18


@pytest.mark.parametrize(("limit", "same", "different"), [(2, 1, 1), (5, 3, 2), (99, 9, 9)])
def test_a_limit_is_shared_by_both_kinds(root, limit, same, different):
    pairs = pairs_from_folders(root, limit=limit)
    assert Counter(pair.same for pair in pairs) == {True: same, False: different}


def test_people_take_turns(root):
    # Of 4 same pairs Ana and Bo have two each, though Ana has twice as many to give.
    pairs = pairs_from_folders(root, limit=8)
    assert Counter(people_of(pair)[0] for pair in pairs if pair.same) == {"Ana": 2, "Bo": 2}


def test_different_pairs_of_many_people_are_drawn_evenly(tmp_path):
    for person in range(40):
        (tmp_path / f"{person:02d}").mkdir()
        for i in range(5):
            (tmp_path / f"{person:02d}" / f"{i}.png").touch()
    pairs = [pair for pair in pairs_from_folders(tmp_path) if not pair.same]
    # 40 people with 10 pairs each; each person is then in 400 * 2 / 40 = 20 on average.
    assert len({frozenset((pair.first, pair.second)) for pair in pairs}) == 400
    counts = Counter(name for pair in pairs for name in people_of(pair))
    assert min(counts.values()) > 5
    assert max(counts.values()) < 40


def test_hidden_and_other_files_are_left_out(root):
    (root / "Ana" / ".hidden.jpg").touch()
    (root / "Ana" / "notes.txt").touch()
    (root / ".git").mkdir()
    (root / ".git" / "a.jpg").touch()
    (root / "picture.jpg").touch()
    assert len(pairs_from_folders(root, balanced=False)) == 28


def test_folders_without_pairs_are_one_line(root, tmp_path):
    with pytest.raises(DataError, match="none cannot be read"):
        pairs_from_folders(root / "none")
    with pytest.raises(DataError, match="has no pairs to compare: it needs a folder for each of"):
        pairs_from_folders(root / "Ana")
    for name in ("Ana", "Bo"):
        for path in sorted((root / name).iterdir())[1:]:
            path.unlink()
    with pytest.raises(DataError, match="one of them with two pictures"):
        pairs_from_folders(root)
    with pytest.raises(ValueError, match="a limit of at least 2"):
        pairs_from_folders(root, limit=1)
