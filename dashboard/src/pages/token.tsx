export function Token() { return <p>…</p>; }
