// Opens the next page anew if it was made by another version than this one.

const shown = document.documentElement.dataset.version;

// The names of the events and of `ctx` are those of htmx 4.
addEventListener("htmx:before:response", (event) => {
  const { request, response } = event.detail.ctx;
  const version = response.headers.get("static-version");
  if (!version || version === shown) return;
  // A part of this page: it is used as ever, and whatever is typed stays.
  if (!request.headers["HX-Boosted"]) return;
  // Another page, with scripts and styles of its own. The user has just left this one.
  event.preventDefault();
  location.assign(response.raw.url);
});
