"use strict";
// Page of the recording booth. Takes from the microphone (microphone.js) are uploaded as WAV files and checked by the server,
// by the same rules as all other utterances.

const $ = (id) => document.getElementById(id);
const QUIET_DB = -45, CLIPPED = 0.999, LONGEST_S = 29, LONG_SENTENCE = 140, BATCH = 5, RENEWED_MS = 60_000;
const HINTS = [[/silent/, "Nothing was recorded. Is the right microphone connected and switched on?"], [/too short|no sound in it/, "Too short. Press Record, speak, then press Stop."],
  [/too long/, "Too long."], [/clipped/, "Too loud. Move away from the microphone, or lower its level."], [/quiet/, "Rather quiet. Move closer to the microphone."],
  [/noisy/, "Rather noisy. Is there a quieter place?"], [/^long|; long/, "Rather long for one sentence."],
  [/DC offset/, "The microphone adds a constant offset. Another microphone or socket may be better."]];

let voice = localStorage.getItem("voice") || "", who = localStorage.getItem("who") || "";
let batch = [];  // takes that are not kept yet, in order: {clip, sentence, sound, text, kind}
const skipped = new Set();
let lines = [], place = 0, take = null, busy = false, starting = false;

async function ask(path, options) {
  const answer = await fetch(path, options).catch(() => {
    throw Object.assign(new Error("The booth does not respond. Is it still running?"), { away: true }); });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.found || `The booth responded with status ${answer.status}. Ask for its current address.`);
  return said;
}

function plain(text) {
  const hints = HINTS.filter(([pattern]) => pattern.test(text)).map(([, hint]) => hint);
  return hints.join(" ") || text;
}

const on = (clip) => `?clip=${encodeURIComponent(clip)}&voice=${encodeURIComponent(voice)}`;

async function load() {
  const state = await ask(`api/state?voice=${encodeURIComponent(voice)}`);
  $("consent").textContent = state.consent;
  lines = state.lines;
  $("classes").replaceChildren(...state.classes.map((one) => {
    const row = document.createElement("tr"), name = document.createElement("td"), count = document.createElement("td");
    row.dataset.class = one.id; row.className = one.done === one.of ? "whole" : "";
    name.textContent = one.label; count.textContent = `${one.done} / ${one.of}`;
    row.append(name, count); return row;
  }));
  $("whole").textContent = `By class: ${state.classes.filter((one) => one.done === one.of).length} of ${state.classes.length} complete`;
  const done = lines.filter((line) => line.recorded).length;
  const own = lines.filter((line) => line.own).length;
  $("total").textContent = `${done} of ${lines.length} ${lines.length === 1 ? "sentence" : "sentences"} recorded` + (own ? `, ${own} by you` : "") + (skipped.size ? `, ${skipped.size} skipped` : "");
  $("share").value = lines.length ? done / lines.length : 0;
  $("mine").hidden = !own;
  $("own").replaceChildren(...lines.filter((line) => line.own).map((line) => item(line.sentence,
    button("Listen", () => listenTo(recordingOf(line.clip)), `Listen: ${line.sentence}`),
    button("Again", () => again(line.clip), `Record again: ${line.sentence}`))));
  $("welcome").hidden = state.admitted; $("booth").hidden = !state.admitted; $("who").textContent = who;
  return state;
}

function item(text, ...more) {
  const row = document.createElement("li");
  row.append(text, " ", ...more); return row;
}

function button(text, action, label) {
  const made = document.createElement("button");
  made.type = "button"; made.textContent = text; made.setAttribute("aria-label", label);
  made.addEventListener("click", action); return made;
}

const recordingOf = (clip) => `recordings/${encodeURIComponent(clip)}?voice=${encodeURIComponent(voice)}`;

function listenTo(url) { if (!microphone.recording && !busy) { play(url); $("playback").play(); } }

