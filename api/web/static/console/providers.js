/** Who answers, how each is doing, and the adapters with the measures of a trial. */

import { h } from "../dom.js";
import { get } from "./calls.js";
import { percent, table, VERDICTS } from "./parts.js";

const ENDS = { answered: "답함", failed: "실패", rejected: "거절됨", left: "떠남" };

export async function providers() {
  const [{ providers: found, default: chosen, fallback }, { models, adapters }] = await Promise.all([get("providers"), get("insights/models?days=30")]);
  return [h("h1", {}, "답변 모델"),
    h("p", {}, `기본은 ${chosen}, 대신하는 순서는 ${fallback.join(", ") || "없음"}이에요.`),
    table("답변 모델", ["이름", "모델", "상태", "답변", "첫 글자까지", "비용"], found.map((each) => [
      each.name, each.model, each.healthy ? "정상" : each.detail || "응답 없음",
      Object.entries(each.answers).map(([name, times]) => `${ENDS[name] ?? name} ${times}`).join(" · "),
      each.first_token ? `${Math.round(each.first_token.p50_ms)} ms` : "–", each.cost_usd ? `$${each.cost_usd.toFixed(2)}` : "–"])),
    h("h2", {}, "모델별 성적, 최근 30일"),
    models.length ? table("모델별 성적", ["모델", "질문", "판정", "도움이 됨", "걸린 시간"], models.map((each) => [
      each.model === each.provider ? each.model : `${each.model} (${each.provider})`, String(each.turns),
      Object.entries(each.verdicts).map(([name, times]) => `${VERDICTS[name] ?? name} ${times}`).join(" · "),
      liked(each), `${Math.round(each.p50_ms)} ms, 느린 5%는 ${Math.round(each.p95_ms)} ms 이상`])) : h("p", { class: "quiet" }, "아직 질문이 없어요."),
    h("h2", {}, "어댑터"),
    adapters.length ? table("어댑터", ["이름", "바탕 모델", "랭크", "검증 손실", "평가", "지금 답하는 대화"], adapters.map((each) => [
      each.name, each.base_model, String(each.rank), each.loss === null ? "–" : each.loss.toFixed(3), each.verdict || "–",
      each.share ? percent(each.share) : "없음"])) : h("p", { class: "quiet" }, "미세조정한 어댑터가 없어요."),
    adapters.length ? h("p", { class: "quiet" }, "시험과 승격은 smartstore adapters promote NAME --share 0.1 로 해요. 범위가 겹치면 아직 차이를 말할 수 없어요.") : ""];
}

/** The share of thumbs up, with where it may truly lie: few thumbs say little. */
function liked({ up, down, liked: share, liked_from: from, liked_to: to }) {
  return share === null ? "–" : `${percent(share)} (${up}/${up + down}, 95% 범위 ${percent(from)}~${percent(to)})`;
}
