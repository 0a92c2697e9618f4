/** What a person can ask of a conversation: the next turn, all of them, a vote. */

import { button, h } from "./dom";

interface Talk {
  speakers: string[];
  strategy: string;
  max_turns: number;
  rules: string[];
}

export class TalkBar {
  readonly element: HTMLElement;
  private readonly next = button("Next turn", () => void this.act("next"), { kind: "g-primary" });
  private readonly run = button("Go on to the end", () => void this.act("run"));
  private readonly vote = button("Vote…", () => { this.open(this.form.hidden === true); });
  private readonly how = h("span", { class: "g-meta" });
  private readonly question = h("input", { type: "text", "aria-label": "Question to vote on", placeholder: "What is to be decided?" });
  private readonly options = h("textarea", { "aria-label": "Options, one on each line", rows: 2, placeholder: "Options, one on each line (none: their last words)" });
  private readonly rule = h("select", { "aria-label": "Rule" });
  private readonly form: HTMLFormElement;

  constructor(private readonly act: (name: string, value?: Record<string, unknown>) => Promise<boolean>) {
    const ask = button("Let them vote", () => { this.form.requestSubmit(); }, { kind: "g-primary" });
    this.form = h("form", { class: "g-row g-vote", "aria-label": "Vote", hidden: true }, this.question, this.options, this.rule, ask);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.ask();
    });
    this.vote.setAttribute("aria-expanded", "false");
    this.element = h("div", { class: "g-bar" }, h("div", { class: "g-row" }, this.next, this.run, this.vote, this.how), this.form);
  }

  take(value: unknown): void {
    const talk = value as Talk;
    this.how.textContent = `${talk.strategy.replace("_", " ")}, at most ${talk.max_turns} turns`;
    if (this.rule.options.length !== talk.rules.length) {
      this.rule.replaceChildren(...talk.rules.map((name) => h("option", { value: name }, name)));
    }
  }

  /** While somebody speaks nothing else can be asked. */
  phase(speaking: boolean): void {
    for (const control of this.element.querySelectorAll("button")) control.disabled = speaking;
  }

  private open(open: boolean): void {
    this.form.hidden = !open;
    this.vote.setAttribute("aria-expanded", String(open));
    if (open) this.question.focus();
  }

  private async ask(): Promise<void> {
    const options = this.options.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (await this.act("vote", { question: this.question.value, options, rule: this.rule.value })) this.open(false);
  }
}
