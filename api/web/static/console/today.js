/** Today at a glance, and the week. */

import { h } from "../dom.js";
import { get } from "./calls.js";
import { link, percent, table, VERDICTS } from "./parts.js";

export async function today() {
  const { total, days, top } = await get("insights/summary?days=7");
  const now = days.at(-1);
  const count = (day, name) => day.verdicts[name] ?? 0;
  const open = (day) => ["not_found", "unsure", "off_topic", "failed"].reduce((sum, name) => sum + count(day, name), 0);
  const card = (label, value, note) => h("div", { class: "card" }, h("dt", {}, label), h("dd", {}, value), h("dd", { class: "quiet" }, note));
  return [
    h("h1", {}, "오늘"),
    h("dl", { class: "cards" },
      card("질문", String(now.turns), `대화 ${now.sessions}개`),
      card("답하지 못함", String(open(now)), `이번 주 ${open(total)}건`),
      card("해결됨", now.turns ? percent(now.resolved) : "–", `이번 주 ${total.turns ? percent(total.resolved) : "–"}`),
      card("평가", `도움 ${now.up} · 아쉬움 ${now.down}`, `이번 주 도움 ${total.up} · 아쉬움 ${total.down}`),
      card("걸린 시간", `${Math.round(now.p50_ms)} ms`, `느린 5%는 ${Math.round(now.p95_ms)} ms 이상`)),
    h("p", { class: "tools-row" }, link("답하지 못한 질문 묶음 보기", "#/gaps"), link("질문 모두 보기", "#/questions")),
    h("h2", {}, "최근 7일"),
    table("날마다의 질문과 판정", ["날짜", "질문", ...["answered", "unsure", "not_found", "off_topic"].map((name) => VERDICTS[name]), "해결됨", "아쉬움"],
      [...days].reverse().filter((day) => day.turns).map((day) => [day.day, String(day.turns), ...["answered", "unsure", "not_found", "off_topic"].map((name) => String(count(day, name))),
        day.turns ? percent(day.resolved) : "–", String(day.down)])),
    h("h2", {}, "많이 묻는 질문"),
    top.length ? h("ol", { class: "plain" }, ...top.map(([text, times]) => h("li", {}, text, " ", h("span", { class: "quiet" }, `${times}번`))))
      : h("p", { class: "quiet" }, "아직 질문이 없어요."),
  ];
}
