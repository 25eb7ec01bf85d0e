"""What opening tells: first lines that are rows, encodings that would fit, doubtful labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import archspec
from archspec.data import Data, open_data
from archspec.data.charsets import checked_encoding, fitting_encoding
from archspec.errors import DataError, UsageError
from archspec.file_kinds import marked_encoding
from archspec.lang.schema import Task

TASK = Task(kind="text-classification")
IMAGES = Task(kind="image-classification")
TINY = Path(__file__).parent.parent / "training/tiny.yaml"
NO_HEADER = '"4","2024","user{}","the plot was bright and the acting great"\n'
NO_HEADER += '"0","2024","user{}","a happy story with {} reasons to laugh"\n'


def opened(source: Any, **given: Any) -> Data:
    return open_data(source, task=TASK, **{"validation_fraction": 0, **given})


@pytest.fixture(scope="module")
def predictor() -> archspec.Predictor:
    return archspec.Predictor(archspec.build(TINY, device="cpu", seed=0))


# -------------------------------------------------------------------------------------- first lines


def test_first_lines_that_are_rows(tmp_path: Path) -> None:
    text = "".join(NO_HEADER.format(i, i, i) for i in range(20))
    tabs = "".join(f"ham\tgo on now, {i}\nspam\twin it! {i}\n" for i in range(20))
    plot = "the plot was bright and the acting great"
    refused: list[tuple[str, str, dict[str, Any]]] = [
        ("a.csv", text, {"text_column": plot, "label_column": "4"}),
        ("a.csv", text, {"label_column": "4", "text_column": plot, "labels": ["0", "4"]}),
        ("a.tsv", tabs, {}),
        ("a.tsv", tabs, {"text_column": "go on now, 0", "label_column": "ham"}),
    ]
    for name, content, given in refused:
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match="the first line looks like a row") as caught:
            opened(tmp_path / name, **given)
        assert caught.value.code == "E902" and "header=False (--no-header)" in caught.value.hint
    data = opened(tmp_path / "a.csv", header=False, text_column="column 4", label_column="column 1")
    assert (len(data.splits["train"]), data.labels) == (40, ("0", "4"))
    given = {"header": True, "text_column": plot, "label_column": "4"}
    assert len(opened(tmp_path / "a.csv", **given).splits["train"]) == 39
    assert len(opened(tmp_path / "a.tsv", header=False).splits["train"]) == 40


def test_first_lines_that_may_be_rows_are_told(
    tmp_path: Path, predictor: archspec.Predictor
) -> None:
    for first, is_told in (
        ("a good film", True), ("Great!", True), ("这部电影非常好看", True), ("review", False),
        ("0", False), ("text", False), ("my review", False), ("Good film", True), ("great", True),
        ("review_body", False),
    ):  # fmt: skip
        (tmp_path / "a.csv").write_text(f"{first}\na bad book\na great story\n", encoding="utf-8")
        report = predictor.file(tmp_path / "a.csv", tmp_path / "out.csv", overwrite=True)
        assert [first in note for note in report.notes if "header" in note] == [True] * is_told
        report = predictor.file(
            tmp_path / "a.csv", tmp_path / "out.csv", overwrite=True, header=False
        )
        assert report.rows == 3 and not any("header" in note for note in report.notes)


def test_names_that_come_again_are_no_row(tmp_path: Path) -> None:
    lines = ["text,label", *["fine,a", "poor,b"] * 3]
    (tmp_path / "a.csv").write_text("\n".join([*lines, *lines]))
    data = opened(tmp_path / "a.csv", max_bad_rows=0.1)
    assert [(row.line, row.reason) for row in data.bad] == [(8, "the names of the columns again")]
    assert data.labels == ("a", "b")


def test_options_that_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "b"}')
    for given, message in (
        ({"header": False}, "header has no effect: a.jsonl is no CSV or TSV file"),
        ({"encoding": "klingon"}, "no encoding is called 'klingon'"),
        ({"encoding": "rot13"}, "no encoding is called 'rot13'"),
        ({"encoding": "os.path"}, "no encoding is called 'os.path'"),
    ):
        with pytest.raises(UsageError) as caught:
            opened(tmp_path / "a.jsonl", **given)
        assert (caught.value.code, caught.value.message) == ("E801", message)


# ---------------------------------------------------------------------------------------- encodings


def test_the_encoding_that_fits(tmp_path: Path) -> None:
    cases = [
        ("cp1255", "השועל החום המהיר קופץ מעל הכלב העצלן, " * 4),
        ("cp1252", "for £5 in the café"), ("cp1252", "Le garçon a mangé près de l’église"),
        ("cp1252", "Die Größe der Straße überrascht"), ("cp1252", "El niño comió una manzana"),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy"), ("cp1251", "Это очень хороший фильм"),
        ("cp1251", "фильм хороший"), ("koi8-r", "фильм хороший"), ("mac-roman", "café était naïf"),
        ("koi8-r", "Это очень хороший фильм"), ("cp1253", "Αυτή η ταινία είναι πολύ καλή"),
        ("cp1254", "Bu film çok güzel, ışık ve gölge"), ("cp932", "この映画はとても良かったです。"),
        ("euc-jp", "この映画はとても良かったです。"), ("gb18030", "这部电影非常好看,我很喜欢"),
        ("big5", "這部電影非常好看,我很喜歡"), ("euc-kr", "이 영화는 정말 좋았어요"),
        ("cp1256", "كان هذا الفيلم جيدا جدا"), ("cp874", "ภาพยนตร์เรื่องนี้ดีมาก"),
        ("mac-roman", "Le garçon a mangé près de l’église"),
    ]  # fmt: skip
    wrong: list[str] = []
    for name, text in cases:
        (tmp_path / "a.csv").write_bytes(f"{text}\n".encode(name) * 5)
        found = fitting_encoding(tmp_path / "a.csv")
        if found is None or found[0] != name:
            wrong.append(f"{name}, {text}: {found}")
    assert not wrong, "\n".join(wrong)
    for name, codec in (("utf-16", "utf-16"), ("utf-32", "utf-32"), ("utf-16-le", "utf-16-le")):
        assert marked_encoding("text,label\na,b\n".encode(codec)) == name
    (tmp_path / "a.csv").write_bytes(b"good \x98\xff\x81 film\n")
    assert fitting_encoding(tmp_path / "a.csv") is None
    assert checked_encoding("UTF-8") == "utf-8-sig"


def test_files_that_are_something_else_are_called_so(
    tmp_path: Path, predictor: archspec.Predictor
) -> None:
    cases: list[tuple[str, bytes, str]] = [
        ("csv", b"version https://git-lfs.github.com/spec/v1\noid", "it is a Git LFS pointer"),
        ("jsonl", b"\n<!DOCTYPE html>\n<html></html>", "it is an HTML page"),
        ("json", b"<html><body>", "it is an HTML page"),
        ("tsv", b"\x1f\x8b\x08", "it is compressed by gzip"),
        ("csv", b"PK\x03\x04", "it is a ZIP archive"),
        ("csv", b"sep=;\ntext;label\n", "'sep=;' is not understood"),
    ]
    for suffix, content, what in cases:
        (path := tmp_path / f"a.{suffix}").write_bytes(content)
        for read in (opened, lambda path: predictor.file(path, tmp_path / "out.csv")):
            with pytest.raises(DataError, match=what) as caught:
                read(path)
            assert caught.value.code == "E901" and caught.value.hint
    (tmp_path / "a.jsonl").write_text('[{"text": "a", "label": "b"}]')
    with pytest.raises(DataError, match="the first line is no JSON object") as caught:
        opened(tmp_path / "a.jsonl")
    assert caught.value.hint.endswith("give it a name that ends in .json")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json"])
def test_other_encodings_are_named_and_can_be_given(
    suffix: str, tmp_path: Path, predictor: archspec.Predictor
) -> None:
    rows = [(f"for £5 in the café {i}", "yn"[i % 2]) for i in range(20)]
    objects = [f'{{"text": "{text}", "label": "{label}"}}' for text, label in rows]
    joint = "\t" if suffix == "tsv" else ","
    content = {
        "jsonl": "\n".join(objects), "json": f"[{','.join(objects)}]",
    }.get(suffix, "\n".join(map(joint.join, [("text", "label"), *rows])))  # fmt: skip
    path, out = tmp_path / f"a.{suffix}", tmp_path / "out.jsonl"
    for codec, name in (("cp1252", "cp1252"), ("utf-16", "utf-16"), ("utf-16-be", "utf-16-be")):
        path.write_bytes(content.encode(codec))
        for read in (opened, lambda path: predictor.file(path, out, overwrite=True)):
            with pytest.raises(DataError) as caught:
                read(path)
            assert caught.value.code == "E901"
            assert f"encoding='{name}' (--encoding {name})" in caught.value.hint
        assert opened(path, encoding=codec).splits["train"][0] == rows[0][0]
        report = predictor.file(path, out, overwrite=True, encoding=codec)
        assert (report.rows, report.bad_rows) == (20, 0)
    path.write_bytes(b"\xef\xbb\xbf" + content.encode())
    assert opened(path).splits["train"][0] == opened(path, encoding="utf-8").splits["train"][0]


def test_some_rows_of_another_encoding(tmp_path: Path, predictor: archspec.Predictor) -> None:
    rows = [f"a plain text {i},{'yn'[i % 2]}" for i in range(30)]
    text = "\n".join(["text,label", *rows, "the café,y"])
    (tmp_path / "a.csv").write_bytes(text.encode("cp1252"))
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "a.csv")
    fits = "cp1252 fits ('the café,y'): encoding='cp1252' (--encoding cp1252)"
    note = f"a.csv: 1 row is not UTF-8; {fits}, or save it as UTF-8"
    assert (caught.value.code, caught.value.hint) == ("E903", note)
    assert opened(tmp_path / "a.csv", max_bad_rows=0.1).notes == (note,)
    assert predictor.file(tmp_path / "a.csv", tmp_path / "out.csv").notes[0] == note


def test_utf_8_that_is_read_as_something_else(
    tmp_path: Path, predictor: archspec.Predictor
) -> None:
    rows = [f"le café {i},{'yn'[i % 2]}" for i in range(20)]
    path, out = tmp_path / "a.csv", tmp_path / "out.csv"
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    note = "a.csv: it is UTF-8, and read as cp1252, 'café' becomes 'cafÃ©': leave encoding= "
    note += "(--encoding) out"
    assert opened(path, encoding="cp1252").notes == (note,)
    assert predictor.file(path, out, encoding="cp1252").notes[0] == note
    assert opened(path).notes == opened(path, encoding="utf-8").notes == ()

    path.write_bytes(path.read_bytes() + "\nà la plage,y".encode("cp1252"))
    with pytest.raises(DataError) as caught:
        opened(path)
    mend = "a.csv: 1 row is not UTF-8; most lines are UTF-8: mend the others"
    assert (caught.value.code, caught.value.hint) == ("E903", mend)
    path.write_text("\n".join(["text,label", *["été 東京,y"] * 9]), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        opened(path, encoding="ascii")
    expected = "most lines are UTF-8: leave encoding= (--encoding) out"
    assert (caught.value.code, caught.value.hint) == ("E901", expected)


# ------------------------------------------------------------------------------------------- labels


def test_doubtful_labels_are_told(tmp_path: Path) -> None:
    case = (
        "labels that differ only in case are classes of their own: 'positive' 4 rows, 'Positive' 3"
    )
    marks = "labels that differ only in case, spaces or marks are classes of their own"
    same = "labels that may mean the same are classes of their own"
    unequal = (
        "the classes are of very unequal size: 'ham' has 27 of 30 rows (90%), 'spam' 3 (10.0%): "
        'macro F1 is the better monitor, monitor="macro_f1" (--monitor macro_f1)'
    )
    cases: list[tuple[list[str], dict[str, Any], list[str]]] = [
        (["positive"] * 4 + ["Positive"] * 3 + ["negative"] * 6, {}, [case]),
        (["True", "1", "0", "False"] * 3, {},
         [f"{same}: '0' 3 rows, 'False' 3", f"{same}: '1' 3 rows, 'True' 3"]),
        (["True", "1", "no", "maybe"] * 3, {}, [f"{same}: '1' 3 rows, 'True' 3"]),
        (["sci-fi", "sci fi", "art"] * 3, {}, [f"{marks}: 'sci fi' 3 rows, 'sci-fi' 3"]),
        (["art", "art\u200b", "pop"] * 3, {}, [f"{marks}: 'art' 3 rows, 'art\\u200b' 3"]),
        (["1", "-1", "1/2"] * 3, {}, []),
        (["NaN", "a", "b"] * 3, {},
         ["labels that may mean that there is none are classes of their own: 'NaN' 3 rows"]),
        (["C", "C++", "C#"] * 3, {}, []),
        (["y", "t", "a"] * 3, {}, []),
        (["yes", "no", "maybe"] * 4, {}, []),
        (["1", "2", "0"] * 4, {}, []),
        (["ham"] * 36 + ["spam"] * 4, {"validation_fraction": 0.25}, [unequal]),
        (["ham"] * 27 + ["spam"] * 3, {}, [unequal.partition(": macro")[0]]),
    ]  # fmt: skip
    for labels, given, notes in cases:
        rows = [f"a text {i},{label}" for i, label in enumerate(labels)]
        (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
        assert [*opened(tmp_path / "a.csv", **given).notes] == notes, labels


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    for name in ("cat", "dog", "eel"):
        (tmp_path / name).mkdir()
        for i in range(3 if name != "eel" else 0):
            Image.new("L", (8, 8), i).save(tmp_path / name / f"{i}.png")
    data = open_data(tmp_path, task=IMAGES, validation_fraction=0)
    assert (data.labels, data.notes) == (
        ("cat", "dog"), ("folders without images are no classes: eel",),
    )  # fmt: skip
