// Settings from the environment, looked up when they are needed. Where there is no `process`, there are none.

export function fromEnvironment(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name] || undefined;
}
