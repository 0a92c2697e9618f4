import assert from "node:assert/strict";
import { test } from "node:test";

import type { Hello, Item, State } from "../src/protocol";
import { Store, type Listener } from "../src/store";

const state: State = { phase: "idle", model: "m", tokens: { input: 0, output: 0 }, cost: null, turns: 0, branch: 0 };
const usage = { input: null, output: null, cached: null, reasoning: null };
const rest = { status: "open", model: "", usage, cost: null, ms: null, ttft: null, error: null, turn: "", branch: null } as const;

function item(id: string): Item {
  return { id, role: "assistant", speaker: "ada", parts: [], images: [], ...rest };
}

function hello(seq: number, items: Item[] = [], more = false): Hello {
  const panel = { kind: "chat", title: "Chat", height: 300, readonly: false, starters: [], agent: "ada", models: [] } as const;
  return { t: "hello", v: 1, seq, panel: { ...panel, starters: [], models: [] }, items, more, state };
}

function watched(): { store: Store; told: string[]; asked: number[] } {
  const told: string[] = [];
  const asked: number[] = [];
  const listener: Listener = {
    reset: () => told.push("reset"),
    started: (new_) => told.push(`started ${new_.id}`),
    grew: (_, part, text) => told.push(`grew ${part} ${text}`),
    changed: (_, part) => told.push(`changed ${part}`),
    ended: (old) => told.push(`ended ${old.status}`),
    paged: (items) => told.push(`paged ${items.length}`),
    state: (now) => told.push(now.phase),
    data: (name) => told.push(`data ${name}`),
  };
  const store = new Store(listener, (last) => asked.push(last));
  return { store, told, asked };
}

test("an answer grows part by part and ends whole", () => {
  const { store, told, asked } = watched();
  store.take(hello(4));
  store.take({ t: "start", seq: 5, item: item("a") });
  store.take({ t: "batch", messages: [
    { t: "delta", seq: 6, id: "a", part: 0, k: "text", off: 0, text: "Hi 🙂" },
    { t: "delta", seq: 7, id: "a", part: 0, k: "text", off: 5, text: " you" },
  ] });
  store.take({ t: "end", seq: 8, id: "a", sizes: [9], ...rest, status: "done" });
  assert.deepEqual(told, ["reset", "idle", "started a", "grew 0 Hi 🙂", "grew 0  you", "ended done"]);
  assert.deepEqual(asked, []);
});

test("a gap in the numbers, in the text or in the sizes asks for everything, once", () => {
  for (const lost of [
    [{ t: "delta", seq: 3, id: "a", part: 0, k: "text", off: 0, text: "x" }],
    [{ t: "delta", seq: 2, id: "a", part: 0, k: "text", off: 3, text: "x" }],
    [{ t: "end", seq: 2, id: "a", sizes: [5], ...rest }],
    [{ t: "tool", seq: 2, id: "a", part: 4, call: {} }],
    [{ t: "delta", seq: 2, id: "nobody", part: 0, k: "text", off: 0, text: "x" }],
  ]) {
    const { store, asked } = watched();
    store.take(hello(1, [item("a")]));
    for (const message of lost) store.take(message as never);
    store.take({ t: "state", seq: 9, state });
    assert.deepEqual(asked, [1]);
    store.take(hello(9, [item("a")]));
    store.take({ t: "state", seq: 10, state });
    assert.deepEqual(asked, [1]);
  }
});

test("what was seen already, and what came before hello, changes nothing", () => {
  const { store, told } = watched();
  store.take({ t: "start", seq: 1, item: item("a") });
  store.take(hello(3));
  store.take({ t: "start", seq: 2, item: item("b") });
  assert.deepEqual(told, ["reset", "idle"]);
});

test("older items come above, and a change of one that is not here is passed over", () => {
  const { store, told, asked } = watched();
  store.take(hello(1, [item("c")], true));
  store.take({ t: "end", seq: 2, id: "a", sizes: [], ...rest });
  store.take({ t: "page", view: "v", before: "c", items: [item("a"), item("b")], more: false });
  assert.deepEqual(store.items.map((one) => one.id), ["a", "b", "c"]);
  assert.deepEqual(asked, []);
  assert.equal(told.at(-1), "paged 2");
});

test("a kind of message that is not known is passed over", () => {
  const { store, told } = watched();
  store.take({ t: "weather", seq: 1 } as never);
  assert.deepEqual(told, []);
});

test("a page that comes twice is taken once", () => {
  const { store, told } = watched();
  store.take(hello(1, [item("b")], true));
  const page = { t: "page", view: "v", before: "b", items: [item("a")], more: false } as const;
  store.take({ ...page, items: [...page.items] });
  store.take({ ...page, items: [...page.items] });
  assert.deepEqual(store.items.map((one) => one.id), ["a", "b"]);
  assert.equal(told.filter((one) => one.startsWith("paged")).length, 1);
});
