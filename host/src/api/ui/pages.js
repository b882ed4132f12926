// What each page shows. A page is a function of its id that gives elements; the router puts them in place.

import { download, get, token } from "./api.js";
import { amount, card, grouped, h, link, none, s, table, terms, time } from "./dom.js";

const pageOf = async (path, after, size = 50) =>
  get(`${path}${path.includes("?") ? "&" : "?"}limit=${size}${after ? `&after=${after}` : ""}`);

function more(href, next) {
  return next ? h("p", {}, h("a", { href }, "more")) : null;
}

async function units(value, id) {
  return amount(value, await token(id));
}

async function named(id) {
  if (!id || none.test(id)) return "–";
  return link("token", id, (await token(id))?.symbol);
}

export async function accounts(after) {
  const found = await pageOf("/v1/accounts", after);
  return [
    h("h1", {}, "Accounts"),
    card(null, table(["Account", ">Height", "Head", "Status"],
      found.accounts.map((one) => [link("account", one.account), grouped(one.height), h("code", {}, one.head.slice(0, 16)), one.status]),
      "no account yet"), more(`#/accounts/${found.next}`, found.next)),
  ];
}

export async function account(id) {
  const [found, inbox, evidence] = await Promise.all([
    get(`/v1/accounts/${id}`), pageOf(`/v1/accounts/${id}/inbox`), get(`/v1/accounts/${id}/equivocations`),
  ]);
  const from = Math.max(0, found.state.height - 19);
  const history = await get(`/v1/accounts/${id}/history?from=${from}&limit=20`);
  const balances = await Promise.all(found.balances.map(async (one) => [
    await named(one.token), await units(one.balance, one.token), await units(one.available, one.token), one.frozen ? h("span", { class: "bad" }, "frozen") : "",
  ]));
  const holds = await Promise.all(found.holds.map(async (one) => [
    one.kind, await units(one.amount, one.token), link("account", one.beneficiary), one.expires_ms ? time(one.expires_ms) : "never",
  ]));
  const credits = await Promise.all(inbox.credits.map(async (one) => [
    await units(one.amount, one.token), link("account", one.from), time(one.time_ms), memo(one.memo),
  ]));
  const conflicts = evidence.equivocations;
  return [
    h("h1", {}, "Account ", h("code", {}, id)),
    conflicts.length > 0 && card(h("span", { class: "bad" }, "Signed two successors of one state"),
      table(["After height", "First", "Second", ">Proof"], conflicts.map((one) => [
        grouped(one.parent_height), link("transition", one.first), h("code", {}, one.second.slice(0, 16)), `${grouped(one.proof.length / 2)} bytes`])),
      h("p", { class: "faint" }, "Both signatures are kept. The proof convinces anyone who has the account's keys: dsm account equivocations.")),
    card("Chain", chain(history.items, found.state.height), terms([
      ["Height", grouped(found.state.height)], ["Head", h("code", {}, found.head)], ["Status", found.state.status],
      ["Keys", `${found.keys.threshold} of ${found.keys.keys.length}: ${found.keys.keys.map((one) => one.suite).join(", ")}`],
      ["Recovery", found.keys.recovery ? `${found.keys.recovery.threshold} of ${found.keys.recovery.keys.length}` : "none"],
      ["Precommitment", found.state.precommitment ? h("code", {}, JSON.stringify(found.state.precommitment)) : null],
    ])),
    h("div", { class: "cards" },
      card("Balances", table(["Token", ">Balance", ">Available", ""], balances)),
      card("Holds", table(["Kind", ">Amount", "For", "Ends"], holds)),
      card("Waiting to be claimed", table([">Amount", "From", "Since", "Memo"], credits))),
    card("Last moves", table([">Height", "Time", "Transition", "What"], history.items.slice().reverse().map((one) => [
      grouped(one.height), time(one.transition.time_ms), link("transition", one.transition.transition), words(one.transition)]))),
  ];
}

