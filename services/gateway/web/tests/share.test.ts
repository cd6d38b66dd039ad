import { expect, test, vi } from "vitest";
import { share } from "../src/gallery/share";

const url = "https://kappi.test/g/k7dm";
const refused = (name: string) => () => Promise.reject(new DOMException("", name));

test.each([
  ["the share sheet", { share: () => Promise.resolve() }, "shared"],
  ["a share sheet that the viewer closes", { share: refused("AbortError") }, "cancelled"],
  ["a share sheet that fails", { share: refused("NotAllowedError"), clipboard: { writeText: () => Promise.resolve() } }, "copied"],
  ["no share sheet", { clipboard: { writeText: () => Promise.resolve() } }, "copied"],
  ["neither", {}, "failed"],
])("a link is shared by %s", async (_, browser, outcome) => {
  vi.stubGlobal("navigator", browser);
  expect(await share("Lofoten", url)).toBe(outcome);
});

test("a file goes along where the browser can send it", async () => {
  const file = new File(["x"], "tram.jpg");
  for (const canSend of [true, false]) {
    const sent: ShareData[] = [];
    vi.stubGlobal("navigator", { canShare: () => canSend, share: async (data: ShareData) => void sent.push(data) });
    await share("Tram", url, file);
    expect(sent).toEqual([canSend ? { title: "Tram", url, files: [file] } : { title: "Tram", url }]);
  }
});
