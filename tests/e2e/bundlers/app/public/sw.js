// A service worker, edition 1.
