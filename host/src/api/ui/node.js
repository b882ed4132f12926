// The operator's page and the log as it grows.

import { buckets, get, quantile, samples, value } from "./api.js";
import { bars, card, grouped, h, line, link, seconds, table, terms, time } from "./dom.js";
import { words } from "./pages.js";

const INTERVAL_MS = 2000;
const SAMPLES = 90;
const LAG_RECORDS = 10_000;

// The page is asked again every two seconds while it is shown; it keeps three minutes.
export async function node(_, alive) {
  const page = h("div", {});
  const rates = [];
  let before = [];
  let earlier = 0;
  const draw = async () => {
    const [status, text, ready] = await Promise.all([
      get("/v1/status"), get("/metrics", "application/openmetrics-text"), get("/v1/ready").then(() => true, (refused) => refused.message),
    ]);
    const now = performance.now();
    const all = samples(text);
    const of = (outcome) => value(all, "dsm_transitions_total", { outcome });
    if (before.length) {
      rates.push((of("accepted") - value(before, "dsm_transitions_total", { outcome: "accepted" })) / ((now - earlier) / 1000));
      if (rates.length > SAMPLES) rates.shift();
    }
    (before = all, earlier = now);
    page.replaceChildren(...view(status, all, ready, rates, of));
  };
  await draw();
  const again = async () => {
    if (!alive()) return;
    await draw().catch((error) => page.replaceChildren(h("p", { class: "bad" }, `The node does not answer: ${error.message}`)));
    setTimeout(again, INTERVAL_MS);
  };
  setTimeout(again, INTERVAL_MS);
  return [page];
}

function view(status, all, ready, rates, of) {
  const receipts = buckets(all, [], "dsm_receipt_seconds");
  const drawn = receipts.filter(([bound]) => Number.isFinite(bound)).map(([bound, count]) => [seconds(bound), count]);
  const alarms = alarmsOf(status, all, ready);
  const cache = status.policy_cache;
  const asked = cache.hits + cache.misses;
  const evaluations = value(all, "dsm_policy_evaluations_total");
  return [
    h("h1", {}, `${status.network.name} `, h("span", { class: "faint" }, `node ${status.version}`)),
    alarms.length === 0 ? h("p", { class: "good", id: "alarms" }, "No alarms") :
      card("Alarms", h("ul", { id: "alarms" }, alarms.map(([tone, text]) => h("li", { class: tone }, text)))),
    h("div", { class: "cards" },
      card("Throughput", h("div", { class: "number", id: "throughput" }, `${grouped(Math.round(rates.at(-1) ?? 0))}/s`),
        line(rates, "accepted transitions a second, last three minutes"),
        h("p", { class: "faint" }, `${grouped(of("accepted"))} accepted since the start`)),
      card("From submission to receipt", h("div", { class: "number" }, `p95 ${seconds(quantile(receipts, 0.95))}`),
        bars(drawn, "receipts by time"),
        h("p", { class: "faint" }, `p50 ${seconds(quantile(receipts, 0.5))}, p99 ${seconds(quantile(receipts, 0.99))}, fsync p50 ${seconds(quantile(buckets(all, [], "dsm_fsync_seconds"), 0.5))}; upper bounds of buckets`)),
      card("Policies", h("div", { class: "number" }, `${grouped(evaluations)} ${evaluations === 1 ? "verdict" : "verdicts"}`), terms([
        ["Denied", grouped(of("denied"))], ["Faults", grouped(of("fault"))], ["No verdict", grouped(of("no_verdict"))],
        ["p95 of one", seconds(quantile(buckets(all, [], "dsm_policy_evaluation_seconds"), 0.95))],
        ["Fuel for one", evaluations ? grouped(Math.round(value(all, "dsm_policy_fuel_total") / evaluations)) : "–"],
        ["Cache", `${cache.modules} modules, ${asked ? ((100 * cache.hits) / asked).toFixed(1) : "–"} % hits`]])),
      card("Log", h("div", { class: "number" }, grouped(status.position), h("span", { class: "unit" }, " records")), terms([
        ["Since", new Date(status.network.created_ms).toISOString().slice(0, 10)], ["Accounts", grouped(status.accounts)], ["Tokens", grouped(status.tokens)],
        ["Policies", grouped(status.policies)], ["Last checkpoint", status.checkpoint_epoch ?? "none"], ["Waiting", grouped(status.waiting)], ["Up for", duration(status.uptime_s)]]))),
    card("Storage nodes", replication(status.replication, status.position)),
    card("What became of submissions", h("div", { class: "tally" }, all.filter((one) => one.name === "dsm_transitions_total").map((one) =>
      h("div", { class: one.value ? "" : "faint" }, h("div", { class: "count" }, grouped(one.value)), one.labels.outcome.replaceAll("_", " "))))),
  ];
}

