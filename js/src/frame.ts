/** What every panel's view has: a head, what is said of the kernel, what went wrong, and the talk with the kernel. */

import { Announcer } from "./announce";
import { h } from "./dom";
import type { Link } from "./link";
import type { Item, State, ToKernel } from "./protocol";
import { Pulse } from "./pulse";
import { Store, type Listener } from "./store";

/** Milliseconds after which the question what was missed is asked again, if it was not answered. */
const PATIENT = 40_000;

export abstract class Frame implements Listener {
  protected readonly store: Store;
  protected readonly title = h("h2", { class: "g-title" });
  protected readonly totals = h("span", { class: "g-totals" });
  protected readonly head = h("div", { class: "g-head" }, this.title, this.totals);
  protected readonly status = h("div", { class: "g-status", role: "status" });
  protected readonly problem = h("div", { class: "g-problem", role: "alert" });
  protected readonly announcer: Announcer;
  private readonly live = h("div", { class: "g-hidden", "aria-live": "polite", role: "region", "aria-label": "What is said" });
  private readonly pulse: Pulse;
  private checkAgain = 0;
  private silent = false;
  private shown = "";

  constructor(
    protected readonly root: HTMLElement,
    protected readonly link: Link,
  ) {
    this.announcer = new Announcer(this.live);
    this.store = new Store(this, (last) => { link.everything({ t: "resync", last }); });
    this.pulse = new Pulse({
      silence: () => link.silence(),
      expects: () => (this.store.state?.phase ?? "idle") !== "idle",
      check: () => { this.check(); },
    });
    link.onMessage = (message) => { this.store.take(message); };
    link.onBusy = (silent) => {
      this.silent = silent;
      this.showStatus();
    };
    link.onGone = () => {
      this.pulse.close();
      this.root.classList.remove("g-live"); // the transcript below shows itself
      this.status.textContent = "The kernel is gone. %gathering restore brings agents and conversations back.";
      this.gone();
    };
  }

  /** Lay the parts of the view out and ask the kernel for what it shows. */
  protected open(...parts: Node[]): void {
    this.root.append(this.head, ...parts, this.status, this.problem, this.live);
    this.link.everything({ t: "ready" });
  }

  close(): void {
    this.pulse.close();
    this.announcer.close();
    this.link.close();
  }

  /** Ask whether this is still what there is to show; a kernel that is busy is not asked again and again. */
  private check(): void {
    if (this.store.panel === null || performance.now() < this.checkAgain) return;
    this.checkAgain = performance.now() + PATIENT;
    void this.link.ask({ t: "check", last: this.store.seq }).then(() => { this.checkAgain = 0; });
  }

  /** Everything anew. */
  reset(): void {
    const { panel } = this.store;
    if (panel === null) return;
    this.root.setAttribute("aria-label", panel.title);
    this.root.style.height = `${panel.height}px`;
    this.title.textContent = panel.title;
    this.draw();
  }

  // What the store tells, as far as a view cares

  protected abstract draw(): void;
  started?(item: Item): void;
  grew?(item: Item, part: number, text: string): void;
  changed?(item: Item, part: number): void;
  ended?(item: Item): void;
  paged?(items: Item[]): void;
  data?(name: string, value: unknown): void;

  state(state: State): void {
    this.root.dataset["phase"] = state.phase;
    this.showStatus();
  }

  /** The kernel is gone: nothing can be asked any more. */
  protected gone(): void {
    for (const control of this.root.querySelectorAll<HTMLButtonElement>("button, input, select, textarea")) control.disabled = true;
  }

  /** What is going on, where it is not the kernel's silence. */
  protected doing(): string {
    return "";
  }

  protected showStatus(): void {
    const text = this.silent ? "The kernel is busy with a cell: your request waits until it is done." : this.doing();
    if (text === this.shown) return;
    this.shown = text;
    this.status.textContent = text;
  }

  // Asking

  /** Ask; whether it was taken. What was refused is said. */
  protected async ask(request: ToKernel, buffers: ArrayBuffer[] = []): Promise<boolean> {
    const refused = await this.link.ask(request, buffers);
    this.say(refused === null ? "" : `${refused.message} ${refused.next}`);
    return refused === null;
  }

  protected act(name: string, value: Record<string, unknown> = {}): Promise<boolean> {
    return this.ask({ t: "act", name, value });
  }

  protected say(text: string): void {
    this.problem.textContent = text.trim();
  }

  protected get readonly(): boolean {
    return this.store.panel?.readonly === true;
  }
}
