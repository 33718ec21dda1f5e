/** Who answers, how each is doing, and how each model fares. */

import { h } from "../dom.js";
import { get } from "./calls.js";
import { MEASURES, measured } from "./measures.js";
import { link, table } from "./parts.js";

const ENDS = { answered: "답함", failed: "실패", rejected: "거절됨", left: "떠남" };

export async function providers() {
  const [{ providers: found, default: chosen, fallback }, { models }] = await Promise.all([get("providers"), get("insights/models?days=30")]);
  return [h("h1", {}, "답변 모델"),
    h("p", {}, `기본은 ${chosen}, 대신하는 순서는 ${fallback.join(", ") || "없음"}이에요.`),
    table("답변 모델", ["이름", "모델", "상태", "답변", "첫 글자까지", "비용"], found.map((each) => [
      each.name, each.model, each.healthy ? "정상" : each.detail || "응답 없음",
      Object.entries(each.answers).map(([name, times]) => `${ENDS[name] ?? name} ${times}`).join(" · "),
      each.first_token ? `${Math.round(each.first_token.p50_ms)} ms` : "–", each.cost_usd ? `$${each.cost_usd.toFixed(2)}` : "–"])),
    h("h2", {}, "모델별 성적, 최근 30일"),
    models.length ? table("모델별 성적", ["모델", ...MEASURES], models.map((each) => [
      each.model === each.provider ? each.model : `${each.model} (${each.provider})`, ...measured(each)])) : h("p", { class: "quiet" }, "아직 질문이 없어요."),
    h("p", { class: "tools-row" }, link("미세조정한 어댑터 보기", "#/adapters"))];
}
