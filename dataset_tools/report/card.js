"use strict";
// One sample card: clip and utterance side by side, their metadata, and a button that plays both.

const SampleCard = (() => {
  let playing = null;  // stops the current playback

  const element = (tag, properties = {}, ...content) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in made) made[name] = value; else made.setAttribute(name, value);
    }
    made.append(...content.filter((part) => part !== null && part !== undefined && part !== ""));
    return made;
  };

  const countOf = (number, one, several = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : several}`;

  const fact = (name, value, kind = "") =>
    value === undefined || value === "" ? null : element("span", { className: `fact ${kind}`, title: name }, String(value));
  const judgment = (what, { verdict, votes = [] }) => {
    if (verdict === undefined) return null;
    const said = votes.map(([vote, count]) => `${count} ${vote}`).join(", ");
    const many = votes.reduce((sum, [, count]) => sum + count, 0) > 1;
    return fact(`verdict on the ${what}`, `${what}: ${verdict}${many ? ` (${said})` : ""}`, verdict === "reject" ? "bad" : "good");
  };
  const lost = (media, what) => media.replaceWith(element("div", { className: "lost" }, `${what} is missing`));

  const clipOf = (card) => {
    if (!card.clip) return element("div", { className: "lost" }, card.utterances ? "describes a class, not a single clip" : "no clip");
    const { src, poster, duration_s: length } = card.clip;
    const sentence = card.utterances?.[0].text ?? card.sentence ?? "";
    const video = element("video", {
      muted: true, playsInline: true, preload: poster ? "none" : "metadata",
      src: poster || !length ? src : `${src}#t=${(length / 2).toFixed(2)}`,  // shows the middle frame
      "aria-label": `Clip of ${card.class ?? "no class"}, ${card.person ?? "person not known"}: ${sentence}`,
    });
    if (poster) video.poster = poster;
    for (const [event, shown] of [["pointerenter", true], ["pointerleave", false]]) {
      video.addEventListener(event, () => { video.controls = shown; });  // the controls cover a third of a small video
    }
    video.addEventListener("error", () => lost(video, "the clip's file"));
    video.addEventListener("play", () => { if (!poster) video.currentTime = 0; }, { once: true });
    return video;
  };
  const spokenOf = (spoken) => {
    const sound = element("audio", { controls: true, preload: "none", src: spoken.src, "aria-label": `Utterance: ${spoken.text}` });
    sound.addEventListener("error", () => lost(sound, "the utterance's file"));
    return element("div", { className: "spoken" },
      element("p", { className: "sentence" }, spoken.text || "(the sentence is not known)"), sound,
      element("p", { className: "facts" },
        fact("voice", spoken.voice), fact("voice", spoken.source), fact("sentence from", spoken.text ? spoken.text_source : "not stated"),
        fact("duration of the utterance", `spoken ${spoken.duration_s.toFixed(1)} s`),
        fact("loudness before normalization", spoken.loudness_lufs !== undefined && `${spoken.loudness_lufs.toFixed(1)} LUFS` || ""),
        fact("score of the pair, comparable within one search only", spoken.score !== undefined ? `score ${spoken.score.toFixed(2)}` : ""),
        fact("rank of its clip in a search by this utterance", spoken.rank && `own clip: rank ${spoken.rank}`),
        judgment("speech", spoken), ...(spoken.doubts ?? []).map((doubt) => fact("warning", doubt, "short"))));
  };
  const problemOf = (problem) => element("p", { className: "problem" }, element("b", {}, problem.found),
    ...[problem.where, problem.next && `Next: ${problem.next}`].filter(Boolean).map((line) => element("small", {}, line)));

  /** Plays clip and utterance together from the beginning; stops them if they are playing. */
  const playBoth = (button, id, media) => {
    const mine = button.classList.contains("on");
    const show = (on) => {
      button.classList.toggle("on", on);
      button.textContent = on ? "Stop" : "Play";
      button.setAttribute("aria-label", `${button.textContent} ${id}`);
    };
    playing?.();
    if (mine) return;
    const stop = () => {
      for (const one of media) { one.pause(); one.removeEventListener("ended", ended); }
      show(false); playing = null;
    };
    const ended = () => { if (playing === stop && media.every((one) => one.paused || one.error)) stop(); };
    playing = stop;
    show(true);
    for (const one of media) {
      one.currentTime = 0;
      one.addEventListener("ended", ended);
      one.play().catch(ended);  // if one file is missing, the other one continues
    }
  };
  /** Creates the element of a card; `name` is the prefix of its id, `tools` are additional buttons. */
  const make = (card, name, tools) => {
    const clip = clipOf(card);
    const spoken = (card.utterances ?? []).map(spokenOf);
    if (!spoken.length) spoken.push(element("div", { className: "spoken" },
      card.sentence ? element("p", { className: "sentence" }, card.sentence) : "", element("p", { className: "none" }, "no utterance")));
    const button = element("button", { type: "button", className: "both", "aria-label": `Play ${card.id}` }, "Play");
    const made = element("article", { className: `sample ${card.status}${card.clip ? "" : " no-clip"}`, id: `${name}/${card.id}` },
      element("div", { className: "clip" }, clip),
      element("div", { className: "said" }, ...spoken, ...(card.problems ?? []).map(problemOf)),
      element("div", { className: "about" }, button,
        element("span", { className: "facts" },
          fact("status", card.status === "ok" ? "" : card.status, card.status === "failed" ? "bad" : "short"),
          fact("class", card.class), fact("person", card.person),
          fact("split", card.split === "neither" ? "no pairs" : card.split),
          fact("duration of the clip", card.clip?.duration_s && `clip ${card.clip.duration_s.toFixed(1)} s`),
          judgment("clip", card),
          fact("share of pairs of annotators that decided differently", card.disagreement ? `disagreement ${card.disagreement.toFixed(2)}` : "", "short"),
          fact("rank of its utterance in a search by this clip", card.rank && `own utterance: rank ${card.rank}`)),
        element("code", {}, card.id), ...tools));
    made.dataset.id = card.id;
    button.hidden = !made.querySelector("video, audio");
    button.addEventListener("click", () => playBoth(button, card.id, [made.querySelector("video"), made.querySelector("audio")].filter(Boolean)));
    return made;
  };
  return { element, countOf, make, stop: () => playing?.() };
})();
