/** The list of messages: keeps a reader where they are, fetches older ones at the top. */

import { button, h } from "./dom";
import type { Formulas } from "./formulas";
import { Message, type Acts } from "./message";
import type { Item } from "./protocol";

/** Pixels from the end within which a reader follows what comes. */
const NEAR = 40;

export class Log {
  readonly element = h("div", { class: "g-frame" });
  onOlder: () => void = () => undefined;
  private readonly list = h("div", { class: "g-log", role: "log", "aria-live": "off", "aria-label": "Messages", tabindex: 0 });
  private readonly older = button("Earlier messages", () => { this.onOlder(); }, { kind: "g-quiet g-older" });
  private readonly newest = button("Newest", () => { this.toEnd(); }, { kind: "g-newest" });
  private readonly messages = new Map<string, Message>();
  private follows = true;
  private top = 0;
  // Formulas, images and folded parts change the height after they were drawn.
  private readonly sizes = new ResizeObserver(() => { this.follow(); });

  constructor(
    private readonly formulas: Formulas,
    private readonly acts: Acts | null,
  ) {
    this.newest.hidden = true;
    this.element.append(this.list, this.newest);
    this.list.addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = this.list;
      const near = scrollHeight - scrollTop - clientHeight < NEAR;
      // What grew below moves the end away; only a reader who goes up leaves it.
      if (near || scrollTop < this.top) this.follows = near;
      this.top = scrollTop;
      this.newest.hidden = this.follows;
    });
    // What a reader unfolds is to stay under their eyes.
    this.list.addEventListener("click", (event) => {
      if ((event.target as Element).closest("summary") !== null) this.follows = false;
    });
    this.sizes.observe(this.list);
  }

  /** Show these items and no others. `empty` stands there if there are none. */
  show(items: Item[], more: boolean, empty: Node | null): void {
    this.messages.clear();
    this.sizes.disconnect();
    this.sizes.observe(this.list);
    this.list.replaceChildren(this.older);
    this.older.hidden = !more;
    for (const item of items) this.add(item);
    if (items.length === 0 && empty !== null) this.list.append(empty);
    this.toEnd();
  }

  /** Older items, above. What is read stays where it is. */
  prepend(items: Item[], more: boolean): void {
    const from = this.list.scrollHeight - this.list.scrollTop;
    const made = items.map((item) => this.made(item).element);
    this.older.after(...made);
    this.older.hidden = !more;
    this.list.scrollTop = this.list.scrollHeight - from;
    this.top = this.list.scrollTop;
  }

  add(item: Item): void {
    this.list.querySelector(".g-start")?.remove();
    this.list.append(this.made(item).element);
    if (item.role === "user") this.toEnd();
    this.follow();
  }

  get(id: string): Message | undefined {
    return this.messages.get(id);
  }

  /** The person's last message. */
  lastOfPerson(): Message | undefined {
    return [...this.messages.values()].findLast((message) => message.item.role === "user");
  }

  /** Stay at the end, if the reader was there. */
  follow(): void {
    if (this.follows) this.list.scrollTop = this.list.scrollHeight;
    else this.newest.hidden = false;
  }

  private toEnd(): void {
    this.follows = true;
    this.newest.hidden = true;
    this.list.scrollTop = this.list.scrollHeight;
  }

  private made(item: Item): Message {
    const message = new Message(item, this.formulas, this.acts);
    this.messages.set(item.id, message);
    this.sizes.observe(message.element);
    return message;
  }
}
