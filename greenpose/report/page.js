// What the page can do beyond being read: sort, filter, choose the cost axis, highlight, suppose. It moves and
// recomputes what is printed; without it nothing is missing. Its state is the URL's fragment.
"use strict";
{
  const all = (css, from = document) => [...from.querySelectorAll(css)];
  const one = (css, from = document) => from.querySelector(css);
  const make = (tag, more, ...inside) => {
    const made = Object.assign(document.createElement(tag), more);
    made.append(...inside);
    return made;
  };
  const set = (node, more) => Object.entries(more).forEach(each => node.setAttribute(...each));
  const tidy = text => text.replace(/\s+/g, " ").trim();
  const words = node => tidy(node.textContent);
  const { experiments, scenario } = JSON.parse(one("#greenpose-view").textContent);
  const say = text => { one("#said").innerText = text; };

  // State: what is asked of the bar and of the scenario by name, a column and direction by its table's id.
  let state = new URLSearchParams();
  let later;
  const ask = key => state.get(key) ?? "";
  const asked = ({ name, type }) => (type == "number" && !(ask(name) >= 0) ? "" : ask(name));
  const change = (key, value) => {
    if (value) state.set(key, value);
    else state.delete(key);
    show();
  };
  const shared = () => location.hash.includes("=");
  const remember = () => (`${state}` || shared()) && history.replaceState(null, "", `#${state}`);
  const recall = () => {
    state = new URLSearchParams(shared() ? location.hash.slice(1) : "");
    show();
  };

  // Names: each belongs to an experiment (e), and maybe to an exit (x) or a run of it.
  const names = new Map();
  experiments.forEach(([label, exits, runs], e) => {
    for (const x of exits) {
      names.set(`${label} exit ${x}`, { e, x });
      names.set(`${label} · ${x}`, { e, x });
    }
    names.set(label, exits[1] ? { e } : { e, x: exits[0] });
    for (const run of runs) names.set(run, { e, run });
  });
  const named = node => names.get(words(node).split(" − ")[0]);
  const matches = name => {
    if (!name) return true;
    const { e, x, run = "" } = name;
    const text = `${experiments[e][0]} ${run} ${x ? `exit ${x}` : ""}`.toLowerCase();
    return ask("find").toLowerCase().split(" ").every(word => text.includes(word)) && (!ask("exit") || !x || x == ask("exit"));
  };

  // Numbers as the page prints them; the original is greenpose/formatting.py.
  const power = value => Math.floor(Math.log10(Math.abs(value)));
  const typeset = text => {
    const [whole, rest] = text.replace("-", "").split(".");
    const apart = whole[4] ? whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") : whole;
    return (text < 0 ? "−" : "") + apart + (rest ? `.${rest}` : "");
  };
  const significant = (value, digits) => {
    const rounded = Number(value.toPrecision(digits));
    return rounded ? rounded.toFixed(Math.max(0, digits - 1 - power(rounded))) : "0";
  };
  const fixed = (value, decimals) => {
    const rounded = decimals < 0 ? `${Math.round(value * 10 ** decimals) / 10 ** decimals}` : value.toFixed(decimals);
    return typeset(rounded == 0 && value ? significant(value, 1) : rounded);
  };
  const borne = half => (Math.round(half / 10 ** (power(half) - 2)) < 355) - power(half);
  const number = ([value, low, high]) => {
    if (!(high > low)) return [typeset(significant(value, 3)), ""];
    const decimals = Math.min(borne((high - low) / 2), 3 - (value && power(value)));
    const [text, below, above, from, to] = [value, value - low, high - value, low, high].map(each => fixed(each, decimals));
    return [text, below == above ? `±${above}` : `[${from}${(from + to).includes("−") ? " to " : "–"}${to}]`];
  };

  // Tables: sorted or filtered, every line carries its own heads; otherwise a table stands as it was printed.
  const rowNames = new WeakMap();
  const collator = new Intl.Collator("en", { numeric: true });
  const sheet = table => {
    const { caption, tHead, id } = table;
    const bodies = [...table.tBodies];
    const heads = [...tHead.rows[0].cells];
    const title = words(caption).split(/[.:] /)[0];
    const wordy = index => heads[index].className == "t";
    const grouped = one("th.group", table);
    let lines, shown;
    const line = row => {
      const copied = grouped ? row.cloneNode(true) : row;
      if (grouped) {
        const own = one(".group", copied) ?? copied.insertBefore(one(".group", row.parentNode).cloneNode(true), copied.firstChild);
        own.removeAttribute("rowspan");
        own.scope = "row";
      }
      const [first, second] = all("th", copied);
      const name = named(first);
      const whole = name && second ? { ...name, x: parseInt(words(second)) } : name;
      rowNames.set(row, whole).set(copied, whole);
      return copied;
    };
    const value = cell => {
      const text = cell.firstChild.textContent.replace(/[\s≈∼≥]/g, "").replace("−", "-");
      return /^[-+]?\d/.test(text) ? parseFloat(text) : NaN;
    };
    const sorted = (index, down) => {
      const compare = wordy(index) ? collator.compare : (a, b) => a - b;
      return lines.map(row => [(wordy(index) ? words : value)(row.cells[index]), row])
        .sort(([a], [b]) => Number.isNaN(a) - Number.isNaN(b) || (down ? compare(b, a) : compare(a, b)) || 0)
        .map(each => each[1]);
    };
    const draw = () => {
      if (table.closest("details:not([open])")) return [0, 0];
      lines ??= bodies.flatMap(body => [...body.rows].map(line));
      const [, index, down] = /^(\d+)(d?)$/.exec(ask(id)) ?? [];
      heads.forEach((head, at) => {
        head.ariaSort = at == index ? (down ? "descending" : "ascending") : null;
      });
      shown = (heads[index] ? sorted(index, down) : lines).filter(row => matches(rowNames.get(row)));
      const printed = grouped && shown.length == lines.length && !heads[index];
      for (const body of [...table.tBodies]) body.remove();
      table.append(...(printed ? bodies : [make("tbody", {}, ...shown)]));
      return [shown.length, lines.length];
    };
    const sort = index => {
      const [first, second] = wordy(index) ? ["", "d"] : ["d", ""];
      const next = { [index + first]: index + second, [index + second]: "" }[ask(id)] ?? index + first;
      change(id, next);
      say(`${title}: ${next ? `by ${words(heads[index].firstChild)}, ${next.endsWith("d") ? "highest" : "lowest"} first` : "as printed"}`);
    };
    const csv = () => {
      const parts = (cell, index) => {
        const [text, ...end] = cell.firstChild.textContent.split("\n").map(tidy);
        return [wordy(index) ? text.replace(/^[=+@-]/, "'$&") : text.replace(/(\d) (?=\d)/g, "$1").replace("−", "-"), end.join(" ")];
      };
      const rows = shown.map(({ cells }) => [...cells].map(parts));
      const wide = heads.map((_, index) => rows.some(row => row[index][1]));
      return [heads.map(head => [words(head), `${words(head)}, interval`]), ...rows]
        .map(row => row.flatMap((two, index) => two.slice(0, 1 + wide[index])))
        .map(row => row.map(it => `"${it.replaceAll('"', '""')}"`).join(","))
        .join("\r\n");
    };
    if (table.rows.length > 2) {
      heads.forEach((head, index) => head.prepend(make("button", { type: "button", onclick: () => sort(index) }, head.firstChild)));
    }
    table.parentNode.after(make("button", {
      type: "button", className: "quiet", textContent: "Copy as CSV", ariaLabel: `Copy as CSV: ${title}`,
      onclick: () => copy(csv(), title),
    }));
    return draw;
  };
  const copy = async (text, what) => {
    const box = make("textarea", { value: text });
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      document.body.append(box);
      box.select();
      document.execCommand("copy");
      box.remove();
    }
    say(`${what}: copied`);
  };

  // Highlighting: the experiment or run that is picked everywhere; the point with the focus goes before it.
  const marks = [];
  let looked;
  const highlight = () => {
    const by = looked || names.get(ask("pick"));
    const on = name => Boolean(by && name && name.e == by.e && (!by.run || !name.run || by.run == name.run) && (!looked || !name.x || name.x == looked.x));
    for (const row of all("tbody tr")) row.classList.toggle("on", on(rowNames.get(row)));
    for (const [node, name] of marks) {
      node.classList.toggle("on", on(name));
      node.classList.toggle("off", !matches(name));
    }
  };
  const pick = name => {
    const same = ask("pick") == name;
    change("pick", same ? "" : name);
    say(same ? "None highlighted" : `Highlighted: ${name}`);
  };
  const point = ({ g, use, title, name }, index, points) => {
    const circle = document.createElementNS(g.namespaceURI, "circle");
    set(circle, { cx: use.getAttribute("x"), cy: use.getAttribute("y"), r: 12 });
    set(g, { class: "point", role: "button", tabindex: index ? -1 : 0, "aria-label": title });
    g.prepend(circle);
    marks.push([g, name]);
    g.onclick = () => pick(experiments[name.e][0]);
    g.onfocus = g.onblur = ({ type }) => {
      looked = type == "focus" && name;
      highlight();
    };
    g.onkeydown = event => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const next = points.at((index + step) % points.length)?.g;
      if (event.key == "Enter" || event.key == " ") g.onclick();
      else if (step) {
        g.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      } else return;
      event.preventDefault();
    };
  };
  const chart = svg => {
    const panel = svg.previousElementSibling;
    if (panel && named(panel)) marks.push([svg.parentNode, named(panel)]);
    for (const text of all("text", svg)) if (named(text)) marks.push([text, named(text)]);
    const points = all("g > title", svg)
      .map(({ parentNode: g, textContent: title }) => ({ g, title, use: one("use", g), name: names.get(title.replace(/\s/g, " ").split(": ")[0]) }))
      .filter(({ name }) => name)
      .sort((a, b) => a.use.getAttribute("x") - b.use.getAttribute("x"));
    points.forEach(point);
    if (!points[0]) return;
    svg.role = "group";
    for (const text of all("text", svg)) text.ariaHidden = true;
  };
  document.onclick = ({ target }) => {
    const head = target.closest("tbody th");
    const name = head && rowNames.get(head.parentNode);
    if (name) pick(name.run ?? experiments[name.e][0]);
  };
  document.onkeydown = ({ key }) => { if (key == "Escape" && ask("pick")) pick(ask("pick")); };

  // The cost axis: one chart at a time, or all.
  const figures = all("#tradeoff ~ figure, #tradeoff ~ .multiples figure");
  const axes = [...figures.map(figure => [figure.id.slice(0, -7), words(one("figcaption", figure)).slice(11)]), ["all", "all"]];
  const choose = () => {
    const chosen = Math.max(0, axes.findIndex(([id]) => id == ask("axis")));
    figures.forEach(({ classList }, index) => {
      classList.toggle("chosen", index == chosen);
      classList.toggle("other", index != chosen && chosen < figures.length);
      if (index && index == chosen) one("details", figures[index]).open = true;
    });
    all("[name=axis]").forEach((radio, index) => { radio.checked = index == chosen; });
  };
  if (figures[1]) {
    figures[0].before(make("fieldset", { className: "axis" }, make("legend", {}, "Cost"), ...axes.map(([value, text]) =>
      make("label", {}, make("input", { type: "radio", name: "axis", value, onchange: () => change("axis", value) }), text))));
  }

  // What if: the formulas of greenpose/report/figures/what_if.py.
  const suppose = () => {
    const said = key => (ask(key) && ask(key) >= 0 ? +ask(key) : null);
    const [n, d, y] = [..."ndy"].map(key => said(key) || scenario.default[key]);
    const day = n * d * 86400, year = day * 365.25;
    const times = (each, by) => each.map(value => value * by);
    const plus = (some, more) => [0, 1, 2].map(end => (some[end] ?? some[0]) + (more[end] ?? more[0]));
    const outcomes = ([joules, making, training, images, g, pue]) => {
      const kwh = times(joules, (said("pue") ?? pue) / 3.6e6);
      const use = times(kwh, 1000 * (said("g") ?? g));
      return [use, plus(use, making), times(training, 1000 / (year * y)), times(kwh, 1000 * year), times(use, year / 1000), times(images, 1 / day)];
    };
    cells.forEach((row, index) => outcomes(scenario.uses[index]).forEach((each, column) => {
      const cell = row[column + 1];
      if (cell.className == "m") return;
      const [value, interval] = number(times(each, scenario.scale[column]));
      cell.textContent = [(/^[≈∼]\s/.exec(cell.textContent) ?? "") + value + (/†/.exec(cell.textContent) ?? ""), interval].join("\n").trim();
    }));
  };
  const cells = all("#scenario tbody tr").map(row => [...row.cells]);

  // Everything together.
  const fields = all("#view [name], #suppose input");
  const sheets = all("table").map(sheet);
  all("svg.chart").forEach(chart);
  const show = () => {
    for (const each of fields) if (each != document.activeElement) each.value = asked(each) || (scenario.default[each.name] ?? "");
    const counts = sheets.map(draw => draw());
    const [some, every] = [0, 1].map(at => counts.reduce((sum, each) => sum + each[at], 0));
    one("#count").innerText = some == every ? "" : `${some} of ${every} lines match`;
    choose();
    suppose();
    highlight();
    clearTimeout(later);
    later = setTimeout(remember, 200);
  };
  const options = (name, choices) => one(`[name=${name}]`).append(...choices.map(each => make("option", { value: each }, `${each}`)));
  options("exit", [...new Set(experiments.flatMap(each => each[1]))].sort());
  options("pick", experiments.flatMap(([label, , runs]) => [label, ...(runs[1] && names.size < 500 ? runs : [])]));
  for (const each of fields) each.oninput = () => change(each.name, each.value == scenario.default[each.name] ? "" : each.value.trim());
  for (const button of all(".reset")) {
    button.onclick = () => {
      state = new URLSearchParams(button.closest("#view") ? "" : [...state].filter(([key]) => !(key in scenario.default)));
      show();
      say("Reset");
    };
  }
  one("#share").onclick = () => {
    remember();
    copy(location.href, "Link to this view");
  };
  for (const details of all("details")) details.ontoggle = () => details.open && show();
  onhashchange = () => shared() && recall();
  for (const each of all(".js")) each.hidden = false;
  recall();
}
