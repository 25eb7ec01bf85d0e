"""What a page remembers of the choices made for each spec."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.app.browser.inspector import Inspector


def train_field(inspector: Inspector, name: str) -> Locator:
    return inspector.field(name, "#train form")


def has_choices(inspector: Inspector, plan: str, batch: str, data: str) -> None:
    inspector.tab("Cost")
    expect(inspector.field("batch", "#sizes")).to_have_value(batch)
    inspector.tab("Train")
    expect(train_field(inspector, "data")).to_have_value(data)
    expect(train_field(inspector, "freeze")).to_have_value(plan)


def test_the_plan_of_the_training_form_is_that_of_the_page(tiny: Inspector) -> None:
    trainable = tiny.page.locator(".summary-view .figure").filter(has_text="Trainable")
    memory = tiny.page.locator(".summary-view .figure").filter(has_text="Training memory")
    expect(trainable).to_contain_text("nothing frozen")
    tiny.tab("Train")
    train_field(tiny, "data").fill("mine.csv")
    train_field(tiny, "freeze").select_option("head-only")
    expect(trainable).to_contain_text("head-only")
    expect(trainable.locator("strong")).to_have_text("27")
    expect(memory).to_contain_text("batch 2")
    expect(train_field(tiny, "freeze")).to_have_value("head-only")
    expect(train_field(tiny, "data")).to_have_value("mine.csv")
    tiny.tab("Cost")
    tiny.field("batch", "#sizes").fill("5")
    tiny.field("batch", "#sizes").press("Tab")
    expect(memory).to_contain_text("batch 5")
    tiny.tab("Tree")
    expect(tiny.labelled("Freeze plan")).to_have_value("head-only")
    tiny.labelled("Freeze plan").select_option("")
    tiny.tab("Train")
    expect(train_field(tiny, "freeze")).to_have_value("")
    train_field(tiny, "data").fill("")


def test_a_spec_that_is_opened_again_has_what_was_chosen_for_it(tiny: Inspector) -> None:
    tiny.labelled("Freeze plan").select_option("head-only")
    tiny.tab("Cost")
    tiny.field("batch", "#sizes").fill("5")
    tiny.field("batch", "#sizes").press("Tab")
    tiny.tab("Train")
    expect(train_field(tiny, "freeze")).to_have_value("head-only")
    train_field(tiny, "data").fill("mine.csv")
    tiny.open("bert", "BertForSequenceClassification")
    expect(train_field(tiny, "freeze").locator("option")).to_have_count(6)
    train_field(tiny, "data").fill("other.csv")
    has_choices(tiny, "", "1", "other.csv")
    tiny.open("tiny.yaml", "Tiny")
    has_choices(tiny, "head-only", "5", "mine.csv")
    tiny.reload()
    has_choices(tiny, "head-only", "5", "mine.csv")
    tiny.open("bert", "BertForSequenceClassification")
    has_choices(tiny, "", "1", "other.csv")
    train_field(tiny, "data").fill("")
