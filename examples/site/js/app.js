import { greet } from "./greet.js";

const now = new Date();

for (const line of document.querySelectorAll("[data-greeting]")) {
  line.textContent = greet(now.getHours());
}
//# sourceMappingURL=app.js.map
