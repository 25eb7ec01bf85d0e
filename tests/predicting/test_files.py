"""Files in and out: every format, every row in its place, bad rows, what is refused."""

from __future__ import annotations

import csv
import io
import json
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import archspec
from archspec.cli import main
from archspec.errors import DataError, UsageError
from archspec.predicting.engine import Engine
from archspec.predicting.row_reader import as_text, row_file

HERE = Path(__file__).parent
TINY = HERE.parent / "training" / "tiny.yaml"
TEXTS = ["a very warm film", "sad", "so it was a poor day", "bad"]


@pytest.fixture(scope="module")
def predictor() -> archspec.Predictor:
    model = archspec.build(TINY, device="cpu", seed=0)
    return archspec.Predictor(model, labels=["no", "yes"], batch_size=2, max_length=6)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as the suffix says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".arrow":
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(str(path), table.schema) as file:
            file.write_table(table)
    elif path.suffix in (".jsonl", ".json"):
        lines = [json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) if path.suffix == ".jsonl" else f"[{','.join(lines)}]")
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(
                file, [*rows[0]], delimiter="," if path.suffix == ".csv" else "\t"
            )
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return [*csv.DictReader(io.StringIO(text), delimiter="," if path.suffix == ".csv" else "\t")]


# ------------------------------------------------------------------------------------------ formats


@pytest.mark.parametrize("out", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("source", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".arrow"])
def test_every_format_becomes_every_other(
    source: str, out: str, predictor: archspec.Predictor, tmp_path: Path
) -> None:
    rows = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]
    report = predictor.file(
        write(tmp_path / f"in{source}", rows), tmp_path / f"out{out}", probabilities=True
    )
    found = read(tmp_path / f"out{out}")
    assert [*found[0]] == [
        "id", "text", "label", "probability", "p_no", "p_yes", "truncated", "error",
    ]  # fmt: skip
    is_text = source in (".csv", ".tsv") or out in (".csv", ".tsv")
    for i, (row, one) in enumerate(zip(found, predictor(TEXTS), strict=True)):
        assert (row["id"], row["text"]) == (str(i) if is_text else i, TEXTS[i])
        assert row["label"] == one.label and not row["error"]
        assert float(row["probability"]) == pytest.approx(one.probability, abs=1e-6)
        assert float(row["p_no"]) == pytest.approx(one.probabilities["no"], abs=1e-6)
    assert [str(row["truncated"]).lower() for row in found] == ["false", "false", "true", "false"]
    assert (report.rows, report.bad_rows, report.truncated) == (4, 0, 1)
    assert report.counts == {name: sum(r["label"] == name for r in found) for name in ("no", "yes")}
    assert not [*tmp_path.glob(".*")]


CELLS = st.one_of(st.none(), st.sampled_from(["", " ", 'a\n"b",c', *TEXTS]))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(CELLS, min_size=1, max_size=300),
    source=st.sampled_from([".jsonl", ".parquet"]),
    out=st.sampled_from([".csv", ".jsonl", ".parquet"]),
)
def test_rows_keep_their_places_through_windows(
    texts: list[str | None], source: str, out: str, predictor: archspec.Predictor, tmp_path: Path
) -> None:
    rows = [{"text": text, "n": i} for i, text in enumerate(texts)]
    table = pa.table({"text": pa.array(texts, pa.string()), "n": [*range(len(texts))]})
    given, taken = tmp_path / f"in{source}", tmp_path / f"out{out}"
    pq.write_table(table, given) if source == ".parquet" else write(given, rows)
    report = predictor.file(given, taken, text="text", overwrite=True)
    found = read(taken)
    assert [int(row["n"]) for row in found] == [*range(len(texts))]
    assert [row["text"] or "" for row in found] == [text or "" for text in texts]
    bad = [not (text or "").strip() for text in texts]
    assert [row["error"] == "no text" for row in found] == bad
    assert [not row["label"] and not row["probability"] for row in found] == bad
    assert (report.rows, report.bad_rows) == (len(texts), sum(bad))


