/** Sends a link, or an item, by the share sheet of the system; copies the link where there is none. */

export type Shared = "shared" | "copied" | "failed" | "cancelled";

/** file: is sent as well where the browser can. */
export async function share(title: string, url: string, file?: File): Promise<Shared> {
  const link = { title, url };
  const data = file && navigator.canShare?.({ ...link, files: [file] }) ? { ...link, files: [file] } : link;
  if (typeof navigator.share === "function") {
    try {
      await navigator.share(data);
      return "shared";
    } catch (failure) {
      if ((failure as DOMException).name === "AbortError") return "cancelled";
    }
  }
  try {
    await navigator.clipboard.writeText(url);
    return "copied";
  } catch {
    return "failed";
  }
}
