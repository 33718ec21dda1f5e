/** How a model's measures read in a table. Knows no HTTP. */

import { FLAWS, percent, VERDICTS } from "./parts.js";

export const MEASURES = ["질문", "판정", "도움이 됨", "걸린 시간", "답변의 흠"];

/** The cells of `MEASURES`; `measures` is null where the model answered nothing. */
export function measured(measures) {
  if (!measures) return ["0", "–", "–", "–", "–"];
  const { turns, verdicts, p50_ms: half, p95_ms: most, faults } = measures;
  return [String(turns), counted(verdicts, VERDICTS), liked(measures), `${Math.round(half)} ms, 느린 5%는 ${Math.round(most)} ms 이상`, counted(faults, FLAWS) || "없음"];
}

const counted = (times, words) => Object.entries(times).map(([name, n]) => `${words[name] ?? name} ${n}`).join(" · ");

/** The share of thumbs up, with where it may truly lie: few thumbs say little. */
function liked({ up, down, liked: part, liked_from: from, liked_to: to }) {
  return part === null ? "–" : `${percent(part)} (${up}/${up + down}, 95% 범위 ${percent(from)}~${percent(to)})`;
}
