"use strict";

// Browsers keep 250 entries unless told otherwise, and drop the others in silence.
performance.setResourceTimingBufferSize(1_000_000);

// What is loaded at once. A tree of thousands is loaded when somebody asks for it.
const FEW = 500;

// As many as a browser has connections to one HTTP/1.1 host.
const AT_ONCE = 6;

// A table of thousands must not be laid out anew for each of its rows.
const SHOW_EVERY = 500;

// Resource Timing may speak after the body has arrived, but soon.
const PATIENCE = 5_000;

/** URL → how the page first got it: a second look would always find the cache. */
const firstEntries = new Map();

const observer = new PerformanceObserver((list) => note(list.getEntries()));
observer.observe({ type: "resource", buffered: true });

function note(entries) {
  for (const entry of entries) {
    if (!firstEntries.has(entry.name)) firstEntries.set(entry.name, entry);
  }
}

// After what the page itself links, which must not be loaded twice.
addEventListener("load", () => {
  document.querySelector("#rest").addEventListener("click", () => {
    wanted = Infinity;
    visits = visits.then(loadAll);
  });
  visits = visits.then(loadAll);
});

/** How many files to load. */
let wanted = FEW;

/** One after the other: a new version may come while files are loading. */
let visits = Promise.resolve();

async function loadAll() {
  const all = [...document.querySelectorAll("#files tr")];
  const rows = all.slice(0, wanted);
  delete document.documentElement.dataset.done;
  setStatus(`Loading ${files(rows.length)} …`);
  const visit = { loaded: new Map(), results: new Map(), count: rows.length };
  const ticker = setInterval(() => showProgress(visit), SHOW_EVERY);
  const queue = rows.values();
  await Promise.all(Array.from({ length: AT_ONCE }, () => loadSome(queue, visit.loaded)));
  await hearOfAll(visit.loaded.values());
  clearInterval(ticker);
  showProgress(visit);
  showEnd([...visit.results.values()], all.length);
}

/** One of the loaders that share the queue. */
async function loadSome(queue, loaded) {
  for (const row of queue) {
    const url = row.querySelector("a").href;
    loaded.set(row, { url, ...(firstEntries.has(url) ? {} : await load(url)) });
  }
}

/** What went wrong, if anything did, and in which coding the file came. */
async function load(url) {
  try {
    const response = await fetch(url);
    await response.body?.pipeTo(new WritableStream());
    if (!response.ok) return { problem: `HTTP ${response.status}` };
    return { coding: response.headers.get("content-encoding") };
  } catch (error) {
    return { problem: error.message };
  }
}

async function hearOfAll(loaded) {
  const silent = new Set();
  for (const { url, problem } of loaded) {
    if (!problem) silent.add(url);
  }
  const end = performance.now() + PATIENCE;
  while (performance.now() < end) {
    note(observer.takeRecords());
    for (const url of silent) {
      if (firstEntries.has(url)) silent.delete(url);
    }
    if (silent.size === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const url of silent) firstEntries.set(url, null);
}

/**
 * Resource Timing §4.3: nothing is transferred from the cache, 300 bytes stand for
 * a header alone (a 304), and a header comes with every body, also an empty one.
 */
function judge({ url, problem, coding }) {
  const entry = firstEntries.get(url);
  if (problem || !entry) return { from: "failed", problem: problem ?? "the browser does not say" };
  const { transferSize, encodedBodySize, decodedBodySize, responseStatus } = entry;
  if (responseStatus >= 400) return { from: "failed", problem: `HTTP ${responseStatus}` };
  const sizes = { transferred: transferSize, size: decodedBodySize };
  if (transferSize === 0) return { from: "cache", ...sizes };
  if (transferSize === 300 && encodedBodySize > 0) return { from: "checked", ...sizes };
  // Not every browser says this itself (Resource Timing §4.3, `contentEncoding`).
  return { from: "network", coding: entry.contentEncoding || coding, ...sizes };
}

const WORDS = { network: "network", cache: "cache", checked: "cache, after asking" };

/** What has changed in a file that the browser has an old version of (RFC 9842). */
const DELTA = "dcz";

function showProgress({ loaded, results, count }) {
  for (const [row, file] of loaded) {
    if (results.has(row) || !(file.problem || firstEntries.has(file.url))) continue;
    results.set(row, judge(file));
    showRow(row, results.get(row));
  }
  const progress = document.querySelector("#progress");
  progress.hidden = results.size === count;
  progress.max = count;
  progress.value = results.size;
}

function showRow(row, { from, problem, coding, transferred, size }) {
  const [, source, came, whole] = row.cells;
  row.dataset.from = from;
  row.dataset.coding = coding ?? "";
  source.textContent = problem ?? (coding ? `${WORDS[from]}, as ${coding}` : WORDS[from]);
  if (problem) return;
  came.textContent = bytes(transferred);
  whole.textContent = bytes(size);
}

/** The sums come at the end, where a screen reader says them once. */
function showEnd(results, all) {
  const totals = sum(results);
  const list = document.querySelector("#totals");
  for (const cell of list.querySelectorAll("[data-total]")) {
    const key = cell.dataset.total;
    list.dataset[key] = totals[key];
    cell.textContent = key === "bytes" ? bytes(totals[key]) : totals[key].toLocaleString("en");
    cell.parentElement.classList.toggle("is-zero", totals[key] === 0 && isRare(key));
  }
  list.hidden = false;
  setStatus(verdict(totals, results.length));
  const rest = document.querySelector("#rest");
  rest.hidden = results.length === all;
  rest.textContent = `Load all ${files(all)}`;
  document.documentElement.dataset.done = "true";
}

function sum(results) {
  const totals = { network: 0, deltas: 0, cache: 0, checked: 0, failed: 0, bytes: 0 };
  for (const { from, coding, transferred = 0 } of results) {
    totals[from] += 1;
    if (coding === DELTA) totals.deltas += 1;
    totals.bytes += transferred;
  }
  return totals;
}

function isRare(key) {
  return key === "deltas" || key === "checked" || key === "failed";
}

function verdict({ network, deltas, cache, failed }, count) {
  if (count === 0) return "No files yet.";
  if (failed > 0) return `Of ${files(count)}, ${failed.toLocaleString("en")} could not be loaded.`;
  if (cache === count) return `Loaded ${files(count)} from the cache, and fetched nothing.`;
  const share = deltas > 0 ? `, ${deltas.toLocaleString("en")} of them as deltas` : "";
  if (network === count) return `Loaded ${files(count)} from the network${share}. Now visit again.`;
  return `Loaded ${files(count)}.`;
}

function setStatus(text) {
  document.querySelector("#status").textContent = text;
}

function files(count) {
  return count === 1 ? "1 file" : `${count.toLocaleString("en")} files`;
}

function bytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  const digits = unit > 0 && count < 10 ? 1 : 0;
  return `${count.toLocaleString("en", { maximumFractionDigits: digits })} ${units[unit]}`;
}
