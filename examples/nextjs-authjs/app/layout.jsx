import "./globals.css";

export const metadata = { title: "Notifications", referrer: "no-referrer" };

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
