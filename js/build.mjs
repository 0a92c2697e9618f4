// Builds the bundles into the package. `--test` builds the unit tests for Node instead.
import { build } from "esbuild";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";

const common = { bundle: true, format: "esm", target: "es2022", charset: "utf8", legalComments: "none", logLevel: "warning" };

if (process.argv.includes("--test")) {
  const tests = (await readdir("tests")).filter((name) => name.endsWith(".test.ts")).map((name) => `tests/${name}`);
  await build({ ...common, entryPoints: tests, outdir: "build", platform: "node", packages: "external", outExtension: { ".js": ".mjs" } });
} else {
  const to = process.argv[2] ?? "../gathering/notebook/static";
  await mkdir(to, { recursive: true });
  const web = { ...common, minify: true, platform: "browser", outdir: to };
  await build({ ...web, entryPoints: { panel: "src/main.ts" }, loader: { ".css": "text" } });
  await build({ ...web, entryPoints: { math: "src/math.ts" } });
  await build({ ...web, entryPoints: { stub: "src/stub.js" } });
  await copyFile("src/stub.css", `${to}/stub.css`);
  await writeFile(`${to}/NOTICES.txt`, await notices());
}

/** The licences of what is inside the bundles. */
async function notices() {
  const inside = Object.keys(JSON.parse(await readFile("package.json", "utf8")).dependencies).sort();
  const texts = inside.map(async (name) => {
    const folder = `node_modules/${name}`;
    const about = JSON.parse(await readFile(`${folder}/package.json`, "utf8"));
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file ? await readFile(`${folder}/${file}`, "utf8") : "";
    return `${name} ${about.version} (${about.license})\n\n${text.trim()}\n`;
  });
  return `Libraries inside panel.js and math.js, with their licences.\n\n${(await Promise.all(texts)).join("\n----\n\n")}`;
}
