#!/usr/bin/env node
// Draws every Mermaid block of docs/*.md as docs/pictures/PAGE-NUMBER.svg, for the site and for readers without Mermaid. `cargo xtask site`
// fails if a block has changed since. Needs Chromium, and Mermaid's own bundle:
//
//   npm pack mermaid@11.4.1 && tar xzf mermaid-11.4.1.tgz
//   scripts/draw.mjs package/dist/mermaid.min.js
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const [bundle] = process.argv.slice(2);
if (!bundle) {
  console.error("usage: scripts/draw.mjs MERMAID.MIN.JS");
  process.exit(64);
}
const docs = resolve(import.meta.dirname, "../docs");
const chromium = process.env.CHROMIUM ?? "chromium";

// Text as text: an image shows no HTML.
const settings = { startOnLoad: false, theme: "neutral", htmlLabels: false, deterministicIds: true, fontFamily: "sans-serif" };

function draw(source) {
  const folder = mkdtempSync(join(tmpdir(), "draw-"));
  const page = join(folder, "page.html");
  writeFileSync(
    page,
    `<!doctype html><meta charset="utf-8"><script src="file://${resolve(bundle)}"></script><body><script>
      mermaid.initialize(${JSON.stringify(settings)});
      mermaid.render("diagram", ${JSON.stringify(source)}).then(({ svg }) => {
        const text = document.createElement("textarea");
        text.textContent = new XMLSerializer().serializeToString(new DOMParser().parseFromString(svg, "text/html").querySelector("svg"));
        document.body.replaceChildren(text);
      });
    </script>`,
  );
  const options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--virtual-time-budget=20000"];
  const quiet = { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
  const dom = execFileSync(chromium, [...options, "--dump-dom", `file://${page}`], quiet);
  const drawn = dom.match(/<textarea>([^]*)<\/textarea>/)?.[1];
  if (!drawn) throw new Error(`Mermaid did not draw:\n${source}`);
  const svg = drawn.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&nbsp;", "\u00a0").replaceAll("&amp;", "&");
  // White, also on a dark page.
  return svg.replace('style="', 'style="background: white; ').replace(">", `><desc><![CDATA[\n${source}]]></desc>`);
}

for (const name of readdirSync(docs).filter((name) => name.endsWith(".md")).sort()) {
  const blocks = readFileSync(join(docs, name), "utf8").matchAll(/^```mermaid\n([^]*?)^```$/gm);
  [...blocks].forEach(([, source], index) => {
    const picture = `${name.slice(0, -3)}-${index + 1}.svg`;
    writeFileSync(join(docs, "pictures", picture), `${draw(source)}\n`);
    console.log(`docs/pictures/${picture}`);
  });
}
