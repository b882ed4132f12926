// The node's page in a browser: every page shows what the API says, and nothing goes wrong on the way.
//
//   node host/tests/ui.mjs URL SCREENSHOTS     with playwright-core in NODE_PATH's place (DSM_NPM) and a Chromium (DSM_CHROMIUM)

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";

const [base, folder] = process.argv.slice(2);
const { chromium } = createRequire(`${process.env.DSM_NPM}/`)("playwright-core");
mkdirSync(folder, { recursive: true });

const api = async (path) => (await fetch(base + path)).json();
const browser = await chromium.launch({
  executablePath: process.env.DSM_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking"],
});
const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
const troubles = [];
const expected = new Set();
page.on("pageerror", (error) => troubles.push(error.message));
page.on("console", (message) => message.type() === "error" && !/404/.test(message.text()) && troubles.push(message.text()));
page.on("request", (request) => request.url().startsWith(base) || troubles.push(`asks elsewhere: ${request.url()}`));
page.on("response", (answer) => answer.status() >= 400 && !expected.has(new URL(answer.url()).pathname) && troubles.push(`${answer.status()} ${answer.url()}`));

let passed = 0;
async function check(name, hash, wants) {
  await page.goto(`${base}/ui${hash}`);
  await page.reload();
  for (const want of wants) await page.getByText(want, { exact: false }).first().waitFor({ timeout: 15000 });
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
  console.log(`test ${name} ... ok`);
  passed += 1;
}

const status = await api("/v1/status");
const { accounts } = await api("/v1/accounts?limit=200");
const { tokens } = await api("/v1/tokens");
const { policies } = await api("/v1/policies");
assert(accounts.length > 0 && tokens.length > 0 && policies.length > 0, "the node has something to show");

await check("node", "#/", [status.network.name, "Throughput", "p95", ...(status.replication?.members ?? []).map((one) => one.address)]);
const position = await page.locator(".number").last().textContent();
assert.equal(position.replace(/\D/g, ""), String((await api("/v1/status")).position), "the log's position is the API's");
await check("log", "#/transitions", ["genesis", "checkpoint"].filter((kind) => kind !== "checkpoint" || status.checkpoint_epoch));
await check("accounts", "#/accounts", accounts.slice(0, 5).map((one) => `${one.account.slice(0, 8)}…`));
await check("tokens", "#/tokens", tokens.flatMap((one) => [one.symbol, one.name]));
await check("token", `#/token/${tokens[0].token}`, [tokens[0].name, "Bound for good to"]);
await check("policies", "#/policies", policies.map((one) => one.description.name));
const policy = policies[0];
const { signed } = await api(`/v1/policies/${policy.policy}`);
await check("policy", `#/policy/${policy.policy}`, [policy.policy, policy.module, signed.source, signed.license, ...policy.description.denials.slice(0, 3).map((one) => one.text)]);

// Somebody of the demonstration signed two successors of one state, and somebody was refused.
let forked = null;
for (const one of accounts) {
  const { equivocations } = await api(`/v1/accounts/${one.account}/equivocations`);
  if (equivocations.length > 0) forked = { account: one.account, ...equivocations[0] };
}
assert(forked, "the demonstration has a fork");
await check("account", `#/account/${forked.account}`, [forked.account, "Signed two successors of one state", "Balances", "Last moves"]);
await check("transition", `#/transition/${forked.first}`, [forked.first, "Operations", "Heads after it"]);
expected.add(`/v1/accounts/${forked.first}`).add(`/v1/tokens/${forked.first}`);
await page.goto(`${base}/ui#/`);
await page.fill("#search input", forked.first);
await page.press("#search input", "Enter");
await page.waitForURL(`**/ui#/transition/${forked.first}`);
console.log("test search ... ok");
passed += 1;
// Why a transition was denied: by the policy, in its words.
const { refusals } = await api("/v1/refusals");
const denied = refusals.find((one) => one.problem.denial);
assert(denied, "a policy has refused somebody");
await check("refusals", "#/refusals", [denied.problem.code]);
expected.add(`/v1/transitions/${denied.transition}`);
await check("refusal", `#/transition/${denied.transition}`, ["Refused transition", denied.problem.code, denied.problem.denial.reason]);

// A stream that ends, as when the node starts again, goes on behind the last record that was shown.
let streams = 0;
await page.route("**/v1/events?*", (route) => {
  streams += 1;
  if (streams > 1) return route.continue();
  const event = { position: 7, entry: { genesis: { name: "before it broke", created_ms: 0 } } };
  return route.fulfill({ contentType: "text/event-stream", body: `id: 7\ndata: ${JSON.stringify(event)}\n\n` });
});
const further = page.waitForRequest((request) => request.url().endsWith("/v1/events?from=8"), { timeout: 60000 });
await page.goto(`${base}/ui#/transitions`);
await page.getByText("before it broke").waitFor({ timeout: 15000 });
await further;
await page.unroute("**/v1/events?*");
console.log("test the_log_goes_on ... ok");
passed += 1;

// Names and memos come from strangers: nothing of a page is ever read as markup.
const inert = await page.evaluate(async () => {
  const { h } = await import("/ui/dom.js");
  const element = h("p", {}, "<img src=x onerror=alert(1)>");
  return element.children.length === 0 && element.textContent.startsWith("<img");
});
assert(inert, "text stays text");
console.log("test text_stays_text ... ok");
passed += 1;
await browser.close();
assert.deepEqual(troubles, [], "no error on any page");
console.log(`test result: ok. ${passed} passed; 0 failed`);
