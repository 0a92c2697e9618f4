/** The view's end of the comm: numbers requests, notices silence, hands messages for this view on. */

import type { FromKernel, Model, ToKernel } from "./protocol";

/** Milliseconds without an answer after which the kernel counts as busy. */
const PATIENCE = 1000;
/** Milliseconds after which a request for everything is made again: it may have been lost. */
const AGAIN = 4000;
/** While the kernel is busy, only every so many times. */
const PATIENT_BEATS = 10;

export interface Refusal {
  message: string;
  next: string;
}

export class Link {
  /** Told when the kernel begins or ceases to be silent, and when it is gone. */
  onBusy: (busy: boolean) => void = () => undefined;
  onGone: () => void = () => undefined;
  onMessage: (message: FromKernel) => void = () => undefined;
  private count = 0;
  private waiting = new Map<number, { timer: number; done: (refusal: Refusal | null) => void }>();
  private heard = performance.now();
  private busy = false;
  private retry = 0;

  constructor(
    private readonly model: Model,
    private readonly view: string,
    /** A module of the package. */
    readonly load: (name: string) => Promise<unknown>,
  ) {
    model.on("msg:custom", this.receive);
    model.on("comm_live_update", this.gone);
  }

  /** Ask; the answer is null when it was taken, and why not otherwise. */
  ask(request: ToKernel, buffers: ArrayBuffer[] = []): Promise<Refusal | null> {
    const n = ++this.count;
    return new Promise((done) => {
      const timer = window.setTimeout(() => {
        this.say(true);
      }, PATIENCE);
      this.waiting.set(n, { timer, done });
      this.model.send({ ...request, view: this.view, n }, undefined, buffers);
    });
  }

  /** Ask for everything, until it comes. */
  everything(request: ToKernel): void {
    window.clearInterval(this.retry);
    void this.ask(request);
    let beats = 0;
    this.retry = window.setInterval(() => {
      beats += 1;
      // A kernel that is silent has the request in its queue, most likely: many more would only come back all at once.
      if (!this.busy || beats % PATIENT_BEATS === 0) void this.ask(request);
    }, AGAIN);
  }

  /** Milliseconds since the kernel said something that is for this view. */
  silence(): number {
    return performance.now() - this.heard;
  }

  close(): void {
    window.clearInterval(this.retry);
    this.model.off("msg:custom", this.receive);
    this.model.off("comm_live_update", this.gone);
    for (const { timer } of this.waiting.values()) window.clearTimeout(timer);
  }

  private readonly gone = (): void => {
    window.clearInterval(this.retry);
    this.onGone();
  };

  private readonly receive = (message: FromKernel): void => {
    const to = (message as { view?: string }).view;
    if (to !== undefined && to !== this.view) return;
    this.heard = performance.now();
    if (message.t === "ack" || message.t === "refused") this.answered(message);
    else if (message.t !== "asset") {
      if (message.t === "hello") window.clearInterval(this.retry);
      this.onMessage(message);
    }
  };

  private answered(message: FromKernel & { t: "ack" | "refused" }): void {
    const waiting = this.waiting.get(message.n);
    if (waiting === undefined) return;
    this.waiting.delete(message.n);
    window.clearTimeout(waiting.timer);
    this.say(false);
    waiting.done(message.t === "ack" ? null : { message: message.message, next: message.next });
  }

  private say(busy: boolean): void {
    if (busy === this.busy) return;
    this.busy = busy;
    this.onBusy(busy);
  }
}
