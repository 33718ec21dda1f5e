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
const ROW = /^\s*\|(.+)\|\s*$/u;
const RULE = /^\s*\|?(?:\s*:?-{2,}:?\s*\|)+\s*(?::?-{2,}:?\s*)?$/u;
const FENCE = /^\s*(?:```|~~~)/u;
const INLINE = new RegExp([
  /\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\](?!\()/, /\*\*([^*\n]+)\*\*/, /`([^`\n]+)`/, /\[([^\]\n]{1,200})\]\((https?:\/\/[^\s)]+)\)/,
  /(?<![\w*])\*(?=\S)([^*\n]{1,200})(?<=\S)\*(?![\w*])/, /(https?:\/\/[\w\-.~:/?#@!$&'()+,;=%]*[\w\-~/#=%])/,
].map(({ source }) => source).join("|"), "gu");
// A citation, a mark of emphasis or a list marker that may still be half of itself.
const HALF = /(?:\[[\d, ]*|\[[^\]\n]{1,200}\]\([^)\s]*|\*{1,2}|(?:^|\n)\s*(?:\d{1,2}[.)]?|\(\d{0,2}\)?|[①-⑳·•‧∙\-–*√▶※!#]+)\s*)$/u;

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
    const lines = once((final ? text : text.replace(HALF, "")).trimEnd().split("\n"));
    let same = 0;
    while (same < lines.length && same < this.#lines.length && lines[same] === this.#lines[same]) same += 1;
    while (this.#nodes.length > same) this.#drop(this.#nodes.pop());
    for (let n = same; n < lines.length; n += 1) {
      const fences = lines.slice(0, n).filter((line) => FENCE.test(line)).length;
      this.#nodes.push(fences % 2 && !FENCE.test(lines[n]) ? this.#addCode(lines[n], FENCE.test(lines[n - 1])) : this.#add(lines[n]));
    }
    this.#lines = lines;
  }

  #drop(node) {
    const list = node?.parentNode;
    node?.remove();
    if (list && list !== this.#root && !list.childNodes.length) list.remove();
  }

  #add(raw) {
    if (!raw.trim() || FENCE.test(raw) || RULE.test(raw)) return null;
    const row = ROW.exec(raw);
    if (row) return this.#addRow(row[1].split("|"));
    const line = lineOf(raw);
    if (line.kind === "item") return this.#addItem(line);
    const node = line.kind === "note"
      ? h("p", { class: "note" }, h("span", { class: "mark-note", "aria-hidden": "true" }, "※"), h("span", {}, ...this.#inline(line.text)))
      : h("p", { class: line.kind === "head" ? "head" : undefined }, ...this.#inline(line.text));
    this.#root.append(node);
    return node;
  }

  #addCode(text, first) {
    let block = this.#root.lastElementChild;
    if (first || block?.tagName !== "PRE") this.#root.append((block = h("pre", { tabindex: "0" })));
    const line = h("code", {}, `${text}\n`);
    block.append(line);
    return line;
  }

  #addRow(cells) {
    let table = this.#root.lastElementChild;
    const head = table?.tagName !== "TABLE";
    if (head) this.#root.append((table = h("table", {})));
    const row = h("tr", {}, ...cells.map((cell) => h(head ? "th" : "td", head ? { scope: "col" } : {}, ...this.#inline(cell.trim()))));
    table.append(row);
    return row;
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
      const [whole, numbers, strong, code, words, target, slanted, url] = match;
      const citations = numbers && this.#citations(numbers);
      if (numbers && !citations) continue;
      const before = text.slice(end, match.index);
      if (citations) parts.push(...withLastWord(before, citations, parts));
      else parts.push(before, strong ? h("strong", {}, strong) : code ? h("code", {}, code) : words ? link(target, words) : slanted ? h("em", {}, slanted) : link(url));
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

const link = (url, text = url) => h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, text);

const CITED = /((?:\s*\[\d{1,2}(?:\s*,\s*\d{1,2})*\])+)\s*$/u;

/** Lines in a row that cite the same say so once, at the last of them. */
function once(lines) {
  const cited = (line) => CITED.exec(line ?? "")?.[1].replace(/\s/gu, "");
  return lines.map((line, n) => {
    const mine = cited(line);
    return mine && mine === cited(lines.slice(n + 1).find((each) => each.trim())) ? line.replace(CITED, "") : line;
  });
}

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

/** The text without citations and marks, for the clipboard and for reading aloud. */
export const plainText = (text) => text
  .replace(/\s*\[\d{1,2}(?:\s*,\s*\d{1,2})*\](?!\()/gu, "")
  .replace(/\*\*([^*\n]+)\*\*|`([^`\n]+)`/gu, "$1$2")
  .replace(/\[([^\]\n]+)\]\((https?:[^\s)]+)\)/gu, "$1 ($2)")
  .replace(/^\s*#{1,4}\s+|^\s*(?:```|~~~).*\n?/gmu, "");