def test_values_of_json_stay_what_they_are(predictor: archspec.Predictor, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "sad", "a": 1, "b": {"c": [1, None]}, "d": 2**70},
        {"text": 3, "a": 1.5, "e": True, "b": "x\ud800"},
        {"text": "bad", "label": "mine"},
    ]
    given = write(tmp_path / "in.jsonl", rows)
    predictor.file(given, tmp_path / "out.jsonl")
    found = read(tmp_path / "out.jsonl")
    names = ["text", "a", "b", "d", "e", "label"]
    for row, one in zip(rows, found, strict=True):
        assert {name: one[name] for name in names} == {name: row.get(name) for name in names}
    added = ["label", "probability", "truncated", "error"]
    assert [*found[0]][6:] == [f"predicted_{name}" for name in added]
    assert [row["predicted_truncated"] for row in found] == [False, None, False]
    assert [row["predicted_error"] for row in found] == [None, "wrong type: int, not text", None]
    predictor.file(given, tmp_path / "out.parquet")
    found = read(tmp_path / "out.parquet")
    assert [row["a"] for row in found] == [1.0, 1.5, None]
    assert [row["b"] for row in found] == ['{"c": [1, null]}', "x?", None]
    assert [row["d"] for row in found] == [str(2**70), None, None]
    assert [row["e"] for row in found] == [None, True, None]


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, None), ("a", "a"), (1, "1"), (0.1, "0.1"), (False, "false"), ("\ud800", "?"),
     ([{"a": "é"}], '[{"a": "é"}]'), (float("nan"), "nan")],
)  # fmt: skip
def test_cells_as_text(cell: object, text: str | None) -> None:
    assert as_text(cell) == text


def test_broken_rows_keep_their_places_and_are_told(
    predictor: archspec.Predictor, tmp_path: Path
) -> None:
    given = tmp_path / "in.csv"
    given.write_text("text,n\nsad,1\n\nbad,2,3\n\x1b[31m,4\n,5\n", encoding="utf-8")
    report = predictor.file(given, tmp_path / "out.csv")
    found = read(tmp_path / "out.csv")
    assert [row["n"] for row in found] == ["1", "", "4", "5"]
    said = "wrong number of columns: 3 where the first line has 2"
    assert [row["error"] for row in found] == ["", said, "", "no text"]
    assert [(row.row, row.line) for row in report.bad] == [(2, 4), (4, 6)]
    assert report.to_dict()["bad"][1]["reason"] == "no text"
    assert "in.csv, row 4 (line 6): no text" in str(report)
    with pytest.raises(DataError) as caught:
        predictor.file(given, tmp_path / "few.csv", max_bad_rows=0.4)
    assert caught.value.code == "E903" and "2 of the 4 rows of in.csv are bad" in str(caught.value)
    assert not (tmp_path / "few.csv").exists() and not [*tmp_path.glob(".*")]


@pytest.mark.parametrize(
    ("name", "out"), [("a.csv", "o.csv"), ("a.csv", "o.jsonl"), ("a.parquet", "o.parquet")]
)
def test_a_file_without_rows(
    name: str, out: str, predictor: archspec.Predictor, tmp_path: Path
) -> None:
    if name == "a.csv":
        (tmp_path / name).write_text("text\n")
    else:
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / name)
    report = predictor.file(tmp_path / name, tmp_path / out)
    assert (report.rows, report.counts, read(tmp_path / out)) == (0, {"no": 0, "yes": 0}, [])


def test_a_file_is_looked_through_in_windows(tmp_path: Path) -> None:
    given = write(tmp_path / "a.csv", [{"text": str(i)} for i in range(10)])
    file = row_file(given)
    assert (file.total, [len(window) for window in file.windows(4)]) == (10, [4, 4, 2])
    assert [window.numbers[0] for window in file.windows(4)] == [1, 5, 9]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_carriage_returns_come_back(
    suffix: str, predictor: archspec.Predictor, tmp_path: Path
) -> None:
    model = predictor.model
    named = archspec.Predictor(model, labels=["n\ro", "y\r\nes"], batch_size=2)
    cells = ["sad\rbad", "sad\r\nbad", "bad\r", "\r\nbad"]
    pq.write_table(pa.table({"text": cells, "a\rb": [*"1234"]}), tmp_path / "in.parquet")
    named.file(tmp_path / "in.parquet", tmp_path / f"out{suffix}", probabilities=True)
    (window,) = row_file(tmp_path / f"out{suffix}").windows(9)
    assert window.values("text") == cells and window.values("a\rb") == [*"1234"]
    assert window.values("label") == [one.label for one in named(cells)]
    assert {"p_n\ro", "p_y\r\nes"} <= {*row_file(tmp_path / f"out{suffix}").schema}


