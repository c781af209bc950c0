"use strict";
// The page of fmn serve. The URL fragment holds the view's state (#search?id=…, #errors?kind=…), so links can be shared.

const $ = (id) => document.getElementById(id);
const LONGEST_S = 29, CLIPPED = 0.999, QUIET_DB = -45;
const HINTS = [[/silent/, "No sound was recorded. Is the right microphone selected and switched on?"], [/too short|no sound in it/, "Too short. Hold the key while you speak."],
  [/too long/, "Too long: a sentence is enough."], [/clipped/, "Too loud. Move away from the microphone, or turn it down."]];
const still = matchMedia("(prefers-reduced-motion: reduce)");
const VIEWS = {};  // by name: {enter(params), cards()}
const sent = new Map();  // query files of this tab, by name: they are sent again to a restarted server
const recorded = new Set();  // names of those from the microphone
let state = null, shown = "search";

// -- requests to the server ------------------------------------------------------------------------------------------

async function ask(path, options) {
  const answer = await fetch(path, options).catch(() => { throw new Error("The server does not respond: is fmn serve still running?"); });
  const reply = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(errorText(answer, reply)), { status: answer.status, found: reply.found });
  return reply;
}

function errorText(answer, reply) {
  if (answer.status === 413) return "The file is too large: 64 MiB at most.";
  if (!reply.found) return answer.status === 404 ? "The server does not know this page: open the address that the running fmn serve printed." : `The server responded with status ${answer.status}.`;
  return [reply.found, reply.expected && `expected: ${reply.expected}`, reply.next].filter(Boolean).join("; ");
}

function say(text, kind = "") { $("said").textContent = text; $("said").className = kind; }

