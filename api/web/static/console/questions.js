/** Questions with filters, and one turn in full. */

import { h } from "../dom.js";
import { RichText } from "../text.js";
import { download, get, query } from "./calls.js";
import { button, field, FLAWS, link, RATINGS, REASONS, select, table, VERDICTS, verdict, when } from "./parts.js";

const FIELDS = ["verdict", "rating", "days", "text"];
const DAYS = [["", "전체"], ["1", "하루"], ["7", "7일"], ["30", "30일"]];

function filterOf(chosen) {
  const { days, ...rest } = chosen;
  return query({ ...rest, since_ms: days ? Date.now() - Number(days) * 86_400_000 : "" });
}

export async function questions(_, params) {
  const chosen = Object.fromEntries(FIELDS.map((name) => [name, params.get(name) ?? ""]));
  const filter = filterOf(chosen);
  const page = await get(`history/turns?${filter}`);
  const text = h("input", { type: "search", name: "text", value: chosen.text, maxlength: "200" });
  const form = h("form", { class: "filters", role: "search", onsubmit: (event) => {
    event.preventDefault();
    location.hash = `#/questions?${query(Object.fromEntries(new FormData(form)))}`;
  } },
  field("판정", select("verdict", [["", "모두"], ...Object.entries(VERDICTS)], chosen.verdict)),
  field("평가", select("rating", [["", "모두"], ["up", RATINGS.up], ["down", RATINGS.down], ["any", "평가됨"], ["none", "평가 없음"]], chosen.rating)),
  field("기간", select("days", DAYS, chosen.days)), field("찾을 말", text),
  h("button", { class: "primary", type: "submit" }, "찾기"));
  const list = h("div", {}, rowsOf(page.turns));
  const more = button("더 보기", async () => {
    page.next && Object.assign(page, await get(`history/turns?${filter}&before=${encodeURIComponent(page.next)}`));
    list.append(rowsOf(page.turns));
    more.hidden = !page.next;
  });
  more.hidden = !page.next;
  return [
    h("h1", {}, "질문"), form,
    h("p", { class: "tools-row" }, h("span", { class: "quiet" }, `${page.total}건`),
      button("CSV로 받기", () => download(`history/export?format=csv&${filter}`, "turns.csv")),
      button("JSONL로 받기", () => download(`history/export?format=jsonl&${filter}`, "turns.jsonl"))),
    page.turns.length ? list : h("p", { class: "quiet" }, "조건에 맞는 질문이 없어요."), more,
  ];
}

const rowsOf = (turns) => table("질문 목록", ["질문", "판정", "평가", "답변 모델", "때"], turns.map((row) => [
  h("a", { href: `#/questions/${encodeURIComponent(row.id)}` }, row.question), verdict(row), RATINGS[row.rating] ?? "", row.provider, when(row.started_ms)]));

export async function question(id) {
  const row = await get(`history/turns/${encodeURIComponent(id)}`);
  const answer = h("div", { class: "rich" });
  new RichText(answer).set(row.answer);
  const first = row.sources[0];
  return [
    h("h1", {}, row.question),
    h("p", { class: "tools-row" }, verdict(row), h("span", {}, RATINGS[row.rating] ?? ""), REASONS[row.reason] ?? "", h("span", { class: "quiet" }, `${row.provider} · ${row.channel}`), when(row.started_ms)),
    row.comment ? h("blockquote", {}, row.comment) : null,
    row.standalone === row.question ? null : h("p", {}, "이렇게 찾았어요: ", h("q", {}, row.standalone)),
    h("h2", {}, "답변"), h("div", { class: "card" }, answer),
    ...flaws(row),
    h("p", { class: "tools-row" },
      link("이 질문으로 새 FAQ 쓰기", `#/faqs/new?${query({ question: row.standalone, turn: row.id })}`),
      first ? link("첫 출처 FAQ 고치기", `#/faqs/${encodeURIComponent(first.faq_id)}?${query({ turn: row.id, ask: row.standalone })}`) : null,
    ),
    h("h2", {}, "찾은 FAQ"),
    row.sources.length ? table("찾은 FAQ", ["FAQ", "확률"], row.sources.map((source) => [
      h("a", { href: `#/faqs/${encodeURIComponent(source.faq_id)}?${query({ turn: row.id, ask: row.standalone })}` }, source.question), source.score.toFixed(2)]))
      : h("p", { class: "quiet" }, "없음"),
    h("h2", {}, "걸린 시간"),
    h("p", {}, Object.entries(row.final.timings_ms ?? {}).map(([step, ms]) => `${step} ${Math.round(ms)} ms`).join(" · ") || `${row.ended_ms - row.started_ms} ms`),
    h("details", {}, h("summary", {}, "이벤트 모두 보기"), h("pre", { tabindex: "0" }, JSON.stringify(row.events, null, 1))),
  ].filter(Boolean);
}

const CUTS = { length: "길이의 한도에 닿아 끊겼어요.", content_filter: "모델의 안전 필터가 끊었어요.", tool_calls: "모델이 도구를 부르며 끝냈어요." };

/** What was wrong with the answer, and what its reader saw of that. */
function flaws({ final, events, status }) {
  const said = [];
  for (const { type, from, to, reason } of events) {
    if (type === "provider.switched") said.push(from === to ? `처음부터 다시 답했어요: ${reason}` : `${from} 대신 ${to}이(가) 답했어요: ${reason}`);
  }
  if (status === "failed") said.push(`답하지 못하고 끝났어요: ${final.message} (${final.code})`);
  if (final.stopped) said.push("질문한 사람이 멈췄어요.");
  else if (final.truncated) said.push(`${CUTS[final.finish_reason] ?? "끝까지 오지 못했어요."} 질문한 사람도 끊긴 답변이라는 말을 보았어요.`);
  for (const fault of final.faults ?? []) said.push(`${FLAWS[fault] ?? fault}: ${MEANS[fault] ?? ""}`);
  for (const sentence of final.ungrounded ?? []) said.push(`${FLAWS.ungrounded}: “${sentence}”`);
  if (final.dropped_citations) said.push(`받지 않은 FAQ를 가리킨 출처 ${final.dropped_citations}개를 뺐어요.`);
  if (final.trimmed_exchanges) said.push(`자리가 모자라 앞의 대화 ${final.trimmed_exchanges}번을 모델에 보내지 못했어요.`);
  if (final.trimmed_passages) said.push(`자리가 모자라 찾은 FAQ ${final.trimmed_passages}개를 모델에 보내지 못했어요.`);
  return said.length ? [h("h2", {}, "답변의 흠"), h("ul", { class: "plain flaws" }, ...said.map((text) => h("li", {}, text)))] : [];
}

const MEANS = {
  repaired: "출처를 달지 않았지만 어느 FAQ인지 분명해 채워 넣었어요.", uncited: "어느 FAQ에서 왔는지 알 수 없어 확실한 답으로 치지 않았어요.",
  title_only: "FAQ의 제목이나 되묻는 말뿐이어서 확실한 답으로 치지 않았어요.", repetition: "되풀이하는 곳에서 끊었어요.",
  wrong_language: "보여 주지 않고, 확실하지 않다고 말했어요.",
};
