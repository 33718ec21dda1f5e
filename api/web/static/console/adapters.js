/** Adapters: which there are, who answers, how each side of a trial fares; try, promote, roll back. */

import { h } from "../dom.js";
import { get, query, send } from "./calls.js";
import { MEASURES, measured } from "./measures.js";
import { confirmed, field, message, table, when } from "./parts.js";

const ACTIONS = { promote: "모두에게 올림", try: "시험 시작", end_trial: "시험 끝냄", rollback: "되돌림", remove: "지움" };
const JUDGED = { promote: "바탕보다 나음", keep: "올릴 까닭이 없음" };
const share = (part) => `${Number((part * 100).toFixed(1))}%`;

export async function adapters() {
  const place = h("div", { tabindex: "-1" });
  const list = h("div", {});
  try {
    await fill(list, place);
  } catch (error) {
    if (error.status !== 404) throw error;
    list.append(h("p", { class: "message" }, error.message));
  }
  return [h("h1", {}, "어댑터"), place, list];
}

async function fill(list, place) {
  const found = await get("adapters");
  list.replaceChildren(...found.flatMap((registry) => section(registry, { several: found.length > 1, list, place })));
}

function section(registry, { several, list, place }) {
  const { provider, answering, arms, back_to: back, servers, moves } = registry;
  const base = `바탕 모델${servers[0]?.base ? `(${servers[0].base})` : ""}`;
  const named = (name) => name || base;

  /** Does one thing with the alias, and shows what came of it. */
  async function move(path, method, done, values = {}) {
    for (const each of list.querySelectorAll("button")) each.disabled = true;
    place.replaceChildren(message("하고 있어요. 올릴 때에는 학습했을 때처럼 답하는지 확인하느라 몇 분 걸릴 수 있어요."));
    place.focus();
    const bad = (error) => h("p", { class: "message bad", role: "alert" }, error.message);
    const told = await send(`adapters/${path}?${query({ ...values, provider })}`, method).then(() => () => message(done), (error) => () => bad(error));
    const stale = await fill(list, place).then(() => null, bad);
    place.replaceChildren(told(), stale ?? "");
  }

  return [
    several ? h("h2", {}, provider) : "",
    h("p", {}, h("strong", {}, named(answering.model)), "이(가) 답하고 있어요.", answering.candidate
      ? ` 대화의 ${share(answering.share)}에는 ${answering.candidate}을(를) 시험하고 있어요.` : " 시험하고 있는 어댑터는 없어요."),
    ...servers.filter((server) => server.detail).map((server) => h("p", { class: "message bad" }, `${server.url}: ${server.detail}`,
      " 이 서버가 켜지기 전에는 어댑터를 올리거나 시험할 수 없어요.")),
    h("div", { class: "tools-row" },
      answering.candidate ? confirmed("시험 끝내기", "정말 끝내기", () => move("trial", "DELETE", "시험을 끝냈어요. 다시 하나만 답해요.")) : null,
      !answering.candidate && back !== null ? confirmed(`${named(back)}(으)로 되돌리기`, "정말 되돌리기", () => move("rollback", "POST", `${named(back)}(으)로 되돌렸어요.`)) : null),
    h("h2", {}, "성적"),
    ...(registry.since_ms ? [
      h("p", { class: "quiet" }, when(registry.since_ms), "부터의 질문이에요. 도움이 됨의 범위가 겹치면 아직 차이를 말할 수 없어요."),
      table("어댑터별 성적", ["모델", "맡은 대화", ...MEASURES, "남이 대신 답함"], arms.map((arm) => [
        registry.adapters.some((each) => each.name === arm.model) ? arm.model : `바탕 모델(${arm.model})`, arm.share ? share(arm.share) : "없음", ...measured(arm.measures), String(arm.fell_back)])),
    ] : [h("p", { class: "quiet" }, "질문 기록을 읽을 수 없어 성적을 보여 드릴 수 없어요.")]),
    h("h2", {}, "어댑터 목록"),
    ...(registry.adapters.length ? [...registry.adapters].reverse().map((each) => card(each, answering, move))
      : [h("p", { class: "quiet" }, "아직 학습한 어댑터가 없어요. finetune.train으로 만들면 여기에 보여요.")]),
    h("h2", {}, "바꾼 기록"),
    moves.length ? table("바꾼 기록", ["무엇을", "누가", "때", "전", "뒤"], moves.map((each) => [
      `${ACTIONS[each.action]}: ${named(each.name)}`, h("span", { class: "badge" }, each.by), when(each.at_ms), state(each.before, named), state(each.after, named)]))
      : h("p", { class: "quiet" }, "아직 아무것도 바꾸지 않았어요."),
  ];
}

const state = ({ model, candidate, share: part }, named) => (candidate ? `${named(model)}, 대화의 ${share(part)}는 ${candidate}` : named(model));

function card(each, answering, move) {
  const { name } = each;
  const serves = name === answering.model;
  const tried = name === answering.candidate;
  const part = h("input", { type: "number", min: "0.1", max: "99.9", step: "0.1", value: "10", inputmode: "decimal", required: true });
  const path = encodeURIComponent(name);
  const promote = `${tried ? "시험을 마치고 " : ""}모두에게 올리기`;
  const trial = h("form", { class: "filters", "aria-label": `${name} 시험`, onsubmit: (event) => {
    event.preventDefault();
    move(`${path}/trial`, "POST", `${name}을(를) 대화의 ${share(part.value / 100)}에서 시험해요.`, { share: part.value / 100 });
  } }, field("시험할 대화(%)", part), h("button", { class: "chip", type: "submit", "aria-label": `${name} 시험하기` }, "시험하기"));
  return h("article", { class: "card gap" },
    h("h3", {}, name, " ", serves ? h("span", { class: "badge answered" }, "답하는 중") : tried ? h("span", { class: "badge unsure" }, "시험 중") : ""),
    h("p", { class: "quiet" }, [
      `바탕 ${each.base_model}`, `랭크 ${each.rank}`, each.loss === null ? "" : `검증 손실 ${each.loss.toFixed(3)}`,
      `평가 ${JUDGED[each.verdict] ?? (each.verdict || "아직 없음")}`,
      each.loaded === null ? "서버에 물어볼 수 없음" : each.loaded ? "서버에 올라 있음" : "서버에 아직 없음"].filter(Boolean).join(" · ")),
    serves ? "" : h("div", { class: "tools-row" },
      tried ? "" : trial,
      confirmed(promote, "정말 모두에게 올리기", () => move(`${path}/promote`, "POST", `${name}이(가) 이제 모두에게 답해요.`), `${name} ${promote}`)));
}
