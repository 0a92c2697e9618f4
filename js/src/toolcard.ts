/** A tool call as a card: arguments and result folded, and the person's decision where one is asked. */

import { button, h } from "./dom";
import { duration } from "./numbers";
import type { Call, Scope } from "./protocol";

export interface Decision {
  call: string;
  effect: "allow" | "deny";
  scope: Scope;
  reason: string;
  arguments: Record<string, unknown> | null;
}

const STATES: Record<Call["state"], string> = {
  asked: "waits for your decision",
  running: "is running",
  done: "done",
  failed: "failed",
  denied: "not allowed",
  interrupted: "interrupted",
};
const SIGNS: Record<Call["state"], string> = { asked: "?", running: "…", done: "✓", failed: "!", denied: "✕", interrupted: "■" };

/** The card. `decide` is called with the person's word; without it nobody can decide here. */
export function toolCard(call: Call, speaker: string, decide: ((decision: Decision) => void) | null): HTMLElement {
  const card = h("div", { class: "g-tool", "data-state": call.state, role: "group", "aria-label": `tool ${call.name}: ${STATES[call.state]}` });
  const summary = h(
    "summary",
    {},
    h("span", { class: "g-tool-sign", "aria-hidden": "true" }, SIGNS[call.state]),
    h("code", {}, call.name),
    h("span", { class: "g-tool-brief" }, brief(call)),
    h("span", { class: "g-tool-state" }, [STATES[call.state], duration(call.ms)].filter(Boolean).join(", ")),
  );
  const details = h("details", {}, summary, field("Arguments", pretty(call.arguments)));
  details.open = call.state === "asked";
  if (call.output !== null) details.append(field("Result", call.output));
  if (call.error !== null) details.append(field(call.state === "denied" ? "Told the model" : "Error", call.error));
  card.append(details);
  if (call.state === "asked" && decide !== null) card.append(question(call, speaker, decide));
  return card;
}

function brief(call: Call): string {
  const inside = Object.entries(call.arguments)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(", ");
  return inside.length > 60 ? `${inside.slice(0, 60)}…` : inside;
}

function field(label: string, text: string): HTMLElement {
  const pre = h("pre", { tabindex: 0, role: "group", "aria-label": label }, text);
  return h("div", { class: "g-field" }, h("span", { class: "g-label" }, label), pre);
}

function pretty(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

/** Allow or deny, for how long, with which arguments. */
function question(call: Call, speaker: string, decide: (decision: Decision) => void): HTMLElement {
  const scope = h(
    "select",
    { "aria-label": "For how long" },
    h("option", { value: "once" }, "this time"),
    h("option", { value: "session" }, "for this session"),
    h("option", { value: "always" }, "always"),
  );
  const edited = h("textarea", { "aria-label": "Arguments as JSON", rows: 4, hidden: true, spellcheck: "false" });
  edited.value = pretty(call.arguments);
  const reason = h("input", { type: "text", "aria-label": "Reason, told to the model", placeholder: "Reason (optional)" });
  const problem = h("span", { class: "g-problem", role: "alert" });
  const say = (effect: "allow" | "deny"): void => {
    const changed = edited.hidden ? null : readObject(edited.value);
    if (changed === undefined) {
      problem.textContent = "The arguments are no JSON object: correct them first.";
      edited.focus();
      return;
    }
    for (const control of row.querySelectorAll("button")) control.disabled = true;
    decide({ call: call.id, effect, scope: scope.value as Scope, reason: reason.value, arguments: effect === "allow" ? changed : null });
  };
  const edit = button("Edit arguments", () => {
    edited.hidden = !edited.hidden;
    edit.setAttribute("aria-expanded", String(!edited.hidden));
    if (edited.hidden) return;
    row.scrollIntoView({ block: "nearest" }); // Allow must be in sight of what it allows
    edited.focus({ preventScroll: true });
  });
  edit.setAttribute("aria-expanded", "false");
  const row = h(
    "div",
    { class: "g-row" },
    button("Allow", () => { say("allow"); }, { kind: "g-primary" }),
    button("Deny", () => { say("deny"); }),
    scope,
    edit,
    reason,
  );
  const act = call.permission ? ` (${call.permission})` : "";
  const why = call.reason ? h("p", { class: "g-muted" }, call.reason) : null;
  const label = `May ${speaker || "the agent"} use ${call.name}${act}?`;
  return h("div", { class: "g-question", role: "group", "aria-label": label }, h("p", {}, h("strong", {}, label)), why, edited, row, problem);
}

/** The object, null where it is not meant, undefined where it is no object. */
function readObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