function make(kind, options = {}, ...children) {
  const made = document.createElement(kind), { data = {}, attributes = {}, ...rest } = options;
  Object.assign(made, rest); Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
const words = (name) => name.replaceAll("_", " ");

// -- routing ---------------------------------------------------------------------------------------------------------

function go(view, values) { location.hash = `${view}?${new URLSearchParams(values)}`; }

function place() {
  const [view, query = ""] = location.hash.slice(1).split("?");
  return { view: Object.hasOwn(VIEWS, view) ? view : "search", params: new URLSearchParams(query) };
}

async function route() {
  const { view, params } = place();
  shown = view; quiet();
  for (const name of Object.keys(VIEWS)) $(name).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = `${words(view)} · ${state.run}`;
  await VIEWS[view].enter(params);
}

// -- playback --------------------------------------------------------------------------------------------------------

const media = (id) => `media/${encodeURIComponent(id)}`;

function hear(url) { $("playback").src = url; $("playback").play().catch(() => {}); }

function quiet() { $("playback").pause(); for (const video of document.querySelectorAll("video")) video.pause(); }

function playBoth(card) {
  for (const video of card.querySelectorAll("video")) { video.currentTime = 0; video.play().catch(() => {}); }
  const speech = card.querySelector("[data-hear]");
  if (speech) hear(speech.dataset.hear);
}

function clipVideo(id, label) {
  const video = make("video", { src: media(id), muted: true, loop: true, playsInline: true, preload: "metadata", attributes: { "aria-label": label } });
  video.addEventListener("error", () => video.replaceWith(make("div", { className: "nothing" }, "the clip's file is missing or cannot be played")));
  return video;
}

function playWhileSeen(card) {  // on hover and on focus, unless the user prefers reduced motion
  const play = () => { if (!still.matches) for (const video of card.querySelectorAll("video")) video.play().catch(() => {}); };
  const pause = () => { if (!card.matches(":hover, :focus-within")) for (const video of card.querySelectorAll("video")) video.pause(); };
  card.addEventListener("mouseenter", play); card.addEventListener("focusin", play);
  card.addEventListener("mouseleave", pause); card.addEventListener("focusout", () => setTimeout(pause));
}

// -- cards -----------------------------------------------------------------------------------------------------------

function tool(text, action, label, key) {
  const made = make("button", { type: "button", data: key ? { key } : {}, attributes: { "aria-label": label } }, text);
  made.addEventListener("click", (event) => { event.stopPropagation(); action(); });
  return made;
}

function tools(one) {
  const about = one.sentence || words(one.class);
  return make("div", { className: "tools" },
    one.utterance && tool("♪ hear", () => hear(media(one.utterance)), `Hear: ${about}`),
    one.clip && tool("find its speech", () => go("search", { id: one.clip }), `Find speech for this clip: ${about}`, "c"),
    one.utterance && tool("find its clips", () => go("search", { id: one.utterance }), `Find clips for this utterance: ${about}`, "u"),
    one.clip && tool("mark", () => mark(one.clip), `Mark for review in Label Studio: ${one.clip}`, "f"));
}

function picture(one) { return one.clip ? clipVideo(one.clip, `clip: ${words(one.class)}`) : make("div", { className: "nothing" }, "describes no clip of this data set"); }

function body(one, ...more) {  // a clip and its sentence
  const about = make("div", { className: "about" },
    make("div", { className: "head" }, make("span", { className: "class" }, words(one.class)), ...more),
    one.sentence && make("div", { className: "sentence" }, `“${one.sentence}”`),
    make("div", { className: "small" }, [one.person && `person ${one.person}`, one.voice && `voice ${one.voice}`].filter(Boolean).join(" · ")),
    tools(one));
  if (one.utterance) about.dataset.hear = media(one.utterance);
  return about;
}

function verdict(hit) {
  if (hit.hit === null) return null;
  return make("div", { className: "verdict" }, hit.partner ? "★ its own partner" : hit.hit ? "✓ same class" : "✗ another class");
}

function why(reasons) {
  if (!reasons.length) return null;
  return make("p", { className: "why" }, `both select ${reasons.map((one) => `${words(one.slots)} (query ${percent(one.query)}, this ${percent(one.hit)})`).join(", ")}`);
}

function hitCard(hit) {
  const kind = hit.hit === null ? "" : hit.hit ? "hit" : "miss";
  const card = make("li", { className: `card ${kind}`, data: { id: hit.id, clip: hit.clip || "" }, attributes: { "aria-label": `${hit.rank}: ${words(hit.class)}` } },
    picture(hit), body(hit, make("span", { className: "small", title: "score: higher is better; comparable within one search only" }, `${hit.rank} · ${hit.score.toFixed(2)}`)));
  const about = card.querySelector(".about"), end = about.lastChild;
  for (const part of [verdict(hit), why(hit.why)]) if (part) about.insertBefore(part, end);
  return live(card);
}

function live(card) { playWhileSeen(card); card.addEventListener("click", () => focusCard(card)); return card; }

function focusCard(card) {  // only this card and its buttons are in the tab order
  for (const other of VIEWS[shown].cards()) {
    const here = other === card;
    other.tabIndex = here ? 0 : -1;
    for (const button of other.querySelectorAll("button")) button.tabIndex = here ? 0 : -1;
  }
  if (card && !card.contains(document.activeElement)) card.focus();
}

function firstInTabOrder(cards) {
  cards.forEach((card, index) => {
    card.tabIndex = index ? -1 : 0;
    for (const button of card.querySelectorAll("button")) button.tabIndex = index ? -1 : 0;
  });
}

// -- search ----------------------------------------------------------------------------------------------------------

function waveform(values) {
  const bars = values.map((value, index) => `<rect x="${index}" y="${(1 - value) * 30}" width="0.7" height="${Math.max(0.5, value * 60)}"/>`);
  const box = make("div");
  box.innerHTML = `<svg viewBox="0 0 ${values.length} 60" preserveAspectRatio="none" role="img" aria-label="waveform of the query">${bars.join("")}</svg>`;
  return box.firstChild;
}

function takenFor(answer) {
  const known = answer.query.class;
  return make("div", {},
    known ? make("p", {}, "Its class: ", make("b", {}, words(known))) : make("p", { className: "guess" }, "Its class is unknown."),
    make("p", { className: known ? "small" : "guess" }, `Predicted class (from ${answer.taken_for.how}):`),
    ...answer.taken_for.classes.map((one) => make("div", { className: "share" }, words(one.class),
      make("i", { style: `width:${100 * one.share}%` }), make("b", {}, percent(one.share)))));
}

function showAsked(answer) {
  const query = answer.query, box = make("div");
  if (answer.kind === "clip") {
    const video = make("video", { src: query.media, muted: true, loop: true, playsInline: true, controls: true, attributes: { "aria-label": "query clip" } });
    if (!still.matches) video.autoplay = true;
    box.append(video);
  } else if (query.waveform) box.append(waveform(query.waveform));
  if (query.sentence) box.append(make("p", { className: "sentence" }, `“${query.sentence}”`));
  const buttons = make("p", { className: "row" });
  if (answer.kind === "speech") buttons.append(tool(`▶ ${query.duration_s ? `${query.duration_s.toFixed(1)} s` : "hear"}`, () => hear(query.media), "Hear the query"));
  if (query.id) buttons.append(make("span", { className: "small" }, query.id));
  box.append(buttons);
  $("asked").replaceChildren(box, takenFor(answer)); $("asked").hidden = false;
}

VIEWS.search = {
  cards: () => [...$("hits").children],
  async enter(params) {
    const [[name, value] = []] = [...params].filter(([one]) => ["id", "query", "text"].includes(one));
    if (!name) { say(""); $("asked").hidden = true; $("hits").replaceChildren(); $("found").textContent = `${SampleCard.countOf(state.clips, "clip")} and ${SampleCard.countOf(state.utterances, "utterance")} of ${state.searched}.`; return; }
    if (name === "text") $("text").value = value;
    const asked = location.hash;
    say("Searching…");
    try {
      const answer = await searched(name, value);
      if (location.hash !== asked) return;
      showAsked(answer);
      $("hits").replaceChildren(...answer.hits.map(hitCard)); firstInTabOrder(VIEWS.search.cards()); showMarks();
      const what = answer.kind === "speech" ? "clip" : "utterance";
      say(answer.notes.join(" "), answer.notes.length ? "doubt" : "");
      $("found").textContent = `The best ${answer.hits.length} of ${SampleCard.countOf(answer.gallery, what)}; ${answer.embedding_ms === null ? "" : `encoded in ${answer.embedding_ms.toFixed(0)} ms, `}ranked in ${answer.ranking_ms.toFixed(0)} ms.`;
    } catch (error) { if (location.hash === asked) { $("asked").hidden = true; $("hits").replaceChildren(); $("found").textContent = ""; say(hint(value, error) || error.message, "bad"); } }
  },
};

async function searched(name, value) {
  const path = `api/search?${new URLSearchParams({ [name]: value })}`;
  try { return await ask(path); } catch (error) {
    if (name !== "query" || error.status !== 409 || !sent.has(value)) throw error;
    await ask("api/queries", { method: "POST", body: sent.get(value) });  // the server was restarted
    return ask(path);
  }
}

function hint(query, error) {  // on how to use the microphone
  return recorded.has(query) ? HINTS.filter(([pattern]) => pattern.test(error.found)).map(([, text]) => text).join(" ") : "";
}

async function askWith(content, isRecorded = false) {
  say("Searching…");
  try {
    const { query } = await ask("api/queries", { method: "POST", body: content });
    sent.set(query, content);
    if (isRecorded) recorded.add(query);
    if (location.hash === `#search?query=${query}`) await route(); else go("search", { query });
  } catch (error) { say(error.message, "bad"); }
}

const microphone = new Microphone({ longest_s: LONGEST_S, onfull: () => release(), onlevel(held, seconds) {
  const db = 20 * Math.log10(Math.max(held, 1e-4));
  $("level").style.width = `${Math.max(0, (db + 60) / 60 * 100)}%`;
  $("level").style.background = held >= CLIPPED ? "var(--bad)" : db < QUIET_DB ? "var(--doubt)" : "var(--good)";
  if (microphone.recording && $("said").textContent !== listening(seconds)) say(listening(seconds), "doubt");
} });
const listening = (seconds) => `Listening… ${Math.floor(seconds)} s. Release when you have finished.`;
let held = false;

async function hold() {
  if (held) return;
  held = true; quiet(); say("Waiting for the microphone…");
  try { await microphone.open(); } catch (error) { held = false; say(noMicrophone(error), "bad"); return; }
  if (!held) { say("The microphone is ready: hold the key and speak.", ""); return; }
  microphone.start(); $("talk").classList.add("on"); say(listening(0), "doubt");
}

async function release() {
  held = false;
  if (!microphone.recording) return;
  const { sound, lost } = microphone.stop();
  $("talk").classList.remove("on"); $("level").style.width = "0";
  if (lost) say("Please try again: parts of the recording were lost or duplicated.", "bad"); else await askWith(sound, true);
}

// -- marks: clips to be reviewed in Label Studio -----------------------------------------------------------------------

const MARKS = `marks of ${location.pathname}`;  // one list for all tabs
const marks = () => JSON.parse(localStorage.getItem(MARKS) || "[]");
function mark(clip) {
  const list = marks();
  localStorage.setItem(MARKS, JSON.stringify(list.includes(clip) ? list.filter((one) => one !== clip) : [...list, clip]));
  showMarks();
}

function showMarks() {
  const list = marks();
  $("marks").hidden = !list.length; $("copied").textContent = "";
  $("marked").textContent = `${list.length} marked; this command sends them to Label Studio:`;
  $("command").textContent = list.length ? `${state?.push} ${list.join(",")}` : "";
  for (const card of document.querySelectorAll("[data-clip]")) card.classList.toggle("marked", list.includes(card.dataset.clip));
}

async function copy() {
  if (!marks().length) return;
  try { await navigator.clipboard.writeText($("command").textContent); $("copied").textContent = "copied"; } catch {
    getSelection().selectAllChildren($("command")); $("copied").textContent = "selected: press Ctrl+C";
  }
}

addEventListener("storage", (event) => { if (event.key === MARKS) showMarks(); });
$("copy").addEventListener("click", copy);
$("clear").addEventListener("click", () => { localStorage.removeItem(MARKS); showMarks(); });

// -- keyboard, drag and drop, hold to speak ----------------------------------------------------------------------------

function step(by) {
  const cards = VIEWS[shown].cards(), at = cards.findIndex((card) => card.contains(document.activeElement));
  const next = cards[at < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, at + by))];
  if (next) { focusCard(next); next.focus(); next.scrollIntoView({ block: "nearest" }); }
}

