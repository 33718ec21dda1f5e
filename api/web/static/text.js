/** Plain answer text to elements: steps, bullets, notes, paragraphs; `[n]` becomes what `cite(n)` returns.
 *
 * A list's rank ("1." before "1)" before "·") says whether it sits inside an earlier one.
 * Text only grows while it streams, so only the lines that changed are built again.
 */

import { h } from "./dom.js";

const STEP = /^(\s*)(\d{1,2}[.)]|\(\d{1,2}\)|[①-⑳])\s+(.*)$/u;
const BULLET = /^(\s*)([·•‧∙\-–*√▶])\s+(.*)$/u;
const NOTE = /^\s*(?:※|!\s?(?=중요|주의))\s*(.*)$/u;
const HEAD = /^\s*#{1,4}\s+(.*)$/u;
const INLINE = /\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]|\*\*([^*\n]+)\*\*|(https?:\/\/[\w\-.~:/?#@!$&'()+,;=%]*[\w\-~/#=%])/gu;
// A citation, a mark of emphasis or a list marker that may still be half of itself.
const HALF = /(?:\[[\d, ]*|\*{1,2}|(?:^|\n)\s*(?:\d{1,2}[.)]?|\(\d{0,2}\)?|[①-⑳·•‧∙\-–*√▶※!#]+)\s*)$/u;

function lineOf(text) {
  let match;
  if ((match = STEP.exec(text))) {
    const rank = match[2].endsWith(".") ? "1" : "2";
    return { kind: "item", rank, indent: match[1].length, mark: match[2], text: match[3] };
  }
  if ((match = BULLET.exec(text))) return { kind: "item", rank: "3", indent: match[1].length, mark: "·", text: match[3] };
  if ((match = NOTE.exec(text))) return { kind: "note", text: match[1] };
  if ((match = HEAD.exec(text))) return { kind: "head", text: match[1] };
  return { kind: "plain", text: text.trim() };
}

export class RichText {
  #root;
  #cite;
  #lines = [];
  #nodes = [];

  /** `cite(n)` returns a node, or null to leave the text as it is. */
  constructor(root, cite = () => null) {
    this.#root = root;
    this.#cite = cite;
  }

  /** Shows `text`; while it is not `final`, an unfinished marker at its end waits. */
  set(text, final = true) {
    const lines = (final ? text : text.replace(HALF, "")).trimEnd().split("\n");
    let same = 0;
    while (same < lines.length && same < this.#lines.length && lines[same] === this.#lines[same]) same += 1;
    while (this.#nodes.length > same) this.#drop(this.#nodes.pop());
    for (const line of lines.slice(same)) this.#nodes.push(this.#add(line));
    this.#lines = lines;
  }

  #drop(node) {
    const list = node?.parentNode;
    node?.remove();
    if (list && list !== this.#root && !list.childNodes.length) list.remove();
  }

  #add(raw) {
    if (!raw.trim()) return null;
    const line = lineOf(raw);
    if (line.kind === "item") return this.#addItem(line);
    const node = line.kind === "note"
      ? h("p", { class: "note" }, h("span", { class: "mark-note", "aria-hidden": "true" }, "※"), h("span", {}, ...this.#inline(line.text)))
      : h("p", { class: line.kind === "head" ? "head" : undefined }, ...this.#inline(line.text));
    this.#root.append(node);
    return node;
  }

  #addItem(line) {
    const last = this.#root.lastElementChild;
    let list = last;
    if (last?.dataset.rank !== line.rank) {
      const first = this.#root.querySelector("[data-rank]")?.dataset.rank;
      const nested = line.indent > 1 || (line.rank > first && last.tagName !== "P");
      const props = { class: nested ? "nested" : undefined, role: "list", "data-rank": line.rank };
      list = h(line.rank === "3" ? "ul" : "ol", props);
      this.#root.append(list);
    }
    const item = h("li", {}, h("span", { class: "item-mark" }, line.mark), h("span", {}, ...this.#inline(line.text)));
    list.append(item);
    return item;
  }

  #inline(text) {
    const parts = [];
    let end = 0;
    for (const match of text.matchAll(INLINE)) {
      const [whole, numbers, strong, url] = match;
      const citations = numbers && this.#citations(numbers);
      if (numbers && !citations) continue;
      const before = text.slice(end, match.index);
      if (citations) parts.push(...withLastWord(before, citations, parts));
      else parts.push(before, strong ? h("strong", {}, strong) : link(url));
      end = match.index + whole.length;
    }
    parts.push(text.slice(end));
    return parts;
  }

  #citations(numbers) {
    const nodes = numbers.split(",").map((n) => this.#cite(Number(n)));
    return nodes.every(Boolean) ? nodes : null;
  }
}

const link = (url) => h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, url);

/** Ties citations to the word before them, so that none stands alone at the start of a line. */
function withLastWord(before, citations, parts) {
  const last = parts.at(-1);
  if (!before.trim() && last?.className === "cited") {
    last.append(...citations);
    return [];
  }
  const [, text, word] = /^([^]*?)(\S{0,12})\s*$/u.exec(before);
  return [text, h("span", { class: "cited" }, word, ...citations)];
}

/** The text without its citations, for the clipboard and for reading aloud. */
export const withoutCitations = (text) => text.replace(/\s*\[\d{1,2}(?:\s*,\s*\d{1,2})*\]/gu, "");
