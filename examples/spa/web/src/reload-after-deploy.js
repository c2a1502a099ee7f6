const KEY = "reloaded-after-deploy";
const MINUTE = 60_000;

/**
 * After a deploy the chunks of an open page may be gone: the server answers 404, and Vite
 * fires `vite:preloadError`. A reload fetches the new page, which links to the new chunks.
 *
 * At most once a minute: if the chunk is really missing, the new page fails as well, and would
 * reload itself for ever.
 */
export function reloadAfterDeploy() {
  addEventListener("vite:preloadError", () => {
    const last = Number(sessionStorage.getItem(KEY));
    if (Date.now() - last < MINUTE) return;
    sessionStorage.setItem(KEY, Date.now());
    location.reload();
  });
}
