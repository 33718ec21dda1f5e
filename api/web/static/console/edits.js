/** The audit trail: who changed what, when, and the way back. */

import { h } from "../dom.js";
import { get, send } from "./calls.js";
import { button, message, table, when } from "./parts.js";

const ACTIONS = { add: "새로 씀", change: "고침", retire: "내림", expand: "표현 더함", undo: "되돌림" };

export async function edits() {
  const list = h("div", {});
  const place = h("div", {});
  await fill(list, place);
  return [h("h1", {}, "편집 기록"), place, list];
}

async function fill(list, place) {
  const found = await get("faqs/edits");
  const newest = new Map();
  for (const edit of found) if (!newest.has(edit.faq_id)) newest.set(edit.faq_id, edit.id);
  list.replaceChildren(found.length ? table("편집 기록", ["번호", "무엇을", "FAQ", "누가", "때", "되돌리기"], found.map((edit) => [
    String(edit.id), `${ACTIONS[edit.action]}${edit.undoes ? ` (${edit.undoes}번)` : ""}`, what(edit), edit.by, when(edit.at_ms),
    newest.get(edit.faq_id) === edit.id ? button(`${edit.id}번 되돌리기`, () => undo(edit, list, place)) : "",
  ])) : h("p", { class: "quiet" }, "아직 편집이 없어요."));
}

function what(edit) {
  const title = edit.after.question ?? edit.before.question ?? edit.faq_id;
  const side = (label, entry) => [h("dt", {}, label), h("dd", {}, entry.question ? `${entry.question}\n${entry.answer}${entry.expansions.length ? `\n＋ ${entry.expansions.join(" / ")}` : ""}${entry.retired ? "\n(내려감)" : ""}` : "파일 그대로")];
  return h("details", {}, h("summary", {}, title), h("dl", { class: "diff" }, ...side("전", edit.before), ...side("뒤", edit.after)));
}

async function undo(edit, list, place) {
  try {
    const done = await send(`faqs/edits/${edit.id}/undo`, "POST");
    place.replaceChildren(message(`${edit.id}번을 되돌렸어요(편집 ${done.edit}번).`));
    await fill(list, place);
  } catch (error) {
    place.replaceChildren(h("p", { class: "message bad", role: "alert" }, error.message));
  }
}