// The chain, drawn: one box for each of its last states.
function chain(items, height) {
  const shown = items.slice(-12);
  const [step, box] = [68, 48];
  const width = shown.length * step;
  return s("svg", { class: "plain", width, height: 44, viewBox: `-1 0 ${width} 44`, role: "img", "aria-label": `the last ${shown.length} states of ${height + 1}` },
    shown.map((one, at) => s("g", {},
      s("title", {}, `height ${one.height}: ${words(one.transition)}`),
      at > 0 && s("line", { class: "axis", x1: at * step - step + box, y1: 20, x2: at * step, y2: 20 }),
      s("a", { href: `#/transition/${one.transition.transition}` },
        s("rect", { class: one.height === height ? "chain head" : "chain", x: at * step, y: 4, width: box, height: 32, rx: 6 }),
        s("text", { x: at * step + box / 2, y: 24, "text-anchor": "middle" }, one.height)))));
}

const kinds = {
  create_account: "opens an account", rotate_keys: "changes its keys", precommit: "binds itself", recover: "recovers its keys", revoke: "closes itself",
  publish: "publishes a policy", create_token: "creates a token", mint: "mints", burn: "burns", transfer: "transfers", claim: "claims", hold: "holds",
  release: "releases a hold", execute: "executes a hold", invoke: "calls", open_bridge: "opens a bridge", advance_bridge: "advances a bridge",
  convict_bridge: "freezes a bridge", emit: "emits", upgrade: "replaces a policy",
};

export function words(transition) {
  const told = transition.operations.map((one) => kinds[one.operation] ?? one.operation);
  const counted = [...new Set(told)].map((word) => {
    const times = told.filter((other) => other === word).length;
    return times > 1 ? `${word} ×${times}` : word;
  });
  return counted.join(", ");
}

function memo(hex) {
  if (!hex) return "";
  const bytes = Uint8Array.from(hex.match(/../g).map((digits) => parseInt(digits, 16)));
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return /^[\x20-\x7e\u00a0-\uffff]*$/.test(text) ? text : h("code", {}, hex);
  } catch { return h("code", {}, hex); }
}

// A value of any operation, effect or description: ids become links, the rest is text.
async function shown(name, value) {
  if (value === null || value === undefined || value === "") return "–";
  if (name === "memo") return memo(value);
  if (typeof value === "string" && /^[0-9a-f]{64}$/.test(value)) {
    if (["token"].includes(name)) return named(value);
    if (["actor", "to", "from", "owner", "beneficiary", "account", "issuer", "publisher"].includes(name)) return link("account", value);
    if (name === "transition") return link("transition", value);
    return h("code", {}, value);
  }
  if (name === "policy") return link("policy", value);
  if (Array.isArray(value)) {
    const parts = await Promise.all(value.map((one) => shown(name === "policies" ? "policy" : "", one)));
    return parts.map((part, at) => [at ? ", " : "", part]);
  }
  if (typeof value === "object") return h("code", {}, brief(value));
  return name.endsWith("_ms") ? time(value) : String(value);
}

function brief(value) {
  const text = JSON.stringify(value, (_, inner) => (typeof inner === "string" && inner.length > 140 ? `${inner.slice(0, 24)}… (${inner.length / 2} bytes)` : inner));
  return text.length > 1200 ? `${text.slice(0, 1200)}…` : text;
}

async function operation(one) {
  const pairs = await Promise.all(Object.entries(one).filter(([name]) => name !== "operation").map(async ([name, value]) => [
    name.replaceAll("_", " "), name === "amount" && one.token ? await units(value, one.token) : await shown(name, value)]));
  return card(kinds[one.operation] ?? one.operation, terms(pairs));
}

