export function Tail() { return <p>…</p>; }
