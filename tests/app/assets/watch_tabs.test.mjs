// Tabs are watched wherever the page's script begins: before Gradio has drawn them, or after.
import assert from "node:assert/strict";
import { test } from "node:test";

const { watchTabs } = await import("../../../app/archspec_app/assets/framework.js");

function stand({ isDrawn }) {
  const tabs = [{ name: "tree" }, { name: "cost" }];
  const strip = { querySelectorAll: () => tabs };
  const page = { isDrawn, observers: new Set(), tabs, strip };
  globalThis.document = { body: {}, querySelector: () => (page.isDrawn ? strip : null) };
  globalThis.MutationObserver = class {
    constructor(act) {
      this.act = act;
    }
    observe(node) {
      assert.ok(node, "not of type 'Node'");
      this.node = node;
      page.observers.add(this);
    }
    disconnect() {
      page.observers.delete(this);
    }
  };
  page.change = (node) => [...page.observers].filter((one) => one.node === node).forEach((one) => one.act());
  return page;
}

test("tabs that are there are told at once, and when they change", () => {
  const page = stand({ isDrawn: true });
  const told = [];
  watchTabs("tabs", (tabs) => told.push(tabs.length));
  page.tabs.pop();
  page.change(page.strip);
  assert.deepEqual(told, [2, 1]);
});

test("tabs that are drawn later are told then, and their page is no longer watched", () => {
  const page = stand({ isDrawn: false });
  const told = [];
  watchTabs("tabs", (tabs) => told.push(tabs.length));
  page.change(document.body);
  assert.deepEqual(told, []);
  page.isDrawn = true;
  page.change(document.body);
  page.change(document.body);
  page.change(page.strip);
  assert.deepEqual(told, [2, 2]);
  assert.equal(page.observers.size, 1);
});
