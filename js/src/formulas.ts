/** Puts formulas in the place of their source, once the module that reads them is there. */

import { mathml } from "./render";

export interface MathModule {
  toMathML(tex: string, display: boolean): string;
}

export class Formulas {
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
    for (const span of found) this.set(span, this.module);
  }

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