function replication(view, position) {
  if (!view) return h("p", { class: "warn" }, "none: the log is on one disk");
  return [
    h("p", {}, `${view.standing}, epoch ${view.epoch}, answers at `, h("code", {}, String(view.durability))),
    table(["Node", "Address", "Role", "State", ">Acknowledged", ">Behind", "Round trip", "Trouble"], view.members.map((one) => [
      h("code", {}, one.node.slice(0, 12)), one.address, one.primary ? "primary" : "replica",
      h("span", { class: ["absent", "refused"].includes(one.state) ? "bad" : "good" }, one.state),
      grouped(one.acked), [grouped(one.lag), " ", h("meter", { min: 0, max: Math.max(1, position), value: position - one.lag, title: "of the log" })],
      one.round_trip_us ? seconds(one.round_trip_us / 1e6) : "–", one.trouble ?? ""])),
  ];
}

function alarmsOf(status, all, ready) {
  const found = [];
  if (ready !== true) found.push(["bad", `The node accepts nothing: ${ready}`]);
  if (status.replication && status.replication.standing !== "leading") found.push(["bad", `The node is ${status.replication.standing}: it writes nothing`]);
  if (status.audit?.dropped) found.push(["warn", `${grouped(status.audit.dropped)} lines found no room in the audit log`]);
  if (status.stopped) found.push(["bad", `The node has stopped: ${status.stopped}`]);
  if (status.storage_full) found.push(["bad", "The device is full: new transitions are refused until there is room"]);
  for (const one of status.replication?.members ?? []) {
    if (["absent", "refused"].includes(one.state)) found.push(["bad", `Storage node ${one.address} is ${one.state}${one.trouble ? `: ${one.trouble}` : ""}`]);
    else if (one.lag > LAG_RECORDS) found.push(["warn", `Storage node ${one.address} is ${grouped(one.lag)} records behind`]);
  }
  const forks = value(all, "dsm_transitions_total", { outcome: "equivocation" });
  if (forks) found.push(["warn", `${grouped(forks)} forks were signed; the proofs are with the accounts`]);
  const evidence = value(all, "dsm_replication_evidence_total");
  if (evidence) found.push(["bad", `${grouped(evidence)} pieces of evidence against storage nodes`]);
  const faults = value(all, "dsm_transitions_total", { outcome: "fault" });
  if (faults) found.push(["warn", `${grouped(faults)} policy faults: a policy trapped or ran out of fuel`]);
  return found;
}

function duration(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
}

// The last records, and those that come while the page is shown.
export async function log(_, alive) {
  const { position } = await get("/v1/status");
  const rows = h("tbody", {});
  const source = new AbortController();
  follow(Math.max(0, position - 49), rows, source, alive).catch((error) => {
    if (alive()) rows.prepend(h("tr", {}, h("td", { colspan: 4, class: "bad" }, error.message)));
  });
  return [
    h("h1", {}, "Log"),
    card(null, h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["Position", "Kind", "What", "Time"].map((head) => h("th", { scope: "col" }, head)))), rows))),
  ];
}

// Goes on where it was when the stream ends or the node was away.
async function follow(from, rows, source, alive) {
  let next = from;
  while (alive()) {
    try {
      next = await stream(next, rows, source, alive);
    } catch (error) {
      if (!alive()) return;
      if (error.status >= 400 && error.status < 500) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}

// Rows for the entries from a position on, until the stream ends; the position behind them.
async function stream(from, rows, source, alive) {
  const key = sessionStorage.getItem("key");
  const answer = await fetch(`/v1/events?from=${from}`, { signal: source.signal, headers: key ? { "x-api-key": key } : {} });
  if (!answer.ok) throw Object.assign(new Error(`the event stream answers ${answer.status}`), { status: answer.status });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, next] = ["", from];
  for (;;) {
    const { value: chunk, done } = await reader.read().catch(() => ({ done: true }));
    if (!alive()) source.abort();
    if (done || !alive()) return next;
    const parts = (rest + chunk).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((row) => row.startsWith("data:")).map((row) => row.slice(5)).join("\n");
      if (!data) continue;
      const event = JSON.parse(data);
      rows.prepend(row(event));
      next = event.position + 1;
      while (rows.children.length > 200) rows.lastChild.remove();
    }
  }
}

function row({ position, entry }) {
  const [kind, content] = Object.entries(entry)[0];
  const told = {
    genesis: () => [content.name, content.created_ms],
    transition: () => [[link("transition", content.transition), " ", words(content)], content.time_ms],
    checkpoint: () => [`epoch ${content.checkpoint.epoch} up to ${content.checkpoint.log_position}`, content.checkpoint.to_ms],
    equivocation: () => [[link("account", content.account), h("span", { class: "bad" }, " signed two successors of height "), String(content.parent_height)], null],
  }[kind]?.() ?? ["", null];
  return h("tr", {}, h("td", {}, grouped(position)), h("td", {}, h("span", { class: `pill ${kind === "equivocation" ? "bad" : "faint"}` }, kind)), h("td", {}, told[0]), h("td", {}, told[1] ? time(told[1]) : ""));
}
