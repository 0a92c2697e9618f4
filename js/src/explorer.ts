/** The trace explorer: the turns on the left, one of them as a timeline, each step with what was sent and what came back. */

import { button, h } from "./dom";
import { Frame } from "./frame";
import type { Link } from "./link";
import { duration, money, tokens } from "./numbers";

interface TurnRow {
  turn_id: string;
  agent: string;
  question: string;
  calls: number;
  tokens: number;
  cost: number | null;
  ms: number;
  status: string;
}

interface Said {
  role: string;
  text: string;
  more?: string;
  parts?: string;
  images?: number;
}

interface Step {
  kind: "call" | "tool";
  id: string;
  name: string;
  start: number;
  ms: number | null;
  status: string;
  error: string | null;
  ttft?: number | null;
  input?: number | null;
  output?: number | null;
  cached?: number | null;
  cost?: number | null;
  finish?: string | null;
  source?: string | null;
  attempts?: number | null;
  sent?: { messages: Said[]; tools: string; params: string } | null;
  not_sent?: string;
  params?: string;
  came?: Said[];
  arguments?: string;
  result?: string | null;
  permission?: string | null;
  decision?: string | null;
  decided_by?: string | null;
}

interface Turn {
  turn_id: string;
  agent: string;
  question: string;
  steps: Step[];
  ms: number;
  checks: { check: string; passed: boolean; actual: string }[];
}

export class Explorer extends Frame {
  private readonly list = h("ul", { class: "g-turns", "aria-label": "Turns" });
  private readonly turn = h("div", { class: "g-board", role: "region", "aria-label": "Turn", tabindex: 0 });
  private drawn = "";

  constructor(root: HTMLElement, link: Link) {
    super(root, link);
    this.head.append(button("Look again", () => void this.act("reload"), { kind: "g-quiet" }));
    this.open(h("div", { class: "g-split" }, this.list, this.turn));
  }

  protected draw(): void {
    this.drawTurns();
    this.drawTurn();
  }

  override data(name: string): void {
    if (name === "turns") this.drawTurns();
    else this.drawTurn();
  }

  private drawTurns(): void {
    const turns = this.store.data.get("turns") as { rows: TurnRow[]; older: number; open: string | null } | undefined;
    if (turns === undefined) return;
    const had = this.list.contains(document.activeElement);
    this.list.replaceChildren(...turns.rows.map((row) => this.row(row, row.turn_id === turns.open)).reverse());
    this.totals.textContent = turns.rows.length === 0 ? "no turn yet" : `${turns.rows.length} ${turns.rows.length === 1 ? "turn" : "turns"}${turns.older > 0 ? `, ${turns.older} older` : ""}`;
    const current = this.list.querySelector<HTMLElement>("[aria-current]");
    if (had) current?.focus();
  }

  private row(row: TurnRow, open: boolean): HTMLElement {
    const figures = [`${row.calls} ${row.calls === 1 ? "call" : "calls"}`, `${row.tokens.toLocaleString("en")} tokens`, money(row.cost), duration(row.ms), row.status === "ok" ? "" : row.status];
    const choose = h("button", { type: "button", class: "g-turn", "aria-current": open ? "true" : null }, h("strong", {}, row.agent), ` ${row.question}`, h("span", { class: "g-meta" }, figures.filter(Boolean).join(" · ")));
    choose.addEventListener("click", () => void this.act("open", { turn: row.turn_id }));
    return h("li", {}, choose);
  }

  private drawTurn(): void {
    const turn = this.store.data.get("turn") as Turn | null | undefined;
    if (turn === null || turn === undefined) {
      this.turn.replaceChildren(h("p", { class: "g-muted" }, "Ask an agent something, then look again."));
      return;
    }
    const open = this.drawn === turn.turn_id ? new Set([...this.turn.querySelectorAll<HTMLElement>("[data-step]")].filter((one) => one.querySelector("details")?.open).map((one) => one.dataset["step"])) : new Set();
    this.drawn = turn.turn_id;
    const steps = turn.steps.map((step, place) => this.step(step, place, turn.ms, open.has(String(place))));
    const checks = turn.checks.map((check) => h("li", { "data-passed": check.passed }, `${check.passed ? "✓" : "✕"} ${check.check}: ${check.actual}`));
    this.turn.replaceChildren(
      h("h3", {}, turn.question || "(no question)"),
      h("ol", { class: "g-steps", "aria-label": "Timeline" }, ...steps),
      ...(checks.length > 0 ? [h("h4", {}, "Checks"), h("ul", {}, ...checks)] : []),
    );
  }