def test_columns_that_are_no_input_and_bytes_that_are_no_text(
    predictor: archspec.Predictor, tmp_path: Path
) -> None:
    texts = pa.array([b"sad", b"b\xff", b"bad"], pa.binary()).view(pa.string())
    repeated = pa.RunEndEncodedArray.from_arrays([2, 3], ["x", "y"])
    columns: dict[str, Any] = {
        "text": texts,
        "map": pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
        "months": pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval()),
        "runs": repeated,
        "late": pa.array([0, 2**62, None], pa.timestamp("s")),
        "long": pa.array([2**62] * 3, pa.duration("s")),
        "zone": pa.array([0] * 3, pa.timestamp("s", "No/Where")),
    }
    given, out = tmp_path / "in.arrow", tmp_path / "out.jsonl"

    def put(*left_out: str) -> None:
        table = pa.table({name: one for name, one in columns.items() if name not in left_out})
        with pa.ipc.new_file(str(given), table.schema) as file:
            file.write_table(table)

    put("zone")
    predictor.file(given, out, text="text")
    found = read(out)
    assert [row["error"] for row in found] == [None, "not Unicode", None]
    assert [row["runs"] for row in found] == ["x", "x", "y"]
    assert found[0]["map"] == [["a", 1]] and found[0]["months"] == [1, 2, 3]
    assert [row["late"] for row in found][1:] == [f"<value out of range: {2**62}>", None]
    assert found[0]["long"] == str(2**62)
    put()
    for name, says in {"o.csv": "column 'zone' of timestamp", "o.parquet": "interval"}.items():
        with pytest.raises(DataError) as caught:
            predictor.file(given, tmp_path / name, text="text")
        assert caught.value.code == "E931" and says in caught.value.message
    with pytest.raises(DataError) as caught:
        predictor.file(given, tmp_path / "o.csv", text="map")
    assert caught.value.code == "E902" and "column 'map' holds map" in caught.value.message
    table = pa.table({"text": ["sad"], "empty": pa.array([{}], pa.struct([]))})
    with pa.ipc.new_file(str(given), table.schema) as file:
        file.write_table(table)
    with pytest.raises(DataError) as caught:
        predictor.file(given, tmp_path / "o.parquet")
    assert caught.value.code == "E931" and not [*tmp_path.glob(".*")]


def test_a_lone_column_called_text_holds_texts(
    predictor: archspec.Predictor, tmp_path: Path
) -> None:
    report = predictor.file(write(tmp_path / "a.csv", [{"text": "cat.png"}]), tmp_path / "o.csv")
    assert (report.rows, report.bad_rows) == (1, 0)


# ---------------------------------------------------------------------------- embeddings and images


def test_embeddings_are_a_list_or_a_column_for_each_number(tmp_path: Path) -> None:
    spec = archspec.load("minilm-l6", num_hidden_layers=1, vocab_size=40)
    model = archspec.build(spec, device="cpu", seed=0)
    embedder = archspec.Predictor(model, tokenizer=TINY.parent / "vocab.txt", batch_size=2)
    given = write(tmp_path / "in.csv", [{"text": text} for text in ["sad", "", *TEXTS]])
    expected = embedder(["sad", *TEXTS]).tolist()
    expected.insert(1, None)
    for name in ("out.parquet", "out.jsonl"):
        embedder.file(given, tmp_path / name)
        assert [row["embedding"] for row in read(tmp_path / name)] == [
            None if row is None else pytest.approx(row, abs=1e-6) for row in expected
        ]
    report = embedder.file(given, tmp_path / "out.csv")
    assert len(report.columns) == 386 and report.counts == {}
    for row, vector in zip(read(tmp_path / "out.csv"), expected, strict=True):
        found = [row[f"embedding_{i}"] for i in range(384)]
        assert (
            found == [""] * 384
            if vector is None
            else [float(x) for x in found] == pytest.approx(vector, abs=1e-6)
        )


