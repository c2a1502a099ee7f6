import "./style.css";
import { reloadAfterDeploy } from "./reload-after-deploy.js";

// Every page is a chunk of its own, which the browser asks for when it is first shown.
const pages = {
  "/": () => import("./pages/home.js"),
  "/settings/profile": () => import("./pages/profile.js"),
  "/about": () => import("./pages/about.js"),
};

async function show() {
  const path = location.pathname;
  const content = await load(path).catch((error) => {
    console.error(error);
    return "This page could not be loaded. Please try again later.";
  });
  // Unless another link has been followed meanwhile.
  if (path === location.pathname) document.querySelector("main").replaceChildren(content);
}

async function load(path) {
  if (!pages[path]) return "There is no such page.";
  const page = await pages[path]();
  return page.content();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("nav a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  show();
});
addEventListener("popstate", show);

reloadAfterDeploy();
show();
