import { defineConfig } from "vite";

export default defineConfig(({ command }) => ({
  // The mount of the layer. In development Vite itself serves the pages and modules, at `/`.
  base: command === "build" ? "/static/" : "/",
  server: {
    // `npm run dev` asks the backend (`cargo run --example spa`) for everything below `/api`.
    proxy: { "/api": process.env.BACKEND ?? "http://127.0.0.1:3000" },
  },
}));
