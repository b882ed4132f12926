// The node's API, as its own page asks it.

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title || problem.code || "refused");
    this.problem = problem;
  }
}

export async function get(path, accept = "application/json") {
  const key = sessionStorage.getItem("key");
  const headers = { accept };
  if (key) headers["x-api-key"] = key;
  const answer = await fetch(path, { headers });
  if (answer.ok) return accept.includes("json") ? answer.json() : answer.text();
  let problem = { status: answer.status, title: answer.statusText };
  try { problem = { ...problem, ...(await answer.json()) }; } catch { /* no problem document: the status says it */ }
  if (answer.status === 401) askForKey();
  throw new Refused(problem);
}

// A link that shows the key too: a browser would follow it without.
export function download(path, name) {
  return async (event) => {
    event.preventDefault();
    const key = sessionStorage.getItem("key");
    const answer = await fetch(path, { headers: key ? { "x-api-key": key } : {} });
    if (!answer.ok) return void (event.target.textContent = `the node answers ${answer.status}`);
    const url = URL.createObjectURL(await answer.blob());
    const anchor = Object.assign(document.createElement("a"), { href: url, download: name });
    anchor.click();
    URL.revokeObjectURL(url);
  };
}

function askForKey() {
  const dialog = document.getElementById("key");
  if (dialog.open) return;
  dialog.addEventListener("close", () => {
    const key = dialog.querySelector("input").value.trim();
    if (key) { sessionStorage.setItem("key", key); location.reload(); }
  }, { once: true });
  dialog.showModal();
}

// Samples of the metrics page: name, labels, value.
export function samples(text) {
  const found = [];
  for (const row of text.split("\n")) {
    const parts = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(row);
    if (!parts) continue;
    const labels = Object.fromEntries([...(parts[2] || "").matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
    found.push({ name: parts[1], labels, value: Number(parts[3]) });
  }
  return found;
}

export function value(all, name, labels = {}) {
  const fits = (one) => one.name === name && Object.entries(labels).every(([key, want]) => one.labels[key] === want);
  return all.find(fits)?.value ?? 0;
}

// The buckets of a histogram since an earlier page, or since the start: [upper bound in s, count].
export function buckets(all, before, name) {
  const cumulative = (page) => new Map(page.filter((one) => one.name === `${name}_bucket`).map((one) => [one.labels.le, one.value]));
  const [now, then] = [cumulative(all), cumulative(before)];
  let last = 0;
  return [...now].map(([bound, count]) => {
    const upTo = count - (then.get(bound) ?? 0);
    const inside = upTo - last;
    last = upTo;
    return [bound === "+Inf" ? Infinity : Number(bound), inside];
  });
}

// The bucket's bound under which a share of all observations lies.
export function quantile(counts, share) {
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [bound, count] of counts) {
    seen += count;
    if (total > 0 && seen >= total * share) return bound;
  }
  return NaN;
}

const tokens = new Map();

// A token's name and decimals, asked once.
export async function token(id) {
  if (!tokens.has(id)) tokens.set(id, get(`/v1/tokens/${id}`).catch(() => null));
  return tokens.get(id);
}
