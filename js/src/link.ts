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
  private assets = new Map<string, Promise<DataView>>();
  private assetDone = new Map<string, (buffer: DataView) => void>();
  private busy = false;
  private retry = 0;

  constructor(
    private readonly model: Model,
    private readonly view: string,
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

  /** A module of the package, loaded once for each page and version. */
  async asset<T>(name: string): Promise<T> {
    const cache = globalThis as unknown as Record<string, Promise<T> | undefined>;
    const key = `__gathering_${name}__`;
    cache[key] ??= this.fetched(name).then(async (data) => {
      const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
      const url = URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
      try {
        return (await import(url)) as T;
      } finally {
        URL.revokeObjectURL(url);
      }
    });
    return cache[key];
  }

  close(): void {
    window.clearInterval(this.retry);
    this.model.off("msg:custom", this.receive);
    this.model.off("comm_live_update", this.gone);
    for (const { timer } of this.waiting.values()) window.clearTimeout(timer);
  }

  private fetched(name: string): Promise<DataView> {
    let found = this.assets.get(name);
    if (found === undefined) {
      found = new Promise((resolve) => this.assetDone.set(name, resolve));
      this.assets.set(name, found);
      void this.ask({ t: "asset", name });
    }
    return found;
  }

  private readonly gone = (): void => {
    window.clearInterval(this.retry);
    this.onGone();
  };

  private readonly receive = (message: FromKernel, buffers: DataView[] | undefined): void => {
    const to = (message as { view?: string }).view;
    if (to !== undefined && to !== this.view) return;
    if (message.t === "ack" || message.t === "refused") this.answered(message);
    else if (message.t === "asset") {
      const buffer = buffers?.[0];
      if (buffer !== undefined) this.assetDone.get(message.name)?.(buffer);
    } else {
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
