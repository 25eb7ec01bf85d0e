"""Models of runs as folders that work without archspec: plain Python, and transformers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import archspec
from archspec.cli import main
from archspec.errors import UsageError

TINY = Path(__file__).parent
SMALL = """
archspec: 1
extends: bert
params: {vocab_size: 40, hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2,
  intermediate_size: 32, max_position_embeddings: 32, layer_norm_eps: 1e-5}
adapters: {lora: {match: ["**.query", "**.value"], kind: lora, rank: 2}}
task: {kind: text-classification, text: {tokenizer: vocab.txt, max_length: 12}}
"""
TEXTS = ["the film was great and so kind", "bad"]


def _run(folder: Path, spec: Path, **given: Any) -> archspec.Run:
    return archspec.train(
        spec, TINY / "tiny.csv", output_dir=folder, batch_size=8, epochs=1, device="cpu",
        progress=False, **given,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> archspec.Run:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "small.yaml").write_text(SMALL)
    (folder / "vocab.txt").write_bytes((TINY / "vocab.txt").read_bytes())
    return _run(folder, folder / "small.yaml", adapter="lora", name="a", learning_rate=0.01)


def _probabilities(run: archspec.Run) -> torch.Tensor:
    predictions = archspec.Predictor(run, device="cpu")(TEXTS)
    return torch.tensor([[p.probabilities[name] for name in run.labels] for p in predictions])


def test_transformers_opens_what_was_trained(bert: archspec.Run, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    files = archspec.export(bert, tmp_path / "out", to="transformers")
    names = ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    assert [file.name for file in files] == [*names, "tokenizer_config.json"]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert type(model).__name__ == "BertForSequenceClassification"
    assert model.config.layer_norm_eps == 1e-5
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    batch = tokens(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        found = model(**batch).logits.softmax(-1)
    torch.testing.assert_close(found, _probabilities(bert), atol=1e-5, rtol=0)
    classify = transformers.pipeline("text-classification", str(tmp_path / "out"), device="cpu")
    best = found.argmax(-1).tolist()
    assert [one["label"] for one in classify(TEXTS)] == [bert.labels[i] for i in best]


def test_a_language_model_ends_with_a_token_of_its_vocabulary(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes: dict[str, Any] = {
        "vocab_size": 40,
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 32,
    }
    run = archspec.train(
        "gpt2", TINY / "tiny.csv", output_dir=tmp_path, tokenizer=TINY / "vocab.txt", max_length=12,
        epochs=1, device="cpu", progress=False, **sizes,
    )  # fmt: skip
    archspec.export(run, tmp_path / "out", to="transformers")
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = [tokens.convert_tokens_to_ids(name) for name in ("[CLS]", "[SEP]")]  # those it adds
    assert [model.config.bos_token_id, model.config.eos_token_id] == ids
    assert [model.generation_config.bos_token_id, model.generation_config.eos_token_id] == ids
    assert [tokens.bos_token_id, tokens.eos_token_id] == ids
    with torch.no_grad():  # the last token of a text is the most probable one from now on
        model.lm_head.weight.zero_()
        model.lm_head.weight[ids[1]] = 1
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.fill_(1)
    found = model.generate(torch.tensor([[ids[0], 5]]), max_new_tokens=9, pad_token_id=0)
    assert found.tolist() == [[ids[0], 5, ids[1]]]


def test_no_damaged_run_is_written(bert: archspec.Run, tmp_path: Path) -> None:
    """Each file is cut or gone, or has other bytes: an error, or what was written before.

    What is only looked at, such as a picture, does not matter.
    """
    looked_at = {".lock", "curves.svg", "confusion-validation.svg", "model.py", "report.md",
                 "train.log"}  # fmt: skip
    used = {"spec.yaml", "run.json", "metrics.jsonl", "checkpoints/best.safetensors", "vocab.txt"}
    run = bert.path
    names = {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()}
    names = {name for name in names if not name.startswith("logs/")} - looked_at
    assert used < names
    commands = [
        ["export", str(run), "--to", "transformers", "-o"],
        ["merge", str(run), "--adapter-only", "--to"],
    ]
    whole = [_written(command, tmp_path / f"{i}") for i, command in enumerate(commands)]
    assert None not in whole
    wrong: list[str] = []
    for name in sorted(names):
        file = run / name
        content = file.read_bytes()
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        for damaged in (flipped, content[:middle], None):
            file.unlink()
            if damaged is not None:
                file.write_bytes(damaged)
            found = [_written(command, tmp_path / "damaged") for command in commands]
            if any(one not in (None, before) for one, before in zip(found, whole, strict=True)):
                wrong.append(f"{name}, {damaged and len(damaged)} bytes: another result")
            if name in used and found[0] is not None:
                wrong.append(f"{name}, {damaged and len(damaged)} bytes: exported")
        file.write_bytes(content)
    assert not wrong, "\n".join(wrong)


def _written(command: list[str], place: Path) -> dict[str, bytes] | None:
    """The files that a command writes; None if it ends with an error of ours."""
    place.mkdir()
    result = CliRunner().invoke(main, [*command, str(place / "out")])
    if result.exit_code:
        place.rmdir()  # nothing is left in it
        assert isinstance(result.exception, SystemExit) and "error[E" in result.stderr
        return None
    files = {str(f.relative_to(place)): f.read_bytes() for f in place.rglob("*") if f.is_file()}
    shutil.rmtree(place)
    return files


def test_a_folder_runs_without_archspec(bert: archspec.Run, tmp_path: Path) -> None:
    arguments = ["export", str(bert.path), "--to", "folder", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert not any("lora" in name for name in load_file(tmp_path / "out/model.safetensors"))
    readme = (tmp_path / "out/README.md").read_text()
    for said in ("# `a`", "| plan |", "`tiny.csv`", "`no`, `yes`", "## Diagram", "accuracy"):
        assert said in readme
    script = "\n".join(readme.split("```python\n")[i].split("```")[0] for i in (1, 2))
    script = script.replace('"A text."', repr(TEXTS[0]))
    script += "\nimport json\nprint(json.dumps(output.softmax(-1).tolist()))"
    without = "import sys\nsys.modules['archspec'] = None\nsys.path.insert(0, '.')\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", without + script],
        cwd=tmp_path / "out", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = torch.tensor(json.loads(done.stdout))
    torch.testing.assert_close(found, _probabilities(bert)[:1], atol=1e-5, rtol=0)


def test_what_cannot_be_exported(bert: archspec.Run, tmp_path: Path) -> None:
    other = _run(tmp_path, TINY / "tiny.yaml", name="b")
    with pytest.raises(UsageError, match=r"no layout 'transformers'.*\n?.*--to folder"):
        archspec.export(other, tmp_path / "out", to="transformers")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("")
    with pytest.raises(UsageError, match="out is not empty"):
        archspec.export(bert, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine"]
    for arguments in (["-p", "a=1", "-o", "x"], []):
        result = CliRunner().invoke(main, ["export", str(bert.path), "--to", "folder", *arguments])
        assert result.exit_code == 2, result.output
