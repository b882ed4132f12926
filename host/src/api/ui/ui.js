// The router: the part of the address behind # names the page.

import { get } from "./api.js";
import { h } from "./dom.js";
import { log, node } from "./node.js";
import * as pages from "./pages.js";

const routes = {
  "": node, transitions: log, accounts: pages.accounts, account: pages.account, transition: pages.transition, tokens: pages.tokens,
  token: pages.tokenPage, policies: pages.policies, policy: pages.policy, refusals: pages.refusals, find: pages.find,
};

let turn = 0;

async function show() {
  const mine = ++turn;
  const alive = () => mine === turn;
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const page = document.getElementById("page");
  for (const anchor of document.querySelectorAll("nav a")) {
    const current = anchor.getAttribute("href") === `#/${name}`;
    current ? anchor.setAttribute("aria-current", "page") : anchor.removeAttribute("aria-current");
  }
  page.setAttribute("aria-busy", "true");
  let drawn;
  try {
    const draw = routes[name];
    drawn = draw ? await draw(decodeURIComponent(rest.join("/")), alive) : [h("h1", {}, "There is no such page")];
  } catch (error) {
    drawn = [h("h1", {}, "No answer"), h("p", { class: "bad" }, error.message), error.problem?.code ? h("p", {}, h("code", {}, error.problem.code)) : ""];
  }
  if (!alive()) return;
  page.replaceChildren(...drawn.flat(Infinity).filter(Boolean));
  page.removeAttribute("aria-busy");
  document.title = `DSM: ${page.querySelector("h1")?.textContent ?? ""}`;
}

async function standing() {
  const mark = document.getElementById("standing");
  try {
    await get("/v1/ready");
    [mark.textContent, mark.className] = ["ready", "pill good"];
  } catch (error) {
    [mark.textContent, mark.className] = [error.problem?.code ?? "unreachable", "pill bad"];
  }
  setTimeout(standing, 5000);
}

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const found = pages.search(new FormData(event.target).get("id"));
  if (found) location.hash = found;
});
addEventListener("hashchange", show);
show();
standing();
