/** Where the person writes: text, files dropped or pasted, Send and Stop. */

import { button, h } from "./dom";

/** Bytes of all files of one message together: more does not pass the connection to the kernel. */
const LARGEST = 8 * 1024 * 1024;

export interface Draft {
  text: string;
  files: File[];
}

export class Composer {
  readonly element: HTMLFormElement;
  onSend: (draft: Draft) => void = () => undefined;
  onStop: () => void = () => undefined;
  onUp: () => void = () => undefined;
  onProblem: (text: string) => void = () => undefined;
  private readonly box = h("textarea", { class: "g-box", "aria-label": "Message", rows: 1, placeholder: "Write a message" });
  private readonly send = button("Send", () => undefined, { kind: "g-primary" });
  private readonly stop = button("Stop", () => { this.onStop(); }, { kind: "g-stop" });
  private readonly picker = h("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files", tabindex: -1 });
  private readonly attached = h("ul", { class: "g-files", "aria-label": "Attached files" });
  private files: File[] = [];
  private answering = false;

  /** Without `takesFiles` it is for words only. */
  constructor(private readonly takesFiles: boolean) {
    this.send.type = "submit";
    const attach = button("Attach files", () => { this.picker.click(); }, { sign: "+" });
    attach.hidden = !takesFiles;
    const row = h("div", { class: "g-compose" }, attach, this.box, this.send, this.stop);
    this.element = h("form", { class: "g-composer" }, this.attached, row, this.picker);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.picker.addEventListener("change", () => {
      this.attach([...(this.picker.files ?? [])]);
      this.picker.value = "";
    });
    this.box.addEventListener("keydown", this.key);
    this.box.addEventListener("input", this.fit);
    this.box.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length > 0 && this.takesFiles) {
        event.preventDefault();
        this.attach(files);
      }
    });
    this.phase(false);
  }

  /** Whether an answer is coming: Stop stands where Send does. */
  phase(answering: boolean): void {
    const had = this.element.contains(document.activeElement);
    this.answering = answering;
    this.send.hidden = answering;
    this.stop.hidden = !answering;
    if (had && document.activeElement === document.body) this.box.focus();
  }

  attach(files: File[]): void {
    const all = [...this.files, ...files];
    if (all.reduce((sum, file) => sum + file.size, 0) > LARGEST) {
      this.onProblem("These files are larger than 8 MB together: attach fewer, or give the agent a filesystem tool.");
      return;
    }
    this.files = all;
    this.listFiles();
    for (const file of files) if (file.type.startsWith("image/")) void this.check(file);
  }

  /** Take an image that cannot be read off the list again. */
  private async check(image: File): Promise<void> {
    try {
      (await createImageBitmap(image)).close();
    } catch {
      this.files = this.files.filter((other) => other !== image);
      this.listFiles();
      this.onProblem(`${image.name} cannot be read as an image, it is damaged or of another kind: attach a PNG, JPEG, GIF or WebP.`);
    }
  }

  /** Put a draft back: it was not taken. */
  restore(draft: Draft): void {
    if (this.box.value === "") this.box.value = draft.text;
    if (this.files.length === 0) this.files = draft.files;
    this.listFiles();
    this.fit();
  }

  focus(): void {
    this.box.focus();
  }

  private submit(): void {
    const text = this.box.value;
    if (!text.trim() && this.files.length === 0) return;
    if (this.answering) {
      this.onProblem("An answer is coming: wait for its end, or stop it with Esc. What you wrote stays here.");
      return;
    }
    const draft = { text, files: this.files };
    this.box.value = "";
    this.files = [];
    this.listFiles();
    this.fit();
    this.onSend(draft);
  }

  private listFiles(): void {
    const rows = this.files.map((file) =>
      h("li", {}, file.name, button(`Remove ${file.name}`, () => {
        this.files = this.files.filter((other) => other !== file);
        this.listFiles();
      }, { sign: "×", kind: "g-quiet" })),
    );
    this.attached.replaceChildren(...rows);
    this.attached.hidden = rows.length === 0;
  }

  private readonly key = (event: KeyboardEvent): void => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "Escape" && this.answering) {
      event.preventDefault();
      this.onStop();
    } else if (event.key === "ArrowUp" && this.box.value === "") {
      event.preventDefault();
      this.onUp();
    }
  };

  private readonly fit = (): void => {
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight + 2, 180)}px`;
  };
}
