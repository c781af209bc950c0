"use strict";
// The microphone of a page: samples as they come (no echo cancelling, no gain control), handed out as a 16-bit wav.

const SAMPLES_WORKLET = `registerProcessor("samples", class extends AudioWorkletProcessor {
  process(inputs) { if (inputs[0][0]) this.port.postMessage({ at: currentFrame, data: inputs[0][0].slice() }); return true; } });`;

class Microphone {
  // onlevel(held, seconds): the highest sample of late, and how long the recording is; onfull(): it is to be stopped, as it is
  // `longest_s` long or the microphone was unplugged.
  constructor({ longest_s, onlevel = () => {}, onfull = () => {} }) {
    Object.assign(this, { longest_s, onlevel, onfull, context: null, opening: null, parts: null, first: 0, last: 0, cut: false });
  }

  get recording() { return this.parts !== null; }

  open() {  // asked once, however often: each context would add its samples to the recording
    this.opening ??= this.#open().catch((error) => { this.opening = null; throw error; });
    return this.opening.then(() => this.context.resume());
  }

  async #open() {
    if (!navigator.mediaDevices) throw new Error("the browser gives none to this address; it has to be of this machine, or https");
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    const context = new AudioContext();
    for (const track of stream.getAudioTracks()) track.addEventListener("ended", () => {  // unplugged: the next start asks anew
      this.opening = null; this.cut = true; context.close();
      if (this.recording) this.onfull();
    });
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([SAMPLES_WORKLET], { type: "text/javascript" })));
    this.context = context;
    const node = new AudioWorkletNode(context, "samples");
    let held = 0;
    node.port.onmessage = ({ data: { at, data } }) => {
      let peak = 0;
      for (const value of data) peak = Math.max(peak, Math.abs(value));
      held = Math.max(peak, held * 0.96);
      if (this.parts !== null) {
        if (!this.parts.length) this.first = at;
        this.last = at + data.length; this.parts.push(data);
      }
      const seconds = this.parts === null ? 0 : this.parts.length * data.length / context.sampleRate;
      this.onlevel(held, seconds);
      if (seconds > this.longest_s) this.onfull();
    };
    context.createMediaStreamSource(stream).connect(node);
  }

  start() { this.parts = []; this.cut = false; }

  stop() {  // `lost`: the microphone was unplugged, or parts of the sound are missing or came twice by the clock of the sound card
    const chunks = this.parts, rate = this.context.sampleRate, length = chunks.reduce((sum, one) => sum + one.length, 0);
    this.parts = null;
    const off = Math.abs(length - (chunks.length ? this.last - this.first : 0)) / rate;
    return { sound: wav(chunks, length, rate), lost: this.cut || off > 0.1 + 0.1 * length / rate, seconds: length / rate };
  }
}

function noMicrophone(error) {
  const denied = error.name === "NotAllowedError" ? " Allow it by the sign at the left of the page's address, then reload the page." : "";
  return `No microphone: ${error.message}.${denied}`;
}

function wav(chunks, length, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
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