def test_images_by_path_and_by_bytes(tmp_path: Path) -> None:
    text = (HERE / "test_predictor.py").read_text().split('"""')[3]
    model = archspec.build(archspec.loads(text), device="cpu", seed=0)
    predictor = archspec.Predictor(model, labels=[*"xyz"], batch_size=2)
    stream = io.BytesIO()
    for i in range(3):
        Image.new("RGB", (9, 8), (i * 80, 7, 9)).save(tmp_path / f"{i}.png")
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    names = ["0.png", "../x.png", "1.png", "2.png", "gone.png"]
    given = write(tmp_path / "in.csv", [{"image": name} for name in names])
    predictor.file(given, tmp_path / "out.jsonl")
    found = read(tmp_path / "out.jsonl")
    errors = ["unreadable image: outside the data's folder", "no image: no such file"]
    assert [row["error"] for row in found] == [None, errors[0], None, None, errors[1]]
    for i in (0, 2, 3):
        one = predictor(tmp_path / names[i])
        assert found[i]["label"] == one.label
        assert found[i]["probability"] == pytest.approx(one.probability, abs=1e-5)
    cells = [{"image": {"bytes": data, "path": None}, "n": i}
             for i, data in enumerate([stream.getvalue(), None, b"no"])]  # fmt: skip
    given = write(tmp_path / "in.parquet", cells)
    report = predictor.file(given, tmp_path / "out.csv")
    assert report.left_out == ("image",) and list(read(tmp_path / "out.csv")[0])[:1] == ["n"]
    predictor.file(given, tmp_path / "out.parquet")
    found = read(tmp_path / "out.parquet")
    assert [row["image"] for row in found] == [row["image"] for row in cells]
    assert [bool(row["error"]) for row in found] == [False, True, True]


# -------------------------------------------------------------------------------- what is refused


