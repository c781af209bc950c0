"use strict";
// Explore: every sample of the data set as a card of its report (cards.js), with its score and ranks from the run.

{
  let begun = null;  // the cards are requested once
  const toolsOf = ({ id, clip, utterances = [] }) => {
    const known = clip?.duration_s !== undefined;  // false for a sample that was left out
    return [make("div", { className: "tools" },
      known ? tool("find its speech", () => go("search", { id }), `Find speech for this clip: ${id}`, "c") : null,
      utterances.length ? tool("find its clips", () => go("search", { id: utterances[0].id }), `Find clips for this utterance: ${id}`, "u") : null,
      known ? tool("mark", () => mark(id), `Mark for review in Label Studio: ${id}`, "f") : null)];
  };
  const shown = () => {
    for (const card of $("explore").querySelectorAll("article[data-id]")) card.dataset.clip = card.dataset.id;
    showMarks();
  };
  const load = async () => {
    const root = $("explore");
    root.textContent = "Loading all samples…";
    try {
      const { cards } = await ask("api/samples");
      root.replaceChildren();
      showCards(root, cards, { keys: false, tools: toolsOf, shown });
    } catch (error) { root.textContent = error.message; begun = null; }
  };
  VIEWS.explore = { cards: () => [...$("explore").querySelectorAll("button.both:not([hidden])")], enter: () => (begun ??= load()) };
}
