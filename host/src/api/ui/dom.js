// Elements from data. Text is always a text node: names and memos come from strangers.

const SVG = "http://www.w3.org/2000/svg";

export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function table(heads, rows, empty = "none") {
  if (rows.length === 0) return h("p", { class: "faint" }, empty);
  const side = (head) => (head.startsWith(">") ? { class: "right" } : {});
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col", ...side(head) }, head.replace(">", ""))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, at) => h("td", side(heads[at]), cell)))))));
}

export function terms(pairs) {
  return h("dl", {}, pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined)
    .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function card(title, ...children) {
  return h("section", { class: "card" }, title ? h("h2", {}, title) : null, children);
}

const short = (id) => (id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id);

export function link(kind, id, text = short(id)) {
  return h("a", { class: "id", href: `#/${kind}/${id}`, title: id }, text);
}

export const none = /^0{64}$/;

export function time(ms) {
  // What a policy wrote may be later than any date.
  if (Number.isNaN(new Date(ms).getTime())) return `${ms} ms`;
  return h("time", { datetime: new Date(ms).toISOString() }, new Date(ms).toISOString().replace("T", " ").replace("Z", ""));
}

export function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

// Base units as the display unit of a token: strings, because amounts have 128 bits.
export function amount(units, token) {
  if (!token) return `${grouped(units)} base units`;
  const digits = String(units).padStart(token.decimals + 1, "0");
  const whole = grouped(digits.slice(0, digits.length - token.decimals));
  const part = token.decimals ? `.${digits.slice(digits.length - token.decimals)}` : "";
  return `${whole}${part} ${token.symbol}`;
}

export function seconds(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 1) return `${value.toFixed(2)} s`;
  if (value >= 1e-3) return `${(value * 1e3).toFixed(1)} ms`;
  return `${(value * 1e6).toFixed(0)} µs`;
}

// A line over the last samples, oldest first.
export function line(samples, label) {
  const [width, height, top] = [320, 72, Math.max(1, ...samples)];
  const at = (value, index) => [
    samples.length < 2 ? 0 : (index / (samples.length - 1)) * width,
    height - 4 - (value / top) * (height - 12),
  ].map((number) => number.toFixed(1)).join(",");
  const points = samples.map(at).join(" ");
  return s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, preserveAspectRatio: "none" },
    s("line", { class: "axis", x1: 0, y1: height - 4, x2: width, y2: height - 4 }),
    samples.length > 1 && s("polygon", { class: "area", points: `0,${height - 4} ${points} ${width},${height - 4}` }),
    samples.length > 1 && s("polyline", { class: "line", points }));
}

// Bars of a histogram: counts by upper bound.
export function bars(counts, label) {
  const [width, height, top] = [320, 84, Math.max(1, ...counts.map(([, count]) => count))];
  const step = width / Math.max(1, counts.length);
  return s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    counts.map(([bound, count], index) => {
      const tall = (count / top) * (height - 22);
      return s("g", {},
        s("title", {}, `at most ${bound}: ${count}`),
        s("rect", { class: "bar", x: index * step + 1, y: height - 16 - tall, width: Math.max(1, step - 2), height: tall }),
        index % 4 === 0 && s("text", { x: index * step, y: height - 4 }, bound));
    }));
}
