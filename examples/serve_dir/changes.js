"use strict";

// Looks for the server again when it is gone, and then is told its version first.
const changes = new EventSource("/changes");
changes.addEventListener("message", ({ data }) => follow(JSON.parse(data)));

function follow({ version, prefix, onlyStyles }) {
  if (version === shownVersion()) return;
  if (onlyStyles && everyLinkHasAVersion()) {
    const swapped = swapStyles(prefix);
    showVersion(version, prefix);
    visits = Promise.all([visits, ...swapped]).then(loadAll);
  } else {
    location.reload();
  }
}

/** A file that had none may have one from now on. */
function everyLinkHasAVersion() {
  const links = [...document.querySelectorAll("#files a")];
  return links.every((link) => link.getAttribute("href").startsWith(shownPrefix()));
}

/** All of them: what has changed may be imported by another, under a relative URL. */
function swapStyles(prefix) {
  const links = document.querySelectorAll("link[rel='stylesheet'][data-path]");
  const newest = new Map([...links].map((link) => [link.dataset.path, link]));
  return [...newest.values()].map((link) => swapStyle(link, withPrefix(link, prefix)));
}

/** The old one stays until the new one is there: the page is never without style. */
async function swapStyle(link, url) {
  const next = link.cloneNode();
  next.href = url;
  link.after(next);
  const isLoaded = await new Promise((resolve) => {
    next.addEventListener("load", () => resolve(true));
    next.addEventListener("error", () => resolve(false));
  });
  if (!isLoaded) location.reload();
  for (const old of olderThan(next)) {
    old.remove();
    // It may be loading itself, for the change before, and is waited for.
    old.dispatchEvent(new Event("load"));
  }
}

function olderThan(link) {
  const links = [...document.querySelectorAll("link[rel='stylesheet'][data-path]")];
  const before = links.slice(0, Math.max(0, links.indexOf(link)));
  return before.filter((other) => other.dataset.path === link.dataset.path);
}

function showVersion(version, prefix) {
  for (const link of document.querySelectorAll("main a")) {
    if (link.getAttribute("href").startsWith(shownPrefix())) link.href = withPrefix(link, prefix);
  }
  document.title = document.title.replace(shownVersion(), version);
  document.querySelector("#version").textContent = version;
  document.querySelector("#prefix").textContent = prefix;
}

function withPrefix(link, prefix) {
  return prefix + link.getAttribute("href").slice(shownPrefix().length);
}

function shownVersion() {
  return document.querySelector("#version").textContent;
}

function shownPrefix() {
  return document.querySelector("#prefix").textContent;
}