const rowLength = () => Math.max(1, VIEWS[shown].cards().filter((card, _, all) => card.offsetTop === all[0].offsetTop).length);
const MOVES = { j: () => 1, k: () => -1, ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: rowLength, ArrowUp: () => -rowLength() };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || $("keys").open || !state) return;
  const at = event.target, key = event.key.length > 1 ? event.key : event.key.toLowerCase();
  if (at.matches("input, select, textarea")) { if (key === "Escape") at.blur(); return; }
  if (at.matches("#confusion button") && key.startsWith("Arrow")) { event.preventDefault(); moveInConfusion(at, key); return; }
  const own = at.closest("button, a, label, summary, video, audio") && at !== $("talk");
  if (own && (key === " " || key === "Enter" || (at.matches("video, audio") && key.startsWith("Arrow")))) return;  // handled by the focused control
  const card = at.closest("[data-id]"), pressed = card && card.querySelector(`[data-key="${key}"]`);
  if (key === " ") { if (shown !== "search") return; event.preventDefault(); if (!event.repeat) hold(); return; }
  if (event.repeat && !(key in MOVES)) return;
  if (key in MOVES) { event.preventDefault(); step(MOVES[key]()); }
  else if (pressed) pressed.click();
  else if (key === "Enter" && card) { event.preventDefault(); playBoth(card); }
  else if (key === "/") { event.preventDefault(); if (shown !== "search") go("search", {}); $("search").hidden = false; $("text").focus(); $("text").select(); }
  else if (key === "?") $("keys").showModal();
  else if (key === "p") { if (card && card.dataset.clip && !marks().length) mark(card.dataset.clip); copy(); }
  else if ("123".includes(key)) location.hash = ["search", "explore", "errors"][key - 1];
});
document.addEventListener("keyup", (event) => { if (event.key === " ") release(); });
addEventListener("blur", () => release());
$("talk").addEventListener("pointerdown", (event) => { if (event.button === 0) { $("talk").setPointerCapture(event.pointerId); hold(); } });
for (const name of ["pointerup", "pointercancel"]) $("talk").addEventListener(name, () => release());
$("talk").addEventListener("contextmenu", (event) => event.preventDefault());  // no context menu on a long press
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) { say("Type a sentence first.", "bad"); return; }
  $("text").blur();
  if (location.hash === `#search?${new URLSearchParams({ text })}`) route(); else go("search", { text });
});
$("file").addEventListener("change", () => { if ($("file").files[0]) askWith($("file").files[0]); $("file").value = ""; });
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
addEventListener("dragleave", () => document.body.classList.remove("dragging"));
addEventListener("drop", (event) => {
  event.preventDefault(); document.body.classList.remove("dragging");
  if (event.dataTransfer.files[0]) askWith(event.dataTransfer.files[0]);
});
$("help").addEventListener("click", () => $("keys").showModal());
document.querySelector("[data-skip]").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });
addEventListener("hashchange", () => route());

addEventListener("DOMContentLoaded", () => ask("api/state").then((found) => {
  state = found;
  $("run").textContent = state.run; $("standin").hidden = !state.standin;
  const failed = Object.entries(state.failures);
  $("failures").hidden = !failed.length; $("failures").firstChild.textContent = `${SampleCard.countOf(failed.length, "item has", "items have")} no features, left out`;
  $("failures").lastChild.replaceChildren(...failed.map(([name, reason]) => make("li", {}, `${name}: ${reason}`)));
  $("notes").hidden = !state.notes.length; $("notes").lastChild.replaceChildren(...state.notes.map((note) => make("li", {}, note)));
  showMarks();
  return route();
}).catch((error) => { $("broken").hidden = false; $("broken").textContent = error.message; }));  // after all scripts have added their views
