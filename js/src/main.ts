/** The door of the bundle: draws a panel into an element and gives back how to take it away. */

import { Chat } from "./chat";
import { Explorer } from "./explorer";
import type { Frame } from "./frame";
import { Grid } from "./grid";
import { Link } from "./link";
import { MemoryEditor } from "./memory";
import type { Model } from "./protocol";
import style from "./style.css";

export { markdown } from "./render";

interface Context {
  model: Model;
  el: HTMLElement;
  view: string;
  load: (name: string) => Promise<unknown>;
}

export function render({ model, el, view, load }: Context): () => void {
  dress(el.getRootNode());
  const root = document.createElement("section");
  root.className = "g-panel g-live";
  // Keys that mean something here must not reach the notebook, where they mean something else.
  root.dataset["lmSuppressShortcuts"] = "true";
  for (const name of ["keydown", "keypress", "keyup"]) root.addEventListener(name, (event) => { event.stopPropagation(); });
  el.append(root);
  const panel = opened(root, new Link(model, view, load), String(model.get("kind")));
  return () => {
    panel.close();
    root.remove();
  };
}

function opened(root: HTMLElement, link: Link, kind: string): Frame {
  switch (kind) {
    case "conversation":
      return new Chat(root, link, "conversation");
    case "grid":
      return new Grid(root, link);
    case "memory":
      return new MemoryEditor(root, link);
    case "trace":
      return new Explorer(root, link);
    default:
      return new Chat(root, link, "chat");
  }
}

/** The style, once for a document or a shadow root. */
function dress(root: Node): void {
  const place = root instanceof ShadowRoot ? root : document.head;
  if (place.querySelector("style[data-gathering]") !== null) return;
  const sheet = document.createElement("style");
  sheet.dataset["gathering"] = "";
  sheet.textContent = style;
  place.append(sheet);
}
