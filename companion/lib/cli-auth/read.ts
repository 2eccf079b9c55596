// Reading bodies, never more of them than is sensible.

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
