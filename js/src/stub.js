// What every panel carries: asks the kernel for the modules of the package, once for each page and version.
const pages = (globalThis.__gathering_modules__ ??= new Map());
const PATIENCE = 1000;
const AGAIN = 5000;

/**
 * A module of the package. The first view that asks brings it for all; the others ask too where that takes long: the first one's
 * kernel may be busy, or gone, while theirs is not.
 */
function load(model, view, name) {
  const key = `${name} ${model.get("version")}`;
  let slot = pages.get(key);
  const first = slot === undefined;
  if (first) {
    slot = { done: false };
    slot.module = new Promise((resolve, reject) => Object.assign(slot, { resolve, reject }));
    pages.set(key, slot);
  }
  if (!slot.done) ask(slot, key, model, view, name, first);
  return slot.module;
}

function ask(slot, key, model, view, name, first) {
  let timer = 0;
  const request = () => {
    timer = setTimeout(request, AGAIN); // what was lost on the way is asked for again
    model.send({ t: "asset", name, view, n: 0 });
  };
  const take = (message, buffers) => {
    if (message.t !== "asset" || message.view !== view || message.name !== name || slot.done) return;
    slot.done = true;
    const url = URL.createObjectURL(new Blob([buffers[0]], { type: "text/javascript" }));
    import(/* @vite-ignore */ url)
      .then(slot.resolve, (error) => {
        pages.delete(key); // the next panel tries again
        slot.reject(error);
      })
      .finally(() => URL.revokeObjectURL(url));
  };
  const end = () => {
    clearTimeout(timer);
    model.off("msg:custom", take);
    model.off("comm_live_update", end);
  };
  model.on("msg:custom", take);
  model.on("comm_live_update", end);
  slot.module.then(end, end);
  if (first) request();
  else timer = setTimeout(request, PATIENCE);
}

/** Says why nothing is there yet, if it takes longer than a moment; gives back how to take it away. */
function waiting(el) {
  const note = document.createElement("p");
  note.setAttribute("role", "status");
  note.style.cssText = "margin:0;padding:8px 12px;color:var(--jp-ui-font-color1,inherit)";
  el.append(note);
  const timer = setTimeout(() => {
    note.textContent = "The kernel is busy with a cell: the panel comes when it is done.";
  }, PATIENCE);
  return () => {
    clearTimeout(timer);
    note.remove();
  };
}

export default {
  async render({ model, el }) {
    const view = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    const there = waiting(el);
    try {
      const panel = await load(model, view, "panel.js");
      return panel.render({ model, el, view, load: (name) => load(model, view, name) });
    } finally {
      there();
    }
  },
};
