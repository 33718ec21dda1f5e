/** Who answers, and how each is doing. */

import { h } from "../dom.js";
import { get } from "./calls.js";
import { table } from "./parts.js";

export async function providers() {
  const { providers: found, default: chosen, fallback } = await get("providers");
  return [h("h1", {}, "답변 모델"),
    h("p", {}, `기본은 ${chosen}, 대신하는 순서는 ${fallback.join(", ") || "없음"}이에요.`),
    table("답변 모델", ["이름", "모델", "상태", "답변", "첫 글자까지", "비용"], found.map((each) => [
      each.name, each.model, each.healthy ? "정상" : each.detail || "응답 없음",
      Object.entries(each.answers).map(([name, times]) => `${name} ${times}`).join(" · "),
      each.first_token ? `${Math.round(each.first_token.p50_ms)} ms` : "–", each.cost_usd ? `$${each.cost_usd.toFixed(2)}` : "–"]))];
}
