/** One item of the log: who says it, its parts, what can be done with it. */

import { button, h } from "./dom";
import type { Formulas } from "./formulas";
import { Growing } from "./growing";
import { duration, estimate, money, tokens } from "./numbers";
import type { Item, Part } from "./protocol";
import { toolCard, type Decision } from "./toolcard";

export interface Acts {
  copy(item: Item): void;
  retry?(item: Item): void;
  edit?(item: Item, text: string): void;
  branch?(item: Item, index: number): void;
  decide(decision: Decision): void;
}

const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

export class Message {
  readonly element: HTMLElement;
  private readonly body = h("div", { class: "g-body" });
  private readonly footer = h("footer", { class: "g-footer" });
  private readonly soFar = h("span", { class: "g-meta" });
  private readonly growing = new Map<number, Growing>();
  private readonly places: HTMLElement[] = [];
  private editing = false;

  /** `acts` is null where nothing can be done: a panel for reading. */
  constructor(
    readonly item: Item,
    private readonly formulas: Formulas,
    private readonly acts: Acts | null,
  ) {
    const who = item.role === "user" ? (item.speaker || "You") : item.role === "note" ? "Note" : item.speaker;
    this.element = h("article", { class: `g-item g-${item.role}`, "data-id": item.id, "data-role": item.role, "aria-label": who });
    if (item.role !== "note") this.element.append(h("header", { class: "g-who" }, who));
    this.element.append(this.body, this.footer);
    this.draw();
  }

  /** More text of a part. */
  grow(part: number, text: string): void {
    const place = this.item.parts[part];
    if (place === undefined) return;
    if (this.places[part] === undefined) this.place(part, place);
    this.growing.get(part)?.grow(text);
    this.waits();
  }

  /** A tool call is new or has come further. */
  change(part: number): void {
    const shown = this.item.parts[part];
    if (shown === undefined) return;
    this.place(part, shown);
    this.waits();
  }

  /** The item will not grow any more. */
  end(): void {
    this.growing.forEach((text, part) => {
      const shown = this.item.parts[part];
      if (shown !== undefined && shown.k !== "tool") text.end(shown.text);
    });
    this.growing.clear();
    this.finish();
  }

  /** Begin to edit a message of the person. */
  startEdit(): void {
    if (this.acts?.edit === undefined || this.editing || this.item.role !== "user") return;
    this.editing = true;
    const box = h("textarea", { "aria-label": "Edit message", rows: 3 });
    box.value = this.text();
    const send = button("Send again", () => {
      if (box.value.trim()) this.acts?.edit?.(this.item, box.value);
    }, { kind: "g-primary" });
    const cancel = button("Cancel", () => {
      this.editing = false;
      this.draw();
      this.element.querySelector<HTMLElement>("[aria-label=Edit]")?.focus();
    });
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send.click();
      } else if (event.key === "Escape") cancel.click();
    });
    this.body.replaceChildren(box, h("div", { class: "g-row" }, send, cancel));
    this.footer.replaceChildren();
    box.focus();
  }

  /** What was said, as it was written. */
  text(): string {
    return this.item.parts.map((part) => (part.k === "text" ? part.text : "")).filter(Boolean).join("\n\n");
  }

  private draw(): void {
    this.body.replaceChildren();
    this.places.length = 0;
    this.growing.clear();
    for (const image of this.item.images) {
      if (!IMAGES.has(image.media_type)) continue;
      const source = `data:${image.media_type};base64,${image.data}`;
      const shown = h("img", { class: "g-image", src: source, alt: image.name || "an image of yours" });
      shown.addEventListener("error", () => {
        shown.replaceWith(h("p", { class: "g-error" }, "This image cannot be shown: it is damaged."));
      });
      this.body.append(shown);
    }
    this.item.parts.forEach((part, index) => {
      this.place(index, part);
      if (part.k !== "tool") this.growing.get(index)?.grow(part.text);
    });
    if (this.item.status === "open") this.waits();
    else this.end();
  }

  private place(index: number, part: Part): void {
    const element = part.k === "tool" ? this.card(part) : this.textPlace(index, part.k);
    const before = this.places[index];
    if (before === undefined) this.body.append(element);
    else {
      const had = before.contains(document.activeElement);
      before.replaceWith(element);
      if (had) element.querySelector<HTMLElement>("summary")?.focus();
    }
    this.places[index] = element;
  }

  private card(part: Part & { k: "tool" }): HTMLElement {
    const acts = this.acts;
    const decide = acts === null ? null : (decision: Decision) => { acts.decide(decision); };
    return toolCard(part.call, this.item.speaker, decide);
  }

  private textPlace(index: number, kind: "text" | "thinking"): HTMLElement {
    const growing = new Growing(this.formulas);
    this.growing.set(index, growing);
    if (kind === "text") return growing.element;
    return h("details", { class: "g-thinking" }, h("summary", {}, "Thinking"), growing.element);
  }

  /** A sign that more comes, at the end of an open item that has nothing to read yet. */
  private waits(): void {
    const empty = this.item.parts.every((part) => part.k !== "text" || part.text === "");
    this.element.classList.toggle("g-empty", empty && this.item.status === "open");
    if (this.item.status !== "open") return;
    if (this.soFar.parentNode === null) this.footer.replaceChildren(this.soFar);
    this.soFar.textContent = estimate(this.item.parts.reduce((sum, part) => sum + (part.k === "tool" ? 0 : part.text.length), 0));
  }

  private finish(): void {
    const { item } = this;
    this.element.dataset["done"] = item.status;
    this.element.classList.remove("g-empty");
    const said: Node[] = [];
    if (item.status === "stopped") said.push(h("p", { class: "g-muted g-end" }, "Stopped. What had come is kept."));
    if (item.status === "error" && item.error !== null) {
      said.push(h("p", { class: "g-error", role: "alert" }, h("span", {}, item.error.message), item.error.next ? ` ${item.error.next}` : null));
    }
    this.footer.replaceChildren(...said, this.meta(), ...this.branches(), this.buttons());
  }

  private meta(): HTMLElement {
    const { item } = this;
    if (item.role !== "assistant") return h("span", { class: "g-meta" });
    const parts = [item.model, tokens(item.usage.input, item.usage.output), money(item.cost), duration(item.ms)];
    return h("span", { class: "g-meta" }, parts.filter(Boolean).join(" · "));
  }

  private buttons(): HTMLElement {
    const { item, acts } = this;
    const row = h("span", { class: "g-acts" });
    if (item.role === "note") return row;
    if (acts !== null) row.append(button("Copy", () => { acts.copy(item); }, { kind: "g-quiet" }));
    if (acts?.edit !== undefined && item.role === "user") row.append(button("Edit", () => { this.startEdit(); }, { kind: "g-quiet" }));
    const retry = acts?.retry?.bind(acts);
    if (retry !== undefined && item.role === "assistant") row.append(button("Retry", () => { retry(item); }, { kind: "g-quiet" }));
    return row;
  }

  private branches(): Node[] {
    const { acts, item } = this;
    const branch = acts?.branch?.bind(acts);
    if (item.branch === null || branch === undefined) return [];
    const { index, count } = item.branch;
    const back = button("Version before", () => { branch(item, index - 1); }, { sign: "‹", kind: "g-quiet" });
    const on = button("Version after", () => { branch(item, index + 1); }, { sign: "›", kind: "g-quiet" });
    back.disabled = index === 0;
    on.disabled = index === count - 1;
    return [h("span", { class: "g-branch" }, back, h("span", { class: "g-meta" }, `${index + 1} of ${count}`), on)];
  }
}
