// Asking another server, and reading bodies: never for longer, and never more of them, than is sensible.

/**
 * Asks another server. The text is undefined if the answer is longer than max bytes. Throws if the answer has not come
 * whole after so many milliseconds, if it leads elsewhere, or if it is not UTF-8.
 */
export async function ask(
  address: string,
  request: { method?: "GET" | "POST"; headers: Record<string, string>; body?: string },
  { milliseconds, max }: { milliseconds: number; max: number },
): Promise<{ response: Response; text: string | undefined }> {
  // AbortSignal.timeout would keep every question in memory until its time has passed.
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), milliseconds);
  try {
    const response = await fetch(address, { ...request, signal: limit.signal, redirect: "error", cache: "no-store" });
    return { response, text: await readLimited(response, max) };
  } finally {
    clearTimeout(timer);
  }
}

/** The text of a request's or an answer's body; undefined if it is longer than max bytes. Throws if it is not UTF-8. */
export async function readLimited(from: Request | Response, max: number): Promise<string | undefined> {
  if (Number(from.headers.get("content-length")) > max) {
    await from.body?.cancel();
    return undefined;
  }
  const reader = from.body?.getReader();
  if (!reader) return "";
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  for (let read = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    read += value.byteLength;
    if (read > max) {
      await reader.cancel();
      return undefined;
    }
    text += decoder.decode(value, { stream: true });
  }
}
