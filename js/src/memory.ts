/** The memory editor: rows that can be pinned, edited and forgotten, a search, and a place to add. */

import { button, h } from "./dom";
import { Frame } from "./frame";
import type { Link } from "./link";

interface Row {
  id: string;
  kind: string;
  text: string;
  tokens: number | null;
  in_context: boolean;
  why: string;
  importance: number | null;
  pinned: boolean;
  fact: boolean;
}

interface Memory {
  rows: Row[];
  total: number;
  long_term: boolean;
  found: { query: string; rows: { id: string; text: string; score: number }[] } | null;
}

export class MemoryEditor extends Frame {
  private readonly query = h("input", { type: "text", "aria-label": "Search by meaning", placeholder: "Search by meaning" });
  private readonly searching: HTMLFormElement;
  private readonly adding: HTMLFormElement;
  private readonly added = h("input", { type: "text", "aria-label": "What is to be remembered", placeholder: "Remember…", class: "g-wide" });
  private readonly list = h("div", { class: "g-board", role: "region", "aria-label": "What is remembered", tabindex: 0 });
  private editing = "";

  constructor(root: HTMLElement, link: Link) {
    super(root, link);
    const reload = button("Look again", () => void this.act("reload"), { kind: "g-quiet" });
    this.searching = form("Search", () => void this.act("search", { query: this.query.value }), this.query, "Search");
    this.adding = form("Add", () => void this.add(), this.added, "Remember");
    this.head.append(reload);
    this.open(h("div", { class: "g-bar" }, this.searching), this.list, h("div", { class: "g-bar" }, this.adding));
    this.list.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.editing !== "") this.edit("");
    });
  }

  protected draw(): void {
    const memory = this.store.data.get("memory") as Memory | undefined;
    this.adding.hidden = this.readonly || memory?.long_term !== true;
    this.searching.hidden = memory?.long_term !== true;
    if (memory === undefined) return;
    const facts = memory.rows.filter((row) => row.fact).length;
    const older = memory.total > memory.rows.length ? `, the newest ${memory.rows.length} are shown` : "";
    this.totals.textContent = `${memory.total.toLocaleString("en")} rows, ${facts} of them facts${older}`;
    const focused = this.focused();
    const rows = memory.rows.map((row) => this.row(row));
    const empty = h("p", { class: "g-muted" }, "Nothing is remembered yet.");
    this.list.replaceChildren(...(memory.found === null ? [] : [this.found(memory.found)]), ...(rows.length > 0 ? rows : [empty]));
    this.refocus(focused);
  }

  override data(): void {
    this.draw();
  }

  private found(found: NonNullable<Memory["found"]>): HTMLElement {
    const rows = found.rows.map((row) => h("li", {}, h("span", { class: "g-figure" }, row.score.toFixed(2)), ` ${row.text}`));
    const none = h("p", { class: "g-muted" }, "Nothing fits.");
    const clear = button("Clear the search", () => {
      this.query.value = "";
      void this.act("search", { query: "" });
    }, { kind: "g-quiet" });
    const label = `Found for “${found.query}”`;
    return h("section", { class: "g-found", "aria-label": label }, h("h3", {}, label, clear), rows.length > 0 ? h("ol", {}, ...rows) : none);
  }

  private row(row: Row): HTMLElement {
    const meta = [row.kind, row.in_context ? "in the context" : "not in the context", row.why, row.tokens === null ? "" : `${row.tokens} tokens`];
    if (row.importance !== null) meta.push(`importance ${row.importance}`);
    const element = h("article", { class: "g-row-card", "data-id": row.id, "data-pinned": row.pinned, "data-context": row.in_context, "aria-label": row.text.slice(0, 80) });
    element.append(
      this.editing === row.id ? this.editor(row) : h("p", { class: "g-row-text" }, row.text),
      h("div", { class: "g-row" }, h("span", { class: "g-meta" }, meta.filter(Boolean).join(" · ")), this.readonly ? null : this.buttons(row)),
    );
    return element;
  }

  private buttons(row: Row): HTMLElement {
    const place = h("span", { class: "g-acts" });
    if (row.fact) {
      const pin = button(row.pinned ? "Unpin" : "Pin", () => void this.act("pin", { id: row.id, pinned: !row.pinned }), { kind: "g-quiet" });
      pin.setAttribute("aria-pressed", String(row.pinned));
      place.append(pin);
    }
    place.append(button("Edit", () => { this.edit(row.id); }, { kind: "g-quiet" }));
    if (row.fact) place.append(this.forget(row));
    return place;
  }

  /** The first press asks, the second forgets: text and vector are gone then. */
  private forget(row: Row): HTMLButtonElement {
    const forget = button("Forget", () => {
      if (forget.dataset["sure"] === undefined) {
        forget.dataset["sure"] = "";
        forget.textContent = "Really forget?";
      } else void this.act("forget", { id: row.id });
    }, { kind: "g-quiet" });
    forget.addEventListener("blur", () => {
      delete forget.dataset["sure"];
      forget.textContent = "Forget";
    });
    return forget;
  }

  private editor(row: Row): HTMLElement {
    const text = h("textarea", { "aria-label": "Text", rows: 3 });
    text.value = row.text;
    const importance = h("input", { type: "number", "aria-label": "Importance, from 0 to 1", min: 0, max: 1, step: 0.1, value: row.importance ?? 0.5 });
    const keep = button("Save", () => void this.save(row, text.value, row.fact ? importance.valueAsNumber : null), { kind: "g-primary" });
    const cancel = button("Cancel", () => { this.edit(""); });
    return h("div", { class: "g-edit" }, text, h("div", { class: "g-row" }, row.fact ? importance : null, keep, cancel));
  }

  private edit(id: string): void {
    const before = this.editing;
    this.editing = id;
    this.draw();
    const card = this.list.querySelector(`[data-id="${CSS.escape(id || before)}"]`);
    const place = id === "" ? [...(card?.querySelectorAll("button") ?? [])].find((one) => one.textContent === "Edit") : card?.querySelector("textarea");
    place?.focus();
  }

  private async save(row: Row, text: string, importance: number | null): Promise<void> {
    const value = importance === null || Number.isNaN(importance) ? {} : { importance };
    if (await this.act("edit", { id: row.id, text, ...value })) this.edit("");
  }

  private async add(): Promise<void> {
    if (await this.act("add", { text: this.added.value })) this.added.value = "";
  }

  /** Which button has the focus, so that a change of the rows does not take it away. */
  private focused(): [string, number] | null {
    const at = document.activeElement ?? null;
    const root = this.root.getRootNode();
    const active = root instanceof ShadowRoot ? root.activeElement : at;
    const card = active?.closest<HTMLElement>("[data-id]");
    return card === null || card === undefined || active === null ? null : [card.dataset["id"] ?? "", [...card.querySelectorAll("button, textarea, input")].indexOf(active)];
  }

  private refocus(place: [string, number] | null): void {
    if (place === null) return;
    const card = this.list.querySelector(`[data-id="${CSS.escape(place[0])}"]`);
    const controls = card === null ? null : card.querySelectorAll<HTMLElement>("button, textarea, input");
    if (controls !== null) (controls[place[1]] ?? controls[0])?.focus();
    else this.list.focus();
  }
}

/** A field and a button that are one form. */
function form(label: string, act: () => void, field: HTMLElement, name: string): HTMLFormElement {
  const made = h("form", { class: "g-row", "aria-label": label }, field, h("button", { type: "submit", class: "g-button" }, name));
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
  return made;
}
