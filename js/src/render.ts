/**
 * Markdown that a model wrote, as nodes that are safe to show. The one place where text becomes HTML.
 *
 * Raw HTML stays text. Images become links, since an image's address can carry data away. Links go to http, https and mailto.
 * What comes out of the parser is sanitised all the same.
 */

import DOMPurify from "dompurify";
import { Marked, type Token, type TokenizerAndRendererExtension, type Tokens } from "marked";

import { highlighted } from "./highlight";

const LINK = /^(?:https?:\/\/|mailto:)/i;
// The bounds keep text with many openings and no end from being searched to its end for each of them.
const INLINE_MATH = /^(?:\$\$([^]{1,4000}?)\$\$|\$(?=[^\s$])([^$\n]{0,1000}?[^\s$\\])\$(?!\d)|\\\(([^]{1,1000}?)\\\)|\\\[([^]{1,4000}?)\\\])/;
const MATH_START = /\$|\\\(|\\\[/;
/** Characters from which on code is shown without colours: the parser would take longer than a frame. */
const LONGEST_COLOURED = 20_000;

/** Characters from which on a text is not parsed: nobody waits seconds for its first line. */
const LONGEST_PARSED = 200_000;

const TAGS = [
  ...["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "pre", "code", "em", "strong", "del"],
  ...["a", "table", "thead", "tbody", "tr", "th", "td", "span", "input"],
];
const ATTRIBUTES = ["href", "title", "start", "align", "type", "checked", "disabled", "data-math", "data-language", "aria-label"];

interface MathToken extends Tokens.Generic {
  tex: string;
  display: boolean;
}

const math: TokenizerAndRendererExtension = {
  name: "math",
  level: "inline",
  start: (source) => source.match(MATH_START)?.index,
  tokenizer(source): MathToken | undefined {
    const found = INLINE_MATH.exec(source);
    if (found === null) return undefined;
    const tex = found[1] ?? found[2] ?? found[3] ?? found[4] ?? "";
    return { type: "math", raw: found[0], tex, display: found[1] !== undefined || found[4] !== undefined };
  },
  renderer: (token) => {
    const { raw, tex, display } = token as MathToken;
    return `<span data-math="${display ? "display" : "inline"}" title="${escaped(tex)}">${escaped(raw)}</span>`;
  },
};

const parser = new Marked({
  gfm: true,
  extensions: [math],
  renderer: {
    html: ({ text }) => escaped(text),
    // The panel's title is a second-level heading: what a model calls a title stands below it.
    heading({ tokens, depth }) {
      const level = Math.min(6, depth + 2);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
    image: ({ href, text }) => anchor(href, escaped(text || "image"), null),
    link({ href, title, tokens }) {
      return anchor(href, this.parser.parseInline(tokens), title ?? null);
    },
    code: ({ text, lang }) => {
      const language = (lang ?? "").trim().split(/\s+/, 1)[0] ?? "";
      return `<pre><code data-language="${escaped(language)}">${escaped(text)}\n</code></pre>`;
    },
    checkbox: ({ checked }) => `<input type="checkbox" disabled aria-label="${checked ? "done" : "open"}"${checked ? " checked" : ""}> `,
  },
});

const purifier = DOMPurify(window);
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") {
    if (!LINK.test(node.getAttribute("href") ?? "")) node.removeAttribute("href");
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
});

/** The blocks of a Markdown text, as the parser sees them; what it cannot read is one block. */
export function blocks(text: string): Token[] {
  try {
    if (text.length <= LONGEST_PARSED) return parser.lexer(text);
  } catch {
    // one block, then
  }
  return [{ type: "text", raw: text, text }];
}

/** Safe nodes for a Markdown text; the text as it is where the parser cannot read it, a thousand quotes in each other for example. */
export function markdown(text: string, options: { colour?: boolean } = {}): DocumentFragment {
  const fragment = purifier.sanitize(parsed(text), {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const code of fragment.querySelectorAll<HTMLElement>("pre > code")) dress(code, options.colour ?? true);
  for (const table of fragment.querySelectorAll("table")) wrap(table, "g-table");
  return fragment;
}

function parsed(text: string): string {
  try {
    if (text.length <= LONGEST_PARSED) return parser.parse(text, { async: false });
  } catch {
    // as it is, then
  }
  return `<pre><code>${escaped(text)}</code></pre>`;
}

/** A formula's MathML, made by KaTeX; only its presentation is kept. */
export function mathml(markup: string): DocumentFragment {
  return purifier.sanitize(markup, {
    USE_PROFILES: { mathMl: true },
    FORBID_TAGS: ["annotation", "annotation-xml"],
    FORBID_CONTENTS: ["annotation", "annotation-xml"],
    FORBID_ATTR: ["href", "style", "class", "id"],
    RETURN_DOM_FRAGMENT: true,
  });
}

function dress(code: HTMLElement, colour: boolean): void {
  const language = code.dataset["language"] ?? "";
  const text = code.textContent;
  if (colour && text.length <= LONGEST_COLOURED) {
    const markup = highlighted(text, language);
    if (markup !== null) {
      code.replaceChildren(
        purifier.sanitize(markup, { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true }),
      );
    }
  }
  const pre = code.parentElement;
  if (pre === null) return;
  pre.tabIndex = 0;
  pre.setAttribute("aria-label", language ? `code in ${language}` : "code");
  pre.setAttribute("role", "group");
}

function wrap(element: Element, name: string): void {
  const around = document.createElement("div");
  around.className = name;
  around.tabIndex = 0;
  around.setAttribute("role", "group");
  around.setAttribute("aria-label", "table");
  element.replaceWith(around);
  around.append(element);
}

function anchor(href: string, inside: string, title: string | null): string {
  const label = title === null ? "" : ` title="${escaped(title)}"`;
  return LINK.test(href.trim()) ? `<a href="${escaped(href.trim())}"${label}>${inside}</a>` : inside;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
