// Which language a browser gets, and that every language says everything with the same names in it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileLibrary } from "./compile.mjs";

const { fill, messages, preferred } = (await compileLibrary()).load("messages");
const offered = ["en", "de", "fr"];

test("the language that a browser prefers of those that are offered", () => {
  /** @type {[header: string | null, want: string, why: string][]} */
  const rows = [
    [null, "en", "none is said"],
    ["", "en", "an empty one"],
    ["de", "de", "the plain name"],
    ["de-AT", "de", "a region is ignored"],
    ["DE-at", "de", "names have no case"],
    ["pt-BR,fr;q=0.3", "fr", "the first is not offered"],
    ["fr;q=0.5,de;q=0.7", "de", "the higher quality, not the first place"],
    ["fr, de", "fr", "the first of two that are equal"],
    ["de;q=0,fr;q=0.1", "fr", "a quality of nought is a refusal"],
    ["de;q=0", "en", "and alone leads to the first"],
    ["*", "en", "any"],
    ["deutsch", "en", "a longer name is another"],
    ["x-de", "en", "a private one"],
    ["__proto__,constructor", "en", "names of JavaScript's own"],
    [`${"x,".repeat(5000)}de`, "en", "a header that is far too long is not read to its end"],
  ];
  for (const [header, want, why] of rows) {
    assert.equal(preferred(header, offered), want, why);
  }
  assert.equal(preferred("en", ["de"]), "de", "an app with one language speaks it");
  assert.equal(preferred("de", []), undefined);
});

test("every language says everything, with the same names in it", () => {
  const names = (/** @type {string} */ text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
  for (const [language, all] of Object.entries(messages)) {
    assert.deepEqual(Object.keys(all), Object.keys(messages.en), language);
    const english = new Map(Object.entries(messages.en));
    for (const [key, text] of Object.entries(all)) {
      assert.deepEqual(names(text), names(english.get(key) ?? ""), `${language}: ${key}`);
      assert.notEqual(text.trim(), "", `${language}: ${key}`);
    }
  }
});

test("only the names that are given are replaced", () => {
  assert.equal(fill("{a} and {b}", { a: "{b}" }), "{b} and {b}", "a value is not read again");
  assert.equal(fill("{toString}", {}), "{toString}");
});
