"""Tables: CSV files as they come, and their columns as vectors."""

import json

import numpy as np
import pytest

from cnnkit.data._csv_table import read_csv_table
from cnnkit.data.tables import CategoryColumn, NumberColumn, TableEncoder, YesNoColumn
from cnnkit.errors import DataError


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "people.csv"
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return read_csv_table(path)


def test_age_sex_and_one_of_197_countries_give_199_numbers(tmp_path):
    lines = [f"{20 + k % 60},{'mf'[k % 2]},country {k % 197:03}" for k in range(400)]
    people = table(tmp_path, "age,sex,country\n" + "\n".join(lines))
    encoder = TableEncoder.build(people, ["age", "sex", "country"])
    vectors = encoder.encode(people)
    assert vectors.shape == (400, 199)
    assert vectors.dtype == np.float32
    # One of the countries is 1.
    assert (vectors[:, 2:].sum(axis=1) == 1).all()
    assert encoder.outputs[:2] == ("age", "sex=m")


def test_numbers_are_scaled_by_the_rows_that_are_trained_on(tmp_path):
    people = table(tmp_path, "age\n10\n30\n90\n1e40\n")
    encoder = TableEncoder.build(people, ["age"], rows=[0, 1])
    # Mean 20, deviation 10; 90 is 7 deviations away.
    assert encoder.columns == (NumberColumn("age", 20.0, 10.0),)
    assert encoder.encode(people).ravel().tolist() == [-1.0, 1.0, 7.0, 1e6]


def test_an_unknown_category_is_a_row_of_zeros_and_empty_cells_are_in_the_middle(tmp_path):
    train = table(tmp_path, "age,paid,town\n1,yes,Ulm\n3,no,Bonn\n2,no,Ulm\n5,no,Kiel\n")
    encoder = TableEncoder.build(train, ["town", "age", "paid"])
    # By frequency, then by the alphabet.
    assert encoder.outputs == ("town=Ulm", "town=Bonn", "town=Kiel", "age", "paid=yes")
    other = table(tmp_path, "age,paid,town\n,,Rom\n,YES,\n")
    assert encoder.encode(other).tolist() == [[0, 0, 0, 0, 0.5], [0, 0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (("1", "0", "1"), YesNoColumn("x", "0", "1")),
        (("Yes", "no", "yes"), YesNoColumn("x", "no", "yes")),
        (("TRUE", "FALSE"), YesNoColumn("x", "false", "true")),
        (("f", "t"), YesNoColumn("x", "f", "t")),
        (("male", "female"), YesNoColumn("x", "female", "male")),
        (("3", "5"), NumberColumn("x", 4.0, 1.0)),
        (("7", "7"), NumberColumn("x", 7.0, 1.0)),
        (("a", "b", "c", "c"), CategoryColumn("x", ("c", "a", "b"))),
        (("a", "a"), CategoryColumn("x", ("a",))),
        (("1", "two", "3"), CategoryColumn("x", ("1", "3", "two"))),
    ],
)
def test_what_a_column_is_shows_in_its_cells(cells, kind, tmp_path):
    found = table(tmp_path, "x\n" + "\n".join(cells))
    assert TableEncoder.build(found, ["x"]).columns == (kind,)


def test_what_a_column_is_can_be_said(tmp_path):
    found = table(tmp_path, "zip,odd:number\n10115,a\n20095,b\n10115,b\n")
    encoder = TableEncoder.build(found, ["zip:category", "odd:number"])
    # A column of that very name is meant first.
    assert encoder.columns == (
        CategoryColumn("zip", ("10115", "20095")),
        YesNoColumn("odd:number", "a", "b"),
    )
    with pytest.raises(DataError, match=r"line 2, column 'odd:number': 'a' is no number"):
        TableEncoder.build(found, ["odd:number:number"])
    with pytest.raises(DataError, match="has 3 different words"):
        TableEncoder.build(table(tmp_path, "x\na\nb\nc\n"), ["x:yes-no"])


def test_an_encoder_survives_json(tmp_path):
    found = table(tmp_path, "age,sex,town\n1,m,Ulm\n3,f,Bonn\n3,f,Kiel\n")
    encoder = TableEncoder.build(found, ["age", "sex", "town"])
    again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    np.testing.assert_array_equal(again.encode(found), encoder.encode(found))


def test_a_cell_that_does_not_fit_is_named_with_its_line(tmp_path):
    encoder = TableEncoder.build(table(tmp_path, "age,sex\n1,m\n3,f\n"), ["age", "sex"])
    with pytest.raises(DataError, match=r"people\.csv, line 3, column 'age': 'old' is no number"):
        encoder.encode(table(tmp_path, "age,sex\n1,m\nold,f\n"))
    with pytest.raises(DataError, match="line 2, column 'sex': 'x' is neither 'f' nor 'm'"):
        encoder.encode(table(tmp_path, "age,sex\n1,x\n"))
    with pytest.raises(DataError, match="has no column 'sex'"):
        encoder.encode(table(tmp_path, "age\n1\n"))


def test_spreadsheets_of_all_kinds_are_read(tmp_path):
    plain = table(tmp_path, 'text,label\na b,x\n\n  ,\n"c, d",y\n')
    assert plain.columns == ("text", "label")
    assert plain.rows == (("a b", "x"), ("c, d", "y"))
    assert plain.lines == (2, 5)
    assert table(tmp_path, "text;label\na, b;x\n").rows == (("a, b", "x"),)
    assert table(tmp_path, "text\tlabel\na\tx\n").rows == (("a", "x"),)
    # A byte order mark, lines of Windows, and lines within cells.
    marked = table(tmp_path, '\ufefftext,label\r\n"a\nb",x\r\n')
    assert marked.columns == ("text", "label")
    assert marked.rows == (("a\nb", "x"),)
    assert marked.column("TEXT") == ("a\nb",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; its first line must name the columns"),
        (b"\n\n", "is empty"),
        (b"text,label\n", "has a heading, but no rows"),
        (b"text,label\na,x\nb\n", "line 3: 1 cells, but the heading has 2"),
        (b"text,label\na,b,x\n", "line 2: 3 cells, but the heading has 2; put cells with ','"),
        (b"text,text\na,x\n", "names the column 'text' 2 times"),
        (b"text,label\ncaf\xe9,x\n", "is not a UTF-8 text file; save it as CSV in UTF-8"),
        (b'text,label\n"a,x\n', "this is not CSV that can be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(content, message, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        table(tmp_path, content)
    assert "people.csv" in str(caught.value)


def test_a_column_that_is_not_there_is_said_with_those_that_are(tmp_path):
    found = table(tmp_path, "review,stars\ngood,5\n")
    with pytest.raises(DataError, match="did you mean 'review'"):
        found.column("reviews")
    with pytest.raises(DataError, match="no column 'label'; it has 'review', 'stars'"):
        found.column("label")
    with pytest.raises(DataError, match="the column 'stars' is empty"):
        TableEncoder.build(table(tmp_path, "a,stars\nb,\n"), ["stars"])
    with pytest.raises(DataError, match=r"nowhere\.csv cannot be read: No such file"):
        read_csv_table(tmp_path / "nowhere.csv")