def test_outputs_that_are_refused(predictor: archspec.Predictor, tmp_path: Path) -> None:
    given = write(tmp_path / "in.csv", [{"text": "sad"}])
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "link.csv").symlink_to(given)
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    for out, says in {
        "in.csv": "this is the file that is read", "loop.csv": "Symlink loop",
        "a\0.csv": "null byte", "link.csv": "this is the file that is read",
        "there.csv": "it is there already", "out.xlsx": "of no known kind",
        "none/out.csv": "No such file or directory", f"{'x' * 300}.csv": "File name too long",
    }.items():  # fmt: skip
        overwrite = out != "there.csv"
        with pytest.raises(DataError) as caught:
            predictor.file(given, tmp_path / out, overwrite=overwrite)
        assert caught.value.code == "E931" and says in caught.value.message, out
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert given.read_bytes() == b"text\r\nsad\r\n"
    predictor.file(given, tmp_path / "there.csv", overwrite=True)
    assert read(tmp_path / "there.csv")[0]["text"] == "sad"
    with pytest.raises(UsageError):
        predictor.file(given, tmp_path / "out.csv", max_bad_rows=2)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [("gone.csv", None, "E901"), ("a.xml", "text", "E901"), ("a.parquet", "PAR1", "E901"),
     ("a.csv", "", "E901"), ("a.jsonl", "", "E901"), ("a.json", "[]", "E901"),
     ("a.jsonl", "[]\n{", "E901"), ("a.jsonl", "1\n{", "E903"), ("a.csv", 'text\n"open', "E901"),
     ("a.arrow", "ARROW1", "E901"), ("a.csv", "n\n1\n", "E902")],
)  # fmt: skip
def test_inputs_that_are_refused(
    name: str, content: str | None, code: str, predictor: archspec.Predictor, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        predictor.file(
            tmp_path / name, tmp_path / "out.csv", text="text" if code == "E902" else None
        )
    assert caught.value.code == code
    if code == "E903":
        assert "all 2 rows of a.jsonl are bad" in caught.value.message
        assert "row 1 (line 1): not a JSON object" in str(caught.value)
    assert not (tmp_path / "out.csv").exists() and not [*tmp_path.glob(".*")]


def test_a_failure_in_the_middle_leaves_what_was_there(
    predictor: archspec.Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = write(tmp_path / "in.csv", [{"text": "sad"}] * 400)
    (tmp_path / "out.parquet").write_text("mine")
    calls: list[int] = []

    def third(function: Any) -> Any:
        def failing(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) > 2:
                raise OSError(28, "No space left on device")
            return function(*arguments)

        return failing

    engine, writer = type(predictor.engine), pq.ParquetWriter
    with monkeypatch.context() as patched:
        patched.setattr(writer, "write_table", third(writer.write_table))
        with pytest.raises(DataError) as caught:
            predictor.file(given, tmp_path / "out.parquet", overwrite=True)
    assert caught.value.code == "E931" and "No space left" in caught.value.message
    calls.clear()
    with monkeypatch.context() as patched:
        patched.setattr(engine, "scores", third(engine.scores))
        with pytest.raises(OSError, match="No space left"):  # not the output's fault
            predictor.file(given, tmp_path / "out.parquet", overwrite=True)
    assert (tmp_path / "out.parquet").read_text() == "mine" and not [*tmp_path.glob(".*")]


# ------------------------------------------------------------------------------------- command line


@pytest.fixture(scope="module")
def weights(predictor: archspec.Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    archspec.save_weights(predictor.model, path)
    return path


def run(weights: Path | None, *arguments: str, stdin: bytes = b"") -> Result:
    given = ["--weights", str(weights), "--labels", "no,yes"] if weights else []
    return CliRunner().invoke(main, ["predict", str(TINY), *given, *arguments], input=stdin)


def test_texts_on_the_command_line(weights: Path, predictor: archspec.Predictor) -> None:
    one = run(weights, "--text", "sad")
    assert one.output == f"{predictor('sad')}\n"
    stdin = "sad\r\na \x1b[31mfilm\x0c\u2028poor\n".encode()
    several = run(weights, "--text", "-", "--text", "bad", stdin=stdin)
    assert [line.split()[0] for line in several.output.splitlines()] == [
        found.label for found in predictor(["sad", "a \x1b[31mfilm\x0c\u2028poor", "bad"])
    ]
    assert "\x1b[31m" not in several.output
    found = json.loads(run(weights, "--text", "sad", "--json").output)
    assert found == [{"input": "sad", **predictor("sad").to_dict()}]
    empty = run(weights, "--text", "", "--json")
    assert empty.exit_code == 1
    assert json.loads(empty.output)["error"]["problems"][0]["code"] == "E930"


def test_files_on_the_command_line(weights: Path, tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.csv", [{"text": t} for t in TEXTS]) for name in "ab"]
    done = run(
        weights,
        "--file",
        str(files[0]),
        "-o",
        str(tmp_path / "o.jsonl"),
        "--optimize",
        "--probabilities",
    )
    assert done.exit_code == 0 and "4 rows, 4 predicted" in done.stdout
    assert "bf16" in done.stderr
    assert [*read(tmp_path / "o.jsonl")[0]] == [
        "text",
        "label",
        "probability",
        "p_no",
        "p_yes",
        "truncated",
        "error",
    ]
    (tmp_path / "out").mkdir()
    both = [part for file in files for part in ("--file", str(file))]
    done = run(weights, *both, "-o", str(tmp_path / "out"), "--json", "--column", "text")
    assert [report["rows"] for report in json.loads(done.stdout)] == [4, 4]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.csv", "b.csv"}
    again = run(weights, "--file", str(files[0]), "-o", str(tmp_path / "o.jsonl"))
    assert again.exit_code == 1 and "error[E931]" in again.stderr and "--overwrite" in again.stderr


def test_several_files_are_looked_at_before_any_is_read(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    files = [write(tmp_path / name, [{"text": "sad"}]) for name in ("a.arrow", "b.json", "c.csv")]
    asked = [part for file in files for part in ("--file", str(file))]
    asked += ["-o", str(tmp_path / "out")]
    (tmp_path / "out" / "c.csv").write_text("mine")
    done = run(weights, *asked, "--file", str(tmp_path / "gone.csv"))
    assert done.exit_code == 1 and "gone.csv: no such file" in done.stderr
    assert "error[E931]" in done.stderr and len([*(tmp_path / "out").iterdir()]) == 1
    assert run(weights, *asked, "--overwrite").exit_code == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a.parquet", "b.jsonl", "c.csv"}
    twice = run(weights, *asked, "--file", str(tmp_path / "b.jsonl"))
    assert twice.exit_code == 2 and "two files would be written as b.jsonl" in twice.stderr


def test_sigterm_leaves_nothing_beside_the_output(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Engine, "scores", lambda *_: signal.raise_signal(signal.SIGTERM))
    given = write(tmp_path / "a.csv", [{"text": "sad"}])
    done = run(weights, "--file", str(given), "-o", str(tmp_path / "o.csv"))
    assert done.exit_code == 128 + signal.SIGTERM and signal.getsignal(signal.SIGTERM) == before
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([], "give one of --text, --image and --file"),
     (["--text", "a", "--image", "b"], "give one of"),
     (["--file", "a.csv"], "--file and -o go together"),
     (["--text", "a", "-o", "b.csv"], "--file and -o go together"),
     (["--file", "a", "--file", "b", "-o", "c.csv"], "not a folder"),
     (["--text", "a"], "tiny has no weights")],
)  # fmt: skip
def test_wrong_usage(arguments: list[str], says: str) -> None:
    done = run(None, *arguments)
    assert done.exit_code == 2 and "error[E801]" in done.output and says in done.output
