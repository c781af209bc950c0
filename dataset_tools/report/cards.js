"use strict";
// Sample cards: filters, sorts, searches and plays the samples of a data set. Used by the report (opened as a file,
// without a server) and by the page of `fmn serve`. The URL holds the view: #samples?class=cut_carrot_knife&sort=-loudness

/**
 * Shows cards in an element and keeps the view in the URL.
 * @param {HTMLElement} root  parent of the filters and the cards; its id is the prefix of the URL fragment
 * @param {object[]} cards  as written by dataset_tools/report/card_data.py, sorted by id
 * @param {object} options  keys: false if the page handles keyboard navigation itself; tools(card): additional buttons;
 *     shown(): callback, called after other cards are shown
 */
function showCards(root, cards, { keys = true, tools = () => [], shown = () => {} } = {}) {
  const { element, countOf } = SampleCard;
  const many = (read) => (card) => (card.utterances ?? []).map(read).filter((value) => value !== undefined);
  const one = (read) => (card) => { const value = read(card); return value === undefined ? [] : [value]; };
  const kindOf = (doubt) => doubt.split(":")[0];
  const FACETS = {
    class: one((card) => card.class),
    person: one((card) => card.person),
    voice: many((spoken) => spoken.voice),
    split: one((card) => card.split),
    status: one((card) => card.status),
    verdict: (card) => [card.verdict ?? (card.clip ? "not reviewed" : "no clip")],
    "speech verdict": (card) => card.utterances ? many((spoken) => spoken.verdict ?? "not reviewed")(card) : ["no utterance"],
    doubt: (card) => [...new Set((card.utterances ?? []).flatMap((spoken) => (spoken.doubts ?? []).map(kindOf)))],
    reason: (card) => [...new Set((card.problems ?? []).map((problem) => kindOf(problem.found)))],
  };
  const first = (read) => (card) => card.utterances && read(card.utterances[0]);
  const SORTS = {
    id: (card) => card.id,
    ...Object.fromEntries(Object.entries(FACETS).map(([name, read]) => [name, (card) => read(card)[0]])),
    "clip length": (card) => card.clip?.duration_s,
    "utterance length": first((spoken) => spoken.duration_s),
    loudness: first((spoken) => spoken.loudness_lufs),
    disagreement: (card) => card.disagreement,
    sentence: first((spoken) => spoken.text),
    "model score": first((spoken) => spoken.score),
    "rank of own clip": first((spoken) => spoken.rank),
    "rank of own utterance": (card) => card.rank,
  };
  const SIZES = [24, 96, 384];
  const DEFAULTS = { q: "", sort: "id", from: "", to: "", per: "24", page: "1" };
  const known = {};  // values of every facet, in order
  for (const [name, read] of Object.entries(FACETS)) known[name] = [...new Set(cards.flatMap(read))].sort();
  const numeric = Object.keys(SORTS).filter((name) => cards.some((card) => typeof SORTS[name](card) === "number"));
  const sortable = Object.keys(SORTS).filter((name) => cards.some((card) => SORTS[name](card) !== undefined));

  let view = { ...DEFAULTS };
  let scrolls = true;  // whether the next change of the URL comes from a link, not from the controls

  // ---- the view in the URL -----------------------------------------------------------------------------------------
  const readAddress = () => {
    const [name, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
    return name === root.id ? { ...DEFAULTS, ...Object.fromEntries(new URLSearchParams(query)) } : null;
  };
  const addressOf = (wanted) => {
    const kept = Object.entries(wanted).filter(([name, value]) => value !== "" && value !== DEFAULTS[name]);
    const query = String(new URLSearchParams(kept));
    return `#${root.id}${query && "?" + query}`;
  };
  const go = (change, { replace = false, scroll = false } = {}) => {
    const address = addressOf({ ...view, page: "1", ...change });
    scrolls = scroll;
    if (address === location.hash) return;
    if (replace) location.replace(address); else location.hash = address;
  };

  // ---- filters -----------------------------------------------------------------------------------------------------
  const select = (label, change) => {
    const box = element("select");
    box.addEventListener("change", () => change(box.value));
    return [box, element("label", {}, label, box)];
  };
  const boxes = {};
  const search = element("input", { type: "search", placeholder: "words of the sentence, or an id" });
  let waiting;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => go({ q: search.value }, { replace: true }), 150);
  });
  const filters = element("div", { className: "sample-filters" }, element("label", { className: "search" }, "search", search));
  const folded = element("details", { open: innerWidth > 700 }, element("summary", {}, "Filters and order"), filters);
  for (const name of Object.keys(FACETS)) {
    const [box, label] = select(name, (value) => go({ [name]: value }));
    boxes[name] = { box, label };
    filters.append(label);
  }
  const [sortBox, sortLabel] = select("sort by", (name) => go({ sort: name, from: "", to: "" }));
  const turn = element("button", { type: "button" });
  turn.addEventListener("click", () => go({ sort: view.sort.startsWith("-") ? view.sort.slice(1) : "-" + view.sort }));
  const [sizeBox, sizeLabel] = select("per page", (per) => go({ per }));
  const clear = element("button", { type: "button" }, "Clear filters");
  clear.addEventListener("click", () => { view = { ...DEFAULTS, sort: view.sort, per: view.per }; go({}); });
  const ends = Object.fromEntries(["from", "to"].map((name) => {
    const input = element("input", { type: "number", step: "any" });
    input.addEventListener("change", () => go({ [name]: input.value }));
    return [name, input];
  }));
  const limits = Object.entries(ends).map(([name, input]) => element("label", {}, name, input));
  filters.append(sortLabel, turn, ...limits, sizeLabel, clear);
  sortBox.append(...sortable.map((name) => element("option", { value: name }, name)));
  sizeBox.append(...SIZES.map((size) => element("option", { value: String(size) }, String(size))));

  const matches = (card, text) => {
    if (!text) return true;
    const said = [card.sentence, ...many((spoken) => spoken.text)(card)].join(" ").toLowerCase();
    return text.split(/\s+/).every((word) => said.includes(word)) || card.id.toLowerCase().includes(text);
  };
  const sortName = () => (view.sort.startsWith("-") ? view.sort.slice(1) : view.sort);
  const sortKey = (card) => (SORTS[sortName()] ?? SORTS.id)(card);
  const within = (card) => {
    if (!view.from && !view.to) return true;
    const value = sortKey(card);
    return value !== undefined && (!view.from || value >= Number(view.from)) && (!view.to || value <= Number(view.to));
  };
  /** Returns the cards of the view and, for every value of a facet, the number of cards if it were selected. */
  const choose = () => {
    const text = view.q.trim().toLowerCase();
    const asked = Object.keys(FACETS).filter((name) => view[name]);
    const counts = Object.fromEntries(Object.keys(FACETS).map((name) => [name, new Map()]));
    const chosen = [];
    for (const card of cards) {
      if (!matches(card, text) || !within(card)) continue;
      const failed = asked.filter((name) => !FACETS[name](card).includes(view[name]));
      if (failed.length > 1) continue;
      if (!failed.length) chosen.push(card);
      for (const name of failed.length ? failed : Object.keys(FACETS)) {
        for (const value of new Set(FACETS[name](card))) counts[name].set(value, (counts[name].get(value) ?? 0) + 1);
      }
    }
    const descending = view.sort.startsWith("-");
    const order = new Map(chosen.map((card) => [card, sortKey(card)]));
    chosen.sort((a, b) => {
      const [x, y] = [order.get(a), order.get(b)];
      if (x === y) return 0;
      if (x === undefined || y === undefined) return x === undefined ? 1 : -1;  // unknown values come last
      return (x < y ? -1 : 1) * (descending ? -1 : 1);
    });
    return [chosen, counts];
  };

  // ---- the page ----------------------------------------------------------------------------------------------------
  const count = element("p", { className: "sample-count", role: "status" });
  const list = element("div", { className: "sample-list" });
  const pages = element("nav", { className: "sample-pages", "aria-label": "pages of samples" });
  root.classList.add("samples");
  root.append(folded, count, list, pages);

  const render = () => {
    SampleCard.stop();
    const [chosen, counts] = choose();
    const per = SIZES.includes(Number(view.per)) ? Number(view.per) : SIZES[0];
    const last = Math.max(1, Math.ceil(chosen.length / per));
    const page = Math.min(Math.max(1, Number(view.page) || 1), last);
    const here = chosen.slice((page - 1) * per, page * per);
    for (const [name, { box, label }] of Object.entries(boxes)) {
      label.hidden = known[name].length < 2 && !view[name];
      const values = view[name] && !known[name].includes(view[name]) ? [...known[name], view[name]] : known[name];
      box.replaceChildren(element("option", { value: "" }, "all"),
        ...values.map((value) => element("option", { value }, `${value} (${(counts[name].get(value) ?? 0).toLocaleString("en")})`)));
      box.value = view[name] ?? "";
      label.classList.toggle("on", Boolean(view[name]));
    }
    if (document.activeElement !== search) search.value = view.q;
    const descending = view.sort.startsWith("-");
    sortBox.value = sortName();
    for (const [name, input] of Object.entries(ends)) {
      input.parentElement.hidden = !numeric.includes(sortName());
      input.value = view[name];
    }
    turn.textContent = descending ? "↓ descending" : "↑ ascending";
    turn.setAttribute("aria-label", `order: ${descending ? "descending" : "ascending"}`);
    sizeBox.value = String(per);
    clear.hidden = !view.q && !view.from && !view.to && !Object.keys(FACETS).some((name) => view[name]);
    const from = (page - 1) * per;
    const asked = [...Object.keys(FACETS).filter((name) => view[name]).map((name) => `${name}: ${view[name]}`), view.q && `“${view.q}”`,
      view.sort !== DEFAULTS.sort && `sorted by ${sortName()}, ${descending ? "descending" : "ascending"}`,
      view.from && `from ${view.from}`, view.to && `to ${view.to}`].filter(Boolean).join("; ");
    count.textContent = chosen.length
      ? `${(from + 1).toLocaleString("en")} to ${(from + here.length).toLocaleString("en")} of ${countOf(chosen.length, "sample")}${asked && " – " + asked}`
      : "No matching samples: clear a filter.";
    list.replaceChildren(...here.map((card) => SampleCard.make(card, root.id, tools(card))));
    const link = (number, text) => element("a", { href: addressOf({ ...view, page: String(number) }) }, text);
    pages.replaceChildren(...(last > 1 ? [
      page > 1 ? link(page - 1, "← previous") : "", `page ${page.toLocaleString("en")} of ${last.toLocaleString("en")}`,
      page < last ? link(page + 1, "next →") : ""] : []));
    shown();
  };
  const follow = () => {
    const wanted = readAddress();
    if (!wanted) return;
    view = wanted;
    render();
    const { top } = root.getBoundingClientRect();
    if (scrolls && (top < 0 || top > innerHeight / 2)) root.scrollIntoView();
    scrolls = true;
  };

  if (keys) document.addEventListener("keydown", (event) => {
    const step = { j: 1, k: -1 }[event.key];
    const elsewhere = event.target !== document.body && !root.contains(event.target);
    if (!step || elsewhere || event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select")) return;
    const buttons = [...list.querySelectorAll("button.both:not([hidden])")];
    const here = buttons.indexOf(event.target.closest(".sample")?.querySelector("button.both"));
    buttons[Math.min(Math.max(here + step, 0), buttons.length - 1)]?.focus();
    event.preventDefault();
  });
  addEventListener("hashchange", follow);
  root.hidden = false;
  if (readAddress()) follow(); else render();
}
