// Makes a 400-pixel JPEG of each file named on a line of its input; writes the seconds of processor time.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const sharp = createRequire(resolve(process.argv[2], "sharp.js"))("sharp");
sharp.concurrency(1);
sharp.cache(false);
for await (const name of createInterface({ input: process.stdin })) {
  const body = readFileSync(name);
  const before = process.cpuUsage();
  await sharp(body)
    .rotate()
    .resize({ height: 400, withoutEnlargement: true })
    .jpeg({ quality: 82, optimiseCoding: true })
    .toBuffer();
  const used = process.cpuUsage(before);
  console.log((used.user + used.system) / 1e6);
}
