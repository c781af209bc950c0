"use strict";
// The page of the recording booth. Samples come from the microphone as they are (no echo cancelling, no gain control),
// go up as a 16-bit wav, and are judged by the server, by the same rules as every other utterance.

const $ = (id) => document.getElementById(id);
const QUIET_DB = -45, CLIPPED = 0.999, LONGEST_S = 29;
const WORKLET = `registerProcessor("samples", class extends AudioWorkletProcessor {
  process(inputs) { if (inputs[0][0]) this.port.postMessage(inputs[0][0].slice()); return true; } });`;

let voice = localStorage.getItem("voice") || "", who = localStorage.getItem("who") || "";
let lines = [], place = 0, context = null, parts = null, take = null, busy = false;

async function ask(path, options) {
  const answer = await fetch(path, options);
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.found || `The booth answered ${answer.status}: is it still running?`);
  return said;
}

async function load() {
  const state = await ask(`api/state?voice=${encodeURIComponent(voice)}`);
  $("consent").textContent = state.consent;
  lines = state.lines; $("sentence").lang = state.language;
  $("classes").replaceChildren(...state.classes.map((one) => {
    const row = document.createElement("tr"), name = document.createElement("td"), count = document.createElement("td");
    row.dataset.class = one.id; row.className = one.done === one.of ? "whole" : "";
    name.textContent = one.label; count.textContent = `${one.done} / ${one.of}`;
    row.append(name, count); return row;
  }));
  const done = lines.filter((line) => line.recorded).length;
  $("total").textContent = `${done} of ${lines.length} sentences recorded`;
  $("welcome").hidden = state.admitted; $("booth").hidden = !state.admitted; $("who").textContent = who;
  return state;
}

function show() {
  take = null;
  const line = lines[place];
  $("sentence").textContent = line ? line.sentence : "Everything is recorded. Thank you!";
  $("record").disabled = !line;
  if (line) { const url = `clips/${encodeURIComponent(line.clip)}`; if (!$("video").src.endsWith(url)) $("video").src = url; }
  for (const row of $("classes").children) row.classList.toggle("now", !!line && row.dataset.class === line.class);
  say(line && line.recorded ? "This one is recorded; another take takes its place." : "", "");
  buttons();
}

function buttons() {
  const recording = parts !== null;
  $("record").classList.toggle("on", recording);
  $("record").firstChild.textContent = recording ? "Stop" : "Record";
  $("listen").disabled = $("again").disabled = !take || recording;
  $("next").disabled = !take || !take.usable || recording || busy;
  $("skip").disabled = $("back").disabled = recording;
}

function say(text, kind) { $("said").textContent = text; $("said").className = kind; }

async function microphone() {
  if (context) return context.resume();
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  context = new AudioContext();
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" })));
  const node = new AudioWorkletNode(context, "samples");
  let held = 0;
  node.port.onmessage = ({ data }) => {
    let peak = 0;
    for (const value of data) peak = Math.max(peak, Math.abs(value));
    held = Math.max(peak, held * 0.96);
    const db = 20 * Math.log10(Math.max(held, 1e-4));
    $("level").style.width = `${Math.max(0, (db + 60) / 60 * 100)}%`;
    $("level").className = held >= CLIPPED ? "high" : db < QUIET_DB ? "low" : "";
    if (parts === null) return;
    parts.push(data);
    if (parts.length * data.length > LONGEST_S * context.sampleRate) stop();
  };
  context.createMediaStreamSource(stream).connect(node);
}

async function start() {
  if (parts !== null || busy || !lines[place]) return;
  try { await microphone(); } catch (error) { say(`No microphone: ${error.message}`, "bad"); return; }
  take = null; parts = []; $("playback").pause();
  say("Recording… speak, then press space.", "bad"); buttons();
}

async function stop() {
  if (parts === null) return;
  const sound = wav(parts, context.sampleRate);
  parts = null; busy = true; say("Listening…", ""); buttons();
  try {
    const heard = await ask("api/check", { method: "POST", body: sound });
    take = { sound, usable: heard.refusal === null };
    if ($("playback").src) URL.revokeObjectURL($("playback").src);
    $("playback").src = URL.createObjectURL(sound);
    if (heard.refusal !== null) say(`Please once more: ${heard.refusal}`, "bad");
    else if (heard.warnings.length) say(`Doubtful, better once more: ${heard.warnings.join("; ")}`, "doubt");
    else say(`Good (${heard.duration_s.toFixed(1)} s).`, "good");
  } catch (error) { say(error.message, "bad"); }
  busy = false; buttons();
}

async function keep() {
  if ($("next").disabled) return;
  busy = true; buttons();
  try {
    const where = `api/takes?clip=${encodeURIComponent(lines[place].clip)}&voice=${encodeURIComponent(voice)}`;
    await ask(where, { method: "POST", body: take.sound });
    await load(); busy = false; forward();
  } catch (error) { busy = false; say(error.message, "bad"); buttons(); }
}

function forward() {  // to the next line that is not recorded, round the end
  const order = lines.map((_, index) => (place + 1 + index) % lines.length);
  const open = order.find((index) => !lines[index].recorded);
  place = open === undefined ? lines.length : open;
  show();
}

function back() { place = (Math.min(place, lines.length) - 1 + lines.length) % lines.length; show(); }

function wav(chunks, rate) {
  const length = chunks.reduce((sum, one) => sum + one.length, 0), view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, letters) => [...letters].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * length, true); text(8, "WAVEfmt "); view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); view.setUint16(22, 1, true); view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * length, true);
  let at = 44;
  for (const one of chunks) for (const value of one) {
    view.setInt16(at, Math.max(-32768, Math.min(32767, Math.round(value * 32767))), true); at += 2;
  }
  return new Blob([view], { type: "audio/wav" });
}

$("welcome").addEventListener("submit", async (event) => {
  event.preventDefault();
  who = $("name").value.trim();
  try {
    voice = (await ask("api/speakers", { method: "POST", body: JSON.stringify({ name: who, agreed: $("agreed").checked }) })).voice;
    localStorage.setItem("voice", voice); localStorage.setItem("who", who);
    await enter();
  } catch (error) { $("refused").textContent = error.message; }
});
$("leave").addEventListener("click", () => { localStorage.clear(); location.reload(); });
for (const [id, action] of Object.entries({ record: () => (parts === null ? start() : stop()), listen: () => $("playback").play(),
  again: start, next: keep, back: back, skip: () => { place = (place + 1) % lines.length; show(); } }))
  $(id).addEventListener("click", () => { $(id).blur(); action(); });
document.addEventListener("keydown", (event) => {
  if ($("booth").hidden || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const id = { " ": "record", l: "listen", a: "again", Enter: "next", b: "back", s: "skip" }[event.key.length > 1 ? event.key : event.key.toLowerCase()];
  if (!id) return;
  event.preventDefault();
  if (!$(id).disabled) $(id).click();
});

async function enter() {
  await load();
  if ($("booth").hidden) return;
  place = -1; forward();
  microphone().catch((error) => say(`No microphone: ${error.message}`, "bad"));
}
enter().catch((error) => { $("welcome").hidden = false; $("refused").textContent = error.message; });
