/** Gaps: groups of unsettled questions, each with one click to what mends it. */

import { h } from "../dom.js";
import { get, query, send } from "./calls.js";
import { button, FAULTS, link, message, when } from "./parts.js";

const PROPOSALS = {
  new_entry: "새 FAQ가 필요해요", add_wordings: "이 FAQ에 표현을 더하면 찾아요", incomplete: "이 FAQ의 답이 부족해요", refused_wrongly: "답이 있는데 거절했어요",
};

export async function gaps(_, params) {
  const days = params.get("days") ?? "7";
  const [report, { providers }] = await Promise.all([get(`insights/gaps?days=${encodeURIComponent(days)}`), get("providers")]);
  const llm = providers.find((each) => each.llm && each.healthy)?.name;
  const spans = ["1", "7", "30"].map((each) => h("a", { class: "chip", href: `#/gaps?days=${each}`, "aria-current": each === days ? "true" : undefined }, `${each}일`));
  return [
    h("h1", {}, "빈틈"),
    h("p", {}, `최근 ${days}일의 질문 ${report.turns}건 중 ${report.unsettled}건이 해결되지 않았어요. 비슷한 질문끼리 묶었어요.`),
    h("p", { class: "tools-row", role: "group", "aria-label": "기간" }, ...spans),
    ...(report.gaps.length ? report.gaps.map((gap) => gapCard(gap, llm)) : [h("p", { class: "quiet" }, "해결되지 않은 질문이 없어요.")]),
  ];
}

function gapCard(gap, llm) {
  const faults = Object.entries(gap.faults).map(([name, times]) => `${FAULTS[name] ?? name} ${times}`).join(" · ");
  const trend = gap.later > gap.earlier ? "늘고 있어요" : gap.later < gap.earlier ? "줄고 있어요" : "그대로예요";
  const wordings = [...new Set([gap.title, ...gap.examples.map((each) => each.question)])];
  const turn = gap.examples[0].turn_id;
  const place = h("div", {});
  return h("article", { class: "card gap" },
    h("h2", {}, gap.title),
    h("p", { class: "quiet" }, `${gap.size}번, ${gap.sessions}명 · ${faults} · ${trend} · 마지막 `, when(gap.last_ms)),
    h("p", {}, h("strong", {}, PROPOSALS[gap.proposal])),
    place, h("div", { class: "tools-row" }, ...actions(gap, wordings, turn, place), ...drafting(gap, wordings, turn, place, llm)),
    h("details", {}, h("summary", {}, `물어본 말 ${gap.examples.length}개`),
      h("ul", { class: "plain" }, ...gap.examples.map((each) => h("li", {}, h("a", { href: `#/questions/${encodeURIComponent(each.turn_id)}` }, each.question))))),
    h("details", {}, h("summary", {}, "가까운 FAQ"),
      h("ul", { class: "plain" }, ...gap.nearest.map((each) => h("li", {}, h("a", { href: edit(each.faq_id, gap, turn) }, each.question), ` (${each.score.toFixed(2)})`)))));
}

const edit = (faqId, gap, turn) => `#/faqs/${encodeURIComponent(faqId)}?${query({ turn, ask: gap.title })}`;

/** Has an LLM write the title and the points; without one there is nothing to press. */
function drafting(gap, wordings, turn, place, llm) {
  if (!llm) return [];
  const start = button("초안 받기", async () => {
    start.disabled = true;
    place.replaceChildren(h("p", { class: "quiet", role: "status" }, "초안을 쓰고 있어요…"));
    try {
      const { title, quotes, answer } = await send("insights/gaps/draft", "POST", { turn_ids: gap.examples.map((each) => each.turn_id), provider: llm });
      place.replaceChildren(message(`제목: ${title}`, link("이 초안으로 FAQ 쓰기", `#/faqs/new?${query({ question: title, answer, turn, ask: gap.title, wordings: wordings.join("\n") })}`)),
        h("ul", { class: "plain" }, ...quotes.map((quote) => h("li", {}, h("q", {}, quote)))));
    } catch (error) {
      place.replaceChildren(h("p", { class: "message bad", role: "alert" }, error.message));
      start.disabled = false;
    }
  });
  return [start];
}

function actions(gap, wordings, turn, place) {
  const write = link("새 FAQ 쓰기", `#/faqs/new?${query({ question: gap.title, turn, wordings: wordings.slice(1).join("\n") })}`);
  if (gap.proposal === "new_entry") return [write];
  const mend = link("이 FAQ 고치기", edit(gap.faq_id, gap, turn));
  if (gap.proposal === "incomplete") return [mend, write];
  const target = gap.nearest.find((each) => each.faq_id === gap.faq_id);
  const add = button(`“${target.question}”에 표현 ${wordings.length}개 더하기`, async () => {
    add.disabled = true;
    try {
      const { edit: number } = await send(`faqs/${encodeURIComponent(gap.faq_id)}/expansions`, "POST", { expansions: wordings, turn_id: turn });
      place.replaceChildren(message("더했어요. 이제 이렇게 물어도 찾아요.", link(`편집 ${number}번 보기`, "#/edits")));
    } catch (error) {
      place.replaceChildren(message(error.message));
      add.disabled = false;
    }
  }, "primary small");
  return [add, mend, write];
}
