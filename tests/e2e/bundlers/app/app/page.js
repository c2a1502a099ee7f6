"use client";

import photo from "../src/photo.png";
import { greeting } from "../src/greeting.js";

export default function Page() {
  const open = ({ target }) => import("../src/panel.js").then(({ open }) => open(target));
  const about = ({ target }) => import("../src/about.js").then(({ about }) => about(target));
  return (
    <main onClick={open} onKeyDown={about}>
      {greeting} <img src={photo.src} alt="" />
    </main>
  );
}
