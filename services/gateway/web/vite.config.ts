import { readFileSync } from "node:fs";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

/** The folder of the Python package: it has the HTML of the pages, and gets the built files. */
const PACKAGE = "../kappi_gateway/web";
const ENTRIES = { home: "src/home/main.ts", gallery: "src/gallery/main.ts" };
/** The oldest browsers in which the pages work; docs/web.md names them, too. */
const BROWSERS = ["chrome111", "edge111", "firefox115", "safari16.4"];
/** The running stack behind `make web-dev`. */
const STACK = process.env["KAPPI_URL"] ?? "http://127.0.0.1:8080";

/** Serves the pages during development as `pages.py` does in the product, but without its policy. */
function pages(): Plugin {
  return {
    name: "kappi-pages",
    configureServer(server) {
      server.middlewares.use(async (request, response, next) => {
        const path = (request.url ?? "/").split("?")[0] ?? "/";
        const name = path.startsWith("/g/") ? "gallery" : /^\/($|manage\/|account$)/.test(path) ? "home" : null;
        if (name === null || request.method !== "GET") return next();
        const root = "../".repeat(path.split("/").length - 2);
        const html = readFileSync(`${PACKAGE}/${name}.html`, "utf-8")
          .replaceAll("$root", root)
          .replace("$style", "")
          .replace('data-entry="$entry">$boot', `type="module" src="/${ENTRIES[name]}">`)
          .replaceAll(/\$[a-z_]+/g, "");
        response.setHeader("Content-Type", "text/html; charset=utf-8");
        response.end(await server.transformIndexHtml(path, html));
      });
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [svelte(), pages()],
  appType: "custom",
  server: { proxy: Object.fromEntries(["/v1", "/store", "/admin", "/docs"].map((path) => [path, STACK])) },
  build: {
    target: BROWSERS,
    outDir: `${PACKAGE}/assets`,
    emptyOutDir: true,
    assetsDir: "",
    manifest: "manifest.json",
    license: { fileName: "licences.md" },
    modulePreload: false, // the content security policy trusts scripts that scripts load, not elements of the page
    assetsInlineLimit: 0,
    rollupOptions: {
      input: ENTRIES,
      // Files of their own do not wait for each other: that asks for the gallery, and those load words.
      output: {
        codeSplitting: {
          includeDependenciesRecursively: false,
          groups: [
            { name: "start", test: /src\/(gallery\/(start|collection\.svelte|later|order|place)|live\/parse)\.ts$/ },
            { name: "words", test: /src\/i18n\/gallery\.ts$/ },
          ],
        },
      },
    },
  },
  test: { include: ["tests/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
