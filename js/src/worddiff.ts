/** Two texts compared word by word. */

export interface Piece {
  kind: "same" | "added" | "missing";
  text: string;
}

/** Words of both texts together beyond which only the texts as wholes are compared: the table grows with the square. */
const MOST = 3000;

/** What of `text` is in `base` too, what is new in it, and what of `base` is missing from it, in order. */
export function wordDiff(base: string, text: string): Piece[] {
  const a = words(base);
  const b = words(text);
  if (base === text) return text === "" ? [] : [{ kind: "same", text }];
  if (a.length + b.length > MOST) return joined([...a.map((w): Piece => ({ kind: "missing", text: w })), ...b.map((w): Piece => ({ kind: "added", text: w }))]);
  const table = lengths(a, b);
  const pieces: Piece[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const left = a[i];
    const right = b[j];
    if (left !== undefined && left === right) {
      pieces.push({ kind: "same", text: left });
      i += 1;
      j += 1;
    } else if (right !== undefined && (left === undefined || at(table, i, j + 1) > at(table, i + 1, j))) {
      pieces.push({ kind: "added", text: right });
      j += 1;
    } else if (left !== undefined) {
      pieces.push({ kind: "missing", text: left });
      i += 1;
    }
  }
  return joined(pieces);
}

/** Words with the space behind them. */
function words(text: string): string[] {
  return text.match(/\S+\s*|^\s+/g) ?? [];
}

/** The length of the longest common part of what is left from each pair of places. */
function lengths(a: string[], b: string[]): Uint16Array[] {
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const row = table[i];
      if (row !== undefined) row[j] = a[i] === b[j] ? at(table, i + 1, j + 1) + 1 : Math.max(at(table, i + 1, j), at(table, i, j + 1));
    }
  }
  return table;
}

function at(table: Uint16Array[], i: number, j: number): number {
  return table[i]?.[j] ?? 0;
}

function joined(pieces: Piece[]): Piece[] {
  const found: Piece[] = [];
  for (const piece of pieces) {
    const last = found.at(-1);
    if (last?.kind === piece.kind) last.text += piece.text;
    else found.push({ ...piece });
  }
  return found;
}
