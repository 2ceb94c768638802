// Takes a JSON Web Token apart, here in the page and nowhere else. It reads; it verifies nothing: whether the
// signature is right only the server can say.

export interface Decoded {
  readonly header: Record<string, unknown>;
  readonly claims: Record<string, unknown>;
  readonly signatureBytes: number;
}

/** What the token says, or why it is none. */
export function decode(text: string): Decoded | { readonly fault: string } {
  const token = text.trim().replace(/^Bearer\s+/i, "");
  const parts = token.split(".");
  if (parts.length !== 3) {
    return { fault: `A token has three parts joined by dots; this has ${parts.length}.` };
  }
  try {
    const [header = "", claims = "", signature = ""] = parts;
    return {
      header: objectIn(header, "first"),
      claims: objectIn(claims, "second"),
      signatureBytes: bytesIn(signature, "third").length,
    };
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
}

function bytesIn(part: string, place: string): Uint8Array {
  if (!/^[A-Za-z0-9_-]*$/.test(part) || part.length % 4 === 1) {
    throw new Error(`The ${place} part is not Base64url.`);
  }
  const binary = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function objectIn(part: string, place: string): Record<string, unknown> {
  const bytes = bytesIn(part, place);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Error(`The ${place} part is not JSON.`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`The ${place} part is JSON, but no object.`);
  }
  return value as Record<string, unknown>;
}
