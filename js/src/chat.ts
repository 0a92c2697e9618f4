/** The chat panel, and the view of a conversation: a log, a composer, and what a person does with them. */

import { Composer, type Draft } from "./composer";
import { h } from "./dom";
import { Formulas, type MathModule } from "./formulas";
import { Frame } from "./frame";
import type { Link } from "./link";
import { Log } from "./log";
import type { Acts } from "./message";
import { money, tokens } from "./numbers";
import type { Item, State } from "./protocol";
import { TalkBar } from "./talkbar";

export class Chat extends Frame {
  private readonly composer: Composer;
  private readonly models = h("select", { "aria-label": "Model", class: "g-models" });
  private readonly talk: TalkBar | null;
  private log: Log;

  constructor(root: HTMLElement, link: Link, kind: "chat" | "conversation") {
    super(root, link);
    this.talk = kind === "conversation" ? new TalkBar((name, value) => this.act(name, value)) : null;
    this.composer = new Composer(this.talk === null);
    this.log = this.newLog(false);
    this.composer.onSend = (draft) => void this.send(draft);
    this.composer.onStop = () => void this.ask({ t: "stop" });
    this.composer.onUp = () => { if (this.talk === null) this.log.lastOfPerson()?.startEdit(); };
    this.composer.onProblem = (text) => { this.say(text); };
    this.models.addEventListener("change", () => void this.choose(this.models.value));
    this.head.append(this.models);
    this.open(this.log.element, ...(this.talk === null ? [] : [this.talk.element]));
    this.problem.after(this.composer.element);
    this.takeDrops();
  }

  // What the store tells

  protected draw(): void {
    const { panel, items, more } = this.store;
    if (panel === null) return;
    this.title.textContent = panel.agent;
    this.composer.element.hidden = panel.readonly;
    if (this.talk !== null) this.talk.element.hidden = panel.readonly;
    this.offer(panel.models);
    const log = this.newLog(panel.readonly);
    this.log.element.replaceWith(log.element);
    this.log = log;
    log.show(items, more, this.start());
  }

  override started(item: Item): void {
    this.log.add(item);
  }

  override grew(item: Item, part: number, text: string): void {
    this.log.get(item.id)?.grow(part, text);
    if (item.parts[part]?.k === "text") this.announcer.grow(text);
    this.log.follow();
  }

  override changed(item: Item, part: number): void {
    this.log.get(item.id)?.change(part);
    const shown = item.parts[part];
    if (shown?.k === "tool" && shown.call.state === "asked") {
      this.announcer.say(`${item.speaker} asks to use ${shown.call.name}. Allow or deny it.`);
    }
    this.showStatus();
    this.log.follow();
  }

  override ended(item: Item): void {
    this.log.get(item.id)?.end();
    if (item.role === "assistant") this.announcer.end(item.status === "stopped" ? "Stopped." : "");
    this.log.follow();
  }

  override paged(items: Item[]): void {
    this.log.prepend(items, this.store.more);
  }

  override state(state: State): void {
    super.state(state);
    this.composer.phase(state.phase === "answering");
    this.talk?.phase(state.phase === "answering");
    this.models.disabled = state.phase !== "idle";
    this.totals.textContent = [state.turns > 0 ? tokens(state.tokens.input, state.tokens.output) : "", money(state.cost)].filter(Boolean).join(" · ");
    const known = [...this.models.options].map((option) => option.value);
    if (!known.includes(state.model)) this.offer([state.model, ...known]);
    this.models.value = state.model;
  }

  override data(name: string, value: unknown): void {
    if (name === "talk") this.talk?.take(value);
  }

  // What the person does

