import assert from "node:assert/strict";
import test from "node:test";

import { wordDiff } from "../src/worddiff";

function kinds(base: string, text: string): string {
  return wordDiff(base, text).map((piece) => `${{ same: "=", added: "+", missing: "-" }[piece.kind]}${piece.text}`).join("|");
}

test("what is the same, new and missing is told apart, word by word", () => {
  assert.equal(kinds("the cat sat", "the dog sat"), "=the |-cat |+dog |=sat");
  assert.equal(kinds("a b", "a b"), "=a b");
  assert.equal(kinds("", "new text"), "+new text");
  assert.equal(kinds("old text", ""), "-old text");
  assert.equal(kinds("", ""), "");
});

test("both texts can be read out of the pieces, whatever they are", () => {
  const vocabulary = ["a ", "b ", "c\n", "🙂 ", "d"];
  let seed = 7;
  const next = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % below;
  };
  for (let round = 0; round < 300; round += 1) {
    const text = (): string => Array.from({ length: next(12) }, () => vocabulary[next(5)]).join("");
    const [base, other] = [text(), text()];
    const pieces = wordDiff(base, other);
    assert.equal(pieces.filter((p) => p.kind !== "added").map((p) => p.text).join(""), base);
    assert.equal(pieces.filter((p) => p.kind !== "missing").map((p) => p.text).join(""), other);
  }
});

test("texts that are very long are compared as wholes", () => {
  const base = "word ".repeat(4000);
  assert.deepEqual(wordDiff(base, "short").map((piece) => piece.kind), ["missing", "added"]);
});
