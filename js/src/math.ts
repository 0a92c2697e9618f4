/** Formulas, in a file of their own that is loaded when the first one appears. */

import katex from "katex";

/** MathML for a formula. What cannot be read is shown as it was written; macros cannot run away. */
export function toMathML(tex: string, display: boolean): string {
  return katex.renderToString(tex, {
    output: "mathml",
    displayMode: display,
    throwOnError: false,
    trust: false,
    strict: "ignore",
    maxExpand: 200,
    maxSize: 20,
  });
}
