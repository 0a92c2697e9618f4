/** Puts formulas in the place of their source, once the module that reads them is there. */

import { mathml } from "./render";

export interface MathModule {
  toMathML(tex: string, display: boolean): string;
}

/** Formulas of one text that are typeset; those after them stay as they were written. */
const MOST = 2000;
/** Milliseconds for formulas in one go; the page draws and listens in between. */
const SLICE = 10;

export class Formulas {
  private queue: HTMLElement[] = [];
  private timer = 0;
  private module: MathModule | null = null;
  private loading = false;
  private waiting = new Set<ParentNode>();

  constructor(private readonly load: () => Promise<MathModule>) {}

  /** Typeset the formulas inside, now or as soon as it can be done. */
  typeset(inside: ParentNode): void {
    const found = inside.querySelectorAll<HTMLElement>("span[data-math]");
    if (found.length === 0) return;
    if (this.module === null) {
      this.waiting.add(inside);
      this.begin();
      return;
    }
    const room = MOST - inside.querySelectorAll(".g-math").length;
    const queued = new Set(this.queue);
    for (const span of [...found].slice(0, Math.max(0, room))) if (!queued.has(span)) this.queue.push(span);
    if (this.timer === 0) this.work();
  }

  /** Typeset what is queued for as long as a slice is; the rest later. What was drawn anew meanwhile is left out. */
  private readonly work = (): void => {
    this.timer = 0;
    if (this.module === null) return;
    const end = performance.now() + SLICE;
    let done = 0;
    for (; done < this.queue.length && performance.now() < end; done += 1) {
      const span = this.queue[done];
      if (span?.isConnected === true) this.set(span, this.module);
    }
    this.queue = this.queue.slice(done);
    if (this.queue.length > 0) this.timer = window.setTimeout(this.work, 0);
  };

  private set(span: HTMLElement, module: MathModule): void {
    const tex = span.title;
    const made = mathml(module.toMathML(tex, span.dataset["math"] === "display"));
    if (made.querySelector("math") === null) return;
    span.replaceChildren(made);
    span.removeAttribute("title");
    span.classList.add("g-math");
    span.dataset["shown"] = span.dataset["math"] ?? "";
    if (span.dataset["math"] === "display") span.tabIndex = 0; // a wide one is scrolled with the keyboard
    delete span.dataset["math"];
  }

  private begin(): void {
    if (this.loading) return;
    this.loading = true;
    this.load().then(
      (module) => {
        this.module = module;
        const waiting = [...this.waiting];
        this.waiting.clear();
        for (const inside of waiting) this.typeset(inside);
      },
      () => {
        this.loading = false; // the source stays readable; the next formula tries again
      },
    );
  }
}
