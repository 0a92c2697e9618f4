/** Elements in one line. Text is always text. */

type Attributes = Record<string, string | number | boolean | null | undefined>;

/** An element with attributes (null and false leave one out) and children; strings become text nodes. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string | null)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A button with a text, or with a sign and a label for those who cannot see it. */
export function button(label: string, act: () => void, options: { sign?: string; kind?: string } = {}): HTMLButtonElement {
  const name = `g-button ${options.kind ?? ""}`.trim();
  const element = options.sign
    ? h("button", { type: "button", class: `${name} g-sign`, "aria-label": label, title: label }, h("span", { "aria-hidden": "true" }, options.sign))
    : h("button", { type: "button", class: name }, label);
  element.addEventListener("click", act);
  return element;
}