  private acts(): Acts {
    const both = {
      copy: (item: Item) => void this.copy(item),
      decide: (decision: Parameters<Acts["decide"]>[0]) => void this.ask({ t: "decide", ...decision }),
    };
    if (this.talk !== null) return both; // who speaks next is the conversation's rule, not the reader's
    return {
      ...both,
      retry: (item) => void this.ask({ t: "retry", id: item.id }),
      edit: (item, text) => void this.ask({ t: "edit", id: item.id, text }),
      branch: (item, index) => void this.ask({ t: "branch", id: item.id, index }),
    };
  }

  private async send(draft: Draft): Promise<void> {
    const files = draft.files.map((file) => ({ name: file.name, media_type: file.type }));
    const buffers = await Promise.all(draft.files.map((file) => file.arrayBuffer())).catch(() => null);
    if (buffers === null) {
      this.say("A file cannot be read, it was moved or is a folder: remove it, and attach it again.");
      this.composer.restore(draft);
      return;
    }
    if (!(await this.ask({ t: "send", text: draft.text, files }, buffers))) this.composer.restore(draft);
  }

  private async choose(name: string): Promise<void> {
    // One that was refused does not stay chosen.
    if (!(await this.ask({ t: "model", name }))) this.models.value = this.store.state?.model ?? "";
  }

  private async copy(item: Item): Promise<void> {
    const text = this.log.get(item.id)?.text() ?? "";
    try {
      await navigator.clipboard.writeText(text);
      this.announcer.say("Copied.");
    } catch {
      this.say("The browser does not let a page copy here: mark the text and copy it.");
    }
  }

  private takeDrops(): void {
    this.root.addEventListener("dragover", (event) => {
      if (event.dataTransfer?.types.includes("Files") !== true || this.talk !== null || this.store.panel?.readonly === true) return;
      event.preventDefault();
      this.root.classList.add("g-drop");
    });
    this.root.addEventListener("dragleave", () => { this.root.classList.remove("g-drop"); });
    this.root.addEventListener("drop", (event) => {
      this.root.classList.remove("g-drop");
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length === 0 || this.talk !== null || this.store.panel?.readonly === true) return;
      event.preventDefault();
      event.stopPropagation();
      this.composer.attach(files);
      this.composer.focus();
    });
  }

  // What is shown beside the log

  private newLog(readonly: boolean): Log {
    const log = new Log(new Formulas(() => this.link.load("math.js") as Promise<MathModule>), readonly ? null : this.acts());
    log.onOlder = () => {
      const first = this.store.items[0];
      if (first !== undefined) void this.ask({ t: "page", before: first.id });
    };
    return log;
  }

  private start(): HTMLElement {
    const panel = this.store.panel;
    const place = h("div", { class: "g-start" }, h("p", { class: "g-muted" }, "Nothing was said yet."));
    if (panel === null || panel.readonly) return place;
    for (const text of panel.starters) {
      const starter = h("button", { type: "button", class: "g-button g-starter" }, text);
      starter.addEventListener("click", () => void this.send({ text, files: [] }));
      place.append(starter);
    }
    return place;
  }

  private offer(models: string[]): void {
    this.models.replaceChildren(...models.map((name) => h("option", { value: name }, name)));
    this.models.hidden = this.store.panel?.readonly === true || models.length < 2;
  }

  protected override doing(): string {
    const phase = this.store.state?.phase;
    const agent = this.store.panel?.agent ?? "the agent";
    const asked = phase === "answering" ? this.asked() : undefined;
    if (asked !== undefined) return `${asked} waits for your decision`;
    if (this.talk !== null) return phase === "answering" ? "The conversation goes on" : "";
    if (phase === "answering") return `${agent} is answering`;
    return phase === "cell" ? `A cell is using ${agent} just now.` : "";
  }

  /** Who waits for the person's word on a tool call. */
  private asked(): string | undefined {
    return this.store.items.findLast((item) => item.status === "open" && item.parts.some((part) => part.k === "tool" && part.call.state === "asked"))?.speaker;
  }

  protected override gone(): void {
    this.composer.element.hidden = true;
    this.models.disabled = true;
    if (this.talk !== null) this.talk.element.hidden = true;
  }
}
