/** Text of an answer while it comes: finished blocks are drawn once, only the last one again. */

import type { Formulas } from "./formulas";
import { blocks, markdown } from "./render";

/** Milliseconds between two drawings, at least; more where a drawing takes long. */
const INTERVAL = 30;
/** A drawing may take this share of the time. */
const SHARE = 8;

export class Growing {
  readonly element = document.createElement("div");
  private readonly finished = document.createElement("div");
  private readonly tail = document.createElement("div");
  private text = "";
  private drawn = 0;
  private cost = 0;
  private timer = 0;

  constructor(private readonly formulas: Formulas) {
    this.element.className = "g-text";
    this.finished.className = "g-blocks";
    this.tail.className = "g-blocks";
    this.element.append(this.finished, this.tail);
  }

  /** More text. */
  grow(text: string): void {
    this.text += text;
    if (this.timer !== 0) return;
    const wait = Math.max(INTERVAL, this.cost * SHARE) - (performance.now() - this.drawn);
    if (wait <= 0) this.draw();
    else this.timer = window.setTimeout(this.draw, wait);
  }

  /** All of it, drawn in one go, so that what refers to later blocks is right. */
  end(whole: string): void {
    window.clearTimeout(this.timer);
    this.timer = 0;
    const nodes = markdown(whole);
    this.finished.replaceChildren(nodes);
    this.tail.remove();
    this.formulas.typeset(this.finished);
  }

  private readonly draw = (): void => {
    this.timer = 0;
    const begun = performance.now();
    const tokens = blocks(this.text).filter((token) => token.type !== "space");
    const last = tokens.pop();
    if (tokens.length > 0 && last !== undefined) {
      const done = markdown(tokens.map((token) => token.raw).join("\n\n"));
      this.finished.append(done);
      this.formulas.typeset(this.finished);
      this.text = last.raw;
    }
    this.tail.replaceChildren(markdown(this.text, { colour: this.text.length < 4000 }));
    this.formulas.typeset(this.tail);
    this.drawn = performance.now();
    this.cost = this.drawn - begun;
  };
}
