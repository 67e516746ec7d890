// The browser of generations. Everything a model wrote reaches the page as text, never as markup.
(() => {
  "use strict";
  const { el, signed, plain, strength, side, colouredText } = PARTS;
  const source = document.getElementById("generations-data");
  if (!source) return;
  const TASKS = JSON.parse(source.textContent);
  const PER_PAGE = 8;
  const LONG_PROMPT = 320;
  const SFT = "sft";
  const GOLD = 0; // places of the two judges among an answer's scores
  const HOLISTIC = 1;
  const [TEXT, LENGTH, SCORES, SPANS] = [0, 1, 2, 3];
  const ID = "id:"; // begins a search for one prompt
  const ANCHOR = "#generations?"; // begins the address of a view
  const $ = (name) => document.getElementById(`g-${name}`);

  // State, and its place in the address.

  const usual = (task) => TASKS[task].usual;
  const initial = (task) => ({
    task,
    seed: String(TASKS[task].seeds[0] ?? "all"),
    aspect: TASKS[task].aspects[0]?.name ?? "none",
    show: "all",
    sort: "order",
    search: "",
    methods: usual(task),
    numbers: false,
    page: 1,
  });
  const first = Object.keys(TASKS)[0];
  let state = initial(first);

  const fromAddress = () => {
    if (!location.hash.startsWith(ANCHOR)) return false;
    const asked = new URLSearchParams(location.hash.slice(ANCHOR.length));
    const task = Object.hasOwn(TASKS, asked.get("task")) ? asked.get("task") : first;
    const known = TASKS[task];
    state = initial(task);
    const choose = (name, values) => {
      if (values.includes(asked.get(name))) state[name] = asked.get(name);
    };
    choose("seed", [...known.seeds.map(String), "all"]);
    choose("aspect", [...known.aspects.map((aspect) => aspect.name), "none"]);
    choose("show", ["all", "differ", "disagree"]);
    choose("sort", ["order", "spread", "lost"]);
    state.search = asked.get("search") ?? "";
    if (asked.has("methods")) {
      const names = asked.get("methods").split(",");
      state.methods = known.methods.filter((name) => names.includes(name));
    }
    state.numbers = asked.get("numbers") === "yes";
    state.page = Math.max(1, Number.parseInt(asked.get("page"), 10) || 1);
    return true;
  };

  const address = (changes = {}) => {
    const wanted = { ...state, ...changes };
    const normal = initial(wanted.task);
    const query = new URLSearchParams({ task: wanted.task });
    for (const name of ["seed", "aspect", "show", "sort", "search", "page"]) {
      if (wanted[name] !== normal[name]) query.set(name, wanted[name]);
    }
    if (wanted.methods.join() !== normal.methods.join()) query.set("methods", wanted.methods.join());
    if (wanted.numbers) query.set("numbers", "yes");
    return ANCHOR + query;
  };

  // What is shown of a prompt, and how far the judges differ on it.

  const shownAnswers = (prompt) => {
    const seeds = TASKS[state.task].seeds;
    const places = new Map();
    for (const method of state.methods) {
      const row = prompt.runs[method] ?? [];
      row.forEach((place, i) => {
        if (place === null) return;
        const seed = method === SFT ? null : seeds[i];
        if (seed !== null && state.seed !== "all" && String(seed) !== state.seed) return;
        if (!places.has(place)) places.set(place, new Map());
        const of = places.get(place);
        of.set(method, [...(of.get(method) ?? []), seed]);
      });
    }
    return [...places].map(([place, methods]) => ({ answer: prompt.answers[place], methods }));
  };

  const range = (values) => (values.length ? Math.max(...values) - Math.min(...values) : 0);

  const judged = (prompt) => {
    const shown = shownAnswers(prompt);
    const score = (entry, judge) => entry.answer[SCORES][judge];
    const known = shown.filter((entry) => score(entry, GOLD) !== null);
    const both = known.filter((entry) => score(entry, HOLISTIC) !== null);
    const result = { prompt, shown, spread: range(known.map((entry) => score(entry, GOLD))), lost: 0 };
    if (both.length) {
      const byGold = Math.max(...both.map((entry) => score(entry, GOLD)));
      const byReward = Math.max(...both.map((entry) => score(entry, HOLISTIC)));
      const chosen = both.filter((entry) => score(entry, HOLISTIC) === byReward);
      result.lost = byGold - Math.max(...chosen.map((entry) => score(entry, GOLD)));
      result.bestByGold = new Set(both.filter((entry) => score(entry, GOLD) === byGold));
      result.bestByReward = new Set(chosen);
    }
    return result;
  };

  const matches = (item) => {
    const wanted = state.search.trim().toLowerCase();
    if (!wanted) return true;
    if (wanted.startsWith(ID)) return item.prompt.id.toLowerCase() === wanted.slice(ID.length);
    const texts = [item.prompt.id, item.prompt.prompt, item.prompt.reference];
    texts.push(...item.shown.map((entry) => entry.answer[TEXT]));
    return texts.some((text) => text?.toLowerCase().includes(wanted));
  };

  const selected = () => {
    const wanted = { all: () => true, differ: (item) => item.spread > 0, disagree: (item) => item.lost > 0 };
    const items = TASKS[state.task].prompts.map(judged).filter(wanted[state.show]).filter(matches);
    if (state.sort !== "order") items.sort((a, b) => b[state.sort] - a[state.sort]);
    return items;
  };

  // Drawing.

  const names = (methods) =>
    [...methods].map(([method, seeds]) => {
      const which = seeds[0] === null || state.seed !== "all" ? "" : ` ${seeds.join(" ")}`;
      return el("span", { class: "method" }, method === SFT ? "SFT policy" : method, el("small", {}, which));
    });

  const answerRow = (item, entry, task) => {
    const index = task.aspects.findIndex((aspect) => aspect.name === state.aspect);
    const scores = entry.answer[SCORES];
    const holistic = scores[HOLISTIC];
    const rewards = index < 0 ? [] : entry.answer[SPANS][index];
    const marked = colouredText(entry.answer[TEXT], rewards, task.aspects[index], state.numbers);
    const text = el("p", { class: "text" }, ...marked);
    if (!entry.answer[TEXT]) text.append(el("em", {}, "(empty)"));
    if (holistic !== null && holistic !== undefined) {
      text.append(
        " ",
        el(
          "span",
          {
            class: `chip ${side(holistic)}`,
            style: { "--strength": strength(holistic, 2) },
            title: `${task.scores[HOLISTIC].label}, on the last token: ${signed(holistic)}`,
          },
          signed(holistic),
        ),
      );
    }
    const best = [item.bestByGold, item.bestByReward];
    const tie = best.map((set) => !set || set.size === item.shown.length);
    const pairs = task.scores.map((score, place) => {
      const top = place <= HOLISTIC && !tie[place] && best[place].has(entry);
      return el(
        "div",
        { class: top ? "top" : "", title: top ? "highest of the answers shown" : "" },
        el("dt", {}, score.label),
        el("dd", {}, plain(scores[place])),
      );
    });
    pairs.push(el("div", {}, el("dt", {}, "tokens"), el("dd", {}, String(entry.answer[LENGTH]))));
    return el("li", {}, el("div", { class: "who" }, ...names(entry.methods)), text, el("dl", {}, ...pairs));
  };

  const promptText = (prompt) => {
    if (prompt.prompt === undefined) return el("p", { class: "gap" }, "The prompt is not on record.");
    const characters = Array.from(prompt.question ?? prompt.prompt);
    const long = characters.length > LONG_PROMPT;
    if (prompt.question === undefined && !long) return el("p", {}, prompt.prompt);
    const start = characters.slice(0, LONG_PROMPT).join("") + (long ? " …" : "");
    return el("details", {}, el("summary", {}, start), el("p", {}, prompt.prompt));
  };

  const article = (item, task) => {
    const { prompt } = item;
    const facts = [`gold spread ${item.spread.toFixed(2)}`];
    if (item.lost > 0) facts.push(`the reward's choice loses ${item.lost.toFixed(2)} gold`);
    return el(
      "article",
      { class: "item" },
      el(
        "header",
        {},
        el("h3", {}, prompt.id),
        ...facts.map((fact, i) => el("span", { class: i ? "flag" : "" }, fact)),
        el("a", { href: address({ search: ID + prompt.id, show: "all", sort: "order", page: 1 }) }, "link"),
      ),
      el("div", { class: "given" }, el("h4", {}, "Prompt"), promptText(prompt)),
      prompt.reference === undefined
        ? null
        : el("div", { class: "given" }, el("h4", {}, "Reference"), el("p", {}, prompt.reference)),
      el("ul", { class: "answers" }, ...item.shown.map((entry) => answerRow(item, entry, task))),
    );
  };

  const legend = (task) => {
    const aspect = task.aspects.find((one) => one.name === state.aspect);
    const sample = (value, strong) =>
      el("mark", { class: side(value), style: { "--strength": strength(value, strong) } }, signed(value));
    const parts = aspect
      ? [`${aspect.label}: reward from `, sample(-aspect.strong, aspect.strong), " to ", sample(aspect.strong, aspect.strong), " on the marked words. "]
      : task.aspects.length
        ? []
        : ["These records do not say where an aspect's rewards lie. "];
    const chip = el("span", { class: "chip above", style: { "--strength": "50" } }, "+1.00");
    return [...parts, chip, ` ${task.scores[HOLISTIC]?.label ?? "holistic reward"}, which stands on the last token.`];
  };

  const option = (value, text, chosen) => el("option", { value, selected: value === chosen }, text);

  const drawControls = () => {
    const task = TASKS[state.task];
    $("task").replaceChildren(...Object.keys(TASKS).map((name) => option(name, name, state.task)));
    const seeds = [...task.seeds.map(String), "all"];
    $("seed").replaceChildren(...seeds.map((seed) => option(seed, seed, state.seed)));
    $("aspect").replaceChildren(
      ...task.aspects.map((aspect) => option(aspect.name, aspect.name, state.aspect)),
      option("none", "none", state.aspect),
    );
    $("show").value = state.show;
    $("sort").value = state.sort;
    if ($("search").value !== state.search) $("search").value = state.search;
    $("numbers").checked = state.numbers;
    const boxes = task.methods.map((name) =>
      el(
        "label",
        { class: "check" },
        el("input", { type: "checkbox", value: name, checked: state.methods.includes(name) }),
        ` ${name === SFT ? "SFT policy" : name}`,
      ),
    );
    $("methods").replaceChildren($("methods").querySelector("legend"), ...boxes);
    $("legend").replaceChildren(...legend(task));
  };

  const drawList = () => {
    const task = TASKS[state.task];
    const items = selected();
    const pages = Math.max(1, Math.ceil(items.length / PER_PAGE));
    state.page = Math.min(state.page, pages);
    const thinned = task.total > task.prompts.length ? `, evenly taken from ${task.total}` : "";
    $("count").textContent = items.length
      ? `${items.length} of ${task.prompts.length} prompts${thinned}`
      : "No prompt is like that: choose other methods, or reset.";
    const start = (state.page - 1) * PER_PAGE;
    $("list").replaceChildren(...items.slice(start, start + PER_PAGE).map((item) => article(item, task)));
    $("pages").hidden = pages === 1;
    $("page").textContent = `page ${state.page} of ${pages}`;
    $("previous").disabled = state.page === 1;
    $("next").disabled = state.page === pages;
  };

  const draw = ({ controls = true } = {}) => {
    if (controls) drawControls();
    drawList();
  };

  const change = (changes, { controls = true } = {}) => {
    state = { ...state, page: 1, ...changes };
    draw({ controls });
    history.replaceState(null, "", address());
  };

  $("task").addEventListener("change", (event) => {
    const { show, sort, numbers } = state;
    change({ ...initial(event.target.value), show, sort, numbers });
  });
  for (const name of ["seed", "aspect", "show", "sort"]) {
    $(name).addEventListener("change", (event) => change({ [name]: event.target.value }));
  }
  $("search").addEventListener("input", (event) => change({ search: event.target.value }, { controls: false }));
  $("numbers").addEventListener("change", (event) => change({ numbers: event.target.checked, page: state.page }));
  $("methods").addEventListener("change", () => {
    const boxes = [...$("methods").querySelectorAll("input:checked")].map((box) => box.value);
    // Not drawn anew: the box that has the focus keeps it.
    change({ methods: TASKS[state.task].methods.filter((name) => boxes.includes(name)) }, { controls: false });
  });
  $("usual").addEventListener("click", () => change({ methods: usual(state.task) }));
  $("every").addEventListener("click", () => change({ methods: TASKS[state.task].methods }));
  $("reset").addEventListener("click", () => change(initial(state.task)));
  $("form").addEventListener("submit", (event) => event.preventDefault());
  const turn = (pages) => {
    change({ page: state.page + pages }, { controls: false });
    $("count").scrollIntoView();
  };
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  const follow = () => {
    if (!fromAddress()) return;
    draw();
    document.getElementById("generations").scrollIntoView();
  };
  addEventListener("hashchange", follow);

  $("form").hidden = false;
  fromAddress() ? follow() : draw();
})();
