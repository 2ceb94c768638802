export function Connections() { return <p>…</p>; }
