// What the application knows: notifications and comments, the newest of each, in memory in place of a
// database. It is the truth; events only say that there is something new. Knows nothing of Tidings.

const KEPT_MAX = 100;

export interface Notification {
  id: string;
  title: string;
  from: string;
  /** The id of a user, or `null` for everyone. */
  to: string | null;
  /** Milliseconds since 1970, as in `Comment`. */
  sentAt: number;
}

export interface Comment {
  id: string;
  text: string;
  author: string;
  writtenAt: number;
}

interface Store {
  notifications: Notification[];
  comments: Comment[];
}

// Next.js loads a module once for pages and once for routes; what they share has to be elsewhere.
const shared = globalThis as { tidingsExample?: Store };
shared.tidingsExample ??= { notifications: [], comments: [] };
const store = shared.tidingsExample;

/** Newest first. */
export function notificationsFor(userId: string): Notification[] {
  return store.notifications.filter(({ to }) => to === null || to === userId);
}

export function addNotification(said: Pick<Notification, "title" | "from" | "to">): Notification {
  const notification = { id: crypto.randomUUID(), ...said, sentAt: Date.now() };
  store.notifications = [notification, ...store.notifications].slice(0, KEPT_MAX);
  return notification;
}

/** Newest first. */
export function comments(): Comment[] {
  return store.comments;
}

export function addComment(said: Pick<Comment, "text" | "author">): Comment {
  const comment = { id: crypto.randomUUID(), ...said, writtenAt: Date.now() };
  store.comments = [comment, ...store.comments].slice(0, KEPT_MAX);
  return comment;
}
