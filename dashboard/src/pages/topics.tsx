export function Topics() { return <p>…</p>; }
