export function Publish() { return <p>…</p>; }
