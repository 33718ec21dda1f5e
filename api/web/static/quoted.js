/** Marks what an answer took from a FAQ, sentence by sentence, in the FAQ as it is shown. */

import { h } from "./dom.js";

const BREAK = /(?<=[.!?])\s+|\n+/gu;
const CITED = /\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]/gu;
const BLOCKS = "p, li, td, th, pre";
// A model words a sentence anew: most pairs of letters stay. Half of them are met by chance on one topic.
const ALIKE = 0.6;
const SHORTEST = 6;

const letters = (text) => text.replace(/[^\p{L}\p{N}]/gu, "").toLowerCase();

/** {start, end, text} of each sentence. */
function sentencesOf(text) {
  const sentences = [];
  let start = 0;
  for (const { index, 0: gap } of [...text.matchAll(BREAK), { index: text.length, 0: "" }]) {
    const sentence = text.slice(start, index);
    if (letters(sentence).length >= SHORTEST) sentences.push({ start, end: index, text: letters(sentence) });
    start = index + gap.length;
  }
  return sentences;
}

const pairsOf = (text) => new Set(Array.from({ length: text.length - 1 }, (_, n) => text.slice(n, n + 2)));

/** Whether one says the other, whole or mostly (Dice's coefficient over pairs of letters). */
function alike(one, other) {
  if (one.includes(other) || other.includes(one)) return true;
  const [mine, theirs] = [pairsOf(one), pairsOf(other)];
  return 2 * [...mine].filter((pair) => theirs.has(pair)).length >= ALIKE * (mine.size + theirs.size);
}

/** The answer's sentences that cite `n`; a line without a citation belongs to the next one that has it. */
function citing(answer, n) {
  const lines = answer.split("\n");
  const cited = lines.map((line) => [...line.matchAll(CITED)].flatMap(([, numbers]) => numbers.split(",").map(Number)));
  return lines.flatMap((line, at) => {
    const numbers = cited.slice(at).find((each) => each.length) ?? cited.findLast((each) => each.length) ?? [];
    return numbers.includes(n) ? sentencesOf(line.replace(CITED, " ")).map(({ text }) => text) : [];
  });
}

/** Wraps the sentences of `root` that `answer` quotes with its citation `n` in <mark>. */
export function markQuoted(root, answer, n) {
  const quoted = citing(answer, n);
  if (!quoted.length) return;
  for (const block of root.querySelectorAll(BLOCKS)) {
    const texts = [];
    const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) texts.push(walker.currentNode);
    const ranges = sentencesOf(block.textContent).filter(({ text }) => quoted.some((each) => alike(text, each)));
    let at = 0;
    for (const node of texts) {
      const length = node.data.length;
      const mine = ranges.map(({ start, end }) => [Math.max(start - at, 0), Math.min(end - at, length)]).filter(([from, to]) => from < to);
      for (const [from, to] of mine.reverse()) {
        const part = node.splitText(from);
        part.splitText(to - from);
        part.replaceWith(h("mark", {}, part.data));
      }
      at += length;
    }
  }
}
