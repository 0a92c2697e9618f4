/** What a screen reader is told: whole sentences of an answer, not its tokens. */

/** Where a sentence ends; the end of the text only when it is said to be over. */
const END = /[.!?…](?=\s)|[。！？]|\n{2,}/g;
/** Characters without an end of a sentence after which what is there is said all the same: a list, a table, a language without full stops. */
const LONGEST = 600;
/** Milliseconds between two announcements. */
const PACE = 700;

/** The sentences that are complete in a text, and what is left. */
export function sentences(text: string): [string[], string] {
  const found: string[] = [];
  let from = 0;
  for (const match of text.matchAll(END)) {
    const end = match.index + match[0].length;
    const sentence = spoken(text.slice(from, end));
    if (sentence) found.push(sentence);
    from = end;
  }
  return [found, text.slice(from)];
}

/** Markdown as it is spoken: without its signs. */
export function spoken(text: string): string {
  return text
    .replace(/```[^]*?(```|$)/g, " code ")
    .replace(/!?\[([^[\]]{0,300})\]\([^)]{0,2000}\)/g, "$1")
    .replace(/[*_`#>|~]+/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

export class Announcer {
  private rest = "";
  private queue: string[] = [];
  private timer = 0;

  constructor(private readonly region: HTMLElement) {}

  /** More of an answer. */
  grow(text: string): void {
    const [done, rest] = sentences(this.rest + text);
    this.say(...done);
    const long = rest.length > LONGEST;
    if (long) this.say(...[spoken(rest)].filter((one) => one !== ""));
    this.rest = long ? "" : rest;
  }

  /** The answer is over: what is left is said. */
  end(notice = ""): void {
    this.say(...[spoken(this.rest), notice].filter((text) => text !== ""));
    this.rest = "";
  }

  say(...texts: string[]): void {
    this.queue.push(...texts);
    if (this.timer === 0 && this.queue.length > 0) this.speak();
  }

  close(): void {
    window.clearTimeout(this.timer);
  }

  private readonly speak = (): void => {
    this.timer = 0;
    if (this.queue.length === 0) return;
    const line = document.createElement("p");
    line.textContent = this.queue.splice(0).join(" ");
    this.region.append(line);
    while (this.region.childElementCount > 5) this.region.firstElementChild?.remove();
    this.timer = window.setTimeout(this.speak, PACE);
  };
}