  private step(step: Step, place: number, whole: number, open: boolean): HTMLElement {
    const took = duration(step.ms);
    const figures = [took, tokens(step.input ?? null, step.output ?? null), money(step.cost ?? null), step.status === "ok" ? "" : step.status];
    const summary = h(
      "summary",
      {},
      h("span", { class: "g-step-name" }, step.kind === "call" ? "model " : "tool ", h("code", {}, step.name)),
      bar(step, whole),
      h("span", { class: "g-meta" }, figures.filter(Boolean).join(" · ")),
    );
    const details = h("details", {}, summary, ...(step.kind === "call" ? callDetails(step) : toolDetails(step)));
    details.open = open;
    return h("li", { class: "g-step", "data-kind": step.kind, "data-status": step.status, "data-step": place }, details);
  }
}

/** When the step began and how long it took, as a part of the turn. */
function bar(step: Step, whole: number): HTMLElement {
  const share = (ms: number): string => `${whole > 0 ? Math.min(100, (ms / whole) * 100).toFixed(2) : 0}%`;
  const line = h("span", { class: "g-bar-line" });
  line.style.left = share(step.start);
  line.style.width = `max(3px, ${share(step.ms ?? 0)})`;
  return h("span", { class: "g-timeline", "aria-hidden": "true" }, line);
}

function circumstances(step: Step): string {
  const how = [
    `began at ${Math.round(step.start)} ms`,
    step.ttft === null || step.ttft === undefined ? "" : `first piece after ${duration(step.ttft)}`,
    step.cached ? `${step.cached} tokens from the service's cache` : "",
    step.finish ? `ended with ${step.finish}` : "",
    (step.attempts ?? 1) > 1 ? `${step.attempts} attempts` : "",
    step.source && step.source !== "live" ? `from ${step.source}` : "",
  ];
  return how.filter(Boolean).join(" · ");
}

function callDetails(step: Step): Node[] {
  const nodes: Node[] = [h("p", { class: "g-muted" }, circumstances(step))];
  if (step.error !== null) nodes.push(h("p", { class: "g-error" }, step.error));
  nodes.push(h("h4", {}, "Sent"));
  if (step.sent) {
    nodes.push(...step.sent.messages.map(said));
    if (step.sent.tools !== "[]") nodes.push(folded("Tools offered", step.sent.tools));
    if (step.sent.params !== "{}") nodes.push(folded("Parameters", step.sent.params));
  } else nodes.push(h("p", { class: "g-muted" }, `Not here: ${step.not_sent ?? ""}.`), folded("Parameters", step.params ?? ""));
  nodes.push(h("h4", {}, "Came back"), ...(step.came ?? []).map(said));
  return nodes;
}

function toolDetails(step: Step): Node[] {
  const word = [step.permission ?? "", step.decision ? `${step.decision} by ${step.decided_by ?? "?"}` : ""].filter(Boolean).join(" · ");
  const nodes: Node[] = [h("p", { class: "g-muted" }, word || "no rule was asked")];
  if (step.error !== null) nodes.push(h("p", { class: "g-error" }, step.error));
  nodes.push(field("Arguments", step.arguments ?? ""));
  if (step.result !== null && step.result !== undefined) nodes.push(field("Result", step.result));
  return nodes;
}

function said(message: Said): HTMLElement {
  const more = message.more && message.more !== "{}" ? message.more : message.parts && message.parts !== "[]" ? message.parts : "";
  return h(
    "div",
    { class: "g-said", "data-role": message.role },
    h("span", { class: "g-label" }, message.role, message.images ? ` (${message.images} images)` : null),
    message.text === "" ? null : pre(message.text, `${message.role} message`),
    more === "" ? null : pre(more, `${message.role} message, the rest`),
  );
}

function field(label: string, text: string): HTMLElement {
  return h("div", { class: "g-said" }, h("span", { class: "g-label" }, label), pre(text, label));
}

function folded(label: string, text: string): HTMLElement {
  return h("details", { class: "g-folded" }, h("summary", {}, label), pre(text, label));
}

function pre(text: string, label: string): HTMLElement {
  return h("pre", { tabindex: 0, role: "group", "aria-label": label }, text);
}
