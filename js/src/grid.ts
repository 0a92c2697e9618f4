/** The comparison grid: a column for each model, a row for each case, answers streaming into their cells. */

import { button, h } from "./dom";
import { Formulas, type MathModule } from "./formulas";
import { Frame } from "./frame";
import { Growing } from "./growing";
import type { Link } from "./link";
import { duration, money, tokens } from "./numbers";
import type { Item } from "./protocol";
import { wordDiff } from "./worddiff";

interface Plan {
  models: string[];
  repeats: number;
  cases: { row: number; id: string; prompt: string }[];
  start: number;
  size: number;
  count: number;
  of: number;
  sort: string;
  down: boolean;
  filter: string;
  notes: string[];
}

const SORTS: Record<string, string> = { case: "the order of the cases", latency: "latency", tokens: "tokens", cost: "cost", length: "length" };
/** Width of the narrowest column, in the size of its letters. */
const NARROWEST = 9;
/** Milliseconds after the last key until the filter is applied. */
const TYPING = 250;

export class Grid extends Frame {
  private readonly base = h("select", { "aria-label": "Mark what differs from" });
  private readonly sort = h("select", { "aria-label": "Sort by" }, ...Object.entries(SORTS).map(([value, name]) => h("option", { value }, name)));
  private readonly down = h("input", { type: "checkbox", id: `g-down-${Math.random().toString(36).slice(2)}` });
  private readonly filter = h("input", { type: "text", "aria-label": "Only cases with this text", placeholder: "Only cases with this text" });
  private readonly before = button("Cases before", () => { this.turn(-1); }, { sign: "‹" });
  private readonly after = button("Cases after", () => { this.turn(1); }, { sign: "›" });
  private readonly where = h("span", { class: "g-meta" });
  private readonly progress = h("progress", { "aria-label": "Answers", max: 1 });
  private readonly board = h("div", { class: "g-board", role: "region", "aria-label": "Answers side by side", tabindex: 0 });
  private readonly cells = new Map<string, Cell>();
  private readonly formulas = new Formulas(() => this.link.load("math.js") as Promise<MathModule>);
  private typed = 0;

  constructor(root: HTMLElement, link: Link) {
    super(root, link);
    this.base.addEventListener("change", () => { this.mark(); });
    this.sort.addEventListener("change", () => { this.look(); });
    this.down.addEventListener("change", () => { this.look(); });
    this.filter.addEventListener("input", () => {
      window.clearTimeout(this.typed);
      this.typed = window.setTimeout(() => { this.look(); }, TYPING);
    });
    this.head.append(this.progress);
    const descending = h("label", { for: this.down.id, class: "g-meta" }, "largest first");
    const order = h("span", { class: "g-row" }, this.sort, this.down, descending);
    const pages = h("span", { class: "g-row g-pages" }, this.before, this.where, this.after);
    const tools = h("div", { class: "g-row g-bar" }, this.filter, order, this.base, pages);
    this.open(tools, this.board);
  }

  override close(): void {
    window.clearTimeout(this.typed);
    super.close();
  }

  protected draw(): void {
    const plan = this.plan();
    if (plan === undefined) return;
    const chosen = this.base.value;
    this.base.replaceChildren(h("option", { value: "" }, "mark no differences"), ...plan.models.map((name) => h("option", { value: name }, `differences from ${name}`)));
    this.base.value = plan.models.includes(chosen) ? chosen : "";
    this.sort.value = plan.sort;
    this.down.checked = plan.down;
    if (this.filter !== this.active()) this.filter.value = plan.filter;
    this.where.textContent = plan.count === 0 ? "no case has this" : `${plan.start + 1} to ${plan.start + plan.cases.length} of ${plan.count}${plan.count < plan.of ? ` (${plan.of} in all)` : ""}`;
    this.before.disabled = plan.start === 0;
    this.before.hidden = this.after.hidden = plan.count <= plan.size;
    this.after.disabled = plan.start + plan.size >= plan.count;
    this.cells.clear();
    const head = h("tr", {}, h("th", { scope: "col" }, "Case"), ...plan.models.map((name) => h("th", { scope: "col" }, name)));
    const rows = plan.cases.map((one) => this.row(one, plan));
    const notes = plan.notes.map((note) => h("p", { class: "g-muted" }, note));
    const table = h("table", { class: "g-grid" }, h("thead", {}, head), h("tbody", {}, ...rows));
    table.style.minWidth = `${NARROWEST * (plan.models.length + 1)}em`; // more columns than fit are scrolled to, not squeezed
    this.board.replaceChildren(table, ...notes);
    for (const item of this.store.items) this.cell(item)?.show(item);
    this.mark();
  }

  override data(name: string, value: unknown): void {
    if (name === "grid") this.draw();
    if (name === "progress") this.counted(value as { done: number; total: number });
  }

  override started(item: Item): void {
    this.cell(item)?.show(item);
  }

