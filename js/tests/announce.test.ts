import assert from "node:assert/strict";
import { test } from "node:test";

import { sentences, spoken } from "../src/announce";
import { duration, estimate, money, tokens } from "../src/numbers";

test("only whole sentences are said, the rest waits", () => {
  assert.deepEqual(sentences("One. Two! Thr"), [["One.", "Two!"], " Thr"]);
  assert.deepEqual(sentences("3.14 is not an end"), [[], "3.14 is not an end"]);
  assert.deepEqual(sentences("これは文です。次"), [["これは文です。"], "次"]);
  assert.deepEqual(sentences(""), [[], ""]);
});

test("Markdown is spoken without its signs", () => {
  assert.equal(spoken("**Bold** and [a link](https://x.y), `code`"), "Bold and a link, code");
  assert.equal(spoken("```python\nx = 1\n```"), "code");
});

test("figures are read as people write them", () => {
  assert.equal(tokens(1234, 5), "1,234 in, 5 out");
  assert.deepEqual([tokens(null, 5), tokens(0, 0)], ["", ""]);
  assert.deepEqual([estimate(0), estimate(1), estimate(5000)], ["", "about 1 tokens so far", "about 1,250 tokens so far"]);
  assert.deepEqual([money(null), money(0), money(0.00042), money(1.5)], ["", "", "$0.00042", "$1.50"]);
  assert.deepEqual([duration(null), duration(12.4), duration(1500)], ["", "12 ms", "1.5 s"]);
});