function mode(name) {  // visible view: speak, reasons or review
  scrollTo(0, 0);  // "Kept by you" may be far below the sentence
  $("speak").hidden = name === "review"; $("review").hidden = name !== "review";
  $("keys").hidden = name !== "speak"; $("reasons").hidden = name !== "reasons"; $("decide").hidden = name !== "review";
}

function show() {
  take = null; mode("speak");
  const line = lines[place];
  const left = lines.some((one) => !one.recorded);
  $("sentence").lang = line ? line.language : "en";
  $("sentence").textContent = line ? line.sentence : left ? "Others are recording the remaining sentences. Thank you!" : "Everything is recorded. Thank you!";
  $("sentence").classList.toggle("long", $("sentence").textContent.length > LONG_SENTENCE);
  if (line) { const url = `clips/${encodeURIComponent(line.clip)}`; if (!$("video").src.endsWith(url)) $("video").src = url; }
  for (const row of $("classes").children) row.classList.toggle("now", !!line && row.dataset.class === line.class);
  const held = line && batch.find((one) => one.clip === line.clip);
  say(held ? "A take of this sentence waits for review; another take replaces it." : line && line.recorded ? "Already recorded; another take replaces it."
    : line && skipped.has(line.clip) ? "You skipped this sentence before." : "", "");
  play(held ? URL.createObjectURL(held.sound) : line && line.own ? recordingOf(line.clip) : null);
  buttons();
}

function review() {
  setAside(); mode("review"); play(null); say("", "");
  $("takes").replaceChildren(...batch.map((one) => {
    const state = document.createElement("small");
    state.textContent = one.text; state.className = one.kind;
    return item(one.sentence, state,
      button("Listen", () => listenTo(URL.createObjectURL(one.sound)), `Listen: ${one.sentence}`),
      button("Again", () => again(one.clip), `Record again: ${one.sentence}`),
      button("Discard", () => discard(one), `Discard: ${one.sentence}`));
  }));
  buttons();
}

function play(url) {
  if ($("playback").src.startsWith("blob:")) URL.revokeObjectURL($("playback").src);
  if (url) $("playback").src = url; else $("playback").removeAttribute("src");
}

function buttons() {
  const recording = microphone.recording;
  $("record").classList.toggle("on", recording);
  $("record").firstChild.textContent = recording ? "Stop" : "Record";
  $("listen").disabled = !$("playback").src || recording;
  $("again").disabled = !take || recording;
  $("next").disabled = !take || !take.usable || recording || busy;
  $("record").disabled = !lines[place];
  $("look").disabled = !(batch.length || (take && take.usable)) || recording || busy;
  $("look").hidden = !$("review").hidden;
  $("look").firstChild.textContent = `Review takes (${batch.length} of ${BATCH})`;
  $("skip").disabled = !lines[place] || recording || busy;
  $("back").disabled = $("leave").disabled = $("keep").disabled = $("more").disabled = recording || busy;  // otherwise the take would be assigned to another line
}

function say(text, kind) { $("said").textContent = text; $("said").className = kind; }

const microphone = new Microphone({ longest_s: LONGEST_S, onfull: () => stop(), onlevel(held, seconds) {
  const db = 20 * Math.log10(Math.max(held, 1e-4));
  $("level").style.width = `${Math.max(0, (db + 60) / 60 * 100)}%`;
  $("level").className = held >= CLIPPED ? "high" : db < QUIET_DB ? "low" : "";
  const elapsed = microphone.recording ? `${Math.floor(seconds)} s` : "";
  if ($("elapsed").textContent !== elapsed) $("elapsed").textContent = elapsed;
} });

async function start() {
  if (microphone.recording || busy || starting || !lines[place]) return;
  starting = true; say("Waiting for the microphone…", "");
  try { await microphone.open(); } catch (error) { say(noMicrophone(error), "bad"); return; } finally { starting = false; }
  take = null; $("playback").pause(); play(null);
  microphone.start();
  say("Recording… speak, then press Stop.", "bad"); buttons();
}