export async function transition(id) {
  let found;
  try {
    found = await get(`/v1/transitions/${id}`);
  } catch (refused) {
    if (refused.problem?.status !== 404) throw refused;
    return refusal(id);
  }
  const receipt = await get(`/v1/transitions/${id}/receipt`);
  const operations = await Promise.all(found.operations.map(operation));
  const effects = await Promise.all((found.effects ?? []).map(async (one) => card(`policy ${one.policy_index} of `, await named(one.token), h("pre", {}, brief(one.effects)))));
  return [
    h("h1", {}, "Transition ", h("code", {}, id)),
    card(null, terms([
      ["Position", grouped(found.position)], ["Time", time(found.time_ms)],
      ["Durable", typeof receipt.durability === "object" ? brief(receipt.durability) : String(receipt.durability)],
      ["Signed by", found.signatures.map((one, at) => [at ? ", " : "", link("account", one.account), ` (${one.suite})`])],
      ["Window", [time(found.valid_from_ms), " to ", time(found.valid_until_ms)]],
      ["Evidence", found.evidence.length ? h("pre", {}, brief(found.evidence)) : null],
    ])),
    h("h2", {}, "Operations"), operations,
    effects.length > 0 && [h("h2", {}, "What policies asked for"), effects],
    card("Heads after it", table(["Chain", ">Height", "Root"], [
      ...found.accounts.map((one) => [link("account", one.account), grouped(one.height), h("code", {}, one.assets_root.slice(0, 16))]),
      ...await Promise.all(found.tokens.map(async (one) => [await named(one.token), grouped(one.height), h("code", {}, one.state_root.slice(0, 16))]))])),
  ];
}

// Why a transition was refused: the node remembers the last ones.
async function refusal(id) {
  const found = await get(`/v1/refusals/${id}`);
  return [
    h("h1", {}, "Refused transition ", h("code", {}, id)),
    card(null, await reasons(found)),
    h("p", { class: "faint" }, "It changed nothing. The node remembers its last refusals in memory only."),
  ];
}

async function reasons(one) {
  const problem = one.problem;
  const denial = problem.denial;
  return terms([
    ["Code", h("code", {}, problem.code)], ["When", time(one.time_ms)], ["Why", problem.detail],
    ["Policy", denial?.policy ? link("policy", denial.policy) : null], ["Token", denial?.token ? await named(denial.token) : null],
    ["Denial", denial ? `${denial.code}: ${denial.reason || denial.text || ""}` : null], ["Field", denial?.field || null], ["Hint", denial?.hint || null],
    ["Fault", problem.fault ? brief(problem.fault) : null], ["Short by", problem.shortfall ? brief(problem.shortfall) : null],
  ]);
}

export async function refusals() {
  const found = await get("/v1/refusals");
  return [
    h("h1", {}, "Refusals"),
    card(null, table(["When", "Code", "Transition", "Why"], found.refusals.map((one) => [
      time(one.time_ms), h("code", {}, one.problem.code), one.transition ? link("transition", one.transition) : "–", one.problem.detail ?? ""]), "none since the node started")),
  ];
}

export async function tokens(after) {
  const found = await pageOf("/v1/tokens", after);
  return [
    h("h1", {}, "Tokens"),
    card(null, table(["Symbol", "Name", ">Supply", "Issuer"], found.tokens.map((one) => [
      link("token", one.token, one.symbol), one.name, amount(one.supply, one), link("account", one.issuer)]), "no token yet"), more(`#/tokens/${found.next}`, found.next)),
  ];
}

export async function tokenPage(id) {
  const found = await get(`/v1/tokens/${id}`);
  const params = async (one) => Promise.all(one.params.map(async (param) => [param.name, await shown("", Object.values(param.value)[0])]));
  const policies = await Promise.all(found.policies.map(async (one, at) =>
    card([`${at} `, link("policy", one.policy, one.name)], terms(await params(one)))));
  const waiting = await Promise.all(found.waiting.map(async (one) => card(
    [`${one.policy_index} becomes `, link("policy", one.policy, one.name)],
    h("p", {}, "Anybody may put it in force from ", time(one.due_ms), " on; until then whoever does not agree can leave."),
    terms(await params(one)))));
  const by = found.upgrades;
  const slowly = by && h("p", {}, `Policy ${by.by} (${found.policies[by.by].name}) may replace policies, each at least ${grouped(by.delay_ms / 1000)} seconds after everybody can see it here.`);
  return [
    h("h1", {}, `${found.name} (${found.symbol})`),
    card(null, terms([
      ["Token", h("code", {}, id)], ["Issuer", link("account", found.issuer)], ["Supply", amount(found.state.supply, found)],
      ["Cap", found.cap ? amount(found.cap, found) : "none"], ["Decimals", found.decimals], ["Height", grouped(found.state.height)],
      ["Last transition", link("transition", found.state.transition)]])),
    h("h2", {}, by ? "Bound to" : "Bound for good to"), slowly, policies,
    waiting.length > 0 && [h("h2", {}, "Upgrades that wait"), waiting],
  ];
}

