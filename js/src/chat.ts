/** The chat panel: a log, a composer, and what a person does with them. */

import { Announcer } from "./announce";
import { Composer, type Draft } from "./composer";
import { h } from "./dom";
import { Formulas, type MathModule } from "./formulas";
import type { Link } from "./link";
import { Log } from "./log";
import { money, tokens } from "./numbers";
import type { Item, State, ToKernel } from "./protocol";
import { Store, type Listener } from "./store";
import type { Acts } from "./message";

export class Chat implements Listener {
  private readonly store: Store;
  private readonly composer = new Composer();
  private readonly title = h("h2", { class: "g-title" });
  private readonly models = h("select", { "aria-label": "Model", class: "g-models" });
  private readonly totals = h("span", { class: "g-totals" });
  private readonly status = h("div", { class: "g-status", role: "status" });
  private readonly problem = h("div", { class: "g-problem", role: "alert" });
  private readonly live = h("div", { class: "g-hidden", "aria-live": "polite", role: "region", "aria-label": "What is said" });
  private readonly announcer = new Announcer(this.live);
  private log: Log;
  private silent = false;
  private shown = "";

  constructor(
    private readonly root: HTMLElement,
    private readonly link: Link,
  ) {
    this.store = new Store(this, (last) => { link.everything({ t: "resync", last }); });
    this.log = this.newLog(false);
    link.onMessage = (message) => { this.store.take(message); };
    link.onBusy = (silent) => {
      this.silent = silent;
      this.showStatus();
    };
    link.onGone = () => { this.gone(); };
    this.composer.onSend = (draft) => void this.send(draft);
    this.composer.onStop = () => { this.ask({ t: "stop" }); };
    this.composer.onUp = () => { this.log.lastOfPerson()?.startEdit(); };
    this.composer.onProblem = (text) => { this.say(text); };
    this.models.addEventListener("change", () => { this.ask({ t: "model", name: this.models.value }); });
    this.root.append(
      h("div", { class: "g-head" }, this.title, this.totals, this.models),
      this.log.element,
      this.status,
      this.problem,
      this.composer.element,
      this.live,
    );
    this.takeDrops();
    link.everything({ t: "ready" });
  }

  close(): void {
    this.announcer.close();
    this.link.close();
  }

  // What the store tells

  reset(): void {
    const { panel, items, more } = this.store;
    if (panel === null) return;
    this.root.setAttribute("aria-label", panel.title);
    this.root.style.height = `${panel.height}px`;
    this.title.textContent = panel.agent;
    this.composer.element.hidden = panel.readonly;
    this.models.hidden = panel.readonly || panel.models.length < 2;
    this.offer(panel.models);
    const log = this.newLog(panel.readonly);
    this.log.element.replaceWith(log.element);
    this.log = log;
    log.show(items, more, this.start());
  }

  started(item: Item): void {
    this.log.add(item);
  }

  grew(item: Item, part: number, text: string): void {
    this.log.get(item.id)?.grow(part, text);
    if (item.parts[part]?.k === "text") this.announcer.grow(text);
    this.log.follow();
  }

  changed(item: Item, part: number): void {
    this.log.get(item.id)?.change(part);
    const shown = item.parts[part];
    if (shown?.k === "tool" && shown.call.state === "asked") {
      this.announcer.say(`${item.speaker} asks to use ${shown.call.name}. Allow or deny it.`);
    }
    this.log.follow();
  }

  ended(item: Item): void {
    this.log.get(item.id)?.end();
    if (item.role === "assistant") this.announcer.end(item.status === "stopped" ? "Stopped." : "");
    this.log.follow();
  }

  paged(items: Item[]): void {
    this.log.prepend(items, this.store.more);
  }

  state(state: State): void {
    this.composer.phase(state.phase === "answering");
    this.models.disabled = state.phase !== "idle";
    this.totals.textContent = [state.turns > 0 ? tokens(state.tokens.input, state.tokens.output) : "", money(state.cost)].filter(Boolean).join(" · ");
    const known = [...this.models.options].map((option) => option.value);
    if (!known.includes(state.model)) this.offer([state.model, ...known]);
    this.models.value = state.model;
    this.showStatus();
  }

  data(): void {
    // a chat has no values beside its items
  }

  // What the person does

  private readonly acts: Acts = {
    copy: (item) => void this.copy(item),
    retry: (item) => { this.ask({ t: "retry", id: item.id }); },
    edit: (item, text) => { this.ask({ t: "edit", id: item.id, text }); },
    branch: (item, index) => { this.ask({ t: "branch", id: item.id, index }); },
    decide: (decision) => { this.ask({ t: "decide", ...decision }); },
  };

  private async send(draft: Draft): Promise<void> {
    const files = draft.files.map((file) => ({ name: file.name, media_type: file.type }));
    const buffers = await Promise.all(draft.files.map((file) => file.arrayBuffer()));
    const refused = await this.link.ask({ t: "send", text: draft.text, files }, buffers);
    this.say(refused === null ? "" : `${refused.message} ${refused.next}`);
    if (refused !== null) this.composer.restore(draft);
  }

  private ask(request: ToKernel): void {
    void this.link.ask(request).then((refused) => { this.say(refused === null ? "" : `${refused.message} ${refused.next}`); });
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
      if (event.dataTransfer?.types.includes("Files") !== true || this.store.panel?.readonly === true) return;
      event.preventDefault();
      this.root.classList.add("g-drop");
    });
    this.root.addEventListener("dragleave", () => { this.root.classList.remove("g-drop"); });
    this.root.addEventListener("drop", (event) => {
      this.root.classList.remove("g-drop");
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length === 0 || this.store.panel?.readonly === true) return;
      event.preventDefault();
      event.stopPropagation();
      this.composer.attach(files);
      this.composer.focus();
    });
  }

  // What is shown beside the log

  private newLog(readonly: boolean): Log {
    const log = new Log(new Formulas(() => this.link.asset<MathModule>("math.js")), readonly ? null : this.acts);
    log.onOlder = () => {
      const first = this.store.items[0];
      if (first !== undefined) this.ask({ t: "page", before: first.id });
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

  private showStatus(): void {
    const phase = this.store.state?.phase;
    const agent = this.store.panel?.agent ?? "the agent";
    let text = "";
    if (this.silent) text = "The kernel is busy with a cell: your request waits until it is done.";
    else if (phase === "answering") text = `${agent} is answering`;
    else if (phase === "cell") text = `A cell is using ${agent} just now.`;
    if (text === this.shown) return;
    this.shown = text;
    this.status.textContent = text;
  }

  private say(text: string): void {
    this.problem.textContent = text.trim();
  }

  private gone(): void {
    this.root.classList.remove("g-live"); // the transcript below shows itself
    this.composer.element.hidden = true;
    this.models.disabled = true;
    this.status.textContent = "The kernel is gone. %gathering restore brings agents and conversations back.";
  }
}