  override grew(item: Item, part: number, text: string): void {
    if (item.parts[part]?.k === "text") this.cell(item)?.grow(text);
  }

  override ended(item: Item): void {
    this.cell(item)?.show(item);
    this.mark();
  }

  private plan(): Plan | undefined {
    return this.store.data.get("grid") as Plan | undefined;
  }

  private counted({ done, total }: { done: number; total: number }): void {
    this.progress.max = total;
    this.progress.value = done;
    this.progress.hidden = done >= total;
    this.totals.textContent = `${done} of ${total} answers`;
    if (done === total && done > 0) this.announcer.say("All answers are there.");
  }

  private row(one: Plan["cases"][number], plan: Plan): HTMLElement {
    const columns = plan.models.map((model) => {
      const places = Array.from({ length: plan.repeats }, (_, k) => {
        const cell = new Cell(this.formulas, plan.repeats > 1 ? `repeat ${k + 1}` : "");
        this.cells.set(key(one.row, model, k + 1), cell);
        return cell.element;
      });
      return h("td", {}, ...places);
    });
    return h("tr", {}, h("th", { scope: "row" }, h("span", { class: "g-meta" }, one.id), h("p", {}, one.prompt)), ...columns);
  }

  private cell(item: Item): Cell | undefined {
    return item.cell === undefined ? undefined : this.cells.get(key(Number(item.cell.row), item.cell.column, item.cell.repeat));
  }

  /** Mark word by word what differs from the chosen column. */
  private mark(): void {
    const chosen = this.base.value;
    for (const [place, cell] of this.cells) {
      const { row, model, repeat } = read(place);
      const base = chosen === "" || chosen === model ? undefined : this.cells.get(key(row, chosen, repeat));
      cell.compare(base?.whole() ?? null);
    }
  }

  private look(start = 0): void {
    void this.act("look", { start, sort: this.sort.value, down: this.down.checked, filter: this.filter.value });
  }

  private turn(pages: number): void {
    const plan = this.plan();
    if (plan !== undefined) this.look(plan.start + pages * plan.size);
  }

  private active(): Element | null {
    const root = this.root.getRootNode();
    return root instanceof ShadowRoot ? root.activeElement : document.activeElement;
  }
}

/** One answer. */
class Cell {
  readonly element: HTMLElement;
  private readonly body = h("div", { class: "g-body" });
  private readonly foot = h("footer", { class: "g-meta" });
  private growing: Growing | null = null;
  private item: Item | null = null;
  private compared: [string, string] | null = null;

  constructor(
    private readonly formulas: Formulas,
    label: string,
  ) {
    this.element = h("article", { class: "g-cell", "data-done": "waits" }, label === "" ? null : h("span", { class: "g-label" }, label), this.body, this.foot);
  }

  /** The answer as far as it has come. */
  show(item: Item): void {
    this.item = item;
    this.compared = null;
    const open = item.status === "open";
    this.element.dataset["done"] = item.status;
    this.growing = new Growing(this.formulas);
    this.growing.grow(this.text());
    if (!open) this.growing.end(this.text());
    this.body.replaceChildren(this.growing.element);
    if (item.error !== null) this.body.append(h("p", { class: "g-error" }, item.error.message));
    if (item.status === "stopped") this.body.append(h("p", { class: "g-muted" }, "Stopped."));
    const figures = [duration(item.ms), tokens(item.usage.input, item.usage.output), money(item.cost)];
    this.foot.textContent = open ? "…" : figures.filter(Boolean).join(" · ");
  }

  grow(text: string): void {
    this.growing?.grow(text);
  }

  /** The text of an answer that is whole; null of one that is not, or that failed: its error is what is to be read. */
  whole(): string | null {
    return this.item === null || this.item.status === "open" || this.item.status === "error" ? null : this.text();
  }

  /** Show what differs from another answer; as it is, for null. */
  compare(base: string | null): void {
    const marked = this.element.dataset["marked"] !== undefined;
    const text = this.whole();
    if (this.item === null || text === null || (base === null && !marked)) return;
    if (base === null) {
      delete this.element.dataset["marked"];
      this.show(this.item);
      return;
    }
    if (this.compared?.[0] === base && this.compared[1] === text) return;
    this.compared = [base, text];
    this.element.dataset["marked"] = "";
    const pieces = wordDiff(base, text).map((piece) => (piece.kind === "same" ? piece.text : h(piece.kind === "added" ? "ins" : "del", {}, piece.text)));
    this.body.replaceChildren(h("p", { class: "g-diff" }, ...pieces));
  }

  private text(): string {
    return (this.item?.parts ?? []).map((part) => (part.k === "text" ? part.text : "")).join("");
  }
}

function key(row: number, model: string, repeat: number): string {
  return JSON.stringify([row, model, repeat]);
}

function read(place: string): { row: number; model: string; repeat: number } {
  const [row, model, repeat] = JSON.parse(place) as [number, string, number];
  return { row, model, repeat };
}
