// The body of a request that publishes one event, made of what was typed. It knows nothing of forms and requests.

/** The data's own text stands in the body, so that no number is rounded on its way. */
export function bodyOf(topic: string, type: string, kind: "json" | "text", data: string): string {
  const members = [`"topic":${JSON.stringify(topic)}`];
  if (type) members.push(`"type":${JSON.stringify(type)}`);
  members.push(
    kind === "json" ? `"data":${data.trim() || "null"}` : `"text":${JSON.stringify(data)}`,
  );
  return `{${members.join(",")}}`;
}

export function jsonFault(text: string): string | undefined {
  if (text.trim() === "") return undefined;
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return `This is no JSON: ${error instanceof Error ? error.message : error}. Is it text?`;
  }
}
