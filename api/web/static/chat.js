/** The page: holds the turns together, the session, and what a reload restores. */

import { getSession, Problem } from "./api.js";
import { Composer } from "./composer.js";
import { $, announce, calm, h, touch } from "./dom.js";
import { Job } from "./job.js";
import { loadPage } from "./page.js";
import { PastList, remember } from "./past.js";
import { ProviderChoice } from "./providers.js";
import { saved } from "./state.js";
import { copyText, TurnView } from "./turn.js";

const scroller = $("scroller");
const log = $("log");
const providers = new ProviderChoice();
const composer = new Composer({ send: ask, stop: () => job?.stop() });
let job = null;

function ask(question) {
  if (job) {
    announce("답변이 끝난 뒤에 물어봐 주세요.");
    return composer.empty && composer.put(question);
  }
  const body = { question };
  if (saved.sessionId) body.session_id = saved.sessionId;
  if (providers.value) body.provider = providers.value;
  const pending = { key: newKey(), body, turnId: null, lastId: 0, askedAt: Date.now() };
  const view = addTurn({ question });
  if (touch()) {
    composer.box.blur(); // the on-screen keyboard makes room for the answer
    view.element.focus({ preventScroll: true });
  } else composer.focus();
  return run(pending, view);
}

async function run(pending, view) {
  const current = job = new Job(pending, view);
  view.job = current;
  composer.busy = true;
  view.pin();
  const end = await current.run();
  if (job !== current) return;
  job = null;
  composer.busy = false;
  view.lost = end === "lost";
  providers.refresh();
  if (saved.sessionId) remember(saved.sessionId, view.question);
  onScroll();
  if (current.refusedWith === 401) askForKey(() => retry(view));
}

/** A turn that lost its connection is found again; any other is asked again in its place. */
function retry(view) {
  if (job) return;
  view.element.remove();
  if (view.lost) run({ ...view.job.pending, lastId: 0 }, addTurn(view));
  else ask(view.question);
}

function addTurn({ question, askedAt }) {
  $("empty").hidden = true;
  $("loading").hidden = true;
  log.querySelector(".live")?.classList.remove("live");
  const view = new TurnView({ question, askedAt, actions: { ask, retry }, models: providers.several });
  log.append(view.element);
  return view;
}

function startOver() {
  job?.leave();
  job = null;
  saved.clear();
  composer.busy = false;
  composer.put("");
  log.replaceChildren();
  showEmpty();
  composer.focus();
  announce("새 대화를 시작합니다.");
}

/** Opens a conversation of the list. */
function openPast(id) {
  if (id === saved.sessionId) return;
  startOver();
  saved.sessionId = id;
  restore();
}

/** The conversation as text, to be sent to somebody. */
async function share() {
  const text = [...log.querySelectorAll(".turn")].map((turn) => turn.dataset.text ?? "").filter(Boolean).join("\n\n");
  if (!text) return announce("아직 나눈 대화가 없습니다.");
  try {
    if (touch() && navigator.share) await navigator.share({ text });
    else announce(await copyText(text) ? "대화를 복사했습니다." : "대화를 복사하지 못했습니다.");
  } catch { /* the seller thought better of it */ }
}

function showEmpty() {
  $("loading").hidden = true;
  $("empty").hidden = false;
  scroller.scrollTop = 0;
  onScroll();
}

function showUnreachable(error) {
  const again = h("button", { class: "chip", type: "button", onclick: restore }, "다시 불러오기");
  $("loading").replaceChildren(`대화를 불러오지 못했어요. ${error.message} `, again);
}

/** Brings back the conversation of this tab and goes on with the turn under way. */
async function restore() {
  const { pending } = saved;
  if (!saved.sessionId && !pending) return showEmpty();
  $("loading").replaceChildren("대화를 불러오고 있어요…");
  $("loading").hidden = false;
  let turns = [];
  let ratings = {};
  try {
    if (saved.sessionId) ({ turns, ratings = {} } = await getSession(saved.sessionId));
  } catch (error) {
    if (error instanceof Problem && error.status === 404 && !pending) {
      saved.clear();
      return showEmpty();
    }
    if (!pending) return showUnreachable(error);
  }
  let running = pending;
  for (const turn of turns) {
    if (isOver(turn)) {
      addTurn({ question: turn.question, askedAt: dateOf(turn.created_at ?? turn.started_at) }).restore(turn, ratings[turn.turn_id]);
      if (pending?.turnId === turn.turn_id) running = saved.pending = null;
    } else {
      running = { key: newKey(), body: { question: turn.question }, ...pending, turnId: turn.turn_id };
      running.askedAt = dateOf(turn.created_at ?? turn.started_at).getTime();
    }
  }
  if (running) return run({ ...running, lastId: 0 }, addTurn({ question: running.body.question, askedAt: new Date(running.askedAt) }));
  if (!turns.length) return showEmpty();
  scroller.scrollTop = scroller.scrollHeight;
  return onScroll();
}

const isOver = ({ status }) => !["queued", "pending", "running", "started"].includes(status);

function dateOf(value) {
  const date = new Date(typeof value === "number" ? value * 1000 : value);
  return Number.isNaN(date.getTime()) ? new Date() : date;
}

// crypto.randomUUID exists in secure contexts only; a phone on the local network has none.
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

function askForKey(then) {
  const dialog = $("key-dialog");
  dialog.showModal();
  $("key-form").onsubmit = () => {
    saved.apiKey = $("key").value.trim();
    $("key").value = "";
    then();
  };
}

function onScroll() {
  const below = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
  $("jump").hidden = below < 96 || !log.children.length;
}

/** Browsers whose keyboard covers the page instead of resizing it tell the visible height here. */
function fitKeyboard() {
  const fit = () => document.documentElement.style.setProperty("--visible", `${visualViewport.height}px`);
  if (window.visualViewport && touch()) {
    visualViewport.addEventListener("resize", fit);
    fit();
  }
}

$("new").addEventListener("click", startOver);
$("jump").addEventListener("click", () => scroller.scrollTo({ top: scroller.scrollHeight, behavior: calm() ? "auto" : "smooth" }));
scroller.addEventListener("scroll", onScroll, { passive: true });
new ResizeObserver(onScroll).observe(log);
fitKeyboard();
$("share").addEventListener("click", share);
new PastList({ open: openPast, removed: (id) => id === saved.sessionId && startOver() });
loadPage().then(async ({ examples, providers: shown }) => {
  $("examples").append(...examples.map((text) => h("li", {}, h("button", { class: "example", type: "button", onclick: () => ask(text) }, text))));
  providers.shown = shown;
  await providers.refresh();
}).finally(restore);
if (!touch()) composer.focus();