async function stop() {
  if (!microphone.recording) return;
  const { sound, lost, seconds } = microphone.stop();
  $("elapsed").textContent = "";  // an unplugged microphone tells no level any more
  if (lost) { say("Please record it again: parts of the audio were lost or duplicated.", "bad"); buttons(); return; }
  busy = true; say("Checking…", ""); buttons();
  take = { sound, usable: false };
  play(URL.createObjectURL(sound));
  try {
    const heard = await ask("api/check", { method: "POST", body: sound });
    take.usable = heard.refusal === null;
    if (heard.refusal !== null) say(`Please record it again: ${plain(heard.refusal)}`, "bad");
    else if (seconds > LONGEST_S) say(`Better record it again: the recording ended by itself after ${LONGEST_S} s.`, "doubt");
    else if (heard.warnings.length) say(`Better record it again: ${plain(heard.warnings.join("; "))}`, "doubt");
    else say(`Good (${heard.duration_s.toFixed(1)} s).`, "good");
    take.text = $("said").textContent; take.kind = $("said").className;
  } catch (error) { waiting(error); }
  busy = false; buttons();
}

function waiting(error) {  // the take stays in the page; the booth checks it again when it is kept
  if (error.away && take) take.usable = true;
  say(error.away ? `${error.message} The take stays here: press Next when the booth is back.` : plain(error.message), "bad");
}

function setAside() {  // a usable take waits for the review, wherever the speaker goes next; only a skip drops it
  if (take && take.usable) {
    const { clip, sentence } = lines[place], { sound, text = "Not checked yet.", kind = "" } = take;
    batch = [...batch.filter((one) => one.clip !== clip), { clip, sentence, sound, text, kind }];
  }
  take = null;
}

async function next() {
  if ($("next").disabled) return;
  setAside();
  if (batch.length >= BATCH) review(); else await forward();
}

async function keep() {
  busy = true; say("Saving…", ""); buttons();
  let failed = null;
  for (const one of batch) {
    try {
      const said = `${on(one.clip)}&sentence=${encodeURIComponent(one.sentence)}`;  // may have changed on the server
      await ask(`api/takes${said}`, { method: "POST", body: one.sound });
      one.kept = true;
    } catch (error) { failed = error; one.text = plain(error.message); one.kind = "bad"; if (error.away) break; }
  }
  batch = batch.filter((one) => !one.kept);
  if (!failed) { await forward(); return; }
  await load().catch(() => {});
  busy = false; review();
  if ($("booth").hidden) $("refused").textContent = failed.message;  // speakers who withdrew see the sign-in form again
  say(failed.away ? `${failed.message} The takes stay here: press Keep when the booth is back.` : "These takes were not saved.", "bad");
}

function discard(one) {
  if (busy) return;
  batch = batch.filter((other) => other !== one);
  if (batch.length) review(); else forward();
}

async function claim(index) {  // reserves the line; false if another speaker has reserved it
  const clips = [...batch.map((one) => one.clip), ...(lines[index] ? [lines[index].clip] : [])];
  const said = await ask(`api/lines?voice=${encodeURIComponent(voice)}`, { method: "POST", body: JSON.stringify(clips) }).catch(() => ({ held: [] }));
  return !lines[index] || !said.held.includes(lines[index].clip);
}

async function go(order) {  // to the first of these lines that no other speaker has reserved
  busy = true; buttons();
  let found = lines.length;
  for (const index of order) if (await claim(index)) { found = index; break; }
  if (found === lines.length) await claim(found);
  place = found; busy = false;
  if (found === lines.length && batch.length) review(); else show();
}

const round = (from, step) => lines.map((_, index) => (from + step * (1 + index) + 2 * lines.length) % lines.length);

async function forward() {  // to the next unrecorded line, cyclically; skipped lines come last
  busy = true; buttons();  // otherwise keys would still act on the previous line
  await load().catch(() => {});
  const open = round(place, 1).filter((index) => !lines[index].recorded && !lines[index].held && !batch.some((one) => one.clip === lines[index].clip));
  await go(open.sort((one, other) => skipped.has(lines[one].clip) - skipped.has(lines[other].clip)));
}

