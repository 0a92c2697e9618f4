/** The messages of docs/guides/panel-protocol.md, version 1. The kernel's side is gathering/notebook/channel.py. */

export const VERSION = 1;

export type CallState = "asked" | "running" | "done" | "failed" | "denied" | "interrupted";
export type Status = "open" | "done" | "stopped" | "error";
export type Phase = "idle" | "answering" | "cell";

export interface Call {
  id: string;
  name: string;
  arguments: Record<string, unknown>;
  state: CallState;
  output: string | null;
  error: string | null;
  ms: number | null;
  permission: string | null;
  reason: string | null;
}

export interface TextPart {
  k: "text" | "thinking";
  text: string;
}

export interface ToolPart {
  k: "tool";
  call: Call;
}

export type Part = TextPart | ToolPart;

export interface Usage {
  input: number | null;
  output: number | null;
  cached: number | null;
  reasoning: number | null;
}

export interface Failure {
  message: string;
  next: string;
}

export interface ItemEnd {
  status: Status;
  model: string;
  usage: Usage;
  cost: number | null;
  ms: number | null;
  ttft: number | null;
  error: Failure | null;
  turn: string;
  branch: { index: number; count: number } | null;
}

export interface Item extends ItemEnd {
  id: string;
  role: "user" | "assistant" | "note";
  speaker: string;
  parts: Part[];
  images: { name: string; media_type: string; data: string }[];
  cell?: { row: string; column: string; repeat: number };
}

export interface PanelInfo {
  kind: "chat" | "conversation" | "grid" | "memory" | "trace";
  title: string;
  height: number;
  readonly: boolean;
  starters: string[];
  agent: string;
  models: string[];
}

export interface State {
  phase: Phase;
  model: string;
  tokens: { input: number; output: number };
  cost: number | null;
  turns: number;
  branch: number;
}

export type Change =
  | { t: "start"; seq: number; item: Item }
  | { t: "delta"; seq: number; id: string; part: number; k: "text" | "thinking"; off: number; text: string }
  | { t: "tool"; seq: number; id: string; part: number; call: Call }
  | ({ t: "end"; seq: number; id: string; sizes: number[] } & ItemEnd)
  | { t: "reset"; seq: number; items: Item[]; more: boolean }
  | { t: "state"; seq: number; state: State }
  | { t: "data"; seq: number; name: string; value: unknown };

export interface Hello {
  t: "hello";
  view?: string;
  v: number;
  seq: number;
  panel: PanelInfo;
  items: Item[];
  more: boolean;
  state: State;
}

export type FromKernel =
  | Change
  | Hello
  | { t: "batch"; messages: Change[] }
  | { t: "page"; view: string; before: string; items: Item[]; more: boolean }
  | { t: "ack"; view: string; n: number }
  | { t: "refused"; view: string; n: number; message: string; next: string }
  | { t: "asset"; view: string; name: string; version: string };

export type ToKernel =
  | { t: "ready" }
  | { t: "resync"; last: number }
  | { t: "check"; last: number }
  | { t: "send"; text: string; files: { name: string; media_type: string }[] }
  | { t: "stop" }
  | { t: "retry"; id: string }
  | { t: "edit"; id: string; text: string }
  | { t: "branch"; id: string; index: number }
  | { t: "model"; name: string }
  | { t: "decide"; call: string; effect: "allow" | "deny"; scope: Scope; reason: string; arguments: Record<string, unknown> | null }
  | { t: "page"; before: string }
  | { t: "asset"; name: string }
  | { t: "act"; name: string; value: unknown };

export type Scope = "once" | "session" | "always";

/** What anywidget hands to a view. */
export interface Model {
  get(name: string): unknown;
  on(name: string, callback: (...args: never[]) => void): void;
  off(name: string, callback: (...args: never[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[] | ArrayBufferView[]): void;
}
