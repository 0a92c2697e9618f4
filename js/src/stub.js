// What every panel carries. It asks the kernel for the bundle once for each page, and hands the view over to it.
const KEY = "__gathering_panels__";
const cache = (globalThis[KEY] ??= {});

function load(model, view) {
  return new Promise((resolve, reject) => {
    const take = (message, buffers) => {
      if (message.t !== "asset" || message.view !== view || message.name !== "panel.js") return;
      model.off("msg:custom", take);
      const url = URL.createObjectURL(new Blob([buffers[0]], { type: "text/javascript" }));
      import(/* @vite-ignore */ url).then(resolve, reject).finally(() => URL.revokeObjectURL(url));
    };
    model.on("msg:custom", take);
    const ask = () => model.send({ t: "asset", name: "panel.js", view, n: 0 });
    ask();
    // A kernel that is in the middle of a cell answers late; what was lost on the way is asked for again.
    const again = setInterval(ask, 5000);
    const done = () => clearInterval(again);
    (cache.done ??= []).push(done);
  });
}

export default {
  async render({ model, el }) {
    const view = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    cache.module ??= load(model, view).catch((error) => {
      delete cache.module;
      throw error;
    });
    const panel = await cache.module;
    for (const done of cache.done?.splice(0) ?? []) done();
    return panel.render({ model, el, view });
  },
};