function back() { setAside(); return go(round(Math.min(place, lines.length), -1)); }

function again(clip) {
  if (microphone.recording || busy) return;
  const index = lines.findIndex((line) => line.clip === clip);
  if (index < 0) { say("The data set was rebuilt and has no sentence for this clip anymore.", "bad"); return; }
  setAside(); go([index]);
}

async function skip(reason) {
  if (busy) return;
  busy = true; take = null; buttons();
  const { clip, sentence } = lines[place];
  skipped.add(clip);
  await ask(`api/skips${on(clip)}`, { method: "POST", body: JSON.stringify({ reason, sentence }) }).catch(() => {});
  await forward();
}

$("welcome").addEventListener("submit", async (event) => {
  event.preventDefault();
  who = $("name").value.trim();
  const speaker = { accent: $("accent").value.trim(), age_band: $("age-band").value, device: $("device").value.trim() };
  const sign = (more) => ask("api/speakers", { method: "POST", body: JSON.stringify({ name: who, agreed: $("agreed").checked, speaker, ...more }) });
  try {
    let answer = await sign({});
    if (answer.known) answer = await sign({ same: confirm(`${answer.known} has recorded here before. Are you the same person?`) });
    if (answer.withdrawn) {
      const same = confirm(`The recordings of ${who} were removed on ${answer.withdrawn} at their request. Are you the same person, and do you consent again?`);
      answer = await sign({ same, anew: same });
    }
    if (voice !== answer.voice) batch = [];  // takes of another speaker, who withdrew meanwhile
    voice = answer.voice;
    localStorage.setItem("voice", voice); localStorage.setItem("who", who);
    await enter();
  } catch (error) { $("refused").textContent = error.message; }
});
$("video").addEventListener("error", () => say("The clip cannot be played; you can skip it.", "doubt"));
$("leave").addEventListener("click", () => { localStorage.clear(); location.reload(); });
addEventListener("beforeunload", (event) => { if (batch.length || microphone.recording || (take && (take.usable || busy))) event.preventDefault(); });  // takes not kept yet
for (const [id, action] of Object.entries({ record: () => (microphone.recording ? stop() : start()), listen: () => $("playback").play(),
  again: start, next, back, skip: () => mode("reasons"), stay: () => mode("speak"), look: review, keep, more: forward }))
  $(id).addEventListener("click", () => { $(id).blur(); action(); });
for (const reason of document.querySelectorAll("[data-reason]")) reason.addEventListener("click", () => skip(reason.dataset.reason));
const KEYS = {
  keys: { " ": "record", l: "listen", a: "again", Enter: "next", b: "back", s: "skip", r: "look" },
  decide: { Enter: "keep", Escape: "more" },
  reasons: { Escape: "stay" },
};
document.addEventListener("keydown", (event) => {
  if ($("booth").hidden || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const focused = event.target.closest("button, a, summary, input");
  if (focused && (focused.matches("input") || event.key === " " || event.key === "Enter")) return;  // handled by the focused element
  const seen = Object.keys(KEYS).find((id) => !$(id).hidden), key = event.key.length > 1 ? event.key : event.key.toLowerCase();
  const pressed = seen === "keys" || !(Number(key) > 0) ? $(KEYS[seen][key])  // a number: the reason, or the take to listen to
    : document.querySelectorAll(seen === "reasons" ? "[data-reason]" : "#takes button:first-of-type")[key - 1];
  if (!pressed) return;
  event.preventDefault();
  if (!pressed.disabled) pressed.click();
});
setInterval(() => { if (!$("booth").hidden) claim(place); }, RENEWED_MS);

async function enter() {
  await load();
  if ($("booth").hidden) return;
  place = -1; await forward();
  microphone.open().catch((error) => say(noMicrophone(error), "bad"));
}
$("all").open = matchMedia("(min-width: 48rem)").matches;
enter().catch((error) => { $("welcome").hidden = false; $("refused").textContent = error.message; });
