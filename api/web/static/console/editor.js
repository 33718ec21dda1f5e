/** One FAQ to be written or changed: preview as the page shows it, what the change does, publish. */

import { h } from "../dom.js";
import { RichText } from "../text.js";
import { get, send } from "./calls.js";
import { button, field, link, message, table } from "./parts.js";

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

export async function editor(id, params) {
  const faq = id ? await get(`faqs/${encodeURIComponent(id)}`) : { question: params.get("question") ?? "", answer: "", categories: [] };
  const trail = id ? await get(`faqs/edits?limit=1&faq_id=${encodeURIComponent(id)}`) : [];
  const before = trail[0]?.after?.expansions ?? [];
  const turn = params.get("turn") ?? "";
  const asked = params.get("ask") ?? params.get("question") ?? "";
  const question = h("input", { value: faq.question, maxlength: "300", required: true, autocomplete: "off" });
  const answer = h("textarea", { rows: "10", maxlength: "15000", required: true });
  answer.value = faq.answer || (params.get("answer") ?? "");
  const categories = h("input", { value: faq.categories.join(", "), autocomplete: "off" });
  const origin = h("input", { type: "url", value: faq.link ?? "", maxlength: "500", autocomplete: "off" });
  const date = h("input", { type: "date", value: faq.date ?? "" });
  const wordings = h("textarea", { rows: "4" });
  wordings.value = [...before, ...lines(params.get("wordings") ?? "")].join("\n");
  const preview = h("div", { class: "rich card", role: "region", "aria-label": "미리보기" });
  const rich = new RichText(preview);
  const draw = () => rich.set(answer.value || "답변을 쓰면 여기에 보여요.");
  answer.addEventListener("input", draw);
  draw();
  const place = h("div", {});
  const effect = h("div", {});
  const body = () => ({
    question: question.value, answer: answer.value, categories: categories.value.split(",").map((each) => each.trim()).filter(Boolean),
    expansions: lines(wordings.value), link: origin.value, date: date.value, turn_id: turn,
  });
  const form = h("form", { class: "editor", onsubmit: (event) => { event.preventDefault(); publish(); } },
    field("질문", question), field("답변", answer), field("분류", categories, "쉼표로 나눠요."),
    field("원문 링크", origin, "답변의 출처를 열면 보여요. 비워 둘 수 있어요."), field("수정일", date),
    field("다르게 묻는 말", wordings, "한 줄에 하나씩. 찾을 때만 쓰이고 보이지 않아요."),
    h("h2", {}, "미리보기"), preview,
    h("div", { class: "tools-row" }, h("button", { class: "primary", type: "submit" }, id ? "고친 것 내보내기" : "FAQ 내보내기"),
      button("무엇이 달라지나 보기", () => tell(showEffect)), id ? button("이 FAQ 내리기", () => tell(retire), "chip danger") : null),
    place, effect);

  async function tell(action) {
    place.replaceChildren(h("p", { class: "quiet" }, "하고 있어요…"));
    try {
      await action();
    } catch (error) {
      place.replaceChildren(h("p", { class: "message bad", role: "alert" }, error.message));
    }
  }

  const publish = () => tell(async () => {
    const done = id ? await send(`faqs/${encodeURIComponent(id)}`, "PUT", body()) : await send("faqs", "POST", body());
    place.replaceChildren(message("내보냈어요. 지금부터 이 답이 나가요.", link(`편집 ${done.edit}번 보기`, "#/edits")));
    if (!id) form.querySelector("[type=submit]").disabled = true;
    if (asked) effect.replaceChildren(...await found(asked));
  });

  async function retire() {
    const done = await send(`faqs/${encodeURIComponent(id)}`, "DELETE");
    place.replaceChildren(message("내렸어요. 더는 찾지 않아요.", link(`편집 ${done.edit}번에서 되돌리기`, "#/edits")));
  }

  async function found(text) {
    const { hits } = await get(`faqs/search?limit=3&q=${encodeURIComponent(text)}`);
    return [h("h2", {}, "처음의 질문, 지금"), h("p", {}, h("q", {}, text)),
      table("지금 찾는 FAQ", ["FAQ", "확률"], hits.map((hit) => [hit.faq.question, hit.score.toFixed(2)]))];
  }

  async function showEffect() {
    const tried = [...new Set([asked, question.value, ...lines(wordings.value)])].filter(Boolean).slice(0, 20);
    const seen = await send("faqs/preview", "POST", { ...body(), faq_id: id, questions: tried });
    const rows = (list) => list.map((each) => [each.question, `${each.before || "없음"} (${each.before_score.toFixed(2)})`, `${each.after || "없음"} (${each.after_score.toFixed(2)})`]);
    place.replaceChildren(message(`지난 답변 ${seen.replayed}건 중 ${seen.changed.length}건에서 첫 FAQ가 달라져요.`));
    effect.replaceChildren(h("h2", {}, "이 FAQ의 질문들"), table("이 FAQ의 질문들", ["질문", "지금", "바꾼 뒤"], rows(seen.questions)),
      ...(seen.changed.length ? [h("h2", {}, "달라지는 지난 질문"), table("달라지는 지난 질문", ["질문", "지금", "바꾼 뒤"], rows(seen.changed))] : []));
  }

  return [h("h1", {}, id ? "FAQ 고치기" : "새 FAQ 쓰기"), form];
}
