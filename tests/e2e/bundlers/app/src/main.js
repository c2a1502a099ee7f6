import "./style.css";
import { greeting } from "./greeting.js";

const app = document.querySelector("#app");
app.textContent = greeting;

// Each is a file of its own.
app.addEventListener("click", () => import("./panel.js").then(({ open }) => open(app)));
app.addEventListener("keydown", () => import("./about.js").then(({ about }) => about(app)));
new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
