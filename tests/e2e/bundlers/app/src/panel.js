import "./panel.css";
import { greeting } from "./greeting.js";

export function open(app) {
  app.append(`${greeting} from the panel`);
}
