"use strict";
// Errors: the confusion matrix, the metrics by class, and the failed queries, each next to its top hit.

const found = {};  // by direction
const LISTS = {
  hardest: { keep: (one) => one.rank > 1, by: (one) => -one.rank, about: "hardest" },
  surprising: { keep: (one) => one.surprise > 0, by: (one) => -one.surprise, about: "most surprising" },
  mislabeled: { keep: (one) => one.doubt > 0.5, by: (one) => -one.doubt - 1e-6 * one.surprise, about: "probably mislabeled" },
};
const MOST_WRONG = 60;

VIEWS.errors = {
  cards: () => [...$("wrong").children],
  async enter(params) {
    const kind = params.get("kind") === "clip" ? "clip" : "speech", list = params.get("list") || "cell";
    $("kind").value = kind; $("list").value = list;
    $("which").textContent = found[kind] ? "" : "Evaluating all queries…";
    try { found[kind] ??= await ask(`api/errors?kind=${kind}`); } catch (error) { $("which").textContent = error.message; return; }
    const errors = found[kind], cell = [params.get("asked"), params.get("first")];
    confusion(errors, list === "cell" ? cell : []); classTable(errors);
    const chosen = list in LISTS ? errors.queries.filter(LISTS[list].keep).sort((one, other) => LISTS[list].by(one) - LISTS[list].by(other))
      : errors.queries.filter((one) => (cell[0] ? one.class === cell[0] && one.top.class === cell[1] : one.class !== one.top.class));
    const what = kind === "speech" ? "utterance" : "clip", more = chosen.length > MOST_WRONG ? `, the first ${MOST_WRONG}` : "";
    $("which").textContent = list in LISTS ? `${SampleCard.countOf(chosen.length, `${LISTS[list].about} ${what}`)}${more}`
      : `${SampleCard.countOf(chosen.length, what)} ${cell[0] ? `of “${words(cell[0])}” with “${words(cell[1])}”` : "with another class"} as the top hit${more}`;
    $("wrong").replaceChildren(...chosen.slice(0, MOST_WRONG).map((one) => wrongCard(one, errors))); firstInTabOrder(VIEWS.errors.cards()); showMarks();
    if (list in LISTS || cell[0]) $("which").scrollIntoView();  // below the tables
  },
};

function confusion(errors, [asked, first]) {
  $("about-confusion").textContent = `Class of the query (row) and of its top hit (column): ${SampleCard.countOf(errors.queries.length, "query", "queries")}, ${SampleCard.countOf(errors.gallery, "item")} in the gallery`;
  const head = make("tr", {}, make("td"), ...errors.classes.map((name) => make("th", { scope: "col", title: words(name) }, make("span", {}, words(name)))));
  const rows = errors.confusion.map((counts, row) => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    return make("tr", {}, make("th", { scope: "row" }, words(errors.classes[row])), ...counts.map((count, column) => {
      const cell = make("td", { className: row === column ? "own" : "", style: count ? `background:rgba(var(--cell),${0.08 + 0.42 * count / total})` : "" });
      if (!count) return cell;
      const names = [errors.classes[row], errors.classes[column]];
      const button = make("button", { type: "button", data: { row, column }, attributes: { "aria-label": `${count} of ${words(names[0])} with ${words(names[1])} as the top hit`, "aria-pressed": String(names[0] === asked && names[1] === first) } }, String(count));
      button.addEventListener("click", () => { go("errors", { kind: errors.kind, asked: names[0], first: names[1] }); });
      cell.append(button); return cell;
    }));
  });
  const focused = document.activeElement.closest("#confusion button");
  $("confusion").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  const buttons = [...$("confusion").querySelectorAll("button")], again = focused && buttons.find((one) => one.dataset.row === focused.dataset.row && one.dataset.column === focused.dataset.column);
  for (const button of buttons) button.tabIndex = -1;  // arrow keys move between them
  const reachable = again || buttons.find((one) => one.getAttribute("aria-pressed") === "true") || buttons[0];
  if (reachable) reachable.tabIndex = 0;
  if (again) again.focus();
}

function moveInConfusion(from, key) {
  const at = [Number(from.dataset.row), Number(from.dataset.column)], axis = key === "ArrowLeft" || key === "ArrowRight" ? 1 : 0, step = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
  const ahead = [...$("confusion").querySelectorAll("button")].map((one) => [one, Number(one.dataset.row) - at[0], Number(one.dataset.column) - at[1]])
    .filter(([, ...off]) => off[axis] * step > 0).sort((one, other) => Math.abs(one[1 + axis]) + 100 * Math.abs(one[2 - axis]) - Math.abs(other[1 + axis]) - 100 * Math.abs(other[2 - axis]));
  if (!ahead.length) return;
  from.tabIndex = -1; ahead[0][0].tabIndex = 0; ahead[0][0].focus();
}

function classTable(errors) {
  const head = make("tr", {}, ...["class", "queries", "hit@1", "hit@10", "recall@10"].map((name) => make("th", { scope: "col" }, name)));
  const rows = Object.entries(errors.by_class).sort(([, one], [, other]) => one.hits[1] - other.hits[1] || one.recalls[10] - other.recalls[10]);
  $("classes").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows.map(([name, one]) => make("tr", {}, make("th", { scope: "row" }, words(name)),
    ...[one.queries, one.hits[1], one.hits[10], one.recalls[10]].map((value, index) => make("td", {}, index ? `${value.toFixed(0)} %` : String(value)))))));
}

const neighbors = (one) => one.neighbors === 1 ? "its nearest neighbor is" : `most votes of its ${one.neighbors} nearest neighbors are for`;

function wrongCard(one, errors) {
  const place = one.rank === null ? "the gallery has no item of its class" : `first item of its class at rank ${one.rank.toFixed(0)}`;
  const partner = one.partner_rank ? `, its own partner at rank ${one.partner_rank}` : "", doubt = one.doubt > 0.5 ? `; ${neighbors(one)} ${words(one.other)}` : "";
  const open = tool("open in search", () => go("search", { id: one.id }), `Open in search: ${one.id}`);
  const side = (title, card, kind) => make("div", {}, make("h3", {}, title), make("div", { className: `card ${kind}` }, picture(card), body(card)));
  const card = make("li", { data: { id: one.id, clip: one.clip || "" }, attributes: { "aria-label": `${words(one.class)}: ${words(one.top.class)} is the top hit` } },
    make("p", { className: "what small" }, `${place}${partner} of ${errors.gallery}${doubt} `, open),
    side(errors.kind === "speech" ? "query: the speech of this clip" : "query: this clip", one, ""), side("top hit", one.top, one.top.class === one.class ? "hit" : "miss"));
  return live(card);
}

for (const id of ["kind", "list"]) $(id).addEventListener("change", () => go("errors", { kind: $("kind").value, list: $("list").value }));
