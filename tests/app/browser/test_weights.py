"""The tab Weights: figures and notes of every tensor of a file in the folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect
from safetensors.torch import save_file

from archspec.training.run_folder import BEST
from tests.app.browser.inspector import Inspector

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def page(tiny: Inspector, folder: Path) -> Iterator[Page]:
    generator = torch.Generator().manual_seed(0)
    tensors = {f"layers.{i}.weight": torch.randn(8, 4, generator=generator) for i in range(5)}
    tensors["layers.2.weight"] *= 100
    tensors["encoder.layer.0.attention.output.LayerNorm.weight_of_a_long_name"] = torch.ones(3)
    torch.save({**tensors, HOSTILE: torch.ones(3)}, folder / "odd.pt")
    run = folder / "runs" / "one"
    (run / BEST).parent.mkdir(parents=True)
    save_file({"fc.weight": torch.ones(3)}, run / BEST)
    tiny.tab("Weights")
    tiny.page.get_by_role("combobox", name="Weights").select_option("odd.pt")
    yield tiny.page
    (folder / "odd.pt").unlink()
    shutil.rmtree(run)


@pytest.mark.parametrize("width", [1440, 390])
def test_values_and_notes(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    view = page.locator(".weights-view")
    expect(view.get_by_role("status")).to_have_text(
        "odd.pt: 7 tensors, 1 with a note", timeout=60_000
    )
    rows = view.locator("tbody tr")
    expect(rows).to_have_count(7)
    expect(rows.filter(has_text="layers.2.weight")).to_contain_text("of the 5 tensors alike")
    expect(rows.filter(has_text=HOSTILE)).to_have_count(1)
    assert rows.first.locator("th").evaluate("cell => cell.clientWidth") >= 180
    view.get_by_label("only those with a note").check()
    expect(rows).to_have_count(1)
    view.get_by_label("only those with a note").uncheck()
    view.get_by_role("searchbox", name="Search tensors").fill("LAYERS.3")
    expect(rows).to_have_count(1)
    view.get_by_role("searchbox", name="Search tensors").fill("")
    for name in rows.locator(".tensor").all():  # a long one takes several lines
        text, cell = name.bounding_box(), name.locator("..").bounding_box()
        assert text and cell and text["x"] + text["width"] <= cell["x"] + cell["width"]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("combobox", name="Weights").select_option("runs/one")
    expect(view.get_by_role("status")).to_have_text(
        "runs/one: 1 tensor, 0 with a note", timeout=60_000
    )
