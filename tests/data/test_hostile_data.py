"""Files of strangers: clear errors, no crash, nothing run, no terminal rewritten."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.data import open_data
from archspec.errors import ArchspecError, DataError
from archspec.lang.schema import Task

TASK = Task(kind="text-classification")
GOOD = "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(10))


def refused(source: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        open_data(source, task=TASK, **options)
    return caught.value


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (f'text,label\n{GOOD}"open,a\n{GOOD}', 12, "a quote is opened here and never closed"),
        ('"text,label\n', 1, "the line of column names: unexpected end of data"),
        ("text,text\na,b\n", 1, "two columns have the name 'text'"),
        ("text,label\n".encode("utf-16"), None, "the text is UTF-16"),
        (b"te\xffxt,label\na,b\n", 1, "the column names are not UTF-8"),
        ("", None, "there is no line of column names"),
        ("\ntext,label\na,b\n", 1, "the first line is blank"),
        ("# made by, hand\n# twice\ntext,label\n", 1, "the first line is a comment"),
        ("# a comment\ntext,label\na,b\n", 1, "the first line is a comment"),
        (",".join(map(str, range(10_001))), 1, "10,001 columns, more than 10,000"),
        ("text,label\n" + "x" * 20_000_001, 2, "a line of more than 20,000,000 characters"),
        ('text,label\n"' + "x\n" * 2_500_001, 2, "a cell of more than 5,000,000 characters"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_csv_that_cannot_be_taken_apart(
    content: str | bytes, line: int | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    error = refused(path)
    assert (error.code, error.message.removeprefix(f"{path}: ")) == ("E901", message)
    assert (error.place and error.place.line) == line


def test_rows_behind_broken_quotes_are_all_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        f'text,label\n{GOOD}"he said "no"",a\n"one\ntwo"x,b\nend\xff,a\n'.encode("latin1")
    )
    rows = open_data(path, task=TASK, max_bad_rows=1).bad
    assert [(row.row, row.line, row.reason) for row in rows] == [
        (11, 12, "broken quotes"),
        (12, 13, "broken quotes"),
        (13, 14, "broken quotes"),
        (14, 15, "not UTF-8"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[" * 200_000, "nested too deep"),
        ("a.json", '{"a": 1}', "not a list of objects"),
        ("a.json", "{", "not JSON: Expecting property name"),
        ("a.json", '"text"', "not a list of objects"),
        ("a.json", '[{"text": "a", "label": 1, "text": "b"}]', "the key 'text' occurs twice"),
        ("a.parquet", "PAR1", "Parquet"),
        ("a.parquet", "text,label\n", "Parquet magic bytes not found"),
        ("a.arrow", "ARROW1", ""),
        ("a.arrow", "\xff" * 40, ""),
        ("a.feather", "", ""),
    ],
)
def test_other_files_that_are_not_what_they_are_called(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("latin1"))
    error = refused(path)
    assert error.code == "E901"
    assert error.message.startswith(f"{path}: ") and message in error.message


def test_json_lines_that_are_nested_or_huge(tmp_path: Path) -> None:
    good = [json.dumps({"text": f"text {i}", "label": "ab"[i % 2]}) for i in range(10)]
    bad = ["[" * 100_000, '{"text": "x", "label": ' + "9" * 5_000 + "}"]
    bad += ['{"text": "x", "label": [["a"]]}', '{"text": "x", "label": {"a": {"b": 1}}}']
    bad += ['{"text": "x", "label": "a", "label": "b"}']
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*good, *bad]))
    rows = open_data(path, task=TASK, max_bad_rows=1).bad
    assert [(row.row, row.reason) for row in rows] == [
        (11, "not JSON"), (12, "not JSON"), (13, "wrong type of label"),
        (14, "wrong type of label"), (15, "not JSON"),
    ]  # fmt: skip


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_in_a_schema_are_not_loaded(tmp_path: Path) -> None:
    """As old versions of Arrow wrote types of their own: the name of a type, and a pickle."""
    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Bomb()),
    }
    fields = [pa.field("text", pa.string(), metadata=metadata), pa.field("label", pa.string())]
    schema = pa.schema(fields, {b"pandas": pickle.dumps(Bomb())})
    rows = [[f"text {i}" for i in range(10)], list("ab" * 5)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(rows, schema), path)
    assert open_data(path, task=TASK).labels == ("a", "b")


@pytest.mark.parametrize(
    "said",
    [
        b"not json",
        b'{"info": {"features": {"text": {"_type": "Nothing"}}}}',
        b'{"info": {"features": {"other": {"dtype": "string", "_type": "Value"}}}}',
        b'{"info": {"features": {"text": {"_type": "Pickle"}, "label": {"_type": "Value"}}}}',
        b'{"info": ' + b"[" * 50_000,
    ],
)
def test_metadata_that_lie(said: bytes, tmp_path: Path) -> None:
    rows = {"text": [f"text {i}" for i in range(10)], "label": list("ab" * 5)}
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(rows).replace_schema_metadata({b"huggingface": said}), path)
    assert open_data(path, task=TASK).labels == ("a", "b")


def test_extension_types_are_their_storage(tmp_path: Path) -> None:
    values = pa.array(['"text one"', '"text two"'] * 5, pa.string())
    texts = pa.ExtensionArray.from_storage(pa.json_(pa.string()), values)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": texts, "label": list("ab" * 5)}), path)
    assert open_data(path, task=TASK).splits["train"][0] == '"text one"'


def test_nothing_of_a_file_rewrites_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    evil = "\x1b[2J\u202e<script>"
    lines = [f"text {i},{'ab'[i % 2]}{evil}" for i in range(10)]
    path.write_text("\n".join(["text,label", *lines, f"x,{evil}", f",{evil}"]), encoding="utf-8")
    data = open_data(path, task=TASK, labels=[f"a{evil}", f"b{evil}"], max_bad_rows=1)
    for text in (str(data), str(refused(path, max_bad_rows=0.01))):
        assert not {"\x1b", "\u202e"} & set(text)
    assert "<script>" not in data._repr_html_() and "&lt;script&gt;" in data._repr_html_()


@pytest.mark.parametrize(
    "source", ["", "\0", "x" * 5_000, "a\nb", "/", 3, [], {}, b"a", [3], {"train": 3}]
)
def test_sources_that_are_none(source: Any) -> None:
    with pytest.raises(ArchspecError) as caught:
        open_data(source, task=TASK)
    assert caught.value.code in ("E801", "E901", "E904")


def test_all_files_that_are_wrong_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.exe").write_bytes(b"MZ")
    error = refused([tmp_path / "a.exe", tmp_path / "no.csv"])
    assert [problem.message for problem in error.problems] == [
        f"{tmp_path / 'a.exe'}: of no known kind",
        f"{tmp_path / 'no.csv'}: no such file",
    ]
    (tmp_path / "a.csv").write_text("a")
    (tmp_path / "a.parquet").write_text("a")
    assert "files of several kinds: .csv, .parquet" in refused(tmp_path).message


def test_files_of_another_kind_are_called_what_they_are(tmp_path: Path) -> None:
    rows = [
        ("a.xlsx", "PK", "a spreadsheet", "export it as CSV"),
        ("a.csv.gz", "", "an archive", "unpack it first"),
        ("a.pkl", "", "a pickle, which could run code", "write its rows as CSV or Parquet"),
        ("a.tsv", "text,label\na,b\n", "not separated by tabs", "a name that ends in .csv"),
        ("a.jsonl", '[{"text": "a"}]', "is no JSON object", "a name that ends in .json"),
        ("a.ndjson", '\n[\n {"text": "a"}]', "is no JSON object", "a name that ends in .json"),
        ("a.jsonl", '{\n "data": []}', "is no JSON object", "a name that ends in .json"),
    ]
    for name, text, message, hint in rows:
        (tmp_path / name).write_text(text, encoding="utf-8")
        error = refused(tmp_path / name)
        assert error.message.endswith(message) and error.hint.endswith(hint), name
    lines = [f"a, or b {i}\n" for i in range(9)]
    (tmp_path / "b.tsv").write_text("text,label\n" + "".join(lines), encoding="utf-8")
    data = open_data(tmp_path / "b.tsv", task=TASK, header=False, label_column=False)
    assert sum(map(len, data.splits.values())) == 10


@given(st.text(st.sampled_from(" ab,\"\n\r\t\0'é\udcff"), max_size=60))
@settings(max_examples=150)
def test_whatever_a_csv_holds_rows_are_used_or_counted(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "whatever.csv"
    path.write_bytes(f"text,label\n{GOOD}{text}".encode(errors="surrogateescape"))
    try:
        data = open_data(path, task=TASK, labels=["a", "b"], max_bad_rows=1, validation_fraction=0)
    except DataError as error:
        assert error.code == "E901"  # noqa: PT017  either is right
        return
    numbers = sorted([*data.splits["train"].numbers.tolist(), *(row.row for row in data.bad)])
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 10


@given(st.binary(max_size=80), st.integers(0, 1_500), st.integers(0, 80))
@settings(max_examples=100)
def test_broken_parquet_gives_our_errors(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "broken.parquet"
    pq.write_table(pa.table({"text": ["one", "two"] * 5, "label": list("ab" * 5)}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + noise + whole[at + length :])
    try:
        open_data(path, task=TASK, max_bad_rows=1)
    except ArchspecError as error:
        assert error.code.startswith("E9")  # noqa: PT017  either is right