export async function policies(after) {
  const found = await pageOf("/v1/policies", after);
  return [
    h("h1", {}, "Policies"),
    card(null, table(["Name", "Version", "What it does", "Author"], found.policies.map((one) => [
      link("policy", one.policy, one.description.name), one.description.version, one.description.summary, h("code", {}, one.author.slice(0, 16))]), "no policy yet"), more(`#/policies/${found.next}`, found.next)),
  ];
}

export async function policy(id) {
  const found = await get(`/v1/policies/${id}`);
  const about = found.description;
  const args = (list) => list.map((one) => `${one.name}: ${one.value_type}`).join(", ");
  return [
    h("h1", {}, `${about.name} ${about.version}`),
    h("p", {}, about.summary),
    card(null, terms([
      ["Content id", h("code", {}, id)], ["Module (BLAKE3)", h("code", {}, found.module)], ["Author's key", h("code", {}, found.author)],
      ["Published by", link("account", found.publisher)], ["Evidence it takes", about.evidence.join(", ") || "none"],
      ["Reads elsewhere", about.foreign_reads.length ? brief(about.foreign_reads) : "nothing"],
      ["Source", found.signed ? h("code", { id: "source" }, found.signed.source || "not said") : "this node has no package of it"],
      ["License", found.signed?.license], ["Fuel for one", found.signed ? grouped(found.signed.fuel_limit) : null],
      ["Package", h("a", { href: `/v1/policies/${id}/package`, click: download(`/v1/policies/${id}/package`, `${about.name}.dsmpolicy`) }, "module and document, as they were signed")],
    ]), h("p", { class: "faint" }, "The node hashed the module to this content id and verified the author's signature over all of this, source and license included, before it was used, and does so again on each read. Whether the module is what that source compiles to, ",
      h("code", {}, "dsm policy verify-build"), " tells whoever has the source.")),
    card("Terms of a token", table(["Name", "Type", "Meaning"], about.params.map((one) => [h("code", { class: "whole" }, one.name), one.value_type, one.doc]))),
    card("Methods", table(["Name", "Arguments", "What it does"], about.methods.map((one) => [h("code", { class: "whole" }, one.name), args(one.args), one.doc]))),
    card("Queries", table(["Name", "Arguments", "What it answers"], about.queries.map((one) => [h("code", { class: "whole" }, one.name), args(one.args), one.doc]))),
    card("Why it refuses", table([">Code", "Name", "In words"], about.denials.map((one) => [one.code, h("code", {}, one.name), one.text]))),
  ];
}

export function search(id) {
  const text = id.trim();
  if (/^baf/.test(text)) return `#/policy/${text}`;
  return /^[0-9a-f]{64}$/.test(text) ? `#/find/${text}` : null;
}

// An id does not say what it names: the first chain that knows it.
export async function find(id) {
  for (const [kind, path] of [["account", "accounts"], ["token", "tokens"], ["transition", "transitions"], ["transition", "refusals"]]) {
    try {
      await get(`/v1/${path}/${id}`);
      location.replace(`#/${kind}/${id}`);
      return [];
    } catch (refused) {
      if (refused.problem?.status !== 404) throw refused;
    }
  }
  return [h("h1", {}, "Nothing here has this id"), h("p", {}, h("code", {}, id))];
}
