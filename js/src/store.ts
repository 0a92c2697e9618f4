/** What a panel shows, kept in step with the kernel. No DOM: changes are told to a listener, gaps asked about. */

import type { Change, FromKernel, Hello, Item, PanelInfo, Part, State } from "./protocol";

export interface Listener {
  reset(): void;
  started?(item: Item): void;
  grew?(item: Item, part: number, text: string): void;
  changed?(item: Item, part: number): void;
  ended?(item: Item): void;
  paged?(items: Item[]): void;
  state(state: State): void;
  data?(name: string, value: unknown): void;
}

export class Store {
  items: Item[] = [];
  more = false;
  panel: PanelInfo | null = null;
  state: State | null = null;
  data = new Map<string, unknown>();
  /** The number of the last change that is shown. */
  seq = 0;
  private behind = false;

  constructor(
    private readonly listener: Listener,
    private readonly resync: (last: number) => void,
  ) {}

  /** Take a message that is for this view. */
  take(message: FromKernel): void {
    switch (message.t) {
      case "hello":
        this.hello(message);
        break;
      case "batch":
        for (const one of message.messages) this.change(one);
        break;
      case "page":
        this.page(message);
        break;
      case "start":
      case "delta":
      case "tool":
      case "end":
      case "reset":
      case "state":
      case "data":
        this.change(message);
        break;
      default: // acks and assets are the link's, and what a newer kernel says is passed over
    }
  }

  find(id: string): Item | undefined {
    return this.items.findLast((item) => item.id === id);
  }

  private page(message: FromKernel & { t: "page" }): void {
    if (message.before !== this.items[0]?.id) return; // asked for twice, or everything came anew meanwhile
    this.items.unshift(...message.items);
    this.more = message.more;
    this.listener.paged?.(message.items);
  }

  private hello(message: Hello): void {
    this.behind = false;
    this.seq = message.seq;
    this.items = message.items;
    this.more = message.more;
    this.panel = message.panel;
    this.state = message.state;
    this.listener.reset();
    this.listener.state(message.state);
  }

  private change(message: Change): void {
    if (this.panel === null || this.behind || message.seq <= this.seq) return; // hello brings it, or brought it
    if (message.seq !== this.seq + 1 || !this.apply(message)) {
      this.behind = true;
      this.resync(this.seq);
      return;
    }
    this.seq = message.seq;
  }

  /** Whether it could be applied; if not, something before it is missing. */
  private apply(message: Change): boolean {
    switch (message.t) {
      case "start":
        this.items.push(message.item);
        this.listener.started?.(message.item);
        return true;
      case "reset":
        this.items = message.items;
        this.more = message.more;
        this.listener.reset();
        return true;
      case "state":
        this.state = message.state;
        this.listener.state(message.state);
        return true;
      case "data":
        this.data.set(message.name, message.value);
        this.listener.data?.(message.name, message.value);
        return true;
      case "delta":
        return this.grow(message);
      case "tool":
        return this.tool(message);
      case "end":
        return this.end(message);
    }
  }

  private grow(message: Change & { t: "delta" }): boolean {
    const item = this.find(message.id);
    if (item === undefined) return this.isPagedOut();
    const part = partAt(item, message.part, message.off === 0 ? { k: message.k, text: "" } : null);
    if (part === undefined || part.k === "tool" || part.text.length !== message.off) return false;
    part.text += message.text;
    this.listener.grew?.(item, message.part, message.text);
    return true;
  }

  private tool(message: Change & { t: "tool" }): boolean {
    const item = this.find(message.id);
    if (item === undefined) return this.isPagedOut();
    const part = partAt(item, message.part, { k: "tool", call: message.call });
    if (part?.k !== "tool") return false;
    part.call = message.call;
    this.listener.changed?.(item, message.part);
    return true;
  }

  private end(message: Change & { t: "end" }): boolean {
    const item = this.find(message.id);
    if (item === undefined) return this.isPagedOut();
    const sizes = item.parts.map((part) => (part.k === "tool" ? 0 : part.text.length));
    if (sizes.length !== message.sizes.length || sizes.some((size, i) => size !== message.sizes[i])) return false;
    const { status, model, usage, cost, ms, ttft, error, turn, branch } = message;
    Object.assign(item, { status, model, usage, cost, ms, ttft, error, turn, branch });
    this.listener.ended?.(item);
    return true;
  }

  /** An item that is not here may be on a page that was not asked for. */
  private isPagedOut(): boolean {
    return this.more;
  }
}

function partAt(item: Item, index: number, fresh: Part | null): Part | undefined {
  if (index === item.parts.length && fresh !== null) item.parts.push(fresh);
  return item.parts[index];
}
