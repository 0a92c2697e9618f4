/** Figures as people read them. */

/** `1,234 tokens read, 56 written`; empty where nothing is known or counted. */
export function tokens(input: number | null, output: number | null): string {
  if (input === null || output === null || (input === 0 && output === 0)) return "";
  return `${input.toLocaleString("en")} in, ${output.toLocaleString("en")} out`;
}

/** US dollars; empty for nothing and for what is not known. */
export function money(cost: number | null): string {
  if (cost === null || cost === 0) return "";
  return cost >= 0.01 ? `$${cost.toFixed(2)}` : `$${cost.toFixed(6).replace(/0+$/, "")}`;
}

/** Milliseconds, or seconds where they are many. */
export function duration(ms: number | null): string {
  if (ms === null) return "";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** How many tokens a text that still grows has, by the usual four characters each. */
export function estimate(characters: number): string {
  return characters === 0 ? "" : `about ${Math.ceil(characters / 4).toLocaleString("en")} tokens so far`;
}
